/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A class of walk, the arguments of its functions, and the calls that they may make (walk_dirs.c).
 */
#ifndef VARVE_WALK_WALK_CLASS_H
#define VARVE_WALK_WALK_CLASS_H

#include "engine/dir/spares.h"
#include "engine/walk/deque.h"
#include "engine/walk/workers.h"

#include <pthread.h>
#include <sys/stat.h>

struct walk;

/* A directory that was found and is not finished. */
struct walk_dir {
	/* The directory that it is in; NULL: it is the root. */
	struct walk_dir *parent;
	/* The next one on the way down, while closed directories are opened again. */
	struct walk_dir *down;
	/* On a stack of directories to be read. */
	struct list link;
	/* In walk->idle, while it is open and not in use. */
	struct list idle;
	/* Its descriptor, -EBADF while it is closed; its users, for which it stays open. */
	int fd;
	unsigned pins;
	/*
	 * Directories in it that are not finished, and one for itself while it is not wholly read.
	 */
	unsigned unfinished;
	/* Where reading goes on. */
	int64_t position;
	/* Its inode (0: not seen yet), device and subvolume. */
	uint64_t inode, device, subvolume;
	/* class->enter() has returned 0. */
	bool entered;
	/* Its name; of the root: the layer's id. */
	char name[];
};

/* An entry that is no directory. */
struct walk_entry {
	struct walk_dir *dir;
	const char *name;
	uint64_t inode;
	/* DT_*, as listed in the directory. */
	unsigned char type;
	/* Its stat, from FD where that is open; NULL where the class needs none. */
	const struct statx *stat;
	/*
	 * The entry, opened by O_PATH, where walk->hold is set: STAT is of this inode. Else -EBADF.
	 */
	int fd;
	/* Where visit() counts, and how it gets at extended attributes. */
	struct sums *sums;
	struct xattr_dir *xattr_dir;
	/* The result of the ring's call on it; 1: the ring has made none. */
	int done;
};

struct walk_class {
	/* The system call that visit() and leave() make, for the error record. */
	const char *call;
	/*
	 * How many times longer visit() takes than a statx of a cached entry. 0: 1.
	 */
	unsigned slow_factor;
	/* visit() needs entry->stat. */
	bool stat;
	/*
	 * With walk->hold, before it is opened: is the entry with INODE, as listed in the
	 * directory, to be visited? NULL: each is.
	 */
	bool (*wanted)(struct walk *walk, uint64_t subvolume, uint64_t inode);
	/* Content beneath a mount may be left out: that sets walk->left_out, and is no failure. */
	bool leaves_mounts;
	/* The ring unlinks slow entries, instead of a statx. */
	bool unlink;
	/*
	 * A directory is open (dir->fd) and has not been read: 0, or -errno not to read it.
	 * NULL: 0.
	 */
	int (*enter)(struct walk *walk, struct walk_dir *dir, const struct statx *stat);
	/*
	 * Visit an entry. -errno is recorded, and the walk goes on; a vanished entry is no failure.
	 */
	int (*visit)(struct walk *walk, struct walk_entry *entry);
	/*
	 * All entries of a directory that was entered are done; its parent is open. NULL: do
	 * nothing.
	 */
	int (*leave)(struct walk *walk, struct walk_dir *dir);
	/* leave() wants the root only. */
	bool leave_root;
	/*
	 * Give the caller access to a directory that cannot be opened (-EACCES): 0, or -errno.
	 * NULL: the class cannot.
	 */
	int (*grant_access)(struct walk *walk, int parent_fd, const char *name);
	/* The walk is freed: free what the class has. NULL: nothing. */
	void (*release)(struct walk *walk);
};

struct walk {
	/* Its counters: entries seen, directories included; the others as the class counts. */
	struct job job;
	const struct walk_class *class;
	/* Data of the class. */
	void *data;
	/* The layer's root directory; owned by the caller. */
	int root_fd;
	/* Something may be mounted in the tree: look at each entry before touching it. */
	bool mounts;
	/*
	 * Names may be exchanged meanwhile, and that matters: visit() gets each entry opened, and
	 * its stat from the descriptor.
	 */
	bool hold;
	/* Something was mounted, and is left out. */
	_Atomic bool left_out;
	/* Called when the walk is over. Reactor. */
	void (*done)(struct walk *walk, int result);
	/* The walk's owner: the operation, or a struct between. */
	struct op *owner;
	void *context;
	/* Take the last subdirectory of a directory first. */
	bool last_first;
	/* May the ring be used; the time from which on an entry is slow. */
	bool ring;
	uint64_t slow_ns;

	/* Guards what follows. */
	pthread_mutex_t lock;
	/* Directories to be read. */
	struct deque deque;
	/* The number of these directories, and of batches whose calls are done. */
	_Atomic unsigned pending;
	/* Batches whose calls are done; the number of batches that the ring has or will have. */
	struct list ready;
	_Atomic unsigned batches;
	/* Open directories without a user, longest unused first; all open ones. */
	struct list idle;
	unsigned fds;
	/*
	 * How many directories stay open beside those in use: settings.walk_fds_max, and fewer
	 * where descriptors were missing.
	 */
	unsigned fds_max;
	/* Closed where descriptors are missing. */
	struct spares spares;
	/*
	 * Threads in the walk; did descriptors run short for them, so that one continues alone?
	 */
	_Atomic unsigned threads;
	_Atomic bool crowded;
	/* Bytes of struct walk_dir. */
	size_t records;
	/* One thread at a time opens what was closed. */
	pthread_mutex_t reopen;
	/* The first failure: what, in which call, on ID/PATH. */
	int error;
	const char *error_call;
	char error_path[VARVE_FAILURE_PATH_SIZE];
};

/*
 * Write the path of NAME (NULL: itself) in DIR, from the layer's id on; of one that is too long the
 * end is kept. Any thread.
 */
void walk_path(const struct walk_dir *dir, const char *name, char path[VARVE_FAILURE_PATH_SIZE]);

/* Record ERROR of CALL on NAME (NULL: itself) in DIR; the first one counts. Any thread. */
void walk_failed(struct walk *walk, const struct walk_dir *dir, const char *name, const char *call,
		 int error);

/* The descriptor of DIR, opened if necessary, until walk_put(); or -errno. */
int walk_get(struct walk *walk, struct walk_dir *dir);
void walk_put(struct walk *walk, struct walk_dir *dir);

#endif
