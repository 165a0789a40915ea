/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/unpack_metadata.h"
#include "engine/base/id_map.h"
#include "engine/btrfs/fs.h"
#include "engine/dir/acl.h"
#include "engine/dir/opath.h"
#include "engine/dir/xattrs.h"

#include <inttypes.h>
#include <limits.h>
#include <linux/posix_acl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* Where containers/storage keeps owner and mode that an inode cannot have. */
#define UNPACK_OVERRIDE "user.containers.override_stat"
#define UNPACK_OVERRIDE_BYTES 48
/* The remedy for an owner that could not be set, after the reason. */
#define UNPACK_OWNER_HINT ": VARVE_APPLY_IGNORE_OWNERS (--ignore-owners) keeps the caller's"

/* ---- owners and modes ------------------------------------------------------------------------ */

/* Map ID, a GROUP's or a user's, of the container to the host: 0 and *RET_ID, or -errno. */
static int unpack_id(struct unpack *unpack, bool group, uint32_t id, uint32_t *ret_id)
{
	const struct varve_id_map *maps = group ? unpack->maps + unpack->uids_count : unpack->maps;
	int r = idrange_to_host(maps, group ? unpack->gids_count : unpack->uids_count, id, ret_id);

	if (!r)
		return 0;
	if (!(unpack->flags & VARVE_OVERFLOW_IDS))
		return unpack_refuse(
			unpack, r,
			"an owner that is in no map: VARVE_OVERFLOW_IDS (--overflow-ids) makes it 65534");
	*ret_id = IDRANGE_OVERFLOW_ID;
	if (!unpack->outside)
		skipped_add(&unpack->report, r, "apply", "UNPACK", NULL, unpack->path,
			    IDRANGE_OVERFLOWED);
	unpack->outside = true;
	return 0;
}

int unpack_owner(struct unpack *unpack, struct archive_entry *entry)
{
	int64_t uid = unpack->lib.archive_entry_uid(entry),
		gid = unpack->lib.archive_entry_gid(entry);
	int r;

	if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
		return unpack_refuse(unpack, -EINVAL, "an owner that no id can have");
	r = unpack_id(unpack, false, (uint32_t)uid, &unpack->owner_uid);
	if (!r)
		r = unpack_id(unpack, true, (uint32_t)gid, &unpack->owner_gid);
	unpack->overflowed = unpack->outside;
	return r;
}

/* Set the owner of FD to UID and GID. */
static int unpack_chown(struct unpack *unpack, int fd, uid_t uid, gid_t gid)
{
	int r = idrange_chowned(opath_chown(fd, uid, gid));

	if (r != -EPERM && r != -EOVERFLOW)
		return unpack_check(unpack, "fchownat", r);
	if (unpack->flags & VARVE_APPLY_IGNORE_OWNERS) {
		skipped_add(&unpack->report, r, "apply", "UNPACK", "fchownat", unpack->path,
			    "the caller may not set the owner: the file is the caller's");
		return 0;
	}
	unpack->detail = r == -EPERM ? "the caller may not set the owner" UNPACK_OWNER_HINT
				     : IDRANGE_NOT_MAPPED UNPACK_OWNER_HINT;
	return unpack_check(unpack, "fchownat", r);
}

mode_t unpack_mode(const struct unpack *unpack, struct archive_entry *entry)
{
	mode_t mode = unpack->lib.archive_entry_perm(entry);
	int kind, perm, tag, id;
	const char *name;

	/* No program is to run as the overflow id. */
	if (unpack->overflowed && unpack->lib.archive_entry_filetype(entry) != AE_IFDIR)
		mode &= ~(mode_t)(S_ISUID | S_ISGID);

	if (unpack->lib.archive_entry_acl_reset(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS) <= 3)
		return mode;
	while (unpack->lib.archive_entry_acl_next(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, &kind,
						  &perm, &tag, &id, &name) == ARCHIVE_OK)
		if (tag == ARCHIVE_ENTRY_ACL_MASK)
			mode = (mode & ~(mode_t)S_IRWXG) | (mode_t)(perm & 7) << 3;
	return mode;
}

mode_t unpack_perm(const struct unpack *unpack, mode_t mode)
{
	return unpack->force_mode ? unpack->force_mode : mode;
}

mode_t unpack_group(const struct unpack *unpack, mode_t mode)
{
	return unpack->force_mode ? mode : mode & ~(S_IRWXG & ~unpack->group_most);
}

