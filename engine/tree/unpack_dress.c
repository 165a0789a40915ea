/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/unpack_dress.h"
#include "engine/btrfs/fs.h"
#include "engine/tree/idrange.h"
#include "engine/tree/opath.h"
#include "engine/tree/unpack_place.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

int unpack_owner(struct unpack *unpack, struct archive_entry *entry, uid_t *ret_uid, gid_t *ret_gid)
{
	int64_t uid = unpack->lib.archive_entry_uid(entry), gid = unpack->lib.archive_entry_gid(entry);
	int r = 0;

	if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
		return unpack_refuse(unpack, -EINVAL, "an owner that no id can have");
	r = idrange_to_host(unpack->maps, unpack->uids_count, (uint32_t)uid, ret_uid);
	if (!r)
		r = idrange_to_host(unpack->maps + unpack->uids_count, unpack->gids_count, (uint32_t)gid, ret_gid);
	return r ? unpack_refuse(unpack, r, "an owner that has no id on the host") : 0;
}

/* A change of owner by CALL came to R. */
static int unpack_chowned(struct unpack *unpack, const char *call, int r)
{
	r = idrange_chowned(r);
	return r == -EOVERFLOW ? unpack_refuse(unpack, r, IDRANGE_NOT_MAPPED) : unpack_check(unpack, call, r);
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

/* What it comes to that attribute NAME of SIZE bytes could not be set on FD: the kernel calls one that is too large a full disk. */
static int unpack_xattr_error(struct unpack *unpack, int fd, const char *name, size_t size, int error)
{
	size_t most = fs_xattr_bytes(fd);

	unpack->call = "fsetxattr";
	if ((error != -ENOSPC && error != -E2BIG) || !most || strlen(name) + size <= most)
		return error;
	free(unpack->made_detail);
	if (asprintf(&unpack->made_detail, "the attribute %s has %zu bytes; its name and they may have %zu on this file system",
		     name, size, most) < 0)
		unpack->made_detail = NULL;
	unpack->detail = unpack->made_detail;
	return -E2BIG;
}

bool unpack_xattr_wanted(const char *name)
{
	return !strcmp(name, "security.capability") || !strncmp(name, "user.", strlen("user."));
}

/* Set the attributes of ENTRY on FD. */
static int unpack_xattrs(struct unpack *unpack, struct archive_entry *entry, int fd)
{
	const char *name;
	const void *value;
	size_t size;

	unpack->lib.archive_entry_xattr_reset(entry);
	while (unpack->lib.archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
		if (!name || !unpack_xattr_wanted(name))
			report_add(&unpack->report, -EPERM, "apply", "UNPACK", "fsetxattr", unpack->path, "an attribute that is not kept");
		else if (fsetxattr(fd, name, value, size, 0) < 0)
			return unpack_xattr_error(unpack, fd, name, size, negative_errno());
	}
	return 0;
}

int unpack_dress(struct unpack *unpack, struct archive_entry *entry, int fd)
{
	mode_t mode = unpack->lib.archive_entry_perm(entry);
	struct stat stat;
	bool owned;
	uid_t uid;
	gid_t gid;
	int r = unpack_owner(unpack, entry, &uid, &gid);

	if (!r)
		r = unpack_check(unpack, "fstat", RET_NERRNO(fstat(fd, &stat)));
	if (r)
		return r;
	owned = stat.st_uid == uid && stat.st_gid == gid;
	if (!owned)
		r = unpack_chowned(unpack, "fchown", RET_NERRNO(fchown(fd, uid, gid)));
	/* After the owner: that takes setuid away. */
	if (!r && ((stat.st_mode & ALLPERMS) != mode || (!owned && mode & (S_ISUID | S_ISGID))))
		r = unpack_check(unpack, "fchmod", RET_NERRNO(fchmod(fd, mode)));
	return r ? r : unpack_xattrs(unpack, entry, fd);
}

struct timespec unpack_mtime(const struct unpack *unpack, struct archive_entry *entry)
{
	return (struct timespec){ .tv_sec = unpack->lib.archive_entry_mtime(entry),
				  .tv_nsec = unpack->lib.archive_entry_mtime_nsec(entry) };
}

int unpack_dress_made(struct unpack *unpack, struct archive_entry *entry, int fd)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, unpack_mtime(unpack, entry) };
	uid_t uid;
	gid_t gid;
	int r;

	if (fd < 0)
		return fd;
	r = unpack_owner(unpack, entry, &uid, &gid);
	if (!r)
		r = unpack_chowned(unpack, "fchownat", opath_chown(fd, uid, gid));
	if (!r && unpack->lib.archive_entry_filetype(entry) != AE_IFLNK)
		r = unpack_check(unpack, "fchmodat2", opath_chmod(fd, unpack->lib.archive_entry_perm(entry)));
	if (!r)
		r = unpack_check(unpack, "utimensat", opath_times(fd, times));
	fd_close(fd);
	return r;
}
