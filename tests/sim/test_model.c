/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model of btrfs answers as btrfs does: the same calls, chosen at random, are made in the
 * simulated kernel and on a file system, and all results are the same; so are those of calls about
 * quota, and of requests to a store. VARVE_TEST_SOAK: many more.
 * varve-test: backend=any
 */
#include "engine/base/util.h"
#include "engine/btrfs/fs.h"
#include "engine/btrfs/fs_handle.h"
#include "engine/btrfs/qgroup.h"
#include "engine/btrfs/subvol.h"
#include "kernel.h"
#include "model.h"
#include "tasks.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CALLS 80
#define REQUESTS 12
#define LINE_BYTES 200
#define NO_STACKS "a sanitized build knows the stacks of real threads only"

/* What was called, and what it came to, line by line. */
struct record_lines {
	unsigned count;
	char lines[CALLS][LINE_BYTES];
};

/* A script of calls: the random numbers that it is made by, where it runs, what it came to. */
struct script {
	uint64_t random;
	/* There are simple quotas. */
	bool simple;
	const char *home;
	int home_fd;
	struct record_lines lines;
};

/* Where something may be. The last two are never made as they are. */
static const char *const paths[] = {
	"a", "b", "c", "a/x", "a/y", "b/x", "b/y", "c/x", ".", "a/x/z"
};

/* ---- one call -------------------------------------------------------------------------------- */

static unsigned choose(struct script *script, unsigned count)
{
	return (unsigned)(test_random(&script->random) % count);
}

static const char *choose_path(struct script *script)
{
	return paths[choose(script, TEST_COUNT(paths))];
}

/* Note a call and its result. */
__attribute__((format(printf, 3, 4))) static void note(struct script *script, int r,
						       const char *format, ...)
{
	char *line = script->lines.lines[script->lines.count++];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, LINE_BYTES, format, arguments);
	va_end(arguments);
	snprintf(line + length, LINE_BYTES - (size_t)length, " = %s",
		 r < 0 ? strerrorname_np(-r) : "done");
}

/* Open PATH with FLAGS: a descriptor or -errno. */
static int open_path(struct script *script, const char *path, int flags)
{
	return RET_NERRNO(openat(script->home_fd, path, flags | O_NOFOLLOW | O_CLOEXEC, 0644));
}

/* Open the directory that PATH lies in; *RET_NAME is its name there. */
static int open_parent(struct script *script, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char *parent = slash ? strndup(path, (size_t)(slash - path)) : NULL;
	int fd = open_path(script, parent ? parent : ".", O_RDONLY | O_DIRECTORY);

	free(parent);
	*ret_name = slash ? slash + 1 : path;
	return fd;
}

static void call_names(struct script *script, unsigned kind)
{
	static const unsigned flags[] = { 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
	const char *from = choose_path(script), *to = choose_path(script);
	unsigned flag = flags[choose(script, 3)];
	int fd = script->home_fd;

	switch (kind) {
	case 0:
		note(script, RET_NERRNO(mkdirat(fd, from, 0755)), "mkdir %s", from);
		break;
	case 1:
		note(script, RET_NERRNO(unlinkat(fd, from, 0)), "unlink %s", from);
		break;
	case 2:
		/* The kernel and the model agree on its name only after that: EBUSY, EINVAL. */
		if (strcmp(from, "."))
			note(script, RET_NERRNO(unlinkat(fd, from, AT_REMOVEDIR)), "rmdir %s",
			     from);
		break;
	case 3:
		note(script, RET_NERRNO(linkat(fd, from, fd, to, 0)), "link %s %s", from, to);
		break;
	default:
		if (strcmp(from, ".") && strcmp(to, "."))
			note(script, RET_NERRNO(renameat2(fd, from, fd, to, flag)),
			     "rename %s %s %u", from, to, flag);
	}
}

static void call_file(struct script *script)
{
	static const int flags[] = { O_WRONLY | O_CREAT | O_EXCL, O_WRONLY | O_CREAT, O_RDWR,
				     O_WRONLY | O_TRUNC, O_RDONLY };
	const char *path = choose_path(script);
	unsigned flag = choose(script, TEST_COUNT(flags));
	char text[16] = "";
	int fd = open_path(script, path, flags[flag]);
	ssize_t written, length;

	note(script, fd, "open %s %u", path, flag);
	if (fd < 0)
		return;
	written = RET_NERRNO(write(fd, "hello", 1 + choose(script, 5)));
	length = RET_NERRNO(pread(fd, text, sizeof(text) - 1, 0));
	note(script, (int)MIN(written, 0), "wrote %zd, read %s", written,
	     length < 0 ? strerrorname_np((int)-length) : text);
	if (choose(script, 4) == 0)
		note(script, RET_NERRNO(fsync(fd)), "fsync");
	close(fd);
}

static void call_subvolume(struct script *script, unsigned kind)
{
	struct btrfs_ioctl_vol_args_v2 args = { 0 };
	struct btrfs_ioctl_vol_args old = { 0 };
	const char *path = choose_path(script), *source = choose_path(script), *name;
	int fd = open_parent(script, path, &name), source_fd;

	snprintf(old.name, sizeof(old.name), "%s", name);
	snprintf(args.name, sizeof(args.name), "%s", name);
	if (fd < 0 || !strcmp(name, "."))
		note(script, MIN(fd, 0), "look %s", path);
	else if (kind == 0)
		note(script, RET_NERRNO(ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, &old)), "subvol %s",
		     path);
	else if (kind == 1)
		note(script, RET_NERRNO(ioctl(fd, BTRFS_IOC_SNAP_DESTROY, &old)), "destroy %s",
		     path);
	else {
		source_fd = open_path(script, source, O_RDONLY | O_DIRECTORY);
		args.fd = source_fd;
		args.flags = choose(script, 4) ? 0 : BTRFS_SUBVOL_RDONLY;
		if (source_fd >= 0 && strcmp(source, "."))
			note(script, RET_NERRNO(ioctl(fd, BTRFS_IOC_SNAP_CREATE_V2, &args)),
			     "snapshot %s %s %llu", source, path, (unsigned long long)args.flags);
		fd_close(source_fd);
	}
	fd_close(fd);
}

