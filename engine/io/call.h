/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call: a system call described in memory, so that the ring or a lane thread can make it; its
 * owner cannot see which. CALL_FUNCTION is for calls that the ring has no opcode for (ioctls,
 * getdents64, fchownat): a function that runs on a lane thread.
 */
#ifndef VARVE_IO_CALL_H
#define VARVE_IO_CALL_H

#include "engine/base/inbox.h"
#include "engine/base/list.h"

#include <linux/openat2.h>
#include <stdint.h>
#include <sys/stat.h>

enum call_kind {
	CALL_FUNCTION,
	CALL_OPENAT2,
	CALL_STATX,
	CALL_UNLINKAT,
	CALL_KINDS,
};

/* Which threads make a CALL_FUNCTION. */
enum call_lane {
	/*
	 * short blocking calls, about one thread a CPU: nothing that grows with a tree, a store or
	 * a list
	 */
	LANE_FS,
	/* calls that mostly sleep in a transaction commit */
	LANE_COMMIT,
	/* slices of walks: as many as engine/walk/workers.c lets run */
	LANE_WALK,
	/* calls that wait for the peer of a stream */
	LANE_STREAM,
	/* calls whose time grows with a tree, a store or a list, in one piece */
	LANE_LONG,
	LANES,
};

struct call {
	union {
		/* In a lane's queue, or among the calls that wait for room in the ring. */
		struct list link;
		/* Then in the reactor's inbox. */
		struct inbox_node node;
	};
	/* The kind of call. */
	enum call_kind kind : 8;
	/* For CALL_FUNCTION. */
	enum call_lane lane : 8;
	/* 0.. or a negative errno, once it is done. */
	int result;
	/* The system call or ioctl, for the error record; a function may set it as it goes. */
	const char *name;
	/* Runs on the reactor once it is done. */
	void (*done)(struct call *call);
	union {
		/* Runs on a lane thread; its return value becomes the result. */
		int (*function)(struct call *call);
		struct {
			int dirfd;
			const char *path;
			struct open_how how;
		} openat2;
		struct {
			int dirfd;
			int flags;
			const char *path;
			unsigned mask;
			struct statx *buffer;
		} statx;
		struct {
			int dirfd;
			int flags;
			const char *path;
		} unlinkat;
	};
};

/*
 * Describe openat2(DIRFD, PATH, FLAGS | O_CLOEXEC) with RESOLVE flags. PATH has to live until the
 * call is done.
 */
void call_openat2(struct call *call, int dirfd, const char *path, uint64_t flags, uint64_t resolve);

/* Describe statx(DIRFD, PATH, FLAGS, MASK, BUFFER). */
void call_statx(struct call *call, int dirfd, const char *path, int flags, unsigned mask,
		struct statx *buffer);

/* Describe unlinkat(DIRFD, PATH, FLAGS). */
void call_unlinkat(struct call *call, int dirfd, const char *path, int flags);

/* Describe FUNCTION on LANE; NAME is for the error record until the function sets a better one. */
void call_function(struct call *call, enum call_lane lane, const char *name,
		   int (*function)(struct call *call));

/* Make the call on this thread. */
int call_run(struct call *call);

#endif
