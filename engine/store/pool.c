/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: a btrfs file system in an image file, on a loop device. The loop device is asked to detach
 * itself (AUTOCLEAR) as soon as it is attached, so neither a crash nor an unmount leaves it behind.
 * mkfs.btrfs is the one program that the library starts, directly and without a shell.
 *
 * An image is on one loop device at most (see btrfs/loop.h for why). Its way onto one:
 *
 *	CLAIM	lock the image, see that no device holds it; a failure or a crash lets the lock go
 *		with the descriptor
 *	ATTACH	the device takes the descriptor over, and the lock with it; then see again that it
 *		is the only one, as programs that know nothing of the lock may have attached the
 *		image as well; a failure or a crash detaches it
 *	MOUNT	the file system holds the device; it, the descriptor and the lock go with the last
 *		unmount in the last namespace
 *
 * mount(2) does all that is needed here: libmount would look for a loop device without the lock.
 */
#include "engine/store/pool.h"
#include "engine/base/failure.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "engine/btrfs/abi.h"
#include "engine/btrfs/loop.h"
#include "engine/dir/mounts.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

/* Offset of btrfs's magic number, in its first superblock. */
#define POOL_MAGIC_OFFSET (0x10000 + 0x40)

/* Fill FAILURE and return ERROR. */
static int pool_fail(struct varve_failure *failure, int error, const char *step, const char *call,
		     const char *path)
{
	failure_set(failure, error, "pool", step, call, NULL);
	failure_path(failure, path, NULL);
	return error;
}

