/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state shared by the functions that unpack an archive: the archive, the layer, the current
 * entry, the failure. unpack.h describes the unpacking.
 */
#ifndef VARVE_ARCHIVE_UNPACK_STATE_H
#define VARVE_ARCHIVE_UNPACK_STATE_H

#include "engine/archive/inflate.h"
#include "engine/archive/libarchive.h"
#include "engine/archive/pax.h"
#include "engine/archive/stream.h"
#include "engine/archive/unpacked.h"
#include "engine/base/skipped.h"
#include "engine/btrfs/file_handle.h"
#include "engine/dir/spares.h"
#include "engine/store/store.h"

struct unpack {
	/* ---- set by unpack_new() ---- */
	struct varve_store *store;
	/* Where the archive comes from. */
	struct stream stream;
	/* How its ids are mapped to the host's: users, then groups. */
	struct varve_id_map *maps;
	size_t uids_count, gids_count;
	/* VARVE_OVERFLOW_IDS, VARVE_APPLY_*; and the mode of all, or 0. */
	uint64_t flags;
	mode_t force_mode;
	/*
	 * The digests that are asked for; those of the stream and of the plain archive that the
	 * caller expects, or "".
	 */
	struct digests digests;
	char expected[2][VARVE_DIGEST_SIZE];
	/*
	 * A flush comes after: begin to write the content of large files to disk as soon as parts
	 * of it are there. The operation sets it.
	 */
	bool writeback;
	/* The layer is not in its place yet: no other process uses it. The operation sets it. */
	bool unseen;

	/* ---- set by unpack_run() ---- */
	/*
	 * The layer's root directory, ours: of a clone of its mount, where there can be one, which
	 * lives by tree_fd (mounts_clone()).
	 */
	int root_fd, tree_fd;
	/* The layer in its own mount, which is the caller's. */
	int layer_fd;
	/*
	 * root_fd is in a clone of that mount; something was mounted in the layer at the beginning.
	 */
	bool cloned, mounted;
	/* The mount that it is on. */
	uint64_t mount;
	/* Directories that are opened by their numbers. */
	struct file_numbers numbers;
	/* Closed where descriptors are missing for an entry. */
	struct spares spares;
	const _Atomic bool *cancelled;
	/* How the thread yields its CPU to short requests. */
	struct yield yield;

	/* ---- the thread's ---- */
	struct libarchive lib;
	/*
	 * The current entry; the path of a failure, NULL: the archive itself; the same below the
	 * layer's id.
	 */
	char *path, *failed, *subject;
	/*
	 * The call that failed, and an explanation; constants, unless DETAIL is MADE_DETAIL.
	 */
	const char *call, *detail;
	char *made_detail;
	/* The owner of new files; the owner that the current entry gets. */
	uid_t uid, owner_uid;
	gid_t gid, owner_gid;
	/* It was reported that an owner of the current entry is in no map. */
	bool outside;
	/* Owner or group of the current entry is the overflow id. */
	bool overflowed;
	/* Most its group may have: S_IRWXG, or what a list that could not be kept gives it. */
	mode_t group_most;
	/* The thread's umask is its own, and allows all. */
	bool own_umask;
	/* The sum of the sizes in the entries. */
	uint64_t size;
	/* The losses. */
	struct skipped report;
	/* The stream's error, whether it has ended, and the bytes that it has given. */
	int error;
	bool ended;
	int64_t taken;
	/* Its last bytes, and where in it the headers of the current entry begin. */
	struct pax pax;
	int64_t header;
	/* The stream, decompressed. */
	struct inflate inflate;
	/*
	 * The directory opened last, and its path; is it in `unpacked`, with those above it?
	 */
	int dir_fd;
	char *dir_path;
	struct statx dir_stat;
	bool dir_added;
	/*
	 * New entries of the directory inherit an access control list; the current entry was given
	 * one that changes its mode.
	 */
	bool dir_default, acl_set;
	/* A new file in it has the owner of new files, and the mode that it is made with. */
	bool dir_plain;
	/* The mode of the current file, if known by dir_plain; else UNPACK_MODE_UNKNOWN. */
	mode_t made_mode;
	/*
	 * Times of directories, to be set at the end, as are the modes of LATE_COUNT: their paths
	 * one after the other.
	 */
	struct unpack_time *times;
	size_t times_count, times_capacity, late_count;
	char *names;
	size_t names_size, names_capacity;
	/* The entries that the archive has unpacked so far; whiteouts do not remove them. */
	struct unpacked unpacked;
	/* Content of the current entry was read from the archive. */
	bool consumed;
	/* The directory from which links are made exists. */
	bool staged_links;
	/* Is it known how libarchive rounds times before 1970? Does it round them towards 0? */
	bool backwards_known, backwards;
};

/* Mode of a directory that has no entry in the archive. */
#define UNPACK_DIR_MODE 0755
#define UNPACK_MODE_UNKNOWN ((mode_t)-1)

/* Note CALL if ERROR is negative. Returns ERROR. */
static inline int unpack_check(struct unpack *unpack, const char *call, int error)
{
	if (error < 0)
		unpack->call = call;
	return error;
}

/* Refuse the current entry with ERROR, for the reason DETAIL. */
static inline int unpack_refuse(struct unpack *unpack, int error, const char *detail)
{
	unpack->call = NULL;
	unpack->detail = detail;
	return error;
}

#endif
