/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding a layer: from the store's open `subvolumes` directory, never through a link, and proving
 * that what is there is a subvolume of this store and nothing that was put or mounted in its place.
 */
#ifndef VARVE_STORE_LAYER_H
#define VARVE_STORE_LAYER_H

#include "engine/btrfs/abi.h"
#include "engine/btrfs/search.h"
#include "engine/dir/beneath.h"
#include "engine/store/store.h"

/* Where the layers are, below the home. */
#define LAYER_PLACE "subvolumes"

/*
 * Make a request with one operation on layer ID, which locks that id (with EXCLUSIVE for itself
 * alone), and with room for STRINGS bytes of other strings: as request_new().
 */
int layer_request(struct varve_store *store, const struct op_class *class, const char *id,
		  bool exclusive, size_t strings, uint64_t flags, struct request **ret_request);

/*
 * Describe opening the root directory of layer ID; the result is a descriptor. What is mounted over
 * it is not entered (-EXDEV): a mount that answers nothing would keep a lane for ever.
 */
void layer_open_call(struct varve_store *store, struct call *call, const char *id);

/* Begin a step that opens the layer of OP. */
int layer_open_start(struct op *op);

/* Open the root directory of layer ID on this thread. */
int layer_open(struct varve_store *store, const char *id);

/*
 * The same for the owner of the layer, whose mode programs in it may have changed: if it keeps the
 * owner out (-EACCES) it is changed, and restored at once. A crash in between leaves it changed.
 * *RET_DETAIL is set where the mode could not be changed or restored.
 */
int layer_open_owned(struct varve_store *store, const char *id, const char **ret_detail);

/*
 * The error to return to the caller for ERROR of those two: -ENOTDIR for a link in the layer's
 * place.
 */
int layer_open_error(int error);

/*
 * Does ERROR mean that an entry vanished, is no layer, or may not be looked at by the caller? Then
 * a list leaves it out; after another error the list would lack a layer.
 */
bool layer_passed_over(int error);

/*
 * Prove that FD is layer ID of STORE: 0, -EINVAL when not, -ENOENT when it was until now, -EXDEV on
 * another file system. RET_INFO may be NULL.
 */
int layer_prove(struct varve_store *store, int fd, const char *id,
		struct btrfs_ioctl_get_subvol_info_args *ret_info);

/*
 * Is the place of layer ID free? A stand-in (ABI_STAND_IN_INODE) is removed from it. 0, -EEXIST, or
 * another -errno.
 */
int layer_vacate(struct varve_store *store, const char *id);

/* Describe a statx() of what lies at layer ID's place, which is not opened. */
void layer_stat_call(struct varve_store *store, struct call *call, const char *id,
		     struct statx *statx);

/*
 * Judge what was found: 0 a layer, 1 something is mounted there (open and prove it), -ENOTDIR,
 * -EINVAL.
 */
int layer_judge(const struct varve_store *store, const struct statx *statx);

/*
 * Is the current item of SEARCH, a ROOT_REF or ROOT_BACKREF, about a layer of STORE that lies in
 * the subvolume PARENT? Then copy its name to RET_NAME (VARVE_ID_MAX + 1 bytes).
 */
bool layer_ref(const struct varve_store *store, const struct search *search, uint64_t parent,
	       char *ret_name);

#endif
