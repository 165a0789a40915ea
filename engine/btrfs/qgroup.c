/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel does, measured on Linux 6.18:
 *
 *	- Turning quota on while it is on returns 0 and changes nothing, not even the mode. Hence
 *	  the mode is checked before and after.
 *	- A limit given to a create or snapshot while quota is off is silently ignored; a missing
 *	  group gives ENOENT.
 *	- A snapshot's limit, in full mode, is that of its source whatever was asked for.
 *	- The group of a subvolume that was destroyed and not yet dropped is EBUSY, but can leave
 *	  the groups it is in.
 *	- Full mode: a snapshot that joins a group makes all of quota INCONSISTENT until a rescan,
 *	  and so does one that joins none while its source is in one. Since Linux 6.9 there is one
 *	  exception: both are in the same group, in no other, and that group owns all its bytes
 *	  alone; then the numbers are those that a rescan finds.
 */
#include "engine/btrfs/qgroup.h"
#include "engine/base/util.h"
#include "engine/btrfs/search.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Bytes that are read of a file of sysfs. */
#define QUOTA_SYSFS_BYTES 64

/*
 * Bytes of a path below the file system's directory in sysfs:
 * "qgroups/65535_281474976710655/max_referenced".
 */
#define QUOTA_PATH_BYTES 96

/* Pass the fault point of every quota call. */
static int qgroup_fault(const struct fs_handle *fs)
{
	return fault_hit(fs->fault, FAULT_QUOTA);
}

/* Make a quota ioctl on the home. */
static int qgroup_ioctl(const struct fs_handle *fs, unsigned long request, const char *name,
			void *args)
{
	int r = qgroup_fault(fs);

	if (!r)
		r = RET_NERRNO(ioctl(fs->fd, request, args));
	trace(fs->trace, TRACE_BTRFS, "quota: %s: %d", name, r);
	return r;
}

/* ---- sysfs and the quota tree ---------------------------------------------------------------- */

/* Read the first line of PATH below the file system's directory in sysfs. */
static int qgroup_sysfs(const struct fs_handle *fs, const char *path,
			char ret_text[QUOTA_SYSFS_BYTES])
{
	_cleanup_close_ int fd = -EBADF;
	ssize_t length;

	if (fs->sysfs_fd < 0)
		return -ENOTSUP;
	fd = openat(fs->sysfs_fd, path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, ret_text, QUOTA_SYSFS_BYTES - 1);
	/* ENODEV: the group was removed after its file was looked up. */
	if (length < 0)
		return errno == ENODEV ? -ENOENT : negative_errno();
	ret_text[length] = '\0';
	ret_text[strcspn(ret_text, "\n")] = '\0';
	return 0;
}

/* Read a number from sysfs. */
static int qgroup_sysfs_number(const struct fs_handle *fs, const char *path, uint64_t *ret_number)
{
	char text[QUOTA_SYSFS_BYTES];
	int r = qgroup_sysfs(fs, path, text);

	if (!r)
		*ret_number = strtoull(text, NULL, 10);
	return r;
}

/*
 * Copy the item (OBJECT, TYPE, OFFSET) of the quota tree, SIZE bytes of it: 1, 0 when there is
 * none, or -errno.
 */
static int qgroup_item(const struct fs_handle *fs, uint64_t object, uint32_t type, uint64_t offset,
		       void *ret_item, size_t size)
{
	struct search search;
	int r = search_begin(&search, fs->fd, BTRFS_QUOTA_TREE_OBJECTID, object, object, type, type,
			     0);

	while (!r && (r = search_next(&search)) > 0) {
		if (search.header.offset == offset && search.header.len >= size) {
			memcpy(ret_item, search.item, size);
			break;
		}
		r = 0;
	}
	search_end(&search);
	/* Without quota there is no such tree. */
	return r == -ENOENT ? 0 : r;
}

/* Read the flags of the status item; 0 while quota is off. */
static int qgroup_status_flags(const struct fs_handle *fs, uint64_t *ret_flags)
{
	struct btrfs_qgroup_status_item item;
	int r = qgroup_item(fs, 0, BTRFS_QGROUP_STATUS_KEY, 0, &item,
			    offsetof(struct btrfs_qgroup_status_item, rescan));

	if (r >= 0)
		*ret_flags = r ? le64toh(item.flags) : 0;
	return MIN(r, 0);
}

