/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dir/loosen.h"
#include "engine/base/util.h"
#include "engine/btrfs/chattr.h"
#include "engine/btrfs/file_handle.h"
#include "engine/btrfs/subvol.h"
#include "engine/dir/opath.h"

#include <fcntl.h>

/* What an owner needs to open, to rename and to empty a directory. */
#define LOOSEN_MODE 0700

/* Make the subvolume of the O_PATH descriptor FD writable. */
static int loosen_write(int fd, struct loosened *loosened, const char **ret_detail)
{
	_cleanup_close_ int root_fd = -EBADF;
	bool read_only;
	int r;

	if (loosened->written)
		return 0;
	root_fd = opath_reopen(fd, O_RDONLY | O_DIRECTORY);
	if (root_fd == -EACCES)
		*ret_detail = "it is read-only, and its mode keeps its owner from changing that";
	if (root_fd < 0)
		return root_fd;
	r = subvol_get_read_only(root_fd, &read_only);
	if (r || !read_only)
		return r;
	r = subvol_set_read_only(root_fd, false);
	loosened->written = !r;
	return r ? r : 1;
}

/* Clear the flags of the O_PATH descriptor FD, which has STAT. */
static int loosen_flags(int fd, const struct statx *stat, struct loosened *loosened,
			const char **ret_detail)
{
	_cleanup_close_ int root_fd = -EBADF;
	unsigned flags = chattr_of(stat);
	int r;

	if (!flags || loosened->flags)
		return 0;
	root_fd = opath_reopen(fd, O_RDONLY | O_DIRECTORY);
	r = root_fd < 0 ? root_fd : chattr_clear(root_fd);
	if (r == -EROFS && loosen_write(fd, loosened, ret_detail) > 0)
		r = chattr_clear(root_fd);
	if (r > 0)
		loosened->flags = flags;
	else if (r == -EPERM || r == -EACCES)
		*ret_detail = chattr_detail(flags);
	return r;
}

/* Add the owner's permissions to the O_PATH descriptor FD, which has STAT. */
static int loosen_mode(int fd, const struct statx *stat, struct loosened *loosened,
		       const char **ret_detail)
{
	mode_t mode = stat->stx_mode & 07777;
	int r;

	if (loosened->chmodded || (mode & LOOSEN_MODE) == LOOSEN_MODE)
		return 0;
	r = opath_chmod(fd, mode | LOOSEN_MODE);
	if (r == -EROFS && loosen_write(fd, loosened, ret_detail) > 0)
		r = opath_chmod(fd, mode | LOOSEN_MODE);
	if (r)
		return r;
	loosened->mode = mode;
	loosened->chmodded = true;
	return 1;
}

/* Is the O_PATH descriptor FD in the subvolume of LOOSENED? Without one, that of FD becomes it. */
static bool loosen_same(int fd, struct loosened *loosened)
{
	uint64_t number;

	if (file_handle_subvolume(fd, "", &number))
		return false;
	if (!loosened->number)
		loosened->number = number;
	return loosened->number == number;
}

int loosen(int dir_fd, const char *name, int error, struct loosened *loosened,
	   const char **ret_detail)
{
	_cleanup_close_ int fd = -EBADF;
	struct statx stat;
	int r;

	if (error != -EPERM && error != -EACCES && error != -EROFS)
		return 0;
	fd = opath_open(dir_fd, name, &stat);
	if (fd < 0)
		return fd;
	if (!S_ISDIR(stat.stx_mode) || !loosen_same(fd, loosened))
		return 0;
	if (error == -EROFS)
		return loosen_write(fd, loosened, ret_detail);
	if (error == -EACCES)
		return loosen_mode(fd, &stat, loosened, ret_detail);
	r = loosen_flags(fd, &stat, loosened, ret_detail);
	if (!r && chattr_get(dir_fd))
		*ret_detail = chattr_detail_above(chattr_get(dir_fd));
	return r;
}

const char *loosen_detail(int dir_fd, const char *name)
{
	struct statx stat;
	_cleanup_close_ int fd = opath_open(dir_fd, name, &stat);
	const char *detail = fd < 0 ? NULL : chattr_detail(chattr_of(&stat));

	return detail ? detail : chattr_detail_above(chattr_get(dir_fd));
}

bool loosened_any(const struct loosened *loosened)
{
	return loosened->flags || loosened->chmodded || loosened->written;
}

int loosened_restore(int dir_fd, const char *name, const struct loosened *loosened)
{
	_cleanup_close_ int fd = -EBADF, root_fd = -EBADF;
	struct loosened same = *loosened;
	int r = 0, error;

	if (!loosened_any(loosened))
		return 0;
	fd = opath_open(dir_fd, name, NULL);
	if (fd >= 0 && !loosen_same(fd, &same))
		return -ESTALE;
	root_fd = fd < 0 ? fd : opath_reopen(fd, O_RDONLY | O_DIRECTORY);
	if (root_fd < 0)
		return root_fd;
	if (loosened->chmodded)
		r = RET_NERRNO(fchmod(root_fd, loosened->mode));
	if (loosened->flags) {
		error = chattr_add(root_fd, loosened->flags);
		r = r ? r : error;
	}
	if (loosened->written) {
		error = subvol_set_read_only(root_fd, true);
		r = r ? r : error;
	}
	return r;
}