/* Look at PATH and what the ioctls tell about it. */
static void call_look(struct script *script)
{
	struct btrfs_ioctl_get_subvol_info_args info = { 0 };
	const char *path = choose_path(script);
	struct stat stat = { 0 };
	uint64_t flags = 0;
	int fd, r = RET_NERRNO(fstatat(script->home_fd, path, &stat, AT_SYMLINK_NOFOLLOW));

	note(script, r, "stat %s: %o %s, %ld bytes, %s", path, stat.st_mode,
	     stat.st_nlink > 1 ? "linked" : "once", (long)stat.st_size,
	     stat.st_ino == MODEL_ROOT_INO       ? "subvolume"
	     : stat.st_ino == MODEL_STAND_IN_INO ? "stand-in"
						 : "inode");
	fd = open_path(script, path, O_RDONLY);
	if (fd < 0 || !strcmp(path, "."))
		return fd_close(fd);
	r = RET_NERRNO(ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, &flags));
	note(script, MIN(r, 0), "flags %llu", (unsigned long long)flags);
	r = S_ISDIR(stat.st_mode) && stat.st_ino == MODEL_ROOT_INO
		    ? RET_NERRNO(ioctl(fd, BTRFS_IOC_GET_SUBVOL_INFO, &info))
		    : 0;
	note(script, MIN(r, 0), "info %s", info.name);
	if (choose(script, 2) && stat.st_ino == MODEL_ROOT_INO) {
		flags ^= BTRFS_SUBVOL_RDONLY;
		r = RET_NERRNO(ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags));
		note(script, r, "set flags %llu", (unsigned long long)flags);
	}
	close(fd);
}

/* Look for the subvolumes that lie directly in that of PATH. */
static void call_refs(struct script *script)
{
	struct btrfs_ioctl_get_subvol_rootref_args refs = { 0 };
	const char *path = choose_path(script);
	int fd = open_path(script, path, O_RDONLY | O_DIRECTORY), r;
	struct stat stat = { 0 };

	/* The subvolume that the home is in has others. */
	if (fd < 0 || fstat(fd, &stat) || stat.st_ino != MODEL_ROOT_INO)
		return note(script, MIN(fd, 0), "open %s", path), fd_close(fd);
	r = RET_NERRNO(ioctl(fd, BTRFS_IOC_GET_SUBVOL_ROOTREF, &refs));
	note(script, r, "refs of %s: %u", path, refs.num_items);
	for (unsigned i = 0; !r && i < MIN(refs.num_items, 2); i++) {
		struct btrfs_ioctl_ino_lookup_user_args lookup = {
			.dirid = refs.rootref[i].dirid, .treeid = refs.rootref[i].treeid
		};

		r = RET_NERRNO(ioctl(fd, BTRFS_IOC_INO_LOOKUP_USER, &lookup));
		note(script, r, "%s in %s", lookup.name, lookup.path);
	}
	close(fd);
}