/* ---- the mode -------------------------------------------------------------------------------- */

int qgroup_mode(const struct fs_handle *fs)
{
	char text[QUOTA_SYSFS_BYTES];
	uint64_t flags;
	int r = qgroup_fault(fs);

	if (r)
		return r;
	r = qgroup_sysfs(fs, "qgroups/mode", text);
	if (!r)
		return !strcmp(text, "squota")   ? VARVE_QUOTA_SIMPLE
		       : !strcmp(text, "qgroup") ? VARVE_QUOTA_FULL
						 : VARVE_QUOTA_OFF;
	/* Before Linux 6.7 there is one mode, and no file for it. */
	if (r == -ENOENT)
		r = qgroup_sysfs(fs, "qgroups/enabled", text);
	if (!r)
		return text[0] == '1' ? VARVE_QUOTA_FULL : VARVE_QUOTA_OFF;
	if (r == -ENOENT)
		return VARVE_QUOTA_OFF;
	r = qgroup_status_flags(fs, &flags);
	if (r)
		return r;
	if (!(flags & BTRFS_QGROUP_STATUS_FLAG_ON))
		return VARVE_QUOTA_OFF;
	return flags & ABI_QGROUP_STATUS_SIMPLE ? VARVE_QUOTA_SIMPLE : VARVE_QUOTA_FULL;
}

int qgroup_inconsistent(const struct fs_handle *fs)
{
	uint64_t number, flags;
	int r = qgroup_sysfs_number(fs, "qgroups/inconsistent", &number);

	if (!r)
		return number != 0;
	r = qgroup_status_flags(fs, &flags);
	return r ? r : !!(flags & BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT);
}

int qgroup_rescan_running(const struct fs_handle *fs, uint64_t *ret_position)
{
	struct btrfs_ioctl_quota_rescan_args args = { 0 };
	int r = qgroup_ioctl(fs, BTRFS_IOC_QUOTA_RESCAN_STATUS, "rescan status", &args);

	if (r < 0)
		return r;
	*ret_position = args.progress;
	return args.flags != 0;
}

/* Make QUOTA_CTL. */
static int qgroup_control(const struct fs_handle *fs, uint64_t command, const char *name)
{
	struct btrfs_ioctl_quota_ctl_args args = { .cmd = command };

	return qgroup_ioctl(fs, BTRFS_IOC_QUOTA_CTL, name, &args);
}

int qgroup_enable(const struct fs_handle *fs, enum varve_quota_mode mode)
{
	int now = qgroup_mode(fs), r;

	if (now < 0)
		return now;
	if (now != VARVE_QUOTA_OFF)
		return now == (int)mode ? 0 : -EBUSY;
	r = mode == VARVE_QUOTA_SIMPLE
		    ? qgroup_control(fs, ABI_QUOTA_CTL_ENABLE_SIMPLE, "enable simple")
		    : qgroup_control(fs, BTRFS_QUOTA_CTL_ENABLE, "enable full");
	if (r)
		return r == -EINVAL ? -ENOTSUP : r;
	/* Another program may have turned it on meanwhile, in another mode. */
	now = qgroup_mode(fs);
	if (now < 0)
		return now;
	return now == (int)mode ? 0 : -EBUSY;
}

int qgroup_enable_best(const struct fs_handle *fs)
{
	int r = qgroup_enable(fs, VARVE_QUOTA_SIMPLE);

	if (r == -ENOTSUP)
		r = qgroup_enable(fs, VARVE_QUOTA_FULL);
	return r == -EBUSY ? 0 : r;
}

int qgroup_disable(const struct fs_handle *fs)
{
	int r = qgroup_control(fs, BTRFS_QUOTA_CTL_DISABLE, "disable");

	return r == -ENOTCONN ? 0 : r;
}

int qgroup_rescan(const struct fs_handle *fs)
{
	struct btrfs_ioctl_quota_rescan_args args = { 0 };

	return qgroup_ioctl(fs, BTRFS_IOC_QUOTA_RESCAN, "rescan", &args);
}

int qgroup_rescan_wait(const struct fs_handle *fs)
{
	return qgroup_ioctl(fs, BTRFS_IOC_QUOTA_RESCAN_WAIT, "rescan wait", NULL);
}

