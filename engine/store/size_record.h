/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: HOME/quotas/ID, the limit of layer ID in decimal, as the reference driver writes it.
 * Their guarantees:
 *
 *	- A layer that was made with a size has its record from the moment it is visible. So the
 *	  record is written in staging, and both are renamed into their places, the record first,
 *	  under a lock.
 *	- A record without a layer means nothing: a crash between the two renames, or between a
 *	  destroy and the removal of the record, leaves one. It is removed by the sweep, by the next
 *	  create of that id, or replaced by it.
 *
 * The lock (flock on HOME/.varve/records) keeps other processes from looking in between, and a
 * mutex other threads. It is held for a few system calls, or for those of the creates of a group,
 * and nothing else is waited for meanwhile. But a process that holds it can be stopped: so no
 * thread waits for the lock in the kernel. A call that cannot get it results in OP_LATER, and its
 * step begins anew later.
 *
 * A removal destroys the layer without the lock, since that may take as long as a commit, and takes
 * it to remove the records. Where it has to wait for the lock and is cancelled then, it has still
 * succeeded, and leaves a record without a layer.
 *
 * From before the layer is out of its place until the records are removed, or the layer is back,
 * the removal holds a mark: an open file description lock, shared, on the byte of the lock's file
 * that stands for the id. It ends with the process, and with the children that were forked from it
 * and have not executed a program. What asks for it (F_OFD_GETLK) changes nothing: a check does not
 * report the records of such a layer, and a sweep leaves its size. What would replace them waits as
 * for the lock: a create of that name by another process, or a rename to it. A removal that cannot
 * have a mark goes on without it, and so does one beside RECORD_MARKS_MAX others of the store.
 */
#ifndef VARVE_STORE_SIZE_RECORD_H
#define VARVE_STORE_SIZE_RECORD_H

#include "engine/store/layout.h"

/* Take the lock: 0, OP_LATER while another process holds it, or another -errno. */
int size_record_lock(struct varve_store *store, struct size_record_lock *ret_lock);

/*
 * The same, and make nothing: where there is no lock yet, or the file system is read-only, no
 * process can hold it, and the caller does not either. 0, OP_LATER or another -errno.
 */
int size_record_lock_made(struct varve_store *store, struct size_record_lock *ret_lock);

/* Give it back, if it is held. */
void size_record_unlock(struct size_record_lock *lock);

/*
 * Take the lock for a create of ID, and for all creates that follow each other at a boundary: as
 * size_record_lock(). OP_LATER also while ID is marked. It is held until size_record_leave(). The
 * boundary's thread.
 */
int size_record_enter(struct varve_store *store, const char *id);

/* Give it back, if it is held for them. The boundary's thread. */
void size_record_leave(struct varve_store *store);

/* A lock that is given back when its scope ends; initialise with { 0 }. */
#define _cleanup_unlock_ __attribute__((cleanup(size_record_unlock)))

/* Mark ID: a removal of it begins. Returns whether it has the mark. The boundary's thread. */
bool size_record_mark(struct varve_store *store, const char *id);

/* Take the mark of ID away, which it has. Any thread; does not block. */
void size_record_unmark(struct varve_store *store, const char *id);

/* Is ID marked, by any store? 1, 0, or -errno. */
int size_record_marked(struct varve_store *store, const char *id);

/* The same with the lock held, to place records of ID: OP_LATER while it is marked, 0 or -errno. */
int size_record_await(const struct size_record_lock *lock, const char *id);

/*
 * The process that holds the lock, as far as it is known: its number, 0 when there is none, or
 * -errno.
 */
int size_record_holder(struct varve_store *store);

/*
 * Write TEXT as the file NAME in DIR_FD, which no other process makes now, such that the next
 * commit makes its content durable. What was left there is replaced.
 */
int size_record_write_text(struct varve_store *store, int dir_fd, const char *name,
			   const char *text);

/* Write a record of BYTES as the new file NAME in DIR_FD; the same. */
int size_record_write(struct varve_store *store, int dir_fd, const char *name, uint64_t bytes);

/*
 * Let NEW_ID, which no layer has, have the record of layer ID, too, if there is one: 0 or -errno.
 * The lock is held.
 */
int size_record_copy(struct varve_store *store, const char *id, const char *new_id);

/*
 * Remove the record of ID unless there is something in the layer's place: 1 when it was removed, 0,
 * or -errno.
 */
int size_record_drop(struct varve_store *store, const char *id);

/* The same, unless ID is marked: for what was left. */
int size_record_drop_left(struct varve_store *store, const char *id);

/* The same, before a layer of that name is made: OP_LATER while ID is marked. */
int size_record_drop_old(struct varve_store *store, const char *id);

/*
 * The size that is recorded for ID: 1 and *RET_BYTES, 0 when none is, -EINVAL when it does not
 * parse, or another -errno.
 */
int size_record_find(struct varve_store *store, const char *id, uint64_t *ret_bytes);

/*
 * Read the limit in the record FD: 0, or -EINVAL when it does not parse, or is longer than any
 * record of the store.
 */
int size_record_read(int fd, uint64_t *ret_bytes);

#endif