int unpack_set_implied(struct unpack *unpack, int fd)
{
	uid_t uid = unpack->uid;
	gid_t gid = unpack->gid;
	int r = unpack->uids_count ? unpack_id(unpack, false, 0, &uid) : 0;

	if (!r && unpack->gids_count)
		r = unpack_id(unpack, true, 0, &gid);
	if (!r)
		r = unpack_chown(unpack, fd, uid, gid);
	return r ? r
		 : unpack_check(unpack, "fchmodat2",
				opath_chmod(fd, unpack_perm(unpack, UNPACK_DIR_MODE)));
}

/* ---- attributes ------------------------------------------------------------------------------ */

/*
 * The error to return when attribute NAME of SIZE bytes could not be set on FD with ERROR: -E2BIG
 * if it is too large, for which the kernel returns -ENOSPC.
 */
static int unpack_xattr_error(struct unpack *unpack, int fd, const char *name, size_t size,
			      int error)
{
	size_t most = fs_xattr_bytes(fd);

	unpack->call = "fsetxattr";
	if ((error != -ENOSPC && error != -E2BIG) || !most || strlen(name) + size <= most)
		return error;
	free(unpack->made_detail);
	if (asprintf(
		    &unpack->made_detail,
		    "the attribute %s has %zu bytes; its name and they may have %zu on this file system",
		    name, size, most) < 0)
		unpack->made_detail = NULL;
	unpack->detail = unpack->made_detail;
	return -E2BIG;
}

/* Report that the attribute NAME is not kept, for ERROR. */
static int unpack_xattr_left(struct unpack *unpack, int error, const char *name)
{
	char detail[VARVE_FAILURE_DETAIL_SIZE];

	snprintf(detail, sizeof(detail), "an attribute that is not kept: %s", name);
	skipped_add(&unpack->report, error, "apply", "UNPACK", "fsetxattr", unpack->path, detail);
	return 0;
}

/*
 * Set attribute NAME of FD, which may be an O_PATH descriptor, to SIZE bytes at VALUE. An attribute
 * that the caller may not set is reported as skipped.
 */
static int unpack_xattr(struct unpack *unpack, int fd, const char *name, const void *value,
			size_t size)
{
	int r = RET_NERRNO(fsetxattr(fd, name, value, size, 0));

	if (r == -EBADF)
		r = opath_setxattr(fd, name, value, size);
	if (r == -EPERM || r == -EOPNOTSUPP) {
		if (!strcmp(name, ACL_ACCESS))
			unpack->group_most = (mode_t)acl_group(value, size) << 3;
		return unpack_xattr_left(unpack, r, name);
	}
	return r ? unpack_xattr_error(unpack, fd, name, size, r) : 0;
}

/* Map ID, a GROUP's or a user's, to the host. */
static int unpack_acl_id(void *data, bool group, uint32_t *id)
{
	return unpack_id(data, group, *id, id);
}

/* Set the access control list NAME of FD, with its ids mapped. */
static int unpack_acl(struct unpack *unpack, int fd, const char *name, const void *value,
		      size_t size)
{
	_cleanup_free_ char *acl = fault_calloc(&unpack->store->core.io.fault, 1, size + 1);
	int r = acl ? 0 : -ENOMEM;

	if (r)
		return r;
	memcpy(acl, value, size);
	r = acl_map(acl, size, unpack_acl_id, unpack);
	/* The kernel takes an empty list as a removal. */
	if (!r && size == acl_bytes(0))
		return unpack_xattr_left(unpack, -ENODATA,
					 !strcmp(name, ACL_ACCESS)
						 ? ACL_ACCESS ", a list without entries"
						 : ACL_DEFAULT ", a list without entries");
	if (!r)
		r = unpack_xattr(unpack, fd, name, acl, size);
	unpack->acl_set = unpack->acl_set || !strcmp(name, ACL_ACCESS);
	if (r == -EINVAL && unpack->flags & VARVE_APPLY_IGNORE_OWNERS) {
		if (!strcmp(name, ACL_ACCESS))
			unpack->group_most = (mode_t)acl_group(acl, size) << 3;
		return unpack_xattr_left(unpack, -EOVERFLOW, name);
	}
	if (r != -EBADMSG && r != -EINVAL)
		return r;
	return unpack_refuse(
		unpack, -EBADMSG,
		"a malformed access control list, or one with an id that the caller's user namespace does not have");
}

