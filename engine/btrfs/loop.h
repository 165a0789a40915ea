/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loop devices and the images that they hold.
 *
 * Two loop devices on one image make two file systems of it, which destroy each other. So an image
 * is locked before it is attached: by flock on the descriptor that is passed to LOOP_CONFIGURE. The
 * device keeps that open file, and so the lock, for as long as it holds the image, also when the
 * process ends; so no lock is ever stale. Devices that other programs attach have no such lock, and
 * are found by the image's inode. Of a device that cannot be opened only a path is known: if the
 * image is at that path it counts as held; otherwise the device's image is not known.
 */
#ifndef VARVE_BTRFS_LOOP_H
#define VARVE_BTRFS_LOOP_H

#include <stdbool.h>
#include <sys/stat.h>

/* A loop device that holds an image. */
struct loop_holder {
	/* N of /dev/loopN. */
	int number;
	/* It detaches itself at the last close. */
	bool autoclear;
	/* A btrfs is mounted from it, in whichever mount namespace. */
	bool mounted;
	/* The image's st_dev. */
	dev_t device;
	/* The image's st_ino. */
	ino_t inode;
	/* Both are of the file at the image's path, which may belong to another mount namespace. */
	bool by_path;
};

/*
 * Find a loop device that holds the file of STAT, other than /dev/loopEXCEPT (-1: any): 1 and *RET,
 * 0 for none, or -errno. -EBUSY: no device is known to hold it, but the device *RET, of which only
 * the number is set, holds an unknown file.
 */
int loop_find(const struct stat *stat, int except, struct loop_holder *ret);

/* Get the state of /dev/loopNUMBER: 1 and *RET, 0 when it holds nothing, or -errno. */
int loop_state(int number, struct loop_holder *ret);

/*
 * Attach FILE_FD to a free loop device, which detaches itself at the last close: its descriptor,
 * and its number in *RET_NUMBER. On failure -errno, and the call that failed in *RET_CALL. -EPERM
 * when the caller may not.
 */
int loop_attach(int file_fd, int *ret_number, const char **ret_call);

/* Open /dev/loop-control; -EPERM when the caller may not. */
int loop_control(void);

#endif
