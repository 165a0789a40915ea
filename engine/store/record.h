/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of layers: HOME/.varve/layers/ID, an empty file that has the labels and the record of
 * layer ID (record_content.h) in its extended attributes user.vrec.0, user.vrec.1, ... in order.
 * There is no database. A record is nothing but metadata of the file system that the layer is in,
 * and the file system commits metadata in the order in which it was changed. So:
 *
 *	- A record names the uuid of its subvolume, and means nothing unless subvolumes/ID has that
 *	  uuid. No other layer, made later under the same name, takes it for its own; a snapshot has a
 *	  uuid of its own, and inherits none.
 *	- A create places the record, then the layer; a removal takes the layer, then the record. Each
 *	  is a rename or an unlink, and two of them can fall into two commits: a power cut in between
 *	  leaves a record without a layer, never a layer without its record.
 *	- A record is complete before it counts: that of a new layer is written straight into its
 *	  place before the layer is there. A change is written under another name in staging, and
 *	  renamed over the old one.
 *	- No record is ever passed to fsync(): that writes the file alone, to the log tree, out of the
 *	  order of the commits. A durable change waits for a commit.
 *	- A rename of the layer gives the record a second name, renames, and removes the first one.
 *
 *	crash after ...                  leaves ...                          and then
 *	a changed record is staged       a file in staging                   a sweep removes it
 *	the record is placed             a record that matches no layer      it reads as none; a sweep,
 *	                                                                     or the next record, removes it
 *	the layer is placed              both                                -
 *	the layer is renamed             both, and a second name             a sweep removes that
 *	the layer is destroyed           a record that matches no layer      as above
 *
 * What is placed, and what is removed because it does not match, is decided under the lock of
 * size_record.h, so that several processes and threads compare and replace in turn. Reading takes
 * no lock: a record is replaced as a whole.
 *
 * An attribute has room in a node of the file system: chunks have 12,000 bytes, and 3,000 where
 * nodes have 4 KiB. The attributes are in user.*, so that a store without privilege has records,
 * too; the directory is the store's own (layout.h). What is found in a record's place is looked at
 * by its name and through no link; it is opened, without waiting, only where it has such an
 * attribute, which btrfs takes for files and directories alone.
 */
#ifndef VARVE_STORE_RECORD_H
#define VARVE_STORE_RECORD_H

#include "engine/dir/xattr.h"
#include "engine/store/record_content.h"
#include "engine/store/store.h"

/* The attribute that a record begins in. */
#define RECORD_ATTRIBUTE_FIRST "user.vrec.0"

/* Reads many records, on one thread. */
struct record_reader {
	struct varve_store *store;
	/* The directory of the records; dir_fd is negative: there is none. */
	struct xattr_dir dir;
	/* RECORD_CONTENT_MAX bytes. */
	unsigned char *buffer;
	/* Where records are put; NULL: on the heap. Set by the caller, after the begin. */
	struct arena *arena;
};

/* Begin to read: 0 or -errno. */
int record_reader_begin(struct record_reader *reader, struct varve_store *store);

/*
 * Read the record of ID, whatever subvolume it belongs to: 0 and *RET_RECORD (NULL: there is none);
 * -EUCLEAN: what is there is none, or is damaged; -ENOTSUP: a later version has written it; -ENOMEM
 * or another -errno.
 */
int record_reader_read(struct record_reader *reader, const char *id, struct record **ret_record);

/*
 * Does ERROR of these mean that the record of one layer is damaged, of a later version, or not for
 * the caller? Where many things are looked at it counts as none, and hides nothing else.
 */
bool record_unread(int error);

/* What ERROR of these says to a person; NULL: no more than its number. */
const char *record_detail(int error);

/* Free what record_reader_begin() made; harmless after its failure. */
void record_reader_end(struct record_reader *reader);

/*
 * The record of layer ID, whose uuid is UUID: as record_reader_read(), and one that belongs to
 * another subvolume is none.
 */
int record_find(struct varve_store *store, const char *id, const uint8_t uuid[BTRFS_UUID_SIZE],
		struct record **ret_record);

/*
 * Write RECORD, as that of the subvolume UUID, as the new file NAME in DIR_FD. One that has no
 * revision gets the first. A file that is not complete is removed again.
 */
int record_write(struct varve_store *store, int dir_fd, const char *name,
		 const struct record *record, const uint8_t uuid[BTRFS_UUID_SIZE]);

/*
 * Write RECORD, as that of the subvolume UUID, straight into the place of layer ID's, which no
 * layer has yet; one that an earlier layer has left goes. The lock is held.
 */
int record_write_new(struct varve_store *store, const char *id, const struct record *record,
		     const uint8_t uuid[BTRFS_UUID_SIZE]);

/*
 * Let NEW_ID, which no layer has, have the record of layer ID, too, if there is one: 0 or -errno.
 * The lock is held.
 */
int record_copy(struct varve_store *store, const char *id, const char *new_id);

/*
 * Does the record of ID belong to what has the layer's place, or to a layer in the trash that a
 * removal may put back? 1: yes, or that is not known, or there is none; 0: no, and *RET_DAMAGED
 * says whether it can be read at all; or -errno. The lock is held, else the answer may be old.
 */
int record_belongs(struct varve_store *store, const char *id, bool *ret_damaged);

/*
 * Remove the record of ID unless it belongs to a layer: 1 when it was removed, 0, OP_LATER, or
 * another -errno.
 */
int record_drop(struct varve_store *store, const char *id);

#endif