/* Set the list NAME of FD from what libarchive has made of its text, of TYPE. */
static int unpack_acl_text(struct unpack *unpack, struct archive_entry *entry, int fd, int type,
			   const char *name)
{
	static const uint16_t tags[] = { ACL_USER,      ACL_USER_OBJ, ACL_GROUP,
					 ACL_GROUP_OBJ, ACL_MASK,     ACL_OTHER };
	int count = unpack->lib.archive_entry_acl_reset(entry, type), kind, perm, tag, id, r;
	_cleanup_free_ struct acl_entry *entries = NULL;
	_cleanup_free_ char *acl = NULL;
	const char *text;
	size_t used = 0;

	/* The first three entries of an access list are the mode. */
	if (count <= (type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS ? 3 : 0))
		return 0;
	entries = fault_calloc(&unpack->store->core.io.fault, (size_t)count, sizeof(*entries));
	acl = fault_calloc(&unpack->store->core.io.fault, 1, acl_bytes((size_t)count));
	if (!entries || !acl)
		return -ENOMEM;
	while ((r = unpack->lib.archive_entry_acl_next(entry, type, &kind, &perm, &tag, &id,
						       &text)) == ARCHIVE_OK &&
	       used < (size_t)count) {
		bool named = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;

		if (tag < ARCHIVE_ENTRY_ACL_USER || tag > ARCHIVE_ENTRY_ACL_OTHER ||
		    (named && (id < 0 || id == INT_MAX))) {
			unpack->group_most = unpack->lib.archive_entry_perm(entry) & S_IRWXG;
			return unpack_xattr_left(
				unpack, -EINVAL,
				"an ACL with names that have no number, or one that is too large");
		}
		entries[used++] = (struct acl_entry){ tags[tag - ARCHIVE_ENTRY_ACL_USER],
						      (uint16_t)(perm & 7),
						      named ? (uint32_t)id : UINT32_MAX };
	}
	if (unpack->lib.memory.failed)
		return -ENOMEM;
	if (r != ARCHIVE_EOF)
		return unpack_refuse(unpack, -EBADMSG, "a malformed access control list");
	acl_write(acl, entries, used);
	return unpack_acl(unpack, fd, name, acl, acl_bytes(used));
}

/* Set the attributes of ENTRY on FD, which may be an O_PATH descriptor. */
static int unpack_xattrs(struct unpack *unpack, struct archive_entry *entry, int fd)
{
	const char *name;
	const void *value;
	size_t size;
	int r = 0;

	unpack->acl_set = false;
	unpack->group_most = S_IRWXG;
	if (unpack->lib.archive_entry_acl_reset(entry, ARCHIVE_ENTRY_ACL_TYPE_NFS4) > 0)
		unpack_xattr_left(unpack, -EOPNOTSUPP, "an ACL of NFSv4");
	if (unpack->lib.archive_entry_filetype(entry) != AE_IFLNK)
		r = unpack_acl_text(unpack, entry, fd, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, ACL_ACCESS);
	if (!r && unpack->lib.archive_entry_filetype(entry) == AE_IFDIR)
		r = unpack_acl_text(unpack, entry, fd, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, ACL_DEFAULT);
	unpack->lib.archive_entry_xattr_reset(entry);
	while (!r &&
	       unpack->lib.archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
		if (!name || !xattrs_kept(name))
			r = unpack_xattr_left(unpack, -EPERM, name ? name : "one without a name");
		else if (acl_is(name))
			r = unpack_acl(unpack, fd, name, value, size);
		else
			r = unpack_xattr(unpack, fd, name, value, size);
	}
	return r;
}

/* Report that the old attribute NAME, which the archive does not have, stays, for ERROR. */
static int unpack_xattr_stays(struct unpack *unpack, int error, const char *name)
{
	char detail[VARVE_FAILURE_DETAIL_SIZE];

	snprintf(detail, sizeof(detail), "an old attribute that the caller may not remove: %s",
		 name);
	skipped_add(&unpack->report, error, "apply", "UNPACK", "removexattr", unpack->path, detail);
	return 0;
}

int unpack_remove_xattrs(struct unpack *unpack, int fd)
{
	struct xattrs xattrs = { .fault = &unpack->store->core.io.fault };
	int r = unpack_check(unpack, "listxattr", xattrs_read(&xattrs, fd, "", xattrs_kept));

	for (size_t i = 0; !r && i < xattrs.count; i++) {
		r = unpack_check(unpack, "removexattr", opath_removexattr(fd, xattrs.list[i].name));
		if (r == -EPERM)
			r = unpack_xattr_stays(unpack, r, xattrs.list[i].name);
	}
	xattrs_free(&xattrs);
	return r;
}

