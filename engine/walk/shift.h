/* SPDX-License-Identifier: Apache-2.0 */
/* Ownership shift: each file of a tree gets its owner mapped by maps of ids. */
#ifndef VARVE_WALK_SHIFT_H
#define VARVE_WALK_SHIFT_H

#include "engine/base/skipped.h"
#include "engine/walk/inode_set.h"
#include "engine/walk/walk.h"
#include "engine/walk/xattr_search.h"

/* One map: as varve.h has it. No entries: every id stands for itself. */
struct shift_map {
	const struct varve_id_map *entries;
	size_t count;
};

/*
 * Maps of users and groups: the tree's present map, which leads back into the container, and its
 * new map.
 */
struct shift_maps {
	struct shift_map uid_from, gid_from, uid_to, gid_to;
	/* Ids that are not in the new map become the overflow id; without, they are errors. */
	bool overflow;
};

struct shift {
	struct walk walk;
	const struct shift_maps *maps;
	/* Inodes that were handled: each is shifted once, also when it is renamed meanwhile. */
	struct inode_set seen;
	/* Inodes with attributes that a shift removes, or that contain ids. */
	struct xattr_search xattr_search;
	/* Where entries that get the overflow id are recorded; the operation, and the layer. */
	struct skipped *report;
	const char *operation, *id;
	/* The number of inodes shifted in this round. */
	_Atomic uint64_t count;
};

/* Bytes of the maps in OPTIONS, which are a multiple of what a number needs. */
size_t shift_maps_bytes(const struct varve_chown_options *options);

/* Set *RET_MAPS from OPTIONS, their entries copied to MEMORY. */
void shift_maps_copy(struct shift_maps *ret_maps, const struct varve_chown_options *options,
		     void *memory);

/*
 * Prepare SHIFT of the tree at ROOT_FD, layer ID's, by MAPS, for OPERATION; entries that get the
 * overflow id are listed in REPORT. All these have to live on. Then as walk_init().
 */
int shift_init(struct shift *shift, struct varve_store *store, int root_fd, const char *id,
	       const struct shift_maps *maps, const char *operation, struct skipped *report,
	       const _Atomic bool *cancelled);

/* Prepare SHIFT, whose walk is over, for one more walk, which handles what is new. */
int shift_again(struct shift *shift, struct varve_store *store, int root_fd, const char *id,
		const _Atomic bool *cancelled);

/*
 * INODE of SUBVOLUME was found in the trees: shift it, unless it was handled before; with LOOK only
 * count it. FD is on the layer's mount. 0 or -errno. CAP_DAC_READ_SEARCH; any thread.
 */
int shift_stray(struct shift *shift, int fd, uint64_t subvolume, uint64_t inode,
		uint64_t generation, bool look);

/* Free what SHIFT holds; harmless on zeros. */
void shift_free(struct shift *shift);

#endif
