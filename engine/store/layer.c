/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/layer.h"
#include "engine/base/id.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/request.h"
#include "engine/dir/loosen.h"

#include <fcntl.h>
#include <string.h>

int layer_request(struct varve_store *store, const struct op_class *class, const char *id,
		  bool exclusive, size_t strings, uint64_t flags, struct request **ret_request)
{
	int r = request_new(&store->core, class, 1, strlen(id) + 1 + strings, flags, ret_request);
	struct op *op;

	if (r)
		return r;
	op = (*ret_request)->ops;
	op->id = op->subject = request_string(*ret_request, id);
	op->place = LAYER_PLACE;
	op_holds(op)[0] = (struct id_lock){ .id = op->id, .exclusive = exclusive };
	return 0;
}

void layer_open_call(struct varve_store *store, struct call *call, const char *id)
{
	call_openat2(call, store->layout.subvolumes_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
		     BENEATH_RESOLVE_ONE | RESOLVE_NO_XDEV);
}

int layer_open_start(struct op *op)
{
	layer_open_call(op_store(op), &op->call, op->id);
	return op_call(op);
}

int layer_open(struct varve_store *store, const char *id)
{
	struct call call;
	int r;

	layer_open_call(store, &call, id);
	r = call_run(&call);
	return r < 0 ? layer_open_error(r) : r;
}

int layer_open_owned(struct varve_store *store, const char *id, const char **ret_detail)
{
	int subvolumes_fd = store->layout.subvolumes_fd, fd = -EACCES, r;

	/* Another thread may loosen it at the same time, and restore it. */
	for (int tries = 0; fd == -EACCES && tries < LAYER_OPEN_TRIES; tries++) {
		struct loosened loosened = { 0 };

		fd = layer_open(store, id);
		if (fd != -EACCES)
			return fd;
		if (loosen(subvolumes_fd, id, fd, &loosened, ret_detail) < 0)
			return fd;
		fd = layer_open(store, id);
		r = loosened_restore(subvolumes_fd, id, &loosened);
		if (r) {
			fd_close(fd);
			*ret_detail = "its mode, which keeps its owner out, could not be set again";
			return r;
		}
	}
	return fd;
}

int layer_open_error(int error)
{
	return error == -ELOOP ? -ENOTDIR : error;
}

bool layer_passed_over(int error)
{
	return error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -EINVAL ||
	       error == -EXDEV || error == -ESTALE || error == -EACCES || error == -EPERM;
}

/*
 * Is FD, which has been opened by the name ID, still there? Another process may have removed it, or
 * given it another name.
 */
static bool layer_stays(struct varve_store *store, int fd, const char *id)
{
	struct stat opened, there;

	if (fstat(fd, &opened) < 0)
		return true;
	return !fstatat(store->layout.subvolumes_fd, id, &there,
			AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) &&
	       there.st_dev == opened.st_dev && there.st_ino == opened.st_ino;
}

int layer_prove(struct varve_store *store, int fd, const char *id,
		struct btrfs_ioctl_get_subvol_info_args *ret_info)
{
	struct btrfs_ioctl_get_subvol_info_args local, *info = ret_info ? ret_info : &local;
	int r = subvol_check(fd);

	if (r)
		return r == -ENOTSUP ? -EXDEV : r;
	r = subvol_info(fd, info);
	if (r)
		return r;
	if (info->parent_id == store->layout.subvolumes_root &&
	    info->dirid == store->layout.subvolumes_inode && !strcmp(info->name, id))
		return 0;
	return layer_stays(store, fd, id) ? -EINVAL : -ENOENT;
}

int layer_vacate(struct varve_store *store, const char *id)
{
	struct stat stat;

	if (fstatat(store->layout.subvolumes_fd, id, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : negative_errno();
	if (!S_ISDIR(stat.st_mode) || stat.st_ino != ABI_STAND_IN_INODE)
		return -EEXIST;
	/* Something may be mounted on it, or another process be faster. */
	return unlinkat(store->layout.subvolumes_fd, id, AT_REMOVEDIR) < 0 && errno != ENOENT
		       ? negative_errno()
		       : 0;
}

void layer_stat_call(struct varve_store *store, struct call *call, const char *id,
		     struct statx *statx)
{
	call_statx(call, store->layout.subvolumes_fd, id,
		   AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		   STATX_TYPE | STATX_INO | STATX_MNT_ID, statx);
}

int layer_judge(const struct varve_store *store, const struct statx *statx)
{
	if (!S_ISDIR(statx->stx_mode))
		return -ENOTDIR;
	if (!(statx->stx_mask & STATX_MNT_ID) ||
	    statx->stx_mnt_id != store->layout.subvolumes_mount)
		return 1;
	return statx->stx_ino == ABI_SUBVOL_ROOT_INODE ? 0 : -EINVAL;
}

bool layer_ref(const struct varve_store *store, const struct search *search, uint64_t parent,
	       char *ret_name)
{
	char name[VARVE_ID_MAX + 1];
	uint64_t directory;

	if (parent != store->layout.subvolumes_root || search_reference(search, &directory, name) ||
	    directory != store->layout.subvolumes_inode ||
	    !strncmp(name, ID_RESERVED_PREFIX, strlen(ID_RESERVED_PREFIX)))
		return false;
	strcpy(ret_name, name);
	return true;
}
