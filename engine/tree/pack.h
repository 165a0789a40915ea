/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer's changes as a tar archive (PAX), or how many bytes of files they are.
 *
 * One thread writes the archive, in the order of the changes; some others read ahead into a window of entries, each taking
 * the next few. Whatever nobody has taken when its turn comes the writer reads itself, so nothing depends on the others:
 *
 *	changes  ... done | ready ready reading ready reading free free | ...
 *	                  ^ the writer          ^ next to be taken      ^ end of the window
 *
 * An entry that vanished, or fails, is reported and left out; a file that shrinks while it is read is filled up with
 * zeros, one that grows is cut: the archive stays valid.
 */
#ifndef VARVE_TREE_PACK_H
#define VARVE_TREE_PACK_H

#include "engine/base/idmap.h"
#include "engine/base/limits.h"
#include "engine/tree/changes.h"
#include "engine/tree/idrange.h"
#include "engine/tree/libarchive.h"
#include "engine/tree/report.h"
#include "engine/tree/stream.h"
#include "engine/tree/xattrs.h"

#include <pthread.h>
#include <sys/stat.h>

/* An entry that is read ahead. */
struct pack_item {
	/* It is all there. */
	bool ready;
	/* Why it is left out: negative errno, and the call that failed. */
	int error;
	const char *call;
	struct statx statx;
	/* Open when it is a file of some size. */
	int fd;
	/* The first bytes of a file, or the target of a link. */
	char *bytes;
	size_t length, capacity;
	struct xattrs xattrs;
};

struct pack {
	/* ---- set by whoever starts it ---- */
	/* Loaded by the thread that writes. */
	struct libarchive lib;
	/* The root directory, and what changed below it, sorted. */
	int root_fd;
	const struct changes *changes;
	/* Which ids the container sees. */
	const struct varve_id_map *uids, *gids;
	size_t uids_count, gids_count;
	/* Where the archive goes. */
	struct stream *stream;
	struct fault *fault;
	const _Atomic bool *cancelled;

	/* ---- the writer's ---- */
	struct report report;
	/* The stream's error. */
	int error;
	/* (inode, device) of files with more than one name to the index of the first one's change, counted from 1. */
	struct idmap links;
	/* Bytes of files, each inode once. */
	uint64_t size;
	char *buffer;

	/* ---- guarded by lock ---- */
	pthread_mutex_t lock;
	/* Broadcast when something is ready; when there is room, or nothing more to do. */
	pthread_cond_t ready, room;
	/* The change to be taken next; the one that the writer is at. */
	size_t next, at;
	bool over;
	struct pack_item items[PACK_ITEMS];
};

/* Prepare; pack_end() is due whatever comes of it. */
void pack_begin(struct pack *pack);

/* Read ahead until all was written. Any number of threads. */
void pack_read_ahead(struct pack *pack);

/* Let those that read ahead end. Any thread. */
void pack_stop(struct pack *pack);

/* Write the archive: 0 or -errno. One thread. */
int pack_write(struct pack *pack);

/* Add up the sizes of files: 0 or -errno; then pack->size. */
int pack_measure(struct pack *pack);

/* Free what is held. */
void pack_end(struct pack *pack);

#endif