static void call_list(struct script *script)
{
	const char *path = choose_path(script);
	char buffer[4096], names[LINE_BYTES / 2] = "";
	size_t used = 0;
	int fd = open_path(script, path, O_RDONLY | O_DIRECTORY);
	ssize_t length = fd < 0 ? fd : RET_NERRNO(getdents64(fd, buffer, sizeof(buffer)));

	for (ssize_t at = 0; at < length;) {
		const struct dirent64 *entry = (const void *)(buffer + at);

		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			used += (size_t)snprintf(names + used, sizeof(names) - used, " %s:%d",
						 entry->d_name, entry->d_type);
		at += entry->d_reclen;
	}
	note(script, (int)MIN(length, 0), "list %s:%s", path, names);
	fd_close(fd);
}

static void call_lock(struct script *script)
{
	const char *path = choose_path(script);
	int one = open_path(script, path, O_RDONLY), other = open_path(script, path, O_RDONLY);

	note(script, MIN(one, 0), "open %s twice", path);
	if (one >= 0 && other >= 0) {
		note(script, RET_NERRNO(flock(one, LOCK_EX | LOCK_NB)), "lock");
		note(script, RET_NERRNO(flock(other, LOCK_EX | LOCK_NB)), "lock again");
		note(script, RET_NERRNO(flock(one, LOCK_UN)), "unlock");
		note(script, RET_NERRNO(flock(other, LOCK_EX | LOCK_NB)), "lock");
	}
	fd_close(one);
	fd_close(other);
}

/* Make random calls below the home. */
static void *run_calls(void *data)
{
	struct script *script = data;

	mkdir(script->home, 0755);
	script->home_fd = open(script->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fchmod(script->home_fd, 0755);
	while (script->lines.count < CALLS - 8) {
		unsigned kind = choose(script, 16);

		if (kind < 6)
			call_names(script, kind);
		else if (kind < 8)
			call_file(script);
		else if (kind < 12)
			call_subvolume(script, kind - 8);
		else if (kind < 13)
			call_look(script);
		else if (kind < 14)
			call_refs(script);
		else if (kind < 15)
			call_list(script);
		else
			call_lock(script);
	}
	close(script->home_fd);
	return NULL;
}

/* ---- changes of a subvolume ------------------------------------------------------------------ */

/* What may be done in a subvolume. */
enum {
	OVERWRITE = 9,
	FIRST_STORE,
	STORE_AGAIN,
	STORE_WRITTEN,
	WRITE_FROZEN,
	STORE_FROZEN,
	CHANGES
};
static const char *const changes[CHANGES] = {
	"nothing",
	"write",
	"make",
	"unlink",
	"link",
	"rename",
	"truncate",
	"chmod",
	"read-only",
	[OVERWRITE] = "overwrite",
	[FIRST_STORE] = "first store to a mapped page",
	[STORE_AGAIN] = "store to it again",
	[STORE_WRITTEN] = "store once it is written out",
	[WRITE_FROZEN] = "write to an open file, read-only",
	[STORE_FROZEN] = "store to it again, read-only",
};

/* A file of a subvolume that is open, and a page of it that is mapped where there is a kernel. */
struct mapped {
	int fd;
	char *page;
};

static struct mapped map_file(int dir_fd, const char *name)
{
	struct mapped mapped = { .fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644) };

	ck_assert_int_eq(pwrite(mapped.fd, "mapped", 6, 0), 6);
	if (!sim.current)
		mapped.page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped.fd, 0);
	return mapped;
}

static void unmap_file(struct mapped *mapped)
{
	if (mapped->page)
		munmap(mapped->page, 4096);
	close(mapped->fd);
}

/* Store BYTE in the page. */
static int store(const struct mapped *mapped, char byte)
{
	if (mapped->page)
		*(volatile char *)mapped->page = byte;
	else
		kernel_store(mapped->fd, &byte, 1, 0);
	return 0;
}

/* Make the subvolume FD read-only, or writable. */
static void freeze(int fd, bool read_only)
{
	uint64_t flags = read_only ? BTRFS_SUBVOL_RDONLY : 0;

	ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags);
}

