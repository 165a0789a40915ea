/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many records read by searches of their tree (CAP_SYS_ADMIN) instead of a call each: the
 * attributes of neighbouring inodes are neighbours there, and no inode is brought into memory.
 *
 *	struct record_scan scan = { 0 };
 *
 *	r = record_scan_add(&scan, fault, entry->d_ino, layer);	for each file in the directory
 *	r = record_scan_run(&scan, &reader, take, data);
 *	record_scan_end(&scan);
 *
 * A record is complete before its layer is there, does not change in its place, and btrfs gives no
 * inode number twice: what the search finds is the record that the directory had when it was
 * listed. A record of several attributes, and that of a file that was removed since, is not found:
 * the caller reads it by its name. Attributes are in the tree at once: nothing has to be flushed.
 */
#ifndef VARVE_STORE_RECORD_SCAN_H
#define VARVE_STORE_RECORD_SCAN_H

#include "engine/store/record.h"

/* A file that may have a record, and what that is the record of. */
struct record_scan_file {
	uint64_t inode;
	void *of;
};

struct record_scan {
	struct record_scan_file *files;
	size_t count, capacity;
};

/* Let the file INODE of the records' directory be read, for OF. 0 or -ENOMEM. */
int record_scan_add(struct record_scan *scan, struct fault *fault, uint64_t inode, void *of);

/*
 * Read the files of READER's directory: call TAKE with each record that is found whole, which is
 * TAKE's then, until it returns something other than 0. Returns that, 0, or -errno.
 */
int record_scan_run(struct record_scan *scan, struct record_reader *reader,
		    int (*take)(void *data, void *of, struct record *record), void *data);

/* Free what was allocated. */
void record_scan_end(struct record_scan *scan);

#endif
