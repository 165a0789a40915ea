/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk visits each file of a layer: it calls the functions of a struct walk_class for each
 * directory and each entry, on several threads at once. walk.c describes how it works.
 */
#ifndef VARVE_WALK_WALK_H
#define VARVE_WALK_WALK_H

#include "engine/walk/walk_class.h"

/*
 * Prepare WALK of the tree at ROOT_FD, layer ID's; then set data, done and mounts, and begin it
 * with job_start() or walk_run_here(). 0 or -ENOMEM.
 */
int walk_init(struct walk *walk, struct varve_store *store, const struct walk_class *class,
	      int root_fd, const char *id, const _Atomic bool *cancelled);

/* Walk on this thread alone; 0, -ECANCELED or the first error. */
int walk_run_here(struct walk *walk);

/* Free what walk_init() made and was not freed at the end of the walk; harmless on zeros. */
void walk_free(struct walk *walk);

#endif
