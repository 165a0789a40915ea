/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spare copies: snapshots of a layer that are made before they are asked for. A snapshot commits;
 * a create that takes a spare copy renames it into its place, which does not:
 *
 *	          refill: a group of snapshots                     create
 *	unused --> look -> make ... make -> probe, close --> held --> taken -> published
 *	   a second create of the parent      |               |
 *	                                      v               v  unused, parent removed, misfit, close
 *	                                     drops: destroyed at a boundary
 *	                                            |               ^  after a while, and at the end
 *	                                            +---> stuck ----+
 *
 * Copies lie in staging, in the directory of the worker slot that made them, so that a crash leaves
 * what a sweep removes. All here is the reactor's, but for the calls.
 *
 * A copy fits while the parent has not changed. The parent need not be read-only: a program may
 * write through a descriptor that was opened before. Each change of an inode, of its data also,
 * moves the parent's ctransid, a buffered write when it is put into the tree. So a create first
 * asks for a snapshot under the name of the copy itself. The kernel puts what is buffered in the
 * parent into its tree before it finds the name taken and fails with -EEXIST; only then is ctransid
 * compared with the one that was seen before the copy was made. What changes later would not be in
 * a snapshot of that moment either. That the kernel works in this order is probed with the first
 * copy that is made; where it does not, none are kept.
 *
 * While quota runs there are no spare copies: groups and limits are given by the ioctl.
 */
#ifndef VARVE_STORE_STOCK_H
#define VARVE_STORE_STOCK_H

#include "engine/btrfs/abi.h"
#include "engine/store/store.h"

/* The result of stock_check() for a copy that does not fit. */
#define STOCK_MISFIT 1

/* Bytes of a copy's name. */
#define STOCK_NAME_SIZE 32

/* The state of a parent. */
struct stock_origin {
	uint64_t number, ctransid;
	uint8_t uuid[BTRFS_UUID_SIZE];
};

/* A spare copy. */
struct stock_copy {
	/* Makes it. Then in a list of the stock by its link. */
	struct commit_job job;
	/* Its name. */
	uint64_t serial;
	/* The slot whose directory it lies in. */
	unsigned slot;
	/* It is destroyed. */
	bool gone;
	/* What the parent was before it was made. */
	struct stock_origin origin;
};

/* Give STORE a stock, if it is opened for one; 0 or -ENOMEM. */
int stock_init(struct varve_store *store);

/*
 * A create from SOURCE begins that may take a copy: take one, the caller's then, or NULL. Reactor.
 */
struct stock_copy *stock_take(struct varve_store *store, const char *source);

/* The create from SOURCE has made COPY its own. Reactor. */
void stock_taken(struct varve_store *store, const char *source, struct stock_copy *copy);

/* The create from SOURCE did not use COPY, which may fit. Reactor. */
void stock_return(struct varve_store *store, const char *source, struct stock_copy *copy);

/* COPY does not fit SOURCE any more, nor do others: drop them all. Reactor. */
void stock_misfit(struct varve_store *store, const char *source, struct stock_copy *copy);

/* SOURCE is about to be removed, was renamed, or is gone: drop its copies. Reactor. */
void stock_forget(struct varve_store *store, const char *source);

/*
 * Is COPY what a snapshot of SOURCE_FD, which was opened as layer SOURCE, would be now? 0,
 * STOCK_MISFIT, or -errno where that is no layer of this store. Lane thread.
 */
int stock_check(struct varve_store *store, const struct stock_copy *copy, int source_fd,
		const char *source);

/* Print the name of COPY. */
const char *stock_name(const struct stock_copy *copy, char buffer[STOCK_NAME_SIZE]);

#endif