/* Make the change CHANGE in the subvolume FD, which has the file "file", and another one MAPPED. */
static int make_change(int fd, const struct mapped *mapped, unsigned change)
{
	int file = openat(fd, "file", O_RDWR | O_APPEND | O_CLOEXEC), r = 0;

	switch (change) {
	case 1:
		r = RET_NERRNO((int)write(file, "more", 4));
		break;
	case 2:
		r = RET_NERRNO(mkdirat(fd, "made", 0755));
		break;
	case 3:
		r = RET_NERRNO(unlinkat(fd, "made", AT_REMOVEDIR));
		break;
	case 4:
		r = RET_NERRNO(linkat(fd, "file", fd, "link", 0));
		break;
	case 5:
		r = RET_NERRNO(renameat2(fd, "link", fd, "renamed", 0));
		break;
	case 6:
		r = RET_NERRNO(ftruncate(file, 2));
		break;
	case 7:
		r = RET_NERRNO(fchmod(file, 0600));
		break;
	case 8:
		freeze(fd, true);
		freeze(fd, false);
		break;
	case OVERWRITE:
	case WRITE_FROZEN:
		r = RET_NERRNO((int)pwrite(mapped->fd, "M", 1, 0));
		break;
	case FIRST_STORE:
	case STORE_AGAIN:
	case STORE_WRITTEN:
	case STORE_FROZEN:
		r = store(mapped, (char)('a' + change));
		break;
	}
	close(file);
	return r;
}

/*
 * Ask for a snapshot under a name that is taken, and see whether a change before it has moved the
 * subvolume on; and what the probe of spare copies sees.
 */
