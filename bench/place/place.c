/* SPDX-License-Identifier: Apache-2.0 */
/* Make, fill, watch and remove the directory that a run works in. */
#include "place/place.h"

#include <btrfsutil.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "engines/engines.h"
#include "load/clock.h"

#define NAME_SIZE 64
/* The file that is written into a layer, and how much of it at a time. */
#define FILL_NAME "/fill"
#define FILL_BYTES (256 << 10)
/*
 * How often the length of the cleaner's queue is read: the kernels that are supported have no event
 * for it.
 */
#define DRAIN_POLL_NS (5 * NS_PER_MS)
/* The longest wait: a removed layer that another program holds open is not dropped. */
#define DRAIN_TIME_MAX_NS (120 * NS_PER_S)

/* Write an explanation to ERROR and return R. */
__attribute__((format(printf, 3, 4))) static int fail(int r, char *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, PLACE_ERROR_SIZE, format, arguments);
	va_end(arguments);
	return r;
}

/* Make the directory NAME in FD if it is missing and open it. Returns a descriptor or -errno. */
static int directory_make(int fd, const char *name)
{
	int r;

	if (mkdirat(fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	r = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

/* Find the file in which the kernel counts the commits of the file system that FD is on. */
static void find_stats(int fd, char *ret, size_t size)
{
	struct btrfs_ioctl_fs_info_args info = { 0 };
	const uint8_t *u = info.fsid;

	*ret = '\0';
	if (ioctl(fd, BTRFS_IOC_FS_INFO, &info) < 0)
		return;
	snprintf(
		ret, size,
		"/sys/fs/btrfs/%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x/commit_stats",
		u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
		u[13], u[14], u[15]);
	if (access(ret, R_OK) < 0)
		*ret = '\0';
}

/* Make and open the directories of PLACE below its root. */
static int place_fill(struct place *place, const char *fixtures)
{
	int home = directory_make(place->root.fd, "home"), r;

	if (home < 0)
		return home;
	place->subvolumes_fd = directory_make(home, "subvolumes");
	close(home);
	place->staging_fd = directory_make(place->root.fd, "staging");
	place->fixtures_fd = directory_make(fixtures ? AT_FDCWD : place->root.fd,
					    fixtures ? fixtures : "fixtures");
	r = place->subvolumes_fd < 0 ? place->subvolumes_fd
	    : place->staging_fd < 0  ? place->staging_fd
				     : 0;
	if (r < 0 || place->fixtures_fd < 0)
		return r < 0 ? r : place->fixtures_fd;
	if (snprintf(place->home, sizeof(place->home), "%s/home", place->root.path) >= PATH_MAX ||
	    snprintf(place->subvolumes, sizeof(place->subvolumes), "%s/home/subvolumes",
		     place->root.path) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (fixtures)
		r = snprintf(place->fixtures, sizeof(place->fixtures), "%s", fixtures);
	else
		r = snprintf(place->fixtures, sizeof(place->fixtures), "%s/fixtures",
			     place->root.path);
	return r >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int place_make(struct place *place, const char *directory, const char *fixtures, char *error)
{
	struct statfs sf;
	int r;

	*place = (struct place){ .subvolumes_fd = -EBADF,
				 .staging_fd = -EBADF,
				 .fixtures_fd = -EBADF };
	if (statfs(directory, &sf) < 0)
		return fail(-errno, error, "%.400s: %s", directory, strerror(errno));
	if (sf.f_type != BTRFS_SUPER_MAGIC)
		return fail(-ENOTSUP, error, "%.400s: not on btrfs", directory);
	r = safety_root_make(&place->root, directory, "varve-bench.");
	if (r < 0)
		return fail(r, error, "%.400s: %s", directory, strerror(-r));
	r = place_fill(place, fixtures);
	if (r < 0) {
		place_remove(place);
		return fail(r, error, "%.400s: %s", directory, strerror(-r));
	}
	find_stats(place->root.fd, place->stats, sizeof(place->stats));
	return 0;
}

/* Close the descriptors of PLACE but its root's. */
static void place_close(struct place *place)
{
	if (place->subvolumes_fd >= 0)
		close(place->subvolumes_fd);
	if (place->staging_fd >= 0)
		close(place->staging_fd);
	if (place->fixtures_fd >= 0)
		close(place->fixtures_fd);
	place->subvolumes_fd = place->staging_fd = place->fixtures_fd = -EBADF;
}

void place_leave(struct place *place)
{
	place_close(place);
	safety_root_leave(&place->root);
}

int place_return(struct place *place, const char *fixtures)
{
	int r = safety_root_return(&place->root);

	return r < 0 ? r : place_fill(place, fixtures);
}

int place_remove(struct place *place)
{
	int r = safety_empty(&place->root, "."), last;

	place_close(place);
	last = safety_root_remove(&place->root);
	return r < 0 ? r : last;
}

/* What the threads that make layers share. */
struct making {
	const struct place *place; /* Where. */
	const char *prefix;        /* How the names begin. */
	uint64_t count;            /* How many. */
	int from;                  /* The subvolume that they are snapshots of. */
	atomic_uint_fast64_t next; /* The next number to be made. */
	atomic_uint staging;       /* The next staging directory to be taken. */
	atomic_int error;          /* The first failure. */
};

/*
 * Make layers in a staging directory of this thread's own, so that those of all threads share
 * commits, and move them.
 */
static void *making_thread(void *argument)
{
	struct making *making = argument;
	char name[NAME_SIZE];
	int fd, r = 0;

	snprintf(name, sizeof(name), "%u", atomic_fetch_add(&making->staging, 1));
	fd = directory_make(making->place->staging_fd, name);
	if (fd < 0)
		r = fd;
	while (r == 0 && !atomic_load(&making->error)) {
		uint64_t number = atomic_fetch_add(&making->next, 1);

		if (number >= making->count)
			break;
		snprintf(name, sizeof(name), "%s%llu", making->prefix, (unsigned long long)number);
		r = layer_snapshot(fd, name, making->from);
		if (r == 0 && renameat(fd, name, making->place->subvolumes_fd, name) < 0)
			r = -errno;
	}
	if (fd >= 0)
		close(fd);
	if (r < 0)
		atomic_store(&making->error, r);
	return NULL;
}

int place_layers_make(const struct place *place, const char *prefix, uint64_t count, int from)
{
	struct making making = { .place = place, .prefix = prefix, .count = count, .from = from };
	pthread_t threads[PLACE_STAGING_MAX];
	unsigned started = 0,
		 wanted = count < PLACE_STAGING_MAX ? (unsigned)count : PLACE_STAGING_MAX;

	while (started < wanted && !pthread_create(&threads[started], NULL, making_thread, &making))
		started++;
	if (wanted && !started)
		return -EAGAIN;
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return atomic_load(&making.error);
}

int place_layer_fill(const struct place *place, const char *name, uint64_t bytes)
{
	static const char filler[FILL_BYTES];
	char path[NAME_MAX + sizeof(FILL_NAME)];
	int fd, r = 0;

	if (snprintf(path, sizeof(path), "%s" FILL_NAME, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = openat(place->subvolumes_fd, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	while (bytes && r == 0) {
		ssize_t n = write(fd, filler, bytes < sizeof(filler) ? bytes : sizeof(filler));

		if (n < 0 && errno != EINTR)
			r = -errno;
		bytes -= n > 0 ? (uint64_t)n : 0;
	}
	close(fd);
	return r;
}

int place_layers_remove(const struct place *place)
{
	int r = safety_empty(&place->root, "home/subvolumes"),
	    last = safety_empty(&place->root, "staging");

	return r < 0 ? r : last;
}

int place_set_quota(const struct place *place, enum place_quota quota)
{
	static const uint64_t commands[] = {
		[PLACE_QUOTA_OFF] = BTRFS_QUOTA_CTL_DISABLE,
		[PLACE_QUOTA_FULL] = BTRFS_QUOTA_CTL_ENABLE,
		/* Linux 6.7; not in the headers of the oldest kernel that is supported. */
		[PLACE_QUOTA_SIMPLE] = 4,
	};
	struct btrfs_ioctl_quota_ctl_args args = { .cmd = commands[quota] };

	if (ioctl(place->root.fd, BTRFS_IOC_QUOTA_CTL, &args) < 0)
		return -errno;
	/* Full quotas begin with a rescan, which is not what is to be measured. */
	if (quota == PLACE_QUOTA_FULL &&
	    ioctl(place->root.fd, BTRFS_IOC_QUOTA_RESCAN_WAIT, NULL) < 0)
		return -errno;
	return 0;
}

int place_sync(const struct place *place)
{
	return ioctl(place->root.fd, BTRFS_IOC_SYNC, NULL) < 0 ? -errno : 0;
}

int place_backlog(const struct place *place, uint64_t *ret)
{
	uint64_t *ids;
	size_t count;
	enum btrfs_util_error e = btrfs_util_deleted_subvolumes_fd(place->root.fd, &ids, &count);

	if (e)
		return -errno;
	free(ids);
	*ret = count;
	return 0;
}

int place_drain(const struct place *place, const volatile int *stop, uint64_t *ret_ns,
		bool *ret_done)
{
	uint64_t begin = clock_ns(), left = 0;
	int r = place_sync(place);

	while (r == 0) {
		struct timespec pause = { .tv_nsec = DRAIN_POLL_NS };

		r = place_backlog(place, &left);
		if (r < 0 || !left || *stop || clock_ns() - begin > DRAIN_TIME_MAX_NS)
			break;
		nanosleep(&pause, NULL);
	}
	*ret_ns = clock_ns() - begin;
	*ret_done = r == 0 && !left;
	/*
	 * The drops queue work for the next commit: commit now, before the clock starts.
	 */
	return r < 0 ? r : place_sync(place);
}

int place_commits(const struct place *place, uint64_t *ret)
{
	unsigned long long commits;
	FILE *file = *place->stats ? fopen(place->stats, "re") : NULL;
	int n;

	if (!file)
		return -ENOTSUP;
	n = fscanf(file, "commits %llu", &commits);
	fclose(file);
	if (n != 1)
		return -ENOTSUP;
	*ret = commits;
	return 0;
}
