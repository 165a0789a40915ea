/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/layout.h"
#include "engine/core/request.h"
#include "engine/dir/beneath.h"
#include "engine/dir/entries.h"
#include "engine/store/layer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/syscall.h>

/* How often a new owner's directory may be swept away before we have locked it. */
#define LAYOUT_OWNER_TRIES 16

/* A directory: its name below the home, the one that it lies in, where its descriptor is kept. */
static const struct {
	const char *name;
	enum layout_place above;
	size_t offset;
} layout_places[LAYOUT_PLACES] = {
	[LAYOUT_QUOTAS] = { RECORD_PLACE, LAYOUT_PLACES, offsetof(struct layout, quotas_fd) },
	[LAYOUT_OWN] = { ".varve", LAYOUT_PLACES, offsetof(struct layout, own_fd) },
	[LAYOUT_STAGING] = { ".varve/staging", LAYOUT_OWN, offsetof(struct layout, staging_fd) },
	[LAYOUT_TRASH] = { ".varve/trash", LAYOUT_OWN, offsetof(struct layout, trash_fd) },
	[LAYOUT_GROUPS] = { ".varve/groups", LAYOUT_OWN, offsetof(struct layout, groups_fd) },
	[LAYOUT_RECORDS] = { ".varve/layers", LAYOUT_OWN, offsetof(struct layout, records_fd) },
};

const char *layout_name(enum layout_place place)
{
	return layout_places[place].name;
}

int layout_trusted(const struct varve_store *store, int fd)
{
	struct stat stat;

	if (store->settings.flags & VARVE_OPEN_SHARED_HOME)
		return 0;
	if (fstat(fd, &stat) < 0)
		return negative_errno();
	/* A permission to write by an access list shows in the bits of the group. */
	if (stat.st_mode & (S_IWGRP | S_IWOTH))
		return -EPERM;
	return !stat.st_uid || stat.st_uid == geteuid() || stat.st_uid == store->settings.root_uid
		       ? 0
		       : -EPERM;
}

