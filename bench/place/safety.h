/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remove only what the run made. Everything that is removed lies strictly below a root: a directory
 * that the run made itself. The root is known by its descriptor, its device number and its inode;
 * what lies below it is opened by the kernel's own rules (openat2: beneath the root, on the same
 * mount, through no symbolic link), so a path that leads out is refused, whatever changes in
 * between.
 */
#ifndef BENCH_SAFETY_H
#define BENCH_SAFETY_H

#include <limits.h>
#include <sys/types.h>

#define SAFETY_DEPTH_MAX 256

/* A directory below which the run may remove things. */
struct safety_root {
	int fd;              /* Open directory. */
	dev_t device;        /* Its device number. */
	ino_t inode;         /* Its inode number. */
	char path[PATH_MAX]; /* Its absolute path without links. */
};

/*
 * Make a directory PREFIX + six random characters in DIRECTORY and take it as ROOT. Returns 0 or
 * -errno.
 */
int safety_root_make(struct safety_root *root, const char *directory, const char *prefix);

/* Close ROOT and remove its directory, which must be empty by now. Returns 0 or -errno. */
int safety_root_remove(struct safety_root *root);

/* Close ROOT until safety_root_return(). */
void safety_root_leave(struct safety_root *root);

/* Open ROOT again at its path after its file system was mounted anew. Returns 0 or -errno. */
int safety_root_return(struct safety_root *root);

/*
 * Check that the absolute PATH lies strictly below ROOT, on its mount, and is reached through no
 * link. Returns 0, -EPERM when not, or another -errno when that cannot be found out.
 */
int safety_check(const struct safety_root *root, const char *path);

/*
 * Open RELATIVE below ROOT under those rules, with FLAGS of open(2). Returns a descriptor or
 * -errno.
 */
int safety_open(const struct safety_root *root, const char *relative, int flags);

/*
 * Remove everything in the directory RELATIVE of ROOT, subvolumes included, and keep the directory.
 * Goes on after a failure; returns the first one, or 0.
 */
int safety_empty(const struct safety_root *root, const char *relative);

#endif