/* ---- subvolumes with a limit ----------------------------------------------------------------- */

/* Make REQUEST (create or snapshot) of NAME in DIR_FD as BIRTH says. */
static int qgroup_subvol(const struct fs_handle *fs, unsigned long request, int dir_fd,
			 const char *name, const struct btrfs_ioctl_vol_args_v2 *base,
			 const struct qgroup_initial *initial)
{
	struct btrfs_ioctl_vol_args_v2 args = *base;
	size_t groups = initial->groups_count * sizeof(uint64_t), length = strlen(name);
	_cleanup_free_ struct btrfs_qgroup_inherit *inherit = NULL;
	int r = qgroup_fault(fs);

	if (r)
		return r;
	if (length > BTRFS_SUBVOL_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(args.name, name, length + 1);
	inherit = fault_calloc(fs->fault, 1, sizeof(*inherit) + groups);
	if (!inherit)
		return -ENOMEM;
	if (initial->limit) {
		inherit->flags = BTRFS_QGROUP_INHERIT_SET_LIMITS;
		inherit->lim = (struct btrfs_qgroup_limit){ .flags = BTRFS_QGROUP_LIMIT_MAX_RFER,
							    .max_rfer = initial->limit };
	}
	inherit->num_qgroups = initial->groups_count;
	if (groups)
		memcpy(inherit->qgroups, initial->groups, groups);
	args.flags |= BTRFS_SUBVOL_QGROUP_INHERIT;
	args.size = sizeof(*inherit) + groups;
	args.qgroup_inherit = inherit;
	return RET_NERRNO(ioctl(dir_fd, request, &args));
}

int qgroup_subvol_create(const struct fs_handle *fs, int dir_fd, const char *name,
			 const struct qgroup_initial *initial)
{
	const struct btrfs_ioctl_vol_args_v2 args = { 0 };

	return qgroup_subvol(fs, BTRFS_IOC_SUBVOL_CREATE_V2, dir_fd, name, &args, initial);
}

int qgroup_subvol_snapshot(const struct fs_handle *fs, int dir_fd, const char *name, int source_fd,
			   bool read_only, const struct qgroup_initial *initial)
{
	const struct btrfs_ioctl_vol_args_v2 args = { .fd = source_fd,
						      .flags = read_only ? BTRFS_SUBVOL_RDONLY
									 : 0 };

	return qgroup_subvol(fs, BTRFS_IOC_SNAP_CREATE_V2, dir_fd, name, &args, initial);
}

/* ---- one group ------------------------------------------------------------------------------- */

int qgroup_limit(const struct fs_handle *fs, uint64_t group, uint64_t bytes)
{
	struct btrfs_ioctl_qgroup_limit_args args = {
		.qgroupid = group,
		.lim = { .flags = BTRFS_QGROUP_LIMIT_MAX_RFER,
			 .max_rfer = bytes ? bytes : UINT64_MAX },
	};

	return qgroup_ioctl(fs, BTRFS_IOC_QGROUP_LIMIT, "limit", &args);
}

/* Read the number NAME of GROUP from sysfs. */
static int qgroup_own_sysfs(const struct fs_handle *fs, uint64_t group, const char *name,
			    uint64_t *ret_number)
{
	char path[QUOTA_PATH_BYTES];

	snprintf(path, sizeof(path), "qgroups/%u_%llu/%s", (unsigned)(group >> 48),
		 group & QUOTA_NUMBER_MASK, name);
	return qgroup_sysfs_number(fs, path, ret_number);
}

/* Read the limit of GROUP from sysfs. */
static int qgroup_limit_sysfs(const struct fs_handle *fs, uint64_t group, uint64_t *ret_limit)
{
	uint64_t limit, flags = 0;
	int r = qgroup_own_sysfs(fs, group, "max_referenced", &limit);

	if (!r && limit)
		r = qgroup_own_sysfs(fs, group, "limit_flags", &flags);
	if (!r)
		*ret_limit = flags & BTRFS_QGROUP_LIMIT_MAX_RFER ? limit : 0;
	return r;
}

/* Read the numbers of GROUP from the quota tree. */
static int qgroup_numbers_search(const struct fs_handle *fs, uint64_t group,
				 struct qgroup_numbers *ret_numbers)
{
	struct btrfs_qgroup_info_item info;
	struct btrfs_qgroup_limit_item limit;
	int r = qgroup_item(fs, 0, BTRFS_QGROUP_INFO_KEY, group, &info, sizeof(info));

	if (r > 0)
		r = qgroup_item(fs, 0, BTRFS_QGROUP_LIMIT_KEY, group, &limit, sizeof(limit));
	if (r <= 0)
		return r ? r : -ENOENT;
	ret_numbers->referenced = le64toh(info.rfer);
	ret_numbers->exclusive = le64toh(info.excl);
	ret_numbers->limit = le64toh(limit.flags) & BTRFS_QGROUP_LIMIT_MAX_RFER
				     ? le64toh(limit.max_rfer)
				     : 0;
	return 0;
}

int qgroup_numbers(const struct fs_handle *fs, uint64_t group, struct qgroup_numbers *ret_numbers)
{
	struct qgroup_numbers numbers;
	int r = qgroup_fault(fs);

	if (!r)
		r = qgroup_own_sysfs(fs, group, "referenced", &numbers.referenced);
	if (!r)
		r = qgroup_own_sysfs(fs, group, "exclusive", &numbers.exclusive);
	if (!r)
		r = qgroup_limit_sysfs(fs, group, &numbers.limit);
	if (!r)
		*ret_numbers = numbers;
	return r == -ENOTSUP ? qgroup_numbers_search(fs, group, ret_numbers) : r;
}

int qgroup_numbers_at_once(const struct fs_handle *fs, uint64_t group,
			   struct qgroup_numbers *ret_numbers)
{
	int r = qgroup_fault(fs);

	return r ? r : qgroup_numbers_search(fs, group, ret_numbers);
}

int qgroup_limited(const struct fs_handle *fs, uint64_t group, uint64_t bytes)
{
	struct qgroup_numbers numbers;
	int r = qgroup_fault(fs);

	/* Only the limit: each file of sysfs costs some 8 us, and each create comes here. */
	if (!r)
		r = qgroup_limit_sysfs(fs, group, &numbers.limit);
	if (r == -ENOTSUP)
		r = qgroup_numbers_search(fs, group, &numbers);
	return r ? r : numbers.limit == bytes;
}

int qgroup_ensure_limit(const struct fs_handle *fs, uint64_t group, uint64_t bytes)
{
	int r = qgroup_limited(fs, group, bytes);

	/* Where the limit cannot be read, or there is no group, setting it returns the error. */
	if (r && r != -ENOENT && r != -EPERM)
		return MIN(r, 0);
	return qgroup_limit(fs, group, bytes);
}

int qgroup_create(const struct fs_handle *fs, uint64_t group)
{
	struct btrfs_ioctl_qgroup_create_args args = { .create = 1, .qgroupid = group };

	return qgroup_ioctl(fs, BTRFS_IOC_QGROUP_CREATE, "create group", &args);
}

int qgroup_destroy(const struct fs_handle *fs, uint64_t group)
{
	struct btrfs_ioctl_qgroup_create_args args = { .qgroupid = group };
	int r = qgroup_ioctl(fs, BTRFS_IOC_QGROUP_CREATE, "destroy group", &args);

	/* Without quota there is no group. */
	return r == -ENOENT || r == -ENOTCONN ? 0 : r;
}

int qgroup_join(const struct fs_handle *fs, uint64_t member, uint64_t group)
{
	struct btrfs_ioctl_qgroup_assign_args args = { .assign = 1, .src = member, .dst = group };
	int r = qgroup_ioctl(fs, BTRFS_IOC_QGROUP_ASSIGN, "join group", &args);

	/* A positive value asks for a rescan. */
	return r == -EEXIST ? 0 : MIN(r, 0);
}

int qgroup_leave(const struct fs_handle *fs, uint64_t member, uint64_t group)
{
	struct btrfs_ioctl_qgroup_assign_args args = { .src = member, .dst = group };
	int r = qgroup_ioctl(fs, BTRFS_IOC_QGROUP_ASSIGN, "leave group", &args);

	return r == -ENOENT || r == -ENOTCONN ? 0 : MIN(r, 0);
}

bool qgroup_inherits_group(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	/*
	 * Since b20fe56cd285 ("allow quick inherit if snapshot is created and added to the same
	 * parent"); nothing reports it.
	 */
	return !uname(&name) && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 9));
}