int layout_find(struct varve_store *store, enum layout_place place)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve = BENEATH_RESOLVE };
	const char *name = layout_places[place].name;
	_Atomic int *kept = (_Atomic int *)((char *)&store->layout + layout_places[place].offset);
	struct stat stat;
	int fd = *kept, none = -EBADF, r;

	if (fd >= 0)
		return fd;
	/*
	 * It is often missing, and looked for by each operation: this costs half of a failing
	 * openat2().
	 */
	if (fstatat(store->layout.home_fd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return negative_errno();
	fd = RET_NERRNO((int)syscall(SYS_openat2, store->layout.home_fd, name, &how, sizeof(how)));
	if (fd < 0)
		return layer_open_error(fd);
	r = layout_trusted(store, fd);
	if (!r && atomic_compare_exchange_strong(kept, &none, fd))
		return fd;
	/* It is not trusted, or another thread was faster: NONE is what that keeps. */
	fd_close(fd);
	return r ? r : none;
}

int layout_each(struct varve_store *store, enum layout_place place,
		int (*each)(void *data, const char *name), void *data)
{
	int fd = layout_find(store, place);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return entries_each(fd, each, data);
}

int layout_need(struct varve_store *store, enum layout_place place)
{
	enum layout_place above = layout_places[place].above;
	const struct settings *settings = &store->settings;
	int fd = layout_find(store, place);
	bool made;

	if (fd == -ENOENT && above != LAYOUT_PLACES) {
		fd = layout_need(store, above);
		if (fd < 0)
			return fd;
	} else if (fd != -ENOENT)
		return fd;
	made = !mkdirat(store->layout.home_fd, layout_places[place].name, 0700);
	if (!made && errno != EEXIST)
		return negative_errno();
	fd = layout_find(store, place);
	if (fd >= 0 && made && (settings->root_uid || settings->root_gid) &&
	    fchown(fd, settings->root_uid, settings->root_gid) < 0)
		return negative_errno();
	return fd;
}

bool layout_any(struct varve_store *store, enum layout_place place)
{
	int fd = layout_find(store, place);
	struct stat stat;

	/* A directory of btrfs that has nothing in it has size 0. */
	return fd != -ENOENT && (fd < 0 || fstat(fd, &stat) < 0 || stat.st_size);
}

void layout_look(struct varve_store *store)
{
	store->layout.removing = (struct layout_removing){
		.sizes = layout_any(store, LAYOUT_QUOTAS),
		.records = layout_any(store, LAYOUT_RECORDS),
		.groups = layout_any(store, LAYOUT_GROUPS),
	};
}

/* ---- the owner ------------------------------------------------------------------------------- */

/*
 * See that the directory FD is still the one called NAME in DIR_FD: 0, -EAGAIN when it is not, or
 * -errno.
 */
static int layout_linked(int dir_fd, const char *name, int fd)
{
	struct stat by_name, by_fd;

	if (fstat(fd, &by_fd) < 0)
		return negative_errno();
	if (fstatat(dir_fd, name, &by_name, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? -EAGAIN : negative_errno();
	return by_name.st_ino == by_fd.st_ino && by_name.st_dev == by_fd.st_dev ? 0 : -EAGAIN;
}

/*
 * Make one owner's directory in STAGING_FD and lock it: its descriptor, -EAGAIN when a sweep was
 * faster, or -errno.
 */
static int layout_owner_try(struct layout *layout, int staging_fd)
{
	uint64_t random;
	int fd, r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return negative_errno();
	snprintf(layout->owner, sizeof(layout->owner), "%d-%016" PRIx64, (int)getpid(), random);
	if (mkdirat(staging_fd, layout->owner, 0700) < 0)
		return errno == EEXIST ? -EAGAIN : negative_errno();
	fd = open_directory(staging_fd, layout->owner);
	if (fd < 0)
		return fd == -ENOENT ? -EAGAIN : fd;
	/*
	 * A sweep may hold the lock until it has removed the directory, which it takes for a
	 * leftover.
	 */
	r = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -EAGAIN
					     : layout_linked(staging_fd, layout->owner, fd);
	if (r)
		fd_close(fd);
	return r ? r : fd;
}

int layout_owner(struct varve_store *store)
{
	struct layout *layout = &store->layout;
	int fd = layout->owner_fd, staging_fd;

	if (fd >= 0)
		return fd;
	staging_fd = layout_need(store, LAYOUT_STAGING);
	if (staging_fd < 0)
		return staging_fd;
	pthread_mutex_lock(&layout->making);
	fd = layout->owner_fd;
	for (int i = 0; (fd == -EBADF || fd == -EAGAIN) && i < LAYOUT_OWNER_TRIES; i++)
		fd = layout_owner_try(layout, staging_fd);
	if (fd >= 0)
		layout->owner_fd = fd;
	pthread_mutex_unlock(&layout->making);
	return fd == -EAGAIN ? -EBUSY : fd;
}

int layout_trash(struct varve_store *store)
{
	int owner_fd = layout_owner(store);

	return owner_fd < 0 ? owner_fd : layout_need(store, LAYOUT_TRASH);
}

int layout_slot(struct varve_store *store, unsigned slot)
{
	int *fd = &store->layout.slot_fds[slot], owner_fd;
	char name[16];

	if (*fd >= 0)
		return *fd;
	owner_fd = layout_owner(store);
	if (owner_fd < 0)
		return owner_fd;
	snprintf(name, sizeof(name), "%u", slot);
	if (mkdirat(owner_fd, name, 0700) < 0 && errno != EEXIST)
		return negative_errno();
	return *fd = open_directory(owner_fd, name);
}

int layout_blame(struct op *op, int result)
{
	if (result >= 0)
		return result;
	op->call.name = "mkdirat";
	op->place = layout_name(LAYOUT_OWN);
	op->subject = NULL;
	if (result == -EBUSY)
		op->detail = "sweeps of other processes removed the directory at each try";
	return result;
}

int layout_owner_take(struct varve_store *store, const char *owner, int *ret_fd)
{
	int fd = layout_find(store, LAYOUT_STAGING);

	*ret_fd = -EBADF;
	/* Our own is locked by another descriptor, as that of another process. */
	if (fd >= 0)
		fd = beneath_open(fd, owner, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd == -ENOENT ? 1 : fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int error = errno;

		fd_close(fd);
		return error == EWOULDBLOCK ? 0 : -error;
	}
	*ret_fd = fd;
	return 1;
}

int layout_owner_gone(struct varve_store *store, const char *name, size_t length)
{
	char owner[VARVE_ID_MAX + 1];
	int fd, r;

	snprintf(owner, sizeof(owner), "%.*s", (int)length, name);
	r = layout_owner_take(store, owner, &fd);
	fd_close(fd);
	return r;
}

/* Remove one slot's directory; what is in it, if anything, is for the sweep. */
static int layout_leave_slot(void *data, const char *name)
{
	unlinkat(((struct layout *)data)->owner_fd, name, AT_REMOVEDIR);
	return 0;
}

void layout_leave(struct varve_store *store)
{
	struct layout *layout = &store->layout;

	if (layout->owner_fd < 0)
		return;
	/* The next sweep removes the rest, as after a crash. */
	entries_each(layout->owner_fd, layout_leave_slot, layout);
	unlinkat(layout->staging_fd, layout->owner, AT_REMOVEDIR);
}
