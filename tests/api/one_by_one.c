/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes snapshots as other tools do, one at a time, with nothing but the ioctl: what the
 * demonstration compares with. one_by_one SOURCE DIRECTORY COUNT makes DIRECTORY/one-0 ... and
 * prints the seconds; with COUNT negative it destroys them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Seconds of a clock that only goes forward. */
static double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Open a directory or end the program. */
static int open_directory(const char *path)
{
	int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	return descriptor;
}

/* Make snapshot NUMBER of SOURCE in DIRECTORY. */
static int make(int source, int directory, int number)
{
	struct btrfs_ioctl_vol_args_v2 args = { .fd = source };
	snprintf(args.name, sizeof(args.name), "one-%d", number);
	return ioctl(directory, BTRFS_IOC_SNAP_CREATE_V2, &args);
}

/* Destroy it. */
static int destroy(int directory, int number)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	snprintf(args.name, sizeof(args.name), "one-%d", number);
	return ioctl(directory, BTRFS_IOC_SNAP_DESTROY, &args);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: one_by_one SOURCE DIRECTORY COUNT\n");
		return 2;
	}
	int source = open_directory(argv[1]), directory = open_directory(argv[2]),
	    count = atoi(argv[3]);
	double start_s = now_s();
	for (int i = 0; i < abs(count); i++) {
		if (count > 0 ? make(source, directory, i) : destroy(directory, i)) {
			fprintf(stderr, "one-%d: %s\n", i, strerror(errno));
			return 1;
		}
	}
	printf("%.3f\n", now_s() - start_s);
	close(source);
	close(directory);
	return 0;
}
