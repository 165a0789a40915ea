/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories of a walk that were found and are not finished: their records, their descriptors,
 * and their end.
 *
 * Descriptors. At most walk->fds_max stay open besides those in use; the longest unused is closed,
 * all of them where descriptors are missing. One that is needed again is opened by ".." of its
 * child, where that is still open, else from its nearest open ancestor downwards. Names are single
 * components always, and no path is ever built (but for the message about a failure).
 */
#ifndef VARVE_WALK_WALK_DIRS_H
#define VARVE_WALK_WALK_DIRS_H

#include "engine/walk/walk_class.h"

/* A record for NAME in PARENT; with walk->lock held, where there is a parent. */
int walk_dir_new(struct walk *walk, struct walk_dir *parent, const char *name,
		 struct walk_dir **ret_dir);

/* FD is DIR, opened; keep it open. What another thread has opened meanwhile stays. */
void walk_attach(struct walk *walk, struct walk_dir *dir, int fd);

/* The device number in STAT. */
uint64_t walk_device(const struct statx *stat);

/* Open NAME in PARENT_FD, a directory of this mount and no link. */
int walk_openat(struct walk *walk, int parent_fd, const char *name);

/* Drop a reference to DIR; the last one finishes it, and drops a reference to its parent. */
void walk_finish(struct walk *walk, struct walk_dir *dir);

/*
 * Where ERROR is a lack of descriptors, close an unused directory, and keep fewer open from then
 * on. Returns whether it did.
 */
bool walk_shed(struct walk *walk, int error);

#endif
