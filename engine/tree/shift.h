/* SPDX-License-Identifier: Apache-2.0 */
/* Ownership shift: every file of a tree gets the owner that maps of ids say. */
#ifndef VARVE_TREE_SHIFT_H
#define VARVE_TREE_SHIFT_H

#include "engine/tree/inodes.h"
#include "engine/tree/walk.h"

/* The id that files get whose owner is in no map. */
#define SHIFT_OVERFLOW_ID 65534

/* One map: as varve.h has it. No entries: every id stands for itself. */
struct shift_map {
	const struct varve_id_map *entries;
	size_t count;
};

/* Maps of users and groups: the one that the tree is in, which leads back to the container, and the one it gets. */
struct shift_maps {
	struct shift_map uid_from, gid_from, uid_to, gid_to;
};

struct shift {
	struct walk walk;
	const struct shift_maps *maps;
	/* Inodes that were handled: each is shifted once, also when it is renamed meanwhile. */
	struct inodes seen;
};

/* Map UID and GID, in place: 0, or -ERANGE when a map that they are in does not know them. */
int shift_ids(const struct shift_maps *maps, uint32_t *uid, uint32_t *gid);

/* Bytes of the maps in OPTIONS, which are a multiple of what a number needs. */
size_t shift_maps_bytes(const struct varve_chown_options *options);

/* Set *RET_MAPS from OPTIONS, their entries copied to MEMORY. */
void shift_maps_copy(struct shift_maps *ret_maps, const struct varve_chown_options *options, void *memory);

/* Prepare SHIFT of the tree at ROOT_FD, layer ID's, by MAPS, which have to live on; then as walk_init(). */
int shift_init(struct shift *shift, struct varve_store *store, int root_fd, const char *id, const struct shift_maps *maps,
	       const _Atomic bool *cancelled);

/* Free what SHIFT holds; harmless on zeros. */
void shift_free(struct shift *shift);

#endif
