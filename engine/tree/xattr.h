/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes of an entry by its directory and name, no link followed, nothing opened. 0.. or -errno.
 *
 * A thread that asks for many entries has a seat: xattr_move() to each directory, xattr_leave() when it is through.
 */
#ifndef VARVE_TREE_XATTR_H
#define VARVE_TREE_XATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Where file capabilities and SELinux labels are. */
#define XATTR_CAPABILITY "security.capability"
#define XATTR_LABEL "security.selinux"

/* What the system calls are given for an entry. */
enum xattr_way {
	XATTR_AT,		/* the directory's descriptor, and the name */
	XATTR_NAME,		/* the name, with the directory as the thread's working directory */
	XATTR_PROC,		/* /proc/self/fd/N/NAME */
};

/* How one thread names entries. */
struct xattr_seat {
	/* The way that is to be tried; for XATTR_NAME the thread is ours, as its working directory is changed. */
	enum xattr_way way;
	/* The directory; it stays open until the next move. */
	int dir_fd;
	/* The thread's working directory is of its own; it is DIR_FD; that was tried and failed. */
	bool own, here, refused;
};

/* The best way that this kernel knows. */
enum xattr_way xattr_probe(void);

/* From now on SEAT is asked for entries of DIR_FD. */
void xattr_move(struct xattr_seat *seat, int dir_fd);

/* Leave the directory that SEAT is in, if it is in one, so that none is kept busy. */
void xattr_leave(struct xattr_seat *seat);

/* Set attribute ATTRIBUTE of NAME in SEAT's directory to SIZE bytes at VALUE. */
int xattr_set(struct xattr_seat *seat, const char *name, const char *attribute, const void *value, size_t size);

/* Read it into VALUE (SIZE bytes): how many there are; -ENODATA when there is none. */
ssize_t xattr_get(struct xattr_seat *seat, const char *name, const char *attribute, void *value, size_t size);

#endif
