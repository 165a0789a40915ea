/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open: find or make the home and HOME/subvolumes, prove that they are on btrfs, start the reactor.
 * The other directories are made when an operation needs them: see store/layout.h. Blocks; runs on
 * the caller's thread. A crash leaves directories.
 */
#include "engine/store/open.h"
#include "engine/base/id.h"
#include "engine/base/pressure.h"
#include "engine/btrfs/fs.h"
#include "engine/btrfs/qgroup.h"
#include "engine/core/reactor.h"
#include "engine/store/quota.h"
#include "engine/store/size_record.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"
#include "engine/dir/mounts.h"
#include "engine/store/background.h"
#include "engine/store/backlog.h"
#include "engine/store/groups.h"
#include "engine/store/layer.h"
#include "engine/store/layout.h"
#include "engine/store/stock.h"
#include "engine/store/store.h"
#include "engine/store/usage_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* The detail of -ENOENT with VARVE_OPEN_EXISTING. */
#define OPEN_NO_STORE "there is no store here"

/* The detail where another user can change a directory of the store. */
#define OPEN_NOT_SAFE                                                                        \
	"it must belong to root, the caller or root_uid, and be writable by no other; else " \
	"another user can exchange what is in it (VARVE_OPEN_SHARED_HOME or "                \
	"--allow-shared-home allows that)"

/* The detail where another user can change a directory above the home. */
#define OPEN_ABOVE_NOT_SAFE                                                                  \
	"the home lies in it: it must belong to root, the caller or root_uid, and be "       \
	"writable by no other unless it is sticky; else another user can exchange the home " \
	"(VARVE_OPEN_SHARED_HOME or --allow-shared-home allows that)"

/* The store that is being opened, and the step that an error record would name. */
struct opening {
	const struct varve_config *config;
	struct varve_store *store;
	const char *step, *call;
	/* Below the home; NULL: the home. */
	const char *name;
	/* A directory above the home that the failure is about; "": none. */
	char above[HOME_PATH_MAX + 1];
	const char *detail;
};

/* Note the next step, for the error record. */
static void open_step(struct opening *opening, const char *step, const char *call, const char *name)
{
	opening->step = step;
	opening->call = call;
	opening->name = name;
}

/* ---- the home -------------------------------------------------------------------------------- */

/*
 * Check that PATH is on btrfs, or unless EXISTING is set, the nearest directory above it that
 * exists.
 */
static int open_check_magic(const char *path, bool existing)
{
	char ancestor[HOME_PATH_MAX + 1];
	struct statfs statfs_;

	strcpy(ancestor, path);
	while (statfs(ancestor, &statfs_) < 0) {
		char *slash = strrchr(ancestor, '/');

		if (existing || errno != ENOENT || !slash)
			return negative_errno();
		slash[slash == ancestor] = '\0';
	}
	return (unsigned long)statfs_.f_type == BTRFS_SUPER_MAGIC ? 0 : -ENOTSUP;
}

/* Make PATH and the directories that are missing above it. */
static int open_make_path(struct opening *opening, const char *path)
{
	char part[HOME_PATH_MAX + 1];

	strcpy(part, path);
	for (char *slash = part; slash; slash = strchr(slash + 1, '/')) {
		char *end = strchr(slash + 1, '/');

		if (end)
			*end = '\0';
		if (!mkdir(part, 0700)) {
			const struct settings *settings = &opening->store->settings;

			if ((settings->root_uid || settings->root_gid) &&
			    chown(part, settings->root_uid, settings->root_gid) < 0)
				return negative_errno();
		} else if (errno != EEXIST)
			return negative_errno();
		if (!end)
			break;
		*end = '/';
	}
	return 0;
}

/* Make PATH absolute, without '/' at its end. */
static int open_absolute(const char *path, char *ret_path)
{
	char cwd[HOME_PATH_MAX + 1] = "";
	size_t length;
	int n;

	if (*path != '/' && !getcwd(cwd, sizeof(cwd)))
		return errno == ERANGE ? -ENAMETOOLONG : negative_errno();
	n = snprintf(ret_path, HOME_PATH_MAX + 1, "%s%s%s", cwd, *path == '/' ? "" : "/", path);
	if (n < 0 || n > HOME_PATH_MAX)
		return -ENAMETOOLONG;
	for (length = (size_t)n; length > 1 && ret_path[length - 1] == '/'; length--)
		ret_path[length - 1] = '\0';
	return 0;
}

