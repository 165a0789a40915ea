/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One extended attribute of an entry, by its directory and name. No link is followed and nothing is
 * opened. All return 0, or the number of bytes, or -errno.
 *
 * A thread that handles many entries has a struct xattr_dir: xattr_dir_set() for each directory,
 * xattr_dir_leave() at the end.
 */
#ifndef VARVE_DIR_XATTR_H
#define VARVE_DIR_XATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Where file capabilities and SELinux labels are. */
#define XATTR_CAPABILITY "security.capability"
#define XATTR_LABEL "security.selinux"

/* How the system calls name an entry. */
enum xattr_method {
	XATTR_AT,   /* the directory's descriptor, and the name */
	XATTR_CWD,  /* the name, with the directory as the thread's working directory */
	XATTR_PROC, /* /proc/self/fd/N/NAME */
};

/* The current directory of a thread, and how it names entries. */
struct xattr_dir {
	/*
	 * The method that is tried; for XATTR_CWD the thread must be the library's own, as its
	 * working directory is changed.
	 */
	enum xattr_method method;
	/* The directory; it stays open until the next one is set. */
	int dir_fd;
	/* The thread has a working directory of its own; that is DIR_FD; going there has failed. */
	bool own, here, refused;
};

/* The best method that this kernel knows. */
enum xattr_method xattr_probe(void);

/* Set the directory of DIR to DIR_FD. */
void xattr_dir_set(struct xattr_dir *dir, int dir_fd);

/* Leave the directory that DIR is in, if it is in one, so that none is kept busy. */
void xattr_dir_leave(struct xattr_dir *dir);

/* Set attribute ATTRIBUTE of NAME in DIR's directory to SIZE bytes at VALUE. */
int xattr_set(struct xattr_dir *dir, const char *name, const char *attribute, const void *value,
	      size_t size);

/*
 * List the names of the attributes of NAME in DIR's directory, each with its NUL, to LIST (SIZE
 * bytes): their bytes; -ERANGE.
 */
ssize_t xattr_list(struct xattr_dir *dir, const char *name, char *list, size_t size);

/* Read it into VALUE (SIZE bytes): how many there are; -ENODATA when there is none. */
ssize_t xattr_get(struct xattr_dir *dir, const char *name, const char *attribute, void *value,
		  size_t size);

#endif