static void *run_changes(void *data)
{
	struct btrfs_ioctl_get_subvol_info_args before = { 0 }, at_once = { 0 }, after = { 0 };
	struct script *script = data;
	struct mapped mapped;
	int fd;

	mkdir(script->home, 0755);
	script->home_fd = open(script->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	subvol_create(script->home_fd, "a");
	fd = open_path(script, "a", O_RDONLY | O_DIRECTORY);
	close(openat(fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	mapped = map_file(fd, "mapped");
	for (unsigned change = 0; change < CHANGES; change++) {
		bool again = change == STORE_AGAIN || change == STORE_FROZEN,
		     frozen = change == WRITE_FROZEN || change == STORE_FROZEN;
		int r, snapshot;

		syncfs(fd);
		/* The page may be stored to by now without a fault. */
		if (again)
			store(&mapped, 'A');
		/* A commit that writes out no data: the change is of another transaction. */
		freeze(fd, true);
		if (!frozen)
			freeze(fd, false);
		subvol_info(fd, &before);
		r = make_change(fd, &mapped, change);
		subvol_info(fd, &at_once);
		snapshot = subvol_snapshot(script->home_fd, "a", fd, false);
		subvol_info(fd, &after);
		if (frozen)
			freeze(fd, false);
		note(script, MIN(r, 0), "%s, %s at once", changes[change],
		     at_once.ctransid > before.ctransid ? "changed" : "the same");
		note(script, snapshot, "then a snapshot, %s",
		     after.ctransid > before.ctransid ? "changed" : "the same");
	}
	unmap_file(&mapped);
	note(script, 0, "probe: %d", subvol_probe_flush(script->home_fd, "a"));
	close(fd);
	close(script->home_fd);
	return NULL;
}

/* ---- quota ----------------------------------------------------------------------------------- */

/* The file system of the home, looked at by sysfs or by searching. */
static struct fs_handle quota_fs(struct script *script, bool sysfs)
{
	static struct fault fault;
	static const struct trace trace;
	char path[sizeof("/sys/fs/btrfs/") + FSID_TEXT_BYTES] = "/sys/fs/btrfs/";
	struct btrfs_ioctl_fs_info_args info = { 0 };

	ioctl(script->home_fd, BTRFS_IOC_FS_INFO, &info);
	fs_id_text(info.fsid, path + strlen(path));
	return (struct fs_handle){ .fd = script->home_fd,
				   .sysfs_fd = sysfs ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)
						     : -EBADF,
				   .fault = &fault,
				   .trace = &trace };
}

/* Turn quota on or off, and note how it runs. */
static void call_quota(struct script *script, const struct fs_handle *fs)
{
	unsigned kind = choose(script, 4);

	if (kind < 2)
		note(script, qgroup_disable(fs), "disable");
	else if (kind == 2 && script->simple)
		note(script, qgroup_enable(fs, VARVE_QUOTA_SIMPLE), "enable simple");
	else
		note(script, qgroup_enable(fs, VARVE_QUOTA_FULL), "enable full");
	note(script, 0, "mode %d", qgroup_mode(fs));
}

/* Change the limit of the subvolume at PATH, or look at it. */
static void call_limit(struct script *script, const struct fs_handle *fs, const char *path)
{
	uint64_t bytes = choose(script, 3) * 8388608ull, number = 0;
	int fd = open_path(script, path, O_RDONLY | O_DIRECTORY), r;
	unsigned kind = choose(script, 4);

	r = fd < 0 ? fd : subvol_number(fd, &number);
	fd_close(fd);
	/* The subvolume that the home is in is another one on each file system. */
	if (r || !strcmp(path, "."))
		return note(script, r, "look at %s", path);
	if (kind == 0)
		note(script, qgroup_destroy(fs, QUOTA_GROUP(0, number)), "destroy group of %s",
		     path);
	else if (kind == 1)
		note(script, qgroup_limit(fs, QUOTA_GROUP(0, number), bytes), "limit %s to %llu",
		     path, (unsigned long long)bytes);
	for (unsigned i = 0; i < 3; i++) {
		r = qgroup_limited(fs, QUOTA_GROUP(0, number), i * 8388608ull);
		note(script, MIN(r, 0), "%s is limited to %u: %d", path, i, r);
	}
}

/* Make, snapshot or destroy a subvolume with a limit. */
static void call_limited(struct script *script, const struct fs_handle *fs, const char *path)
{
	struct qgroup_initial initial = { .limit = choose(script, 3) * 8388608ull };
	const char *source = choose_path(script), *name;
	int fd = open_parent(script, path, &name), source_fd;
	unsigned kind = choose(script, 3);

	if (fd < 0 || !strcmp(name, "."))
		note(script, MIN(fd, 0), "look %s", path);
	else if (kind == 0)
		note(script, subvol_destroy(fd, name), "destroy %s", path);
	else if (kind == 1)
		note(script, qgroup_subvol_create(fs, fd, name, &initial), "subvol %s, limit %llu",
		     path, (unsigned long long)initial.limit);
	else {
		source_fd = open_path(script, source, O_RDONLY | O_DIRECTORY);
		if (source_fd >= 0 && strcmp(source, "."))
			note(script,
			     qgroup_subvol_snapshot(fs, fd, name, source_fd, false, &initial),
			     "snapshot %s %s, limit %llu", source, path,
			     (unsigned long long)initial.limit);
		fd_close(source_fd);
	}
	fd_close(fd);
}

/* Make random calls about quota below the home. */
static void *run_quota(void *data)
{
	struct script *script = data;
	struct fs_handle fs;

	mkdir(script->home, 0755);
	script->home_fd = open(script->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fs = quota_fs(script, choose(script, 2));
	while (script->lines.count < CALLS - 8) {
		unsigned kind = choose(script, 8);
		const char *path = choose_path(script);

		if (kind == 0)
			call_quota(script, &fs);
		else if (kind < 4)
			call_limit(script, &fs, path);
		else
			call_limited(script, &fs, path);
	}
	note(script, qgroup_disable(&fs), "disable at the end");
	fd_close(fs.sysfs_fd);
	close(script->home_fd);
	return NULL;
}

/* ---- requests to a store --------------------------------------------------------------------- */

/* Make random requests to a store, one by one. */
static void *run_requests(void *data)
{
	static const char *const ids[] = { "one", "two", "three" };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_config config = VARVE_CONFIG_INIT;
	struct script *script = data;
	struct varve_store *store;

	config.home = script->home;
	config.flags = choose(script, 2) ? VARVE_OPEN_NO_URING : 0;
	note(script, varve_open(&config, &store, NULL), "open");
	for (unsigned i = 0; i < REQUESTS; i++) {
		const char *id = ids[choose(script, 3)], *other = ids[choose(script, 3)];
		unsigned kind = choose(script, 8);
		bool exists = false;
		int r;

		options.parent = choose(script, 3) ? other : NULL;
		options.flags = choose(script, 4) ? 0 : VARVE_CREATE_READ_ONLY;
		if (kind < 3)
			note(script, varve_layer_create_wait(store, id, &options, NULL),
			     "create %s %s", id, options.parent ? options.parent : "");
		else if (kind < 5)
			note(script, varve_layer_remove_wait(store, id, 0, NULL), "remove %s", id);
		else if (kind < 6)
			note(script, varve_layer_rename_wait(store, id, other, 0, NULL),
			     "rename %s %s", id, other);
		else if (kind < 7)
			note(script, varve_layer_freeze_wait(store, id, 0, NULL), "freeze %s", id);
		else
			note(script, varve_sweep_wait(store, NULL, NULL), "sweep");
		r = varve_layer_exists_wait(store, id, &exists, NULL);
		note(script, r, "%s %s", id, exists ? "exists" : "is missing");
	}
	varve_close(store);
	return NULL;
}

/* ---- both ------------------------------------------------------------------------------------ */

/* Run RUN by SEED in the simulated kernel, for the user UID: what it noted goes to SCRIPT. */
static void run_in_model(void *(*run)(void *data), struct script *script, uint32_t uid)
{
	uint64_t seed = script->random;

	sim_begin(seed);
	model_begin();
	kernel_begin();
	kernel.users_destroy = true;
	sim_process("script", run, script)->uid = uid;
	ck_assert_msg(sim_run() == SIM_ENDED, "seed %llu: %s", (unsigned long long)seed,
		      sim.failure);
}

/* Is what SCRIPT has noted on the file system what OTHER has in the model? */
static void compare_lines(uint64_t seed, const struct script *script, const struct script *other)
{
	for (unsigned i = 0; i < script->lines.count; i++)
		ck_assert_msg(!strcmp(script->lines.lines[i], other->lines.lines[i]),
			      "seed %llu: call %u: btrfs: %s; the model: %s",
			      (unsigned long long)seed, i, script->lines.lines[i],
			      other->lines.lines[i]);
}

/* Run RUN by SEED in the simulated kernel and on the file system: is all the same? */
static void compare(void *(*run)(void *data), uint64_t seed, bool simple)
{
	static struct script model_script, script;

	model_script = script = (struct script){ .random = seed, .simple = simple };
	model_script.home = "/home";
	script.home = test_home();
	run_in_model(run, &model_script, 0);
	run(&script);
	compare_lines(seed, &script, &model_script);
}

/* Make random calls as the user that this process is. */
static int run_calls_here(void *data)
{
	run_calls(data);
	return 0;
}

/* The same calls for a user without privilege, who owns the home. */
static void compare_user(uint64_t seed, struct script *script)
{
	static struct script model_script;

	model_script = *script = (struct script){ .random = seed };
	model_script.home = "/home";
	script->home = test_home_of_nobody();
	run_in_model(run_calls, &model_script, TEST_NOBODY);
	test_as_nobody(run_calls_here, script);
	compare_lines(seed, script, &model_script);
}

START_TEST(test_calls)
{
	unsigned rounds = getenv("VARVE_TEST_SOAK") ? 2000 : 100;

	if (TEST_SANITIZED)
		return test_skip(NO_STACKS);
	for (uint64_t seed = 1; seed <= rounds; seed++)
		compare(run_calls, seed, false);
}
END_TEST

START_TEST(test_user)
{
	unsigned rounds = getenv("VARVE_TEST_SOAK") ? 1000 : 50;
	struct script *script;

	if (TEST_SANITIZED)
		return test_skip(NO_STACKS);
	/* What a child notes, this process reads. */
	script = mmap(NULL, sizeof(*script), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	ck_assert_ptr_ne(script, MAP_FAILED);
	for (uint64_t seed = 1; seed <= rounds; seed++)
		compare_user(seed, script);
	munmap(script, sizeof(*script));
}
END_TEST

START_TEST(test_requests)
{
	unsigned rounds = getenv("VARVE_TEST_SOAK") ? 200 : 10;

	if (TEST_SANITIZED)
		return test_skip(NO_STACKS);
	for (uint64_t seed = 1; seed <= rounds; seed++)
		compare(run_requests, seed, false);
}
END_TEST

START_TEST(test_changes)
{
	if (TEST_SANITIZED)
		return test_skip(NO_STACKS);
	compare(run_changes, 1, false);
}
END_TEST

START_TEST(test_quota)
{
	unsigned rounds = getenv("VARVE_TEST_SOAK") ? 200 : 5;
	struct varve_store *store;
	bool simple;

	if (TEST_SANITIZED)
		return test_skip(NO_STACKS);
	store = test_open(test_home());
	simple = !varve_quota_enable_wait(store, VARVE_QUOTA_SIMPLE, NULL);
	test_error(varve_quota_disable_wait(store, NULL), 0);
	test_close(store);
	for (uint64_t seed = 1; seed <= rounds; seed++)
		compare(run_quota, seed, simple);
}
END_TEST

TEST_MAIN("model", test_calls, test_user, test_requests, test_changes, test_quota)
