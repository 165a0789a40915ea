/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/groups.h"
#include "engine/base/size.h"
#include "engine/base/id.h"
#include "engine/base/limits.h"
#include "engine/btrfs/fs.h"
#include "engine/store/layout.h"
#include "engine/store/size_record.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the name of a group's record: 12 hexadecimal digits. */
#define GROUPS_NAME_BYTES 16

/* The content of a record. */
struct groups_record {
	uint64_t bytes;
	char name[VARVE_ID_MAX + 1];
};

/* ---- names and records ----------------------------------------------------------------------- */

int groups_parse(const char *value, char *ret_name, uint64_t *ret_bytes)
{
	const char *colon = strchr(value, ':'), *reason;
	size_t length = colon ? (size_t)(colon - value) : strlen(value);

	if (length > VARVE_ID_MAX)
		return -EINVAL;
	memcpy(ret_name, value, length);
	ret_name[length] = '\0';
	*ret_bytes = 0;
	if (id_check(ret_name, &reason) ||
	    (colon && (size_parse(colon + 1, ret_bytes) || !*ret_bytes)))
		return -EINVAL;
	return 0;
}

/* Get the number of the group of STORE that is called NAME. */
static uint64_t groups_number(const struct varve_store *store, const char *name)
{
	const struct layout *layout = &store->layout;
	uint64_t hash = hash_bytes(HASH_BEGIN, &layout->subvolumes_root,
				   sizeof(layout->subvolumes_root));

	hash = hash_bytes(hash, &layout->subvolumes_inode, sizeof(layout->subvolumes_inode));
	return QUOTA_GROUP(1, hash_bytes(hash, name, strlen(name)) & QUOTA_NUMBER_MASK);
}

/* Print the name of GROUP's record. */
static const char *groups_record_name(uint64_t group, char buffer[GROUPS_NAME_BYTES])
{
	snprintf(buffer, GROUPS_NAME_BYTES, "%012" PRIx64, (uint64_t)(group & QUOTA_NUMBER_MASK));
	return buffer;
}

