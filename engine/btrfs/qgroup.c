/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel does, measured on Linux 6.18:
 *
 *	- Turning quota on while it is on answers 0 and changes nothing, not even the mode. Hence the looks before and after.
 *	- A limit given to a create or snapshot while quota is off is ignored without a word; a group that is missing gives
 *	  ENOENT.
 *	- A snapshot's limit, in full mode, is that of its source whatever was asked for.
 *	- The group of a subvolume that was destroyed and not yet dropped is EBUSY, but can leave the groups it is in.
 *	- Full mode: a snapshot that joins a group makes all of quota INCONSISTENT until a rescan, and so does one that joins
 *	  none while its source is in one. Since Linux 6.9 there is one exception: both are in the same group, in no other, and
 *	  that group owns all its bytes alone; then the numbers are those that a rescan finds.
 */
#include "engine/btrfs/qgroup.h"
#include "engine/btrfs/search.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

/* Bytes of a file of sysfs that we read. */
#define QUOTA_SYSFS_BYTES 64

/* Bytes of a path below the file system's directory in sysfs: "qgroups/65535_281474976710655/max_referenced". */
#define QUOTA_PATH_BYTES 96

/* Pass the fault point of every quota call. */
static int quota_fault(struct varve_store *store)
{
	return fault_hit(&store->core.io.fault, FAULT_QUOTA);
}

/* Make a quota ioctl on the home. */
static int quota_ioctl(struct varve_store *store, unsigned long request, const char *name, void *args)
{
	int r = quota_fault(store);

	if (!r)
		r = RET_NERRNO(ioctl(store->layout.home_fd, request, args));
	trace(&store->core.io.trace, TRACE_BTRFS, "quota: %s: %d", name, r);
	return r;
}

/* ---- sysfs and the quota tree ------------------------------------------------------------------------------------ */

/* Read the first line of PATH below the file system's directory in sysfs. */
static int quota_sysfs(struct varve_store *store, const char *path, char ret_text[QUOTA_SYSFS_BYTES])
{
	_cleanup_close_ int fd = -EBADF;
	ssize_t length;

	if (store->layout.sysfs_fd < 0)
		return -ENOTSUP;
	fd = openat(store->layout.sysfs_fd, path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, ret_text, QUOTA_SYSFS_BYTES - 1);
	/* ENODEV, of either: it went after its name was found. The kernel removes groups, too. */
	if (length < 0)
		return errno == ENODEV ? -ENOENT : negative_errno();
	ret_text[length] = '\0';
	ret_text[strcspn(ret_text, "\n")] = '\0';
	return 0;
}

/* Read a number from sysfs. */
static int quota_sysfs_number(struct varve_store *store, const char *path, uint64_t *ret_number)
{
	char text[QUOTA_SYSFS_BYTES];
	int r = quota_sysfs(store, path, text);

	if (!r)
		*ret_number = strtoull(text, NULL, 10);
	return r;
}