int qgroup_parents(const struct fs_handle *fs, uint64_t member, uint64_t *ret_groups, size_t max)
{
	struct search search;
	size_t count = 0;
	int r = qgroup_fault(fs);

	if (!r)
		r = search_begin(&search, fs->fd, BTRFS_QUOTA_TREE_OBJECTID, member, member,
				 BTRFS_QGROUP_RELATION_KEY, BTRFS_QGROUP_RELATION_KEY, 0);
	else
		return r;
	while (!r && count < max && (r = search_next(&search)) > 0) {
		/* The relation is there in both directions. */
		if (search.header.offset > member)
			ret_groups[count++] = search.header.offset;
		r = 0;
	}
	search_end(&search);
	return r && r != -ENOENT ? r : (int)count;
}

int qgroup_has_members(const struct fs_handle *fs, uint64_t group)
{
	struct search search;
	int r = qgroup_fault(fs), found = 0;

	if (r)
		return r;
	r = search_begin(&search, fs->fd, BTRFS_QUOTA_TREE_OBJECTID, group, group,
			 BTRFS_QGROUP_RELATION_KEY, BTRFS_QGROUP_RELATION_KEY, 0);
	while (!r && !found && (r = search_next(&search)) > 0) {
		/* The relation is there in both directions. */
		found = search.header.offset < group;
		r = 0;
	}
	search_end(&search);
	/* Without quota there is no such tree. */
	return found ? 1 : r == -ENOENT ? 0 : r;
}