/* Read the record of GROUP: 0, -ENOENT, or -EINVAL when it is none. */
static int groups_read(struct varve_store *store, uint64_t group, struct groups_record *ret_record)
{
	_cleanup_close_ int fd = -EBADF;
	char name[GROUPS_NAME_BYTES], text[GROUP_RECORD_BYTES], *end;
	ssize_t length;
	int r = fault_hit(&store->core.io.fault, FAULT_QUOTA);

	if (!r)
		r = layout_find(store, LAYOUT_GROUPS);
	if (r < 0)
		return r;
	fd = RET_NERRNO(openat(r, groups_record_name(group, name),
			       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
	if (fd < 0)
		return fd;
	length = read(fd, text, sizeof(text));
	if (length < 0)
		return negative_errno();
	if (length == sizeof(text))
		return -EINVAL;
	text[length] = '\0';
	errno = 0;
	ret_record->bytes = strtoull(text, &end, 10);
	/* A name may have blanks in it. */
	if (errno || end == text || *end != ' ' || strlen(end + 1) > VARVE_ID_MAX)
		return -EINVAL;
	strcpy(ret_record->name, end + 1);
	return 0;
}

/*
 * Write the record of GROUP, such that a crash leaves the old one or the new one. The lock is held.
 */
static int groups_write(struct varve_store *store, uint64_t group,
			const struct groups_record *record)
{
	int dir_fd = layout_need(store, LAYOUT_GROUPS), r;
	char name[GROUPS_NAME_BYTES], text[GROUP_RECORD_BYTES];

	if (dir_fd < 0)
		return dir_fd;
	snprintf(text, sizeof(text), "%" PRIu64 " %s", record->bytes, record->name);
	/* A ".new" that a crash has left is replaced. */
	r = size_record_write_text(store, dir_fd, ".new", text);
	return r ? r
		 : RET_NERRNO(renameat(dir_fd, ".new", dir_fd, groups_record_name(group, name)));
}

/* Remove the record of GROUP. The lock is held. */
static void groups_forget(struct varve_store *store, uint64_t group)
{
	char name[GROUPS_NAME_BYTES];
	int groups_fd = layout_find(store, LAYOUT_GROUPS);

	if (groups_fd >= 0)
		unlinkat(groups_fd, groups_record_name(group, name), 0);
}

/* ---- joining --------------------------------------------------------------------------------- */

int groups_find(struct varve_store *store, const char *value, bool make, uint64_t *ret_group)
{
	struct groups_record wanted = { 0 }, record;
	_cleanup_unlock_ struct size_record_lock lock = { 0 };
	uint64_t group;
	bool recorded;
	int r = groups_parse(value, wanted.name, &wanted.bytes);

	if (r)
		return r;
	group = groups_number(store, wanted.name);
	*ret_group = group;
	r = groups_read(store, group, &record);
	/* A process that died before it had set the limit leaves a group that is made again. */
	if (!r && !make && (!wanted.bytes || wanted.bytes == record.bytes) &&
	    qgroup_limited(&store->fs, group, record.bytes) > 0)
		return 0;
	r = size_record_lock(store, &lock);
	if (r)
		return r;
	r = groups_read(store, group, &record);
	if (r && r != -ENOENT && r != -EINVAL)
		return r;
	/* Without a size the group keeps the one that it has. */
	if (!r && !wanted.bytes)
		wanted.bytes = record.bytes;
	recorded = !r;
	r = groups_write(store, group, &wanted);
	if (r)
		return r;
	r = qgroup_create(&store->fs, group);
	if (r == -EEXIST && recorded)
		r = 0;
	if (r) {
		if (!recorded)
			groups_forget(store, group);
		return r;
	}
	return qgroup_ensure_limit(&store->fs, group, wanted.bytes);
}

int groups_locate(struct varve_store *store, const char *value, uint64_t *ret_group)
{
	char name[VARVE_ID_MAX + 1];
	uint64_t bytes;
	int r = groups_parse(value, name, &bytes);

	if (!r)
		*ret_group = groups_number(store, name);
	return r;
}

int groups_suit_snapshot(struct varve_store *store, uint64_t number, const uint64_t *wanted,
			 size_t count)
{
	/* One in which the layer may be, and one to see that there are others. */
	uint64_t groups[2];
	struct qgroup_numbers numbers;
	int found = qgroup_parents(&store->fs, QUOTA_GROUP(0, number), groups, ARRAY_SIZE(groups)),
	    r;

	if (found < 0)
		return found;
	if (!found && !count)
		return 0;
	if (found != 1 || count != 1 || groups[0] != wanted[0] || !qgroup_inherits_group())
		return -ENOTSUP;
	/* Not from two moments: the difference would be what a commit counted between them. */
	r = qgroup_numbers_at_once(&store->fs, wanted[0], &numbers);
	if (r)
		return r;
	return numbers.referenced == numbers.exclusive ? 0 : -ENOTSUP;
}

int groups_limit(struct varve_store *store, const char *name, uint64_t bytes)
{
	_cleanup_unlock_ struct size_record_lock lock = { 0 };
	struct groups_record record;
	uint64_t group;
	int mode = qgroup_mode(&store->fs), r = groups_locate(store, name, &group);

	if (mode < 0)
		return mode;
	if (!r)
		r = groups_read(store, group, &record);
	if (r)
		return r;
	if (mode == VARVE_QUOTA_OFF)
		return -ENOTCONN;
	r = size_record_lock(store, &lock);
	if (r)
		return r;
	/* The group may have been removed with its last layer meanwhile. */
	r = groups_read(store, group, &record);
	if (r)
		return r;
	record.bytes = bytes;
	r = groups_write(store, group, &record);
	return r ? r : qgroup_ensure_limit(&store->fs, group, bytes);
}

/* ---- leaving --------------------------------------------------------------------------------- */

/* Remove GROUP, which is the store's, unless it has members: 1, 0, or -errno. */
static int groups_retire(struct varve_store *store, uint64_t group)
{
	_cleanup_unlock_ struct size_record_lock lock = { 0 };
	int r = qgroup_has_members(&store->fs, group);

	/* Mostly the group has members, and no lock is needed. */
	if (r)
		return MIN(r, 0);
	r = size_record_lock(store, &lock);
	if (!r)
		r = qgroup_destroy(&store->fs, group);
	if (r)
		return r == -EBUSY ? 0 : r;
	groups_forget(store, group);
	return 1;
}

void groups_leave(struct varve_store *store, uint64_t number, struct groups_lifted *lifted)
{
	uint64_t groups[LAYER_GROUPS_MAX];
	struct groups_record record;
	int count;

	if (qgroup_mode(&store->fs) != VARVE_QUOTA_SIMPLE)
		return;
	count = qgroup_parents(&store->fs, QUOTA_GROUP(0, number), groups, LAYER_GROUPS_MAX);
	for (int i = 0; i < count; i++) {
		if (groups_read(store, groups[i], &record))
			continue;
		if (lifted && lifted->left_count < LAYER_GROUPS_MAX) {
			struct groups_left *left = &lifted->left[lifted->left_count++];

			left->group = groups[i];
			left->bytes = record.bytes;
			strcpy(left->name, record.name);
		}
		/* After a failure here the sweep removes the group. */
		if (!qgroup_leave(&store->fs, QUOTA_GROUP(0, number), groups[i]))
			groups_retire(store, groups[i]);
	}
}

/* ---- the sweep ------------------------------------------------------------------------------- */

/* The state of groups_sweep(). */
struct groups_sweeping {
	struct varve_store *store;
	uint64_t *removed;
	/* The first failure. */
	int error;
};

/* Remove the group whose record is NAME, if it has no layer. */
static int groups_sweep_record(void *data, const char *name)
{
	struct groups_sweeping *sweeping = data;
	struct varve_store *store = sweeping->store;
	struct groups_record record;
	char *end;
	uint64_t number = strtoull(name, &end, 16),
		 group = QUOTA_GROUP(1, number & QUOTA_NUMBER_MASK);
	int r;

	if (*end || end == name)
		return 0;
	/* A snapshot of a store contains the records of that store's groups. */
	if (!groups_read(store, group, &record) && *record.name &&
	    groups_number(store, record.name) != group) {
		groups_forget(store, group);
		return 0;
	}
	r = groups_retire(store, group);
	*sweeping->removed += r > 0;
	if (r < 0 && !sweeping->error)
		sweeping->error = r;
	return 0;
}

/* Remove the groups of subvolumes that are gone. */
static int groups_sweep_stale(struct groups_sweeping *sweeping)
{
	struct varve_store *store = sweeping->store;
	struct qgroup_census census = { 0 };
	int r = qgroup_collect(&store->fs, &census);

	/* A commit brings the counts up to date with what was dropped. */
	if (!r && census.stale_count)
		r = store->commits.hooks->commit(store, COMMIT_METADATA);
	for (size_t i = 0; i < census.stale_count; i++) {
		struct qgroup_numbers numbers;
		int error = qgroup_numbers(&store->fs, census.stale[i], &numbers);

		/*
		 * A later sweep removes it: a group that still counts something would make full
		 * quotas inconsistent, and under simple quotas its space is still shared.
		 */
		if (!error && (numbers.referenced || numbers.exclusive))
			continue;
		if (!error)
			error = qgroup_destroy(&store->fs, census.stale[i]);
		else if (error == -ENOENT)
			error = 0;
		*sweeping->removed += !error;
		if (error && error != -EBUSY && !r)
			r = error;
	}
	qgroup_census_free(&census);
	return r;
}

int groups_sweep(struct varve_store *store, uint64_t *removed)
{
	struct groups_sweeping sweeping = { .store = store, .removed = removed };
	int r;

	if (!store->layout.privileged)
		return 0;
	r = qgroup_mode(&store->fs);
	if (r > VARVE_QUOTA_OFF)
		r = groups_sweep_stale(&sweeping);
	if (!r && layout_any(store, LAYOUT_GROUPS))
		r = layout_each(store, LAYOUT_GROUPS, groups_sweep_record, &sweeping);
	return r ? r : sweeping.error;
}

int groups_sweep_dropped(struct varve_store *store)
{
	struct fs_dead dead;
	uint64_t removed = 0;
	size_t count;
	int r = qgroup_mode(&store->fs);

	if (r <= VARVE_QUOTA_OFF)
		return r;
	/* Collected first: the sweep may miss what is dropped while it runs. */
	r = fs_dead_collect(store->layout.home_fd, &dead, NULL);
	if (r)
		return r;
	count = dead.count;
	free(dead.ids);
	r = groups_sweep(store, &removed);
	trace(&store->core.io.trace, TRACE_BTRFS, "quota: %llu stale groups removed: %d",
	      (unsigned long long)removed, r);
	return r ? r : count > 0;
}

/* Remove the limit of subvolume NUMBER; LIFTED, unless it is NULL, gets it. */
static int groups_lift(struct varve_store *store, uint64_t number, struct groups_lifted *lifted)
{
	uint64_t group = QUOTA_GROUP(0, number);
	struct qgroup_numbers numbers;
	int r = lifted ? qgroup_numbers(&store->fs, group, &numbers) : 0;

	if (r)
		return r;
	if (lifted && numbers.limit) {
		r = fault_reserve(&store->core.io.fault, &lifted->limits, lifted->limits_count, 1,
				  &lifted->limits_capacity, sizeof(*lifted->limits));
		if (r)
			return r;
		lifted->limits[lifted->limits_count++] = (struct groups_limit){
			.group = group, .bytes = numbers.limit
		};
	}
	return qgroup_limit(&store->fs, group, 0);
}

int groups_unlimit(struct varve_store *store, uint64_t number, const struct nested *nested,
		   struct groups_lifted *lifted)
{
	int r = groups_lift(store, number, lifted);

	/* The limit of a group counts, too. */
	groups_leave(store, number, lifted);
	for (size_t i = 0; i < nested->count && (!r || r == -ENOENT); i++)
		r = groups_lift(store, nested->ids[i], lifted);
	/* -ENOENT: the subvolume is gone already. */
	return r == -ENOENT ? 0 : r;
}

int groups_relimit(struct varve_store *store, uint64_t number, const struct groups_lifted *lifted)
{
	int r = 0, error;

	for (size_t i = 0; i < lifted->limits_count; i++) {
		error = qgroup_limit(&store->fs, lifted->limits[i].group, lifted->limits[i].bytes);
		r = r ? r : error;
	}
	for (size_t i = 0; i < lifted->left_count; i++) {
		const struct groups_left *left = &lifted->left[i];
		char value[VARVE_ID_MAX + 24];
		struct groups_record record;
		uint64_t group;

		/* A group that was removed with its last layer is made anew, with its old limit. */
		error = groups_read(store, left->group, &record);
		if (error == -ENOENT && left->bytes)
			snprintf(value, sizeof(value), "%s:%" PRIu64, left->name, left->bytes);
		else
			snprintf(value, sizeof(value), "%s", left->name);
		error = groups_find(store, value, true, &group);
		if (!error)
			error = qgroup_join(&store->fs, QUOTA_GROUP(0, number), group);
		r = r ? r : error;
	}
	return r;
}

void groups_lifted_free(struct groups_lifted *lifted)
{
	if (lifted)
		free(lifted->limits);
}
