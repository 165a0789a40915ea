/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btrfs/loop.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

/* The number N of a directory's entry "loopN", or -1. */
static int loop_number(const char *name)
{
	char *end;
	long number;

	if (strncmp(name, "loop", 4) || !isdigit((unsigned char)name[4]))
		return -1;
	number = strtol(name + 4, &end, 10);
	return *end || number > INT32_MAX ? -1 : (int)number;
}

/*
 * Is a btrfs mounted from /dev/loopNUMBER? The kernel lists the devices of all that are mounted, in
 * whichever namespace.
 */
static bool loop_mounted(int number)
{
	DIR *directory = opendir("/sys/fs/btrfs");
	const struct dirent *entry;
	bool mounted = false;
	char path[NAME_MAX + 64];

	while (directory && !mounted && (entry = readdir(directory))) {
		snprintf(path, sizeof(path), "/sys/fs/btrfs/%s/devices/loop%d", entry->d_name,
			 number);
		mounted = !access(path, F_OK);
	}
	if (directory)
		closedir(directory);
	return mounted;
}

/*
 * Open loop device NUMBER, which this /dev lacks, in a devtmpfs that is mounted nowhere. A
 * descriptor or -errno. CAP_SYS_ADMIN.
 */
static int loop_open_unseen(int number)
{
	_cleanup_close_ int context = RET_NERRNO(fsopen("devtmpfs", FSOPEN_CLOEXEC)),
			    mount = -EBADF;
	char name[16];

	if (context < 0)
		return context;
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return negative_errno();
	mount = RET_NERRNO(
		fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
	if (mount < 0)
		return mount;
	snprintf(name, sizeof(name), "loop%d", number);
	return RET_NERRNO(openat(mount, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
}

/*
 * Identify the image of loop device NUMBER, which cannot be opened, by the path that /sys has of
 * it: 1, 0 when the device has no image, or -EBUSY: it has one that is not known.
 */
static int loop_info_path(int number, struct loop_info64 *ret_info)
{
	char path[64], image[PATH_MAX + 16];
	struct stat stat_;
	size_t length;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/loop%d/loop/backing_file", number);
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? 0 : -EBUSY;
	length = fread(image, 1, sizeof(image) - 1, file);
	fclose(file);
	/* It was detached just now. */
	if (!length)
		return 0;
	image[length - (image[length - 1] == '\n')] = '\0';
	/* It is deleted, or lies in another mount namespace. */
	if (stat(image, &stat_) < 0)
		return -EBUSY;
	*ret_info = (struct loop_info64){ .lo_device = stat_.st_dev, .lo_inode = stat_.st_ino };
	return 1;
}

/*
 * Ask loop device NUMBER for its image: 1, 0 when it has none, or -errno; -EBUSY: it has one that
 * is not known. *RET_BY_PATH: the answer is that of loop_info_path().
 */
static int loop_info(int number, struct loop_info64 *ret_info, bool *ret_by_path)
{
	_cleanup_close_ int device = -EBADF;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/dev/loop%d", number);
	device = RET_NERRNO(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	/* A container's /dev has other devices than the kernel. */
	if (device == -ENOENT)
		device = loop_open_unseen(number);
	*ret_by_path = device < 0 && device != -ENXIO && device != -ENODEV;
	if (*ret_by_path)
		return loop_info_path(number, ret_info);
	r = device < 0 ? device : RET_NERRNO(ioctl(device, LOOP_GET_STATUS64, ret_info));
	/* Detached just now. */
	if (r == -ENXIO || r == -ENODEV)
		return 0;
	return r < 0 ? r : 1;
}

int loop_state(int number, struct loop_holder *ret)
{
	struct loop_info64 info = { 0 };
	bool by_path;
	int r = loop_info(number, &info, &by_path);

	if (r > 0)
		*ret = (struct loop_holder){ .number = number,
					     .autoclear = info.lo_flags & LO_FLAGS_AUTOCLEAR,
					     .mounted = loop_mounted(number),
					     .device = info.lo_device,
					     .inode = info.lo_inode,
					     .by_path = by_path };
	return r;
}

int loop_find(const struct stat *stat, int except, struct loop_holder *ret)
{
	DIR *directory = opendir("/sys/block");
	const struct dirent *entry;
	int unknown = -1, r = 0;

	/* Without /sys, the devices that /dev has. */
	if (!directory)
		directory = opendir("/dev");
	if (!directory)
		return negative_errno();
	while (!r && (entry = readdir(directory))) {
		int number = loop_number(entry->d_name);
		struct loop_holder holder;

		if (number < 0 || number == except)
			continue;
		r = loop_state(number, &holder);
		if (r > 0 && (holder.device != stat->st_dev || holder.inode != stat->st_ino))
			r = holder.by_path ? -EBUSY : 0;
		if (r == -EBUSY) {
			unknown = number;
			r = 0;
		}
		if (r > 0)
			*ret = holder;
	}
	closedir(directory);
	if (r || unknown < 0)
		return r;
	*ret = (struct loop_holder){ .number = unknown };
	return -EBUSY;
}

int loop_control(void)
{
	int fd = RET_NERRNO(open("/dev/loop-control", O_RDWR | O_CLOEXEC));

	return fd == -EACCES ? -EPERM : fd;
}

int loop_attach(int file_fd, int *ret_number, const char **ret_call)
{
	_cleanup_close_ int control = loop_control();
	struct loop_config config = { .fd = (uint32_t)file_fd,
				      .info = { .lo_flags = LO_FLAGS_AUTOCLEAR } };
	int r = -EBUSY;

	*ret_call = "open";
	if (control < 0)
		return control;
	for (int i = 0; r == -EBUSY && i < POOL_LOOP_TRIES; i++) {
		_cleanup_close_ int device = -EBADF;
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		char path[32];

		*ret_call = "LOOP_CTL_GET_FREE";
		if (number < 0)
			return negative_errno();
		snprintf(path, sizeof(path), "/dev/loop%d", number);
		device = open(path, O_RDWR | O_CLOEXEC);
		*ret_call = "open";
		if (device < 0)
			return negative_errno();
		r = RET_NERRNO(ioctl(device, LOOP_CONFIGURE, &config));
		*ret_call = "LOOP_CONFIGURE";
		if (!r) {
			*ret_number = number;
			return TAKE_FD(device);
		}
	}
	return r;
}