/* Find or make the home, and open it. */
static int open_home(struct opening *opening)
{
	struct layout *layout = &opening->store->layout;
	bool existing = opening->config->flags & VARVE_OPEN_EXISTING;
	int r;

	layout->home = malloc(HOME_PATH_MAX + 1);
	if (!layout->home)
		return -ENOMEM;
	open_step(opening, "HOME", "getcwd", NULL);
	r = open_absolute(opening->config->home, layout->home);
	if (r)
		return r;
	open_step(opening, "HOME", "statfs", NULL);
	r = open_check_magic(layout->home, existing);
	if (r) {
		opening->detail = r == -ENOTSUP  ? "not on a btrfs file system"
				  : r == -ENOENT ? OPEN_NO_STORE
						 : NULL;
		return r;
	}
	open_step(opening, "HOME", "mkdir", NULL);
	r = existing ? 0 : open_make_path(opening, layout->home);
	if (r)
		return r;
	open_step(opening, "HOME", "open", NULL);
	layout->home_fd = RET_NERRNO(open(layout->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	return MIN(layout->home_fd, 0);
}

/* Bind-mount the home on itself, privately, unless it is a mount point. */
static int open_private_mount(struct opening *opening)
{
	struct layout *layout = &opening->store->layout;
	struct statx statx_;
	int fd;

	if (!(opening->config->flags & VARVE_OPEN_PRIVATE_MOUNT))
		return 0;
	open_step(opening, "MOUNT", "mount", NULL);
	if (statx(AT_FDCWD, layout->home, 0, STATX_BASIC_STATS, &statx_) < 0)
		return negative_errno();
	if (!(statx_.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT &&
	      statx_.stx_attributes & STATX_ATTR_MOUNT_ROOT)) {
		if (mount(layout->home, layout->home, NULL, MS_BIND, NULL) < 0)
			return negative_errno();
		layout->mounted = true;
	}
	fd = RET_NERRNO(mount(NULL, layout->home, NULL, MS_PRIVATE, NULL));
	if (!fd)
		fd = RET_NERRNO(open(layout->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd >= 0) {
		fd_close(layout->home_fd);
		layout->home_fd = fd;
	} else if (TAKE(layout->mounted, false))
		umount2(layout->home, MNT_DETACH);
	return MIN(fd, 0);
}

/* ---- the directories ------------------------------------------------------------------------- */

/*
 * Check that no other user can change the directory FD, which is NAME below the home (NULL: the
 * home).
 */
static int open_trust(struct opening *opening, int fd, const char *name)
{
	int r = layout_trusted(opening->store, fd);

	if (!r)
		return 0;
	open_step(opening, "TRUST", "fstat", name);
	if (r == -EPERM)
		opening->detail = OPEN_NOT_SAFE;
	return r;
}

/* Open `subvolumes`, making it when it is missing. */
static int open_subvolumes(struct opening *opening)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve = BENEATH_RESOLVE };
	const struct settings *settings = &opening->store->settings;
	struct layout *layout = &opening->store->layout;
	bool made = false;
	int fd;

	open_step(opening, "DIRECTORIES", "openat2", LAYER_PLACE);
	fd = RET_NERRNO((int)syscall(SYS_openat2, layout->home_fd, LAYER_PLACE, &how, sizeof(how)));
	if (fd == -ENOENT && settings->flags & VARVE_OPEN_EXISTING)
		opening->detail = OPEN_NO_STORE;
	else if (fd == -ENOENT) {
		open_step(opening, "DIRECTORIES", "mkdirat", LAYER_PLACE);
		made = !mkdirat(layout->home_fd, LAYER_PLACE, 0700);
		if (!made && errno != EEXIST)
			return negative_errno();
		open_step(opening, "DIRECTORIES", "openat2", LAYER_PLACE);
		fd = RET_NERRNO(
			(int)syscall(SYS_openat2, layout->home_fd, LAYER_PLACE, &how, sizeof(how)));
	}
	if (fd < 0)
		return layer_open_error(fd);
	layout->subvolumes_fd = fd;
	if (made && (settings->root_uid || settings->root_gid) &&
	    fchown(fd, settings->root_uid, settings->root_gid) < 0)
		return negative_errno();
	return open_trust(opening, fd, LAYER_PLACE);
}

/* Is USER the overflow id, which stands for ids that our user namespace does not map? */
static bool open_unmapped(uid_t user)
{
	FILE *map = fopen("/proc/self/uid_map", "re"),
	     *overflow = fopen("/proc/sys/kernel/overflowuid", "re");
	unsigned inside, outside, count, unmapped = 0;
	bool r = map && fscanf(map, "%u %u %u", &inside, &outside, &count) == 3 &&
		 (inside || outside || count != UINT32_MAX);

	r = r && overflow && fscanf(overflow, "%u", &unmapped) == 1 && user == unmapped;
	if (map)
		fclose(map);
	if (overflow)
		fclose(overflow);
	return r;
}

/*
 * Check that no other user can exchange an entry of the directory of STAT, which contains the home.
 */
static bool open_above_trusted(const struct opening *opening, const struct statx *stat)
{
	uid_t user = stat->stx_uid;

	if (stat->stx_mode & (S_IWGRP | S_IWOTH) && !(stat->stx_mode & S_ISVTX))
		return false;
	return !user || user == geteuid() || user == opening->store->settings.root_uid ||
	       open_unmapped(user);
}

/* Check that no other user can exchange the home, or a directory above it. */
static int open_trust_above(struct opening *opening)
{
	const unsigned mask = STATX_BASIC_STATS | STATX_MNT_ID;
	_cleanup_close_ int fd = -EBADF;
	struct statx stat, below;
	char link[64];

	if (opening->store->settings.flags & VARVE_OPEN_SHARED_HOME)
		return 0;
	open_step(opening, "TRUST", "statx", NULL);
	if (statx(opening->store->layout.home_fd, "", AT_EMPTY_PATH, mask, &stat) < 0)
		return negative_errno();
	for (;;) {
		int above = openat(fd < 0 ? opening->store->layout.home_fd : fd, "..",
				   O_PATH | O_DIRECTORY | O_CLOEXEC);
		ssize_t length;

		/* An unprivileged caller cannot check what it may not search. */
		if (above < 0)
			return errno == EACCES ? 0 : negative_errno();
		fd_close(fd);
		fd = above;
		below = stat;
		if (statx(fd, "", AT_EMPTY_PATH, mask, &stat) < 0)
			return negative_errno();
		/* The root is above itself. */
		if (stat.stx_ino == below.stx_ino && stat.stx_mnt_id == below.stx_mnt_id)
			return 0;
		if (open_above_trusted(opening, &stat))
			continue;
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		length = readlink(link, opening->above, sizeof(opening->above) - 1);
		opening->above[MAX(length, 0)] = '\0';
		opening->detail = OPEN_ABOVE_NOT_SAFE;
		return -EPERM;
	}
}

/* Check the home and what is above it, and open the directories that exist. */
static int open_directories(struct opening *opening)
{
	int r = open_trust(opening, opening->store->layout.home_fd, NULL);

	if (!r)
		r = open_trust_above(opening);
	if (!r)
		r = open_subvolumes(opening);
	for (int place = 0; !r && place < LAYOUT_PLACES; place++) {
		open_step(opening, "DIRECTORIES", "openat2", layout_name(place));
		r = layout_find(opening->store, place);
		if (r == -EPERM) {
			open_step(opening, "TRUST", "fstat", layout_name(place));
			opening->detail = OPEN_NOT_SAFE;
		}
		/* A missing one is made at first use, and -EACCES is reported at first use. */
		r = r == -ENOENT || r == -EACCES ? 0 : MIN(r, 0);
	}
	return r;
}

/* Find out where `subvolumes` is, and prove that it is on btrfs. */
static int open_identify(struct opening *opening)
{
	struct layout *layout = &opening->store->layout;
	struct statx statx_;
	struct search search;
	struct statfs statfs_;
	int r;

	open_step(opening, "IDENTIFY", "fstatfs", LAYER_PLACE);
	if (fstatfs(layout->subvolumes_fd, &statfs_) < 0)
		return negative_errno();
	if ((unsigned long)statfs_.f_type != BTRFS_SUPER_MAGIC) {
		opening->detail = "not on a btrfs file system";
		return -ENOTSUP;
	}
	open_step(opening, "IDENTIFY", "statx", LAYER_PLACE);
	if (statx(layout->subvolumes_fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &statx_) < 0)
		return negative_errno();
	layout->subvolumes_inode = statx_.stx_ino;
	layout->subvolumes_mount = statx_.stx_mnt_id;
	open_step(opening, "IDENTIFY", "BTRFS_IOC_INO_LOOKUP", LAYER_PLACE);
	r = subvol_number(layout->subvolumes_fd, &layout->subvolumes_root);
	if (r)
		return r;
	open_step(opening, "IDENTIFY", "BTRFS_IOC_FS_INFO", NULL);
	r = fs_id(layout->home_fd, layout->fsid);
	if (r)
		return r;
	/* Probe by a search: within a user namespace a capability may not count. */
	open_step(opening, "IDENTIFY", "BTRFS_IOC_TREE_SEARCH_V2", NULL);
	r = search_begin(&search, layout->home_fd, BTRFS_ROOT_TREE_OBJECTID,
			 layout->subvolumes_root, layout->subvolumes_root, BTRFS_ROOT_ITEM_KEY,
			 BTRFS_ROOT_ITEM_KEY, 0);
	if (!r)
		r = search_next(&search);
	search_end(&search);
	layout->privileged = r > 0;
	/* A failure is no refusal: a store of root would do without what takes privilege. */
	return r == -EPERM || r == -EACCES || r == -ENOSYS || r == -ENOTTY ? 0 : MIN(r, 0);
}

/* ---- quota ----------------------------------------------------------------------------------- */

/* Open the file system's directory in sysfs; without one the quota tree is searched. */
static void open_sysfs(struct varve_store *store)
{
	char path[sizeof("/sys/fs/btrfs/") + FSID_TEXT_BYTES] = "/sys/fs/btrfs/";

	fs_id_text(store->layout.fsid, path + strlen(path));
	store->fs.fd = store->layout.home_fd;
	store->fs.sysfs_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Turn quota on where the options want it. */
static int open_quota(struct opening *opening)
{
	struct varve_store *store = opening->store;
	const struct quota_settings *quota = &store->settings.quota;
	int r = 0;

	open_step(opening, "QUOTA", "BTRFS_IOC_QUOTA_CTL", NULL);
	if (quota->policy == QUOTA_WANT_FULL || quota->policy == QUOTA_WANT_SIMPLE ||
	    (quota->policy == QUOTA_ON_DEMAND && (quota->size_min || quota->size_default)))
		r = quota_provide(store, &opening->detail);
	return MIN(r, 0);
}

/* ---- the end of a store ---------------------------------------------------------------------- */

/* Undo what opening and operations did on disk. */
static void open_teardown(struct varve_store *store)
{
	struct layout *layout = &store->layout;
	struct statx ours, there;

	layout_leave(store);
	if (!layout->mounted ||
	    statx(layout->home_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &ours) <
		    0 ||
	    statx(AT_FDCWD, layout->home, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_MNT_ID,
		  &there) < 0)
		return;
	/*
	 * Unmount the private mount of the home, but not where others have mounted something on it
	 * or over it meanwhile.
	 */
	if (ours.stx_mnt_id == there.stx_mnt_id && !mounts_upon(ours.stx_mnt_id))
		umount2(layout->home, MNT_DETACH);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Copy the configuration. */
static int open_settings(struct opening *opening, const struct quota_settings *quota,
			 unsigned debug)
{
	const struct varve_config *config = opening->config;
	struct varve_store *store = opening->store;
	unsigned fds = store->core.fds.free;

	store->settings = (struct settings){
		.flags = config->flags,
		.backlog_max = config->backlog_max,
		.root_uid = config->root_uid,
		.root_gid = config->root_gid,
		.walk_fds_max = MIN(WALK_FDS_MAX, fds / FDS_WALK_PART),
		.archive_small_max = LIBARCHIVE_SMALL_MAX,
		.quota = *quota,
		.stock_idle_ns = STOCK_IDLE_NS,
		.stock_rest_ns = STOCK_REST_NS,
		.stock_fast_ns = STOCK_FAST_NS,
		.stock_slow_ns = STOCK_SLOW_NS,
		.pressure_path = PRESSURE_PATH,
		.io = { .no_uring = config->flags & VARVE_OPEN_NO_URING,
			.ring_entries = config->ring_entries,
			.threads_max = { [LANE_FS] = config->fs_threads_max,
					 [LANE_COMMIT] = MAX(1, MIN(config->commit_threads_max,
								    fds / FDS_SLOTS_PART)),
					 [LANE_WALK] = MAX(1, MIN(WALK_THREADS_MAX,
								  fds / FDS_WALK_PART)),
					 [LANE_STREAM] = STREAM_THREADS_MAX,
					 [LANE_LONG] = LONG_THREADS_MAX } },
	};
	store->core.io.trace = (struct trace){ .mask = debug,
					       .log = config->log,
					       .log_data = config->log_data };
	store->core.requests_max = config->requests_max;
	store->core.relaxed = config->flags & VARVE_OPEN_RELAXED;
	store->core.io_config = &store->settings.io;
	if (core_make_slots(&store->core) || backlog_init(store) || background_init(store))
		return -ENOMEM;
	store->usages = usage_cache_new(&store->core.io.fault);
	return store->usages ? 0 : -ENOMEM;
}

/* Commit, for the group commit. */
static int open_hook_commit(struct varve_store *store, enum commit_cover how)
{
	const struct layout *layout = &store->layout;

	switch (how) {
	case COMMIT_NAMES:
		return fs_commit_directory(layout->subvolumes_fd);
	case COMMIT_METADATA:
		return fs_commit(layout_owner(store), layout->home_fd);
	default:
		return fs_flush_data(layout->home_fd);
	}
}

/* Get the number of the last transaction, for the group commit. */
static uint64_t open_hook_generation(struct varve_store *store)
{
	return fs_generation(store->layout.home_fd);
}

static const struct commit_hooks open_hooks = {
	.commit = open_hook_commit,
	.calls = { [COMMIT_NAMES] = "fsync",
		   [COMMIT_METADATA] = "fsync",
		   [COMMIT_DATA] = "BTRFS_IOC_SYNC" },
	.generation = open_hook_generation,
	.records_end = size_record_leave,
	.destroys_begin = layout_look,
};

/* Open the store; on an error `opening` says at which step. */
static int open_run(struct opening *opening, const struct quota_settings *quota, unsigned debug)
{
	struct varve_store *store = opening->store;
	int r;

	open_step(opening, "SETTINGS", NULL, NULL);
	r = open_settings(opening, quota, debug);
	if (!r)
		r = open_home(opening);
	if (!r)
		r = open_private_mount(opening);
	store->teardown = open_teardown;
	if (!r)
		r = open_directories(opening);
	if (!r)
		r = open_identify(opening);
	if (!r)
		open_sysfs(store);
	if (!r)
		r = open_quota(opening);
	if (!r)
		r = stock_init(store);
	if (r)
		return r;
	store->sweep = store->layout.privileged ? groups_sweep_dropped : NULL;
	commit_init(&store->commits, &store->core, &open_hooks,
		    store->settings.io.threads_max[LANE_COMMIT]);
	open_step(opening, "REACTOR", "pthread_create", NULL);
	return reactor_start(&store->core);
}

int open_store(const struct varve_config *config, const struct quota_settings *quota,
	       unsigned debug, struct varve_store **ret_store, struct varve_failure *failure)
{
	struct opening opening = { .config = config, .step = "STORE" };
	int r;

	opening.store = store_new(&opening.call);
	r = opening.store ? open_run(&opening, quota, debug) : negative_errno();
	if (!r) {
		*ret_store = opening.store;
		return 0;
	}
	failure_set(failure, r, "open", opening.step, opening.call, NULL);
	if (*opening.above)
		failure_path(failure, opening.above, NULL);
	else
		failure_path(failure,
			     opening.store && opening.store->layout.home
				     ? opening.store->layout.home
				     : config->home,
			     opening.name);
	if (opening.detail)
		failure_detail(failure, "%s", opening.detail);
	store_free(opening.store);
	return r;
}