/* Read FD to its end, and keep the first SIZE - 1 bytes in TEXT. */
static void pool_drain(int fd, char *text, size_t size)
{
	size_t used = 0;
	char rest[512];

	for (;;) {
		bool full = used + 1 >= size;
		ssize_t n = read(fd, full ? rest : text + used,
				 full ? sizeof(rest) : size - 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += full ? 0 : (size_t)n;
	}
	text[used] = '\0';
}

/*
 * Start mkfs.btrfs on the image FILE_FD with its messages going to OUT_FD. The image is passed as
 * standard input, not by name: a user with the right to write to the directory can exchange what
 * has the name. FILE_FD is none of the standard descriptors.
 */
static int pool_mkfs_spawn(int file_fd, int out_fd, pid_t *ret_pid)
{
	char *const arguments[] = { (char *)"mkfs.btrfs", (char *)"--quiet", (char *)"--",
				    (char *)"/proc/self/fd/0", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int r;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO);
	posix_spawn_file_actions_adddup2(&actions, file_fd, STDIN_FILENO);
	r = posix_spawnp(ret_pid, arguments[0], &actions, &attributes, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return -r;
}

/* Is there a file system in the image FILE_FD? mkfs.btrfs writes the magic number last. */
static bool pool_made(int file_fd)
{
	static const char expected[] = "_BHRfS_M";
	char magic[sizeof(expected) - 1];

	return pread(file_fd, magic, sizeof(magic), POOL_MAGIC_OFFSET) == sizeof(magic) &&
	       !memcmp(magic, expected, sizeof(magic));
}

/* Make a file system in the image FILE_FD, which is FILE. */
static int pool_mkfs(int file_fd, const char *file, struct varve_failure *failure)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF,
			    image_fd = RET_NERRNO(
				    fcntl(file_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
	char text[VARVE_FAILURE_DETAIL_SIZE];
	int pipe_fds[2], status, r;
	pid_t pid;

	if (image_fd < 0)
		return pool_fail(failure, image_fd, "MKFS", "fcntl", file);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return pool_fail(failure, negative_errno(), "MKFS", "pipe2", file);
	in = pipe_fds[0];
	out = pipe_fds[1];
	r = pool_mkfs_spawn(image_fd, out, &pid);
	if (r)
		return pool_fail(failure, r, "MKFS", "mkfs.btrfs", file);
	fd_close(TAKE_FD(out));
	pool_drain(in, text, sizeof(text));
	while (waitpid(pid, &status, 0) < 0) {
		/* The caller ignores SIGCHLD, or has reaped the child: look at the image. */
		if (errno == ECHILD && pool_made(file_fd))
			return 0;
		if (errno != EINTR)
			return pool_fail(failure, negative_errno(), "MKFS", "waitpid", file);
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	pool_fail(failure, -EIO, "MKFS", "mkfs.btrfs", file);
	failure_detail(failure, "%s", text);
	return -EIO;
}

/* May the caller attach anything? 0, or -errno. */
static int pool_control(struct varve_failure *failure)
{
	_cleanup_close_ int fd = loop_control();

	return fd < 0 ? pool_fail(failure, fd, "ATTACH", "open", "/dev/loop-control") : 0;
}

/* Say in FAILURE's detail where HOLDER has the image. */
static void pool_where(struct varve_failure *failure, const struct loop_holder *holder)
{
	_cleanup_free_ char *point = NULL;
	char source[32];

	snprintf(source, sizeof(source), "/dev/loop%d", holder->number);
	if (mounts_find(source, &point) > 0)
		failure_detail(failure, "the image is mounted on %s (%s)", point, source);
	else if (holder->mounted)
		failure_detail(
			failure,
			"the image is attached to %s, which is mounted in another mount namespace, or just being mounted",
			source);
	else
		failure_detail(
			failure,
			"the image is attached to %s, which is not mounted: losetup --detach %s frees it",
			source, source);
}

/* Fail STEP for FILE with ERROR of loop_find(), which has named HOLDER. */
static int pool_unknown(struct varve_failure *failure, int error, const char *step,
			const char *file, const struct loop_holder *holder)
{
	pool_fail(failure, error, step, "LOOP_GET_STATUS64", file);
	if (error == -EBUSY)
		failure_detail(
			failure,
			"loop%d holds a file that is not known, and may be this image: /dev/loop%d cannot be opened, and the path "
			"in /sys/block/loop%d/loop/backing_file may be one of another mount namespace",
			holder->number, holder->number, holder->number);
	return error;
}

/* Refuse FILE, which HOLDER holds. */
static int pool_refuse(struct varve_failure *failure, const char *file,
		       const struct loop_holder *holder)
{
	pool_fail(failure, -EBUSY, "CLAIM", "LOOP_GET_STATUS64", file);
	pool_where(failure, holder);
	return -EBUSY;
}

/*
 * Lock the image FILE_FD, and check that no loop device holds it. Wait a while for a device that is
 * being detached, and for the lock of another process.
 */
static int pool_claim(int file_fd, const char *file, struct varve_failure *failure)
{
	uint64_t end_ns = now_ns() + POOL_SETTLE_MS * NS_PER_MS;
	struct stat stat_;

	if (fstat(file_fd, &stat_) < 0)
		return pool_fail(failure, negative_errno(), "CLAIM", "fstat", file);
	if (!S_ISREG(stat_.st_mode)) {
		pool_fail(failure, -EINVAL, "CLAIM", NULL, file);
		failure_detail(failure, "not a regular file, as the image of a pool is");
		return -EINVAL;
	}
	for (;;) {
		int locked = RET_NERRNO(flock(file_fd, LOCK_EX | LOCK_NB));
		struct loop_holder holder;
		int found;

		if (locked < 0 && locked != -EWOULDBLOCK && locked != -EINTR)
			return pool_fail(failure, locked, "CLAIM", "flock", file);
		found = loop_find(&stat_, -1, &holder);
		if (found < 0)
			return pool_unknown(failure, found, "CLAIM", file, &holder);
		if (!locked && !found)
			return 0;
		if (found && (holder.mounted || !holder.autoclear || now_ns() > end_ns))
			return pool_refuse(failure, file, &holder);
		if (now_ns() > end_ns) {
			pool_fail(failure, -EBUSY, "CLAIM", "flock", file);
			failure_detail(
				failure,
				"another process has the image locked: /proc/locks tells which");
			return -EBUSY;
		}
		poll(NULL, 0, POOL_LOOK_MS);
	}
}

/* Mount the image FILE_FD, which is claimed, on MOUNT_DIR. */
static int pool_mount_device(int file_fd, const char *file, const char *mount_dir,
			     struct varve_failure *failure)
{
	_cleanup_close_ int device = -EBADF;
	struct loop_holder other;
	const char *call;
	struct stat stat_;
	char source[32];
	int number = -1, r;

	if (mkdir(mount_dir, 0755) < 0 && errno != EEXIST)
		return pool_fail(failure, negative_errno(), "MOUNT", "mkdir", mount_dir);
	device = loop_attach(file_fd, &number, &call);
	if (device < 0)
		return pool_fail(failure, device, "ATTACH", call, file);
	if (fstat(file_fd, &stat_) < 0)
		return pool_fail(failure, negative_errno(), "ATTACH", "fstat", file);
	r = loop_find(&stat_, number, &other);
	if (r < 0)
		return pool_unknown(failure, r, "ATTACH", file, &other);
	if (r > 0)
		return pool_refuse(failure, file, &other);
	snprintf(source, sizeof(source), "/dev/loop%d", number);
	if (mount(source, mount_dir, "btrfs", MS_NOATIME, "user_subvol_rm_allowed") < 0)
		return pool_fail(failure, negative_errno(), "MOUNT", "mount", mount_dir);
	return 0;
}

int pool_mount(const char *file, const char *mount_dir, struct varve_failure *ret_failure)
{
	_cleanup_close_ int file_fd = -EBADF;
	int r;

	if (!file || !mount_dir)
		return pool_fail(ret_failure, -EINVAL, "CHECK", NULL, file ? file : "");
	file_fd = open(file, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (file_fd < 0)
		return pool_fail(ret_failure, negative_errno(), "OPEN", "open", file);
	r = pool_control(ret_failure);
	if (!r)
		r = pool_claim(file_fd, file, ret_failure);
	return r ? r : pool_mount_device(file_fd, file, mount_dir, ret_failure);
}

/* Fail because FILE exists, and say where it is in use. */
static int pool_exists(const char *file, struct varve_failure *failure)
{
	struct loop_holder holder;
	struct stat stat_;

	pool_fail(failure, -EEXIST, "CREATE", "open", file);
	if (!stat(file, &stat_) && loop_find(&stat_, -1, &holder) > 0)
		pool_where(failure, &holder);
	return -EEXIST;
}

/* Remove FILE, if it still is the image FD. */
static void pool_discard(const char *file, int fd)
{
	struct stat made, there;

	if (!fstat(fd, &made) && !lstat(file, &there) && made.st_dev == there.st_dev &&
	    made.st_ino == there.st_ino)
		unlink(file);
}

int pool_create(const char *file, uint64_t size_bytes, const char *mount_dir,
		struct varve_failure *ret_failure)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!file || !mount_dir || size_bytes > INT64_MAX)
		return pool_fail(ret_failure, -EINVAL, "CHECK", NULL, file ? file : "");
	if (size_bytes < POOL_BYTES_MIN) {
		pool_fail(ret_failure, -EINVAL, "CHECK", NULL, file);
		failure_detail(ret_failure, "a btrfs file system has at least %d bytes",
			       POOL_BYTES_MIN);
		return -EINVAL;
	}
	/* Before anything is made. */
	r = pool_control(ret_failure);
	if (r)
		return r;
	fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EEXIST
			       ? pool_exists(file, ret_failure)
			       : pool_fail(ret_failure, negative_errno(), "CREATE", "open", file);
	/* Claimed while it is empty, so that no process mounts a half-made image. */
	r = pool_claim(fd, file, ret_failure);
	if (!r)
		r = ftruncate(fd, (off_t)size_bytes) < 0
			    ? pool_fail(ret_failure, negative_errno(), "CREATE", "ftruncate", file)
			    : pool_mkfs(fd, file, ret_failure);
	if (!r)
		r = pool_mount_device(fd, file, mount_dir, ret_failure);
	if (r)
		pool_discard(file, fd);
	return r;
}

/* Refuse to unmount PATH, because of WHY. */
static int pool_no_pool(struct varve_failure *failure, const char *path, const char *why)
{
	pool_fail(failure, -EINVAL, "UMOUNT", NULL, path);
	failure_detail(failure, "%s", why);
	return -EINVAL;
}

/* Check that a pool is mounted on MOUNT_DIR: 0, and its loop device in *RET. */
static int pool_find(const char *mount_dir, struct loop_holder *ret, struct varve_failure *failure)
{
	_cleanup_free_ char *source = NULL;
	struct statfs statfs_;
	struct statx statx_;
	int number, end = 0, r;

	if (statfs(mount_dir, &statfs_) < 0 ||
	    statx(AT_FDCWD, mount_dir, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &statx_) < 0)
		return pool_fail(failure, negative_errno(), "UMOUNT", "statfs", mount_dir);
	if ((unsigned long)statfs_.f_type != BTRFS_SUPER_MAGIC ||
	    !(statx_.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return pool_no_pool(failure, mount_dir, "no btrfs file system is mounted there");
	r = mounts_source(statx_.stx_mnt_id, &source);
	if (r < 0)
		return pool_fail(failure, r, "UMOUNT", "mountinfo", mount_dir);
	if (!r || sscanf(source, "/dev/loop%d%n", &number, &end) != 1 || source[end])
		return pool_no_pool(failure, mount_dir, "what is mounted there is not in an image");
	r = loop_state(number, ret);
	if (r < 0)
		return pool_fail(failure, r, "UMOUNT", "LOOP_GET_STATUS64", source);
	return r ? 0 : pool_no_pool(failure, mount_dir, "what is mounted there has lost its image");
}

/*
 * After a mount of HOLDER is gone, wait until it has detached its image; where something else uses
 * it, name that in FAILURE.
 */
static void pool_settle(const struct loop_holder *holder, struct varve_failure *failure)
{
	uint64_t end_ns = now_ns() + POOL_SETTLE_MS * NS_PER_MS;
	struct loop_holder now;

	while (loop_state(holder->number, &now) > 0 && now.device == holder->device &&
	       now.inode == holder->inode) {
		if (now.mounted || !now.autoclear || now_ns() > end_ns) {
			pool_where(failure, &now);
			return;
		}
		poll(NULL, 0, POOL_LOOK_MS);
	}
}

/* Get the place where the image of STAT is mounted, to be freed. */
static int pool_place(const char *file, const struct stat *stat_, char **ret_point,
		      struct varve_failure *failure)
{
	struct loop_holder holder;
	char source[32];
	int r = loop_find(stat_, -1, &holder);

	if (r < 0)
		return pool_unknown(failure, r, "UMOUNT", file, &holder);
	if (!r)
		return pool_no_pool(failure, file, "the image is not mounted");
	snprintf(source, sizeof(source), "/dev/loop%d", holder.number);
	if (mounts_find(source, ret_point) > 0)
		return 0;
	pool_fail(failure, -EINVAL, "UMOUNT", NULL, file);
	pool_where(failure, &holder);
	return -EINVAL;
}

int pool_umount(const char *mount_dir, struct varve_failure *ret_failure)
{
	_cleanup_free_ char *point = NULL;
	struct loop_holder holder;
	struct stat stat_;
	int r;

	if (!mount_dir)
		return pool_fail(ret_failure, -EINVAL, "CHECK", NULL, "");
	if (!stat(mount_dir, &stat_) && S_ISREG(stat_.st_mode)) {
		r = pool_place(mount_dir, &stat_, &point, ret_failure);
		if (r)
			return r;
		mount_dir = point;
	}
	r = pool_find(mount_dir, &holder, ret_failure);
	if (r)
		return r;
	if (umount2(mount_dir, UMOUNT_NOFOLLOW) < 0)
		return pool_fail(ret_failure, negative_errno(), "UMOUNT", "umount2", mount_dir);
	*ret_failure = (struct varve_failure){ 0 };
	pool_settle(&holder, ret_failure);
	return 0;
}