int unpack_remove_inherited(struct unpack *unpack, int fd)
{
	int r = unpack->dir_default ? opath_removexattr(fd, ACL_ACCESS) : 0;

	if (!r && unpack->dir_default)
		r = opath_removexattr(fd, ACL_DEFAULT);
	return unpack_check(unpack, "removexattr", r);
}

int unpack_set_metadata(struct unpack *unpack, struct archive_entry *entry, int fd, mode_t mode,
			const struct statx *seen)
{
	char value[UNPACK_OVERRIDE_BYTES];
	struct stat stat = { .st_uid = unpack->uid,
			     .st_gid = unpack->gid,
			     .st_mode = unpack->made_mode };
	bool owned;
	int r = 0, size;

	if (seen)
		stat = (struct stat){ .st_uid = seen->stx_uid,
				      .st_gid = seen->stx_gid,
				      .st_mode = seen->stx_mode };
	else if (unpack->made_mode == UNPACK_MODE_UNKNOWN)
		r = unpack_check(unpack, "fstat", RET_NERRNO(fstat(fd, &stat)));
	if (r)
		return r;
	owned = stat.st_uid == unpack->owner_uid && stat.st_gid == unpack->owner_gid;
	if (!owned)
		r = unpack_chown(unpack, fd, unpack->owner_uid, unpack->owner_gid);
	if (!r)
		r = unpack_xattrs(unpack, entry, fd);
	/* Where all modes are the same, keep owner and mode in an attribute. */
	if (!r && unpack->force_mode) {
		size = snprintf(value, sizeof(value), "%" PRId64 ":%" PRId64 ":0%o",
				(int64_t)unpack->lib.archive_entry_uid(entry),
				(int64_t)unpack->lib.archive_entry_gid(entry),
				unpack_mode(unpack, entry));
		r = unpack_check(unpack, "fsetxattr",
				 RET_NERRNO(
					 fsetxattr(fd, UNPACK_OVERRIDE, value, (size_t)size, 0)));
	}
	mode = unpack_group(unpack, mode);
	if (!r && ((stat.st_mode & ALLPERMS) != mode || unpack->acl_set ||
		   (!owned && mode & (S_ISUID | S_ISGID))))
		r = unpack_check(unpack, "fchmod", RET_NERRNO(fchmod(fd, mode)));
	return r;
}

struct timespec unpack_mtime(struct unpack *unpack, struct archive_entry *entry)
{
	struct timespec mtime = { .tv_sec = unpack->lib.archive_entry_mtime(entry),
				  .tv_nsec = unpack->lib.archive_entry_mtime_nsec(entry) };

	if (mtime.tv_sec > 0 || !mtime.tv_nsec)
		return mtime;
	if (!mtime.tv_sec) {
		int negative = pax_negative(&unpack->pax, unpack->header);

		if (negative < 0)
			skipped_add(&unpack->report, negative, "apply", "UNPACK", NULL,
				    unpack->path,
				    "a time within a second of 1970: it may have been one before");
		return negative > 0 ? (struct timespec){ -1, 1000000000 - mtime.tv_nsec } : mtime;
	}
	if (!unpack->backwards_known) {
		unpack->backwards_known = true;
		unpack->backwards = libarchive_counts_backwards(&unpack->lib);
	}
	/* libarchive returns -1.25 s as -1 s and .25 s; the kernel expects -2 s and .75 s. */
	if (unpack->backwards) {
		mtime.tv_sec--;
		mtime.tv_nsec = 1000000000 - mtime.tv_nsec;
	}
	return mtime;
}

int unpack_set_special(struct unpack *unpack, struct archive_entry *entry, int fd)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, unpack_mtime(unpack, entry) };
	mode_t mode = unpack_perm(unpack, unpack_mode(unpack, entry));
	int r;

	if (fd < 0)
		return fd;
	r = unpack->lib.archive_entry_filetype(entry) == AE_IFLNK
		    ? 0
		    : unpack_remove_inherited(unpack, fd);
	if (!r)
		r = unpack_chown(unpack, fd, unpack->owner_uid, unpack->owner_gid);
	if (!r)
		r = unpack_xattrs(unpack, entry, fd);
	if (!r && unpack->lib.archive_entry_filetype(entry) != AE_IFLNK)
		r = unpack_check(unpack, "fchmodat2", opath_chmod(fd, unpack_group(unpack, mode)));
	if (!r)
		r = unpack_check(unpack, "utimensat", opath_times(fd, times));
	fd_close(fd);
	return r;
}