/* Copy the item (OBJECT, TYPE, OFFSET) of the quota tree, SIZE bytes of it: 1, 0 when there is none, or -errno. */
static int quota_item(struct varve_store *store, uint64_t object, uint32_t type, uint64_t offset, void *ret_item,
		      size_t size)
{
	struct search search;
	int r = search_begin(&search, store->layout.home_fd, BTRFS_QUOTA_TREE_OBJECTID, object, object, type, type, 0);

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

/* The flags of the status item, 0 while quota is off; or -errno. */
static int quota_status_flags(struct varve_store *store, uint64_t *ret_flags)
{
	struct btrfs_qgroup_status_item item;
	int r = quota_item(store, 0, BTRFS_QGROUP_STATUS_KEY, 0, &item, offsetof(struct btrfs_qgroup_status_item, rescan));

	if (r >= 0)
		*ret_flags = r ? le64toh(item.flags) : 0;
	return MIN(r, 0);
}

/* ---- the mode ---------------------------------------------------------------------------------------------------- */

/* The mode by the status item. */
static int quota_mode_search(struct varve_store *store)
{
	uint64_t flags;
	int r = quota_status_flags(store, &flags);

	if (r)
		return r;
	if (!(flags & BTRFS_QGROUP_STATUS_FLAG_ON))
		return VARVE_QUOTA_OFF;
	return flags & ABI_QGROUP_STATUS_SIMPLE ? VARVE_QUOTA_SIMPLE : VARVE_QUOTA_FULL;
}

int quota_mode(struct varve_store *store)
{
	char text[QUOTA_SYSFS_BYTES];
	int r = quota_fault(store);

	if (r)
		return r;
	r = quota_sysfs(store, "qgroups/mode", text);
	if (!r)
		return !strcmp(text, "squota")	 ? VARVE_QUOTA_SIMPLE
		       : !strcmp(text, "qgroup") ? VARVE_QUOTA_FULL
						 : VARVE_QUOTA_OFF;
	/* Before Linux 6.7 there is one mode, and no file that tells it. */
	if (r == -ENOENT)
		r = quota_sysfs(store, "qgroups/enabled", text);
	if (!r)
		return text[0] == '1' ? VARVE_QUOTA_FULL : VARVE_QUOTA_OFF;
	return r == -ENOENT ? VARVE_QUOTA_OFF : quota_mode_search(store);
}

int quota_inconsistent(struct varve_store *store)
{
	uint64_t number, flags;
	int r = quota_sysfs_number(store, "qgroups/inconsistent", &number);

	if (!r)
		return number != 0;
	r = quota_status_flags(store, &flags);
	return r ? r : !!(flags & BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT);
}

int quota_rescan_running(struct varve_store *store, uint64_t *ret_position)
{
	struct btrfs_ioctl_quota_rescan_args args = { 0 };
	int r = quota_ioctl(store, BTRFS_IOC_QUOTA_RESCAN_STATUS, "rescan status", &args);

	if (r < 0)
		return r;
	*ret_position = args.progress;
	return args.flags != 0;
}

/* Make QUOTA_CTL. */
static int quota_control(struct varve_store *store, uint64_t command, const char *name)
{
	struct btrfs_ioctl_quota_ctl_args args = { .cmd = command };

	return quota_ioctl(store, BTRFS_IOC_QUOTA_CTL, name, &args);
}

int quota_enable(struct varve_store *store, enum varve_quota_mode mode)
{
	int now = quota_mode(store), r;

	if (now < 0)
		return now;
	if (now != VARVE_QUOTA_OFF)
		return now == (int)mode ? 0 : -EBUSY;
	r = mode == VARVE_QUOTA_SIMPLE ? quota_control(store, ABI_QUOTA_CTL_ENABLE_SIMPLE, "enable simple")
				       : quota_control(store, BTRFS_QUOTA_CTL_ENABLE, "enable full");
	if (r)
		return r == -EINVAL ? -ENOTSUP : r;
	/* Somebody else may have been faster, and with another mode. */
	now = quota_mode(store);
	if (now < 0)
		return now;
	return now == (int)mode ? 0 : -EBUSY;
}

int quota_enable_best(struct varve_store *store)
{
	int r = quota_enable(store, VARVE_QUOTA_SIMPLE);

	if (r == -ENOTSUP)
		r = quota_enable(store, VARVE_QUOTA_FULL);
	return r == -EBUSY ? 0 : r;
}

/* Turn quota on, from being off, as the store's options say: 0, or -errno. */
static int quota_provide_on(struct varve_store *store)
{
	switch (store->settings.quota.policy) {
	case QUOTA_ON_DEMAND:
		return quota_enable_best(store);
	case QUOTA_WANT_FULL:
		return quota_enable(store, VARVE_QUOTA_FULL);
	case QUOTA_WANT_SIMPLE:
		return quota_enable(store, VARVE_QUOTA_SIMPLE);
	default:
		return -ENOTCONN;
	}
}

/* Does the mode NOW suit the store's options? */
static bool quota_suits(const struct varve_store *store, int now)
{
	switch (store->settings.quota.policy) {
	case QUOTA_WANT_FULL:
		return now == VARVE_QUOTA_FULL;
	case QUOTA_WANT_SIMPLE:
		return now == VARVE_QUOTA_SIMPLE;
	default:
		return now != VARVE_QUOTA_OFF;
	}
}

/* What ERROR of quota_provide() means. */
static const char *quota_provide_detail(int error)
{
	switch (error) {
	case -ENOTCONN:
		return "quota is off, and the store is not to turn it on";
	case -EBUSY:
		return "quota runs in another mode than the store wants; turn it off first";
	case -EPERM:
		return "quota is off or cannot be looked at, and turning it on takes CAP_SYS_ADMIN";
	case -ENOTSUP:
		return "this kernel has no such quota";
	default:
		return "quota cannot be turned on";
	}
}

int quota_provide(struct varve_store *store, const char **ret_detail)
{
	int now = quota_mode(store), r = MIN(now, 0);

	if (now == VARVE_QUOTA_OFF) {
		r = quota_provide_on(store);
		if (!r)
			r = now = quota_mode(store);
		if (r > VARVE_QUOTA_OFF)
			store->quota_turned_on = (uint64_t)now;
	}
	if (r >= 0 && !quota_suits(store, now))
		r = now == VARVE_QUOTA_OFF ? -ENOTCONN : -EBUSY;
	if (r >= 0)
		return now;
	*ret_detail = quota_provide_detail(r);
	return r;
}

int quota_disable(struct varve_store *store)
{
	int r = quota_control(store, BTRFS_QUOTA_CTL_DISABLE, "disable");

	return r == -ENOTCONN ? 0 : r;
}

int quota_rescan(struct varve_store *store)
{
	struct btrfs_ioctl_quota_rescan_args args = { 0 };

	return quota_ioctl(store, BTRFS_IOC_QUOTA_RESCAN, "rescan", &args);
}

int quota_rescan_wait(struct varve_store *store)
{
	return quota_ioctl(store, BTRFS_IOC_QUOTA_RESCAN_WAIT, "rescan wait", NULL);
}

/* ---- subvolumes with a limit ------------------------------------------------------------------------------------- */

/* Make REQUEST (create or snapshot) of NAME in DIR_FD as BIRTH says. */
static int quota_subvol(struct varve_store *store, unsigned long request, int dir_fd, const char *name,
			const struct btrfs_ioctl_vol_args_v2 *base, const struct quota_birth *birth)
{
	struct btrfs_ioctl_vol_args_v2 args = *base;
	size_t groups = birth->groups_count * sizeof(uint64_t), length = strlen(name);
	_cleanup_free_ struct btrfs_qgroup_inherit *inherit = NULL;
	int r = quota_fault(store);

	if (r)
		return r;
	if (length > BTRFS_SUBVOL_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(args.name, name, length + 1);
	inherit = fault_calloc(&store->core.io.fault, 1, sizeof(*inherit) + groups);
	if (!inherit)
		return -ENOMEM;
	if (birth->limit) {
		inherit->flags = BTRFS_QGROUP_INHERIT_SET_LIMITS;
		inherit->lim = (struct btrfs_qgroup_limit){ .flags = BTRFS_QGROUP_LIMIT_MAX_RFER, .max_rfer = birth->limit };
	}
	inherit->num_qgroups = birth->groups_count;
	if (groups)
		memcpy(inherit->qgroups, birth->groups, groups);
	args.flags |= BTRFS_SUBVOL_QGROUP_INHERIT;
	args.size = sizeof(*inherit) + groups;
	args.qgroup_inherit = inherit;
	return RET_NERRNO(ioctl(dir_fd, request, &args));
}

int quota_subvol_create(struct varve_store *store, int dir_fd, const char *name, const struct quota_birth *birth)
{
	const struct btrfs_ioctl_vol_args_v2 args = { 0 };

	return quota_subvol(store, BTRFS_IOC_SUBVOL_CREATE_V2, dir_fd, name, &args, birth);
}

int quota_subvol_snapshot(struct varve_store *store, int dir_fd, const char *name, int source_fd, bool read_only,
			  const struct quota_birth *birth)
{
	const struct btrfs_ioctl_vol_args_v2 args = { .fd = source_fd, .flags = read_only ? BTRFS_SUBVOL_RDONLY : 0 };

	return quota_subvol(store, BTRFS_IOC_SNAP_CREATE_V2, dir_fd, name, &args, birth);
}

/* ---- one group --------------------------------------------------------------------------------------------------- */

int quota_limit(struct varve_store *store, uint64_t group, uint64_t bytes)
{
	struct btrfs_ioctl_qgroup_limit_args args = {
		.qgroupid = group,
		.lim = { .flags = BTRFS_QGROUP_LIMIT_MAX_RFER, .max_rfer = bytes ? bytes : UINT64_MAX },
	};

	return quota_ioctl(store, BTRFS_IOC_QGROUP_LIMIT, "limit", &args);
}

/* Read the number NAME of GROUP from sysfs. */
static int quota_group_sysfs(struct varve_store *store, uint64_t group, const char *name, uint64_t *ret_number)
{
	char path[QUOTA_PATH_BYTES];

	snprintf(path, sizeof(path), "qgroups/%u_%llu/%s", (unsigned)(group >> 48), group & QUOTA_NUMBER_MASK, name);
	return quota_sysfs_number(store, path, ret_number);
}

/* Read the limit of GROUP from sysfs. */
static int quota_limit_sysfs(struct varve_store *store, uint64_t group, uint64_t *ret_limit)
{
	uint64_t limit, flags = 0;
	int r = quota_group_sysfs(store, group, "max_referenced", &limit);

	if (!r && limit)
		r = quota_group_sysfs(store, group, "limit_flags", &flags);
	if (!r)
		*ret_limit = flags & BTRFS_QGROUP_LIMIT_MAX_RFER ? limit : 0;
	return r;
}

/* Look at GROUP in sysfs. */
static int quota_numbers_sysfs(struct varve_store *store, uint64_t group, struct quota_numbers *ret_numbers)
{
	struct quota_numbers numbers;
	int r = quota_group_sysfs(store, group, "referenced", &numbers.referenced);

	if (!r)
		r = quota_group_sysfs(store, group, "exclusive", &numbers.exclusive);
	if (!r)
		r = quota_limit_sysfs(store, group, &numbers.limit);
	if (!r)
		*ret_numbers = numbers;
	return r;
}

/* Look at GROUP in the quota tree. */
static int quota_numbers_search(struct varve_store *store, uint64_t group, struct quota_numbers *ret_numbers)
{
	struct btrfs_qgroup_info_item info;
	struct btrfs_qgroup_limit_item limit;
	int r = quota_item(store, 0, BTRFS_QGROUP_INFO_KEY, group, &info, sizeof(info));

	if (r > 0)
		r = quota_item(store, 0, BTRFS_QGROUP_LIMIT_KEY, group, &limit, sizeof(limit));
	if (r <= 0)
		return r ? r : -ENOENT;
	ret_numbers->referenced = le64toh(info.rfer);
	ret_numbers->exclusive = le64toh(info.excl);
	ret_numbers->limit = le64toh(limit.flags) & BTRFS_QGROUP_LIMIT_MAX_RFER ? le64toh(limit.max_rfer) : 0;
	return 0;
}

int quota_numbers(struct varve_store *store, uint64_t group, struct quota_numbers *ret_numbers)
{
	int r = quota_fault(store);

	if (!r)
		r = quota_numbers_sysfs(store, group, ret_numbers);
	return r == -ENOTSUP ? quota_numbers_search(store, group, ret_numbers) : r;
}

int quota_limited(struct varve_store *store, uint64_t group, uint64_t bytes)
{
	struct quota_numbers numbers;
	int r = quota_fault(store);

	/* Each file of sysfs costs some 8 us, and a create looks here. */
	if (!r)
		r = quota_limit_sysfs(store, group, &numbers.limit);
	if (r == -ENOTSUP)
		r = quota_numbers_search(store, group, &numbers);
	return r ? r : numbers.limit == bytes;
}

int quota_ensure_limit(struct varve_store *store, uint64_t group, uint64_t bytes)
{
	int r = quota_limited(store, group, bytes);

	/* Where we cannot look, or the group went with quota, the kernel has the last word. */
	if (r && r != -ENOENT && r != -EPERM)
		return MIN(r, 0);
	return quota_limit(store, group, bytes);
}

int quota_enforce(struct varve_store *store, uint64_t number, uint64_t bytes, const char **ret_detail)
{
	int r;

	if (!bytes || bytes < store->settings.quota.size_min)
		return 0;
	if (store->settings.quota.policy == QUOTA_KEEP && quota_mode(store) == VARVE_QUOTA_OFF)
		return 0;
	r = quota_provide(store, ret_detail);
	return r < 0 ? r : quota_ensure_limit(store, QUOTA_GROUP(0, number), bytes);
}

int quota_group_create(struct varve_store *store, uint64_t group)
{
	struct btrfs_ioctl_qgroup_create_args args = { .create = 1, .qgroupid = group };

	return quota_ioctl(store, BTRFS_IOC_QGROUP_CREATE, "create group", &args);
}

int quota_group_destroy(struct varve_store *store, uint64_t group)
{
	struct btrfs_ioctl_qgroup_create_args args = { .qgroupid = group };
	int r = quota_ioctl(store, BTRFS_IOC_QGROUP_CREATE, "destroy group", &args);

	/* Without quota there is no group. */
	return r == -ENOENT || r == -ENOTCONN ? 0 : r;
}

int quota_group_join(struct varve_store *store, uint64_t member, uint64_t group)
{
	struct btrfs_ioctl_qgroup_assign_args args = { .assign = 1, .src = member, .dst = group };
	int r = quota_ioctl(store, BTRFS_IOC_QGROUP_ASSIGN, "join group", &args);

	/* A positive value asks for a rescan. */
	return r == -EEXIST ? 0 : MIN(r, 0);
}

int quota_group_leave(struct varve_store *store, uint64_t member, uint64_t group)
{
	struct btrfs_ioctl_qgroup_assign_args args = { .src = member, .dst = group };
	int r = quota_ioctl(store, BTRFS_IOC_QGROUP_ASSIGN, "leave group", &args);

	return r == -ENOENT || r == -ENOTCONN ? 0 : MIN(r, 0);
}

bool quota_inherits_group(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	/* Since b20fe56cd285 ("allow quick inherit if snapshot is created and added to the same parent"); nothing tells it. */
	return !uname(&name) && sscanf(name.release, "%u.%u", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 9));
}

int quota_group_parents(struct varve_store *store, uint64_t member, uint64_t *ret_groups, size_t max)
{
	struct search search;
	size_t count = 0;
	int r = quota_fault(store);

	if (!r)
		r = search_begin(&search, store->layout.home_fd, BTRFS_QUOTA_TREE_OBJECTID, member, member,
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

int quota_group_has_members(struct varve_store *store, uint64_t group)
{
	struct search search;
	int r = quota_fault(store), found = 0;

	if (r)
		return r;
	r = search_begin(&search, store->layout.home_fd, BTRFS_QUOTA_TREE_OBJECTID, group, group, BTRFS_QGROUP_RELATION_KEY,
			 BTRFS_QGROUP_RELATION_KEY, 0);
	while (!r && !found && (r = search_next(&search)) > 0) {
		/* The relation is there in both directions. */
		found = search.header.offset < group;
		r = 0;
	}
	search_end(&search);
	/* Without quota there is no such tree. */
	return found ? 1 : r == -ENOENT ? 0 : r;
}

/* ---- all groups -------------------------------------------------------------------------------------------------- */

/* Note that GROUP is stale. */
static int quota_census_add(struct varve_store *store, struct quota_census *census, uint64_t group)
{
	int r = fault_reserve(&store->core.io.fault, &census->stale, census->stale_count, 1, &census->stale_capacity,
			      sizeof(*census->stale));

	if (!r)
		census->stale[census->stale_count++] = group;
	return r;
}

/* Take the groups of level 0 that are among SUBVOLUMES, an ascending search of ROOT_ITEMs, out of CENSUS->stale. */
static int quota_census_sift(struct quota_census *census, struct search *subvolumes)
{
	size_t kept = 0;
	int more = 1;

	for (size_t i = 0; i < census->stale_count; i++) {
		uint64_t group = census->stale[i];

		while (more > 0 && (!subvolumes->header.objectid || subvolumes->header.objectid < group))
			more = search_next(subvolumes);
		if (more < 0)
			return more;
		if (!more || subvolumes->header.objectid != group)
			census->stale[kept++] = group;
	}
	census->stale_count = kept;
	return 0;
}

/* Count all groups, and collect those of level 0 that are some subvolume's, living or not; not that of the top level. */
static int quota_census_groups(struct varve_store *store, struct quota_census *census)
{
	struct search search;
	int r = search_begin(&search, store->layout.home_fd, BTRFS_QUOTA_TREE_OBJECTID, 0, 0, BTRFS_QGROUP_INFO_KEY,
			     BTRFS_QGROUP_INFO_KEY, 0);

	while (!r && (r = search_next(&search)) > 0) {
		uint64_t group = search.header.offset;

		census->groups++;
		r = group >> 48 || group < BTRFS_FIRST_FREE_OBJECTID ? 0 : quota_census_add(store, census, group);
	}
	search_end(&search);
	return r == -ENOENT ? 0 : r;
}

int quota_collect(struct varve_store *store, struct quota_census *census)
{
	struct search subvolumes;
	int r = quota_fault(store);

	/* The groups first: a subvolume that is made meanwhile has none among them. */
	if (!r)
		r = quota_census_groups(store, census);
	if (!r && !census->stale_count)
		return 0;
	if (r) {
		/* What was collected has not been sifted: living ones are among it. */
		census->stale_count = 0;
		return r;
	}
	r = search_begin(&subvolumes, store->layout.home_fd, BTRFS_ROOT_TREE_OBJECTID, census->stale[0],
			 census->stale[census->stale_count - 1], BTRFS_ROOT_ITEM_KEY, BTRFS_ROOT_ITEM_KEY, 0);
	if (!r)
		r = quota_census_sift(census, &subvolumes);
	search_end(&subvolumes);
	if (r)
		census->stale_count = 0;
	return r;
}

void quota_census_free(struct quota_census *census)
{
	free(census->stale);
	*census = (struct quota_census){ 0 };
}