/* ---- all groups ------------------------------------------------------------------------------ */

/* Take groups whose subvolume SUBVOLUMES, a search of ROOT_ITEMs, finds out of CENSUS->stale. */
static int qgroup_census_sift(struct qgroup_census *census, struct search *subvolumes)
{
	size_t kept = 0;
	int more = 1;

	for (size_t i = 0; i < census->stale_count; i++) {
		uint64_t group = census->stale[i];

		while (more > 0 &&
		       (!subvolumes->header.objectid || subvolumes->header.objectid < group))
			more = search_next(subvolumes);
		if (more < 0)
			return more;
		if (!more || subvolumes->header.objectid != group)
			census->stale[kept++] = group;
	}
	census->stale_count = kept;
	return 0;
}

/* Count all groups, and collect those of level 0 in CENSUS->stale, that of the top level aside. */
static int qgroup_census_groups(const struct fs_handle *fs, struct qgroup_census *census)
{
	struct search search;
	int r = search_begin(&search, fs->fd, BTRFS_QUOTA_TREE_OBJECTID, 0, 0,
			     BTRFS_QGROUP_INFO_KEY, BTRFS_QGROUP_INFO_KEY, 0);

	while (!r && (r = search_next(&search)) > 0) {
		uint64_t group = search.header.offset;

		census->groups++;
		r = 0;
		if (group >> 48 || group < BTRFS_FIRST_FREE_OBJECTID)
			continue;
		r = fault_reserve(fs->fault, &census->stale, census->stale_count, 1,
				  &census->stale_capacity, sizeof(*census->stale));
		if (!r)
			census->stale[census->stale_count++] = group;
	}
	search_end(&search);
	return r == -ENOENT ? 0 : r;
}

int qgroup_collect(const struct fs_handle *fs, struct qgroup_census *census)
{
	struct search subvolumes;
	int r = qgroup_fault(fs);

	/* The groups first: a subvolume that is made meanwhile has none among them. */
	if (!r)
		r = qgroup_census_groups(fs, census);
	if (!r && !census->stale_count)
		return 0;
	if (r) {
		/* Groups of existing subvolumes are still among them. */
		census->stale_count = 0;
		return r;
	}
	r = search_begin(&subvolumes, fs->fd, BTRFS_ROOT_TREE_OBJECTID, census->stale[0],
			 census->stale[census->stale_count - 1], BTRFS_ROOT_ITEM_KEY,
			 BTRFS_ROOT_ITEM_KEY, 0);
	if (!r)
		r = qgroup_census_sift(census, &subvolumes);
	search_end(&subvolumes);
	if (r)
		census->stale_count = 0;
	return r;
}

void qgroup_census_free(struct qgroup_census *census)
{
	free(census->stale);
	*census = (struct qgroup_census){ 0 };
}
