/* SPDX-License-Identifier: Apache-2.0 */
/* Every bound of the engine, with its reason. Nothing in it grows without one of these. */
#ifndef VARVE_BASE_LIMITS_H
#define VARVE_BASE_LIMITS_H

#include "varve.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>

/* Requests in flight. A request is about 320 bytes; 4096 of them keep any disk busy. */
#define REQUESTS_DEFAULT 4096

/* Threads whose latest refusal is kept (1.6 KiB each): as many as submit to one store, and more. */
#define REFUSALS_MAX 64

/* Calls in the ring at once; io-wq runs at most 4 per CPU anyway, so more only queue. */
#define RING_ENTRIES_DEFAULT 256
#define RING_ENTRIES_MIN 8
#define RING_ENTRIES_MAX 4096

/*
 * How long a thread that waits for another one looks whether it is through before it sleeps, if its
 * last sleep was no longer than that: to be woken costs both sides some 5 to 20 us.
 */
#define SPIN_NS (50 * 1000)

/*
 * How often at most a thread that computes for long hands its CPU over. Each time it may forgo the
 * rest of the kernel's slice, some 3 ms of what it may have beside other programs; and what a short
 * request waits for is held up by this at each step.
 */
#define YIELD_NS (500 * 1000)

/*
 * Descriptors that operations count on. They are counted every FDS_COUNT_MS at most, by one call
 * (0.4 us), before Linux 6.2 by one for each number below the limit (40 ns each), and in one part
 * of FDS_COUNT_SHARE of the time at most.
 */
#define FDS_LIMIT_MAX (1024 * 1024)
#define FDS_COUNTED_MAX 4096
#define FDS_COUNT_MS 20
#define FDS_COUNT_SHARE 50

/*
 * Archives that wait for their other ends, of which none has moved a byte for so long, do not keep
 * others from beginning.
 */
#define FDS_STALL_MS 5000

/*
 * Nothing is counted as long as no more than these are reserved: a lone operation, and a few, cost
 * nothing.
 */
#define FDS_EASY 20

/*
 * What an operation has open at once: its slot, what it starts from, what it makes, a lock, a
 * record or a file in sysfs.
 */
#define FDS_OPERATION 5

/*
 * A removal is destroyed by its name, by the one thread that destroys; what it opens where more has
 * to be done is its thread's.
 */
#define FDS_REMOVE 1

/* It opens nothing. */
#define FDS_NOTHING UINT_MAX

/*
 * What no operation may reserve: a walk by one thread needs that, and so one goes on at any time.
 */
#define FDS_RESERVE 12

/*
 * What one thread of a comparison has open: two directories, two files, and what one of those is
 * opened by. What a request of this kind has open: two layers, two for their clones, and either so
 * many for each thread, or what is read ahead of an archive and the other end.
 */
#define FDS_COMPARE_THREAD 5
#define FDS_CHANGES (4 + COMPARE_THREADS_MAX * FDS_COMPARE_THREAD)

/*
 * What unpacking has open: the layer, two for its clone, two directories, a file, what it holds in
 * reserve, a walk that empties one.
 */
#define FDS_APPLY 19

/*
 * Descriptors that unpacking holds from before it begins, to be closed when it needs others: for
 * what one entry opens at once.
 */
#define UNPACK_SPARES 4

/* The same of a walk: a directory, its parent, an entry. */
#define WALK_SPARES 3
#define SPARES_MAX 4

/*
 * Parts of RLIMIT_NOFILE: worker slots have a directory each; idle directories of a walk; threads
 * that walk.
 */
#define FDS_SLOTS_PART 4
#define FDS_WALK_PART 16

/* Threads for short blocking calls: they are CPU bound, so the default is one for each CPU. */
#define FS_THREADS_MAX 64

/*
 * Threads that sleep in a commit: the group can be no larger. 128 gave the best rate measured (see
 * README.md).
 */
#define COMMIT_THREADS_DEFAULT 128
#define COMMIT_THREADS_MAX 512

/*
 * Calls under way that take long: sweeps, checks, searches of whole trees, sorts of all that was
 * found. More than CPUs, as they sleep in flushes and for the disk, and a small one should not wait
 * for a few large ones; the rest waits in the order it came.
 */
#define LONG_THREADS_MAX 16

/* Stack of a lane thread: the deepest call needs under 24 KiB (search buffers are on the heap). */
#define LANE_STACK_BYTES (128 * 1024)

/* An idle lane thread ends after this time, so that a quiet store holds few. */
#define LANE_IDLE_MS 10000

/*
 * Dead subvolumes that may await the cleaner before creates wait: at some 100 us each, half a
 * second of its work.
 */
#define BACKLOG_DEFAULT 4096
#define BACKLOG_LIMIT 1000000

/*
 * Under full quotas, as long as layers are removed: how many may be dead or about to be made before
 * creates wait. What a commit and a drop cost there grows with the number of snapshots that share
 * their leaves; with 8 a churn is the fastest.
 */
#define BACKLOG_FULL_QUOTA 8
/*
 * So long after a removal; so long one waits while the cleaner drops nothing, and then goes alone.
 */
#define BACKLOG_FULL_QUOTA_MS 5000
#define BACKLOG_FULL_QUOTA_WAIT_MS 25

/*
 * How often the kernel is asked how far its cleaner is, while a create waits: less often the longer
 * it has dropped nothing.
 */
#define BACKLOG_POLL_MIN_MS 2
#define BACKLOG_POLL_MAX_MS 20

/*
 * A cleaner that drops nothing is woken after this time, and again after twice as long: one large
 * layer may take that long.
 */
#define BACKLOG_WAKE_MIN_MS 20
#define BACKLOG_WAKE_MAX_MS 500

/*
 * How often it is asked, without haste, after a removal, until all is dropped and what that leaves
 * behind is swept.
 */
#define BACKLOG_SWEEP_MS 5000

/* After so many removals there is a sweep although more are still to be dropped. */
#define BACKLOG_SWEEP_DESTROYED 4096

/*
 * How long destroys may take at one boundary between groups, and in one call: what a create waits
 * for, and a cancel. A destroy takes 25 us, and 4 us for each inode of the layer that is cached.
 */
#define DESTROY_SLICE_NS (3 * NS_PER_MS)

/* Destroys run at one boundary between groups while creates wait, however short they are. */
#define DESTROYS_PER_BEAT_MAX 128

/* Destroys handed to a lane in one call when no create waits. */
#define DESTROYS_PER_CALL_MAX 256

/*
 * Nested subvolumes are created by what runs in the layer: how often we look again before we give
 * up.
 */
#define NESTED_ROUNDS_MAX 64

/*
 * Without privilege one is reached by its path, which what runs in the layer may give to something
 * else: how often we look again in one batch before we go entry by entry.
 */
#define NESTED_MOVED_MAX 64

/*
 * How often one nested subvolume is freed of the flags and read-only subvolumes that forbid to
 * destroy it.
 */
#define NESTED_LOOSEN_MAX 8

/*
 * Nested subvolumes destroyed in one piece of work, so that a layer with thousands does not delay a
 * group.
 */
#define NESTED_BATCH 64

/*
 * Such pieces of work for one layer without privilege, where what is nested is not looked for
 * first: what runs in the layer may make subvolumes as fast. These are 16,384 subvolumes; another
 * removal goes on from there.
 */
#define NESTED_BATCHES_MAX 256

/*
 * Nested subvolumes of one layer that are held in memory at once (24 bytes each); with more,
 * several rounds are made.
 */
#define NESTED_MAX 65536

/* Bytes asked of one tree search: the answer of some 100 to 1000 items. */
#define SEARCH_BUFFER_BYTES (64 * 1024)

/*
 * Snapshots of snapshots that are followed to a common origin: images have some 128 layers at most.
 */
#define LINEAGE_MAX 1024

/* Changed inodes whose numbers are held in memory; where there are more, walking is no slower. */
#define DELTA_INODES_MAX (512 * 1024)

/* Directories on ways to changed inodes that are held in memory (some 50 bytes each). */
#define DELTA_DIRECTORIES_MAX (256 * 1024)

/* Memory for names of changed entries; directories that have others are listed. */
#define DELTA_HINTS_BYTES (1024 * 1024)

/* Threads that one comparison of two trees uses at most: each has descriptors reserved. */
#define COMPARE_THREADS_MAX 8

/* Bytes of names of directories that go onto the stack of a comparison together. */
#define COMPARE_BATCH_BYTES ((size_t)4096)

/*
 * How long a comparison is done by the thread that has prepared it before it becomes a job of
 * others: mostly that is all.
 */
#define COMPARE_TRY_NS (1 * NS_PER_MS)

/*
 * Files from which on the extents are compared before the bytes; extents asked for at once; bytes
 * of a file read at once.
 */
#define CONTENT_MAP_MIN ((uint64_t)16 * 1024)
#define CONTENT_EXTENTS 64
#define CONTENT_CHUNK_BYTES ((size_t)64 * 1024)

/*
 * Threads that read and write archives. Each may wait for a peer for ever, so they have a lane of
 * their own, on which those that come later wait for one that is free: 128 stalled unpackings, or
 * 32 stalled archives, hold up the next.
 */
#define STREAM_THREADS_MAX 128

/*
 * Threads that read ahead for one archive; with the one that writes it they keep two CPUs, or a few
 * disks, busy.
 */
#define PACK_THREADS_MAX 3

/* Entries read ahead for one archive, and how many of them one thread takes at once. */
#define PREFETCH_ITEMS 256
#define PREFETCH_CLAIM 64

/* Files that are longer, and are kept open until their turn comes. */
#define PREFETCH_FDS_MAX 8

/*
 * Bytes of attributes, names and values, of one file: readers of archives (libarchive, Go) take no
 * longer header.
 */
#define XATTRS_BYTES_MAX (1024 * 1024)

/*
 * Bytes of attributes that are read ahead; and of one entry that comes out of the tree, which so
 * many may have at once.
 */
#define PREFETCH_XATTRS_BYTES (4 * 1024 * 1024)
#define GATHER_XATTRS_BYTES (PREFETCH_XATTRS_BYTES / PREFETCH_ITEMS)

/* Bytes of a file that are read ahead; of a longer one the rest is read while it is written. */
#define PREFETCH_FILE_BYTES (64 * 1024)

/* From so many entries on the tree is searched for them: it takes three flushes. */
#define GATHER_MIN 2048

/* Bytes moved at once: to and from streams, out of and into files. */
#define STREAM_CHUNK_BYTES (256 * 1024)

/*
 * Pieces of data with holes between them in one file's map in an archive; with more, small holes
 * are zeros (some 130 bytes each).
 */
#define SPARSE_PIECES_MAX ((size_t)1000000)

/* A hole up to which that can happen: so many zeros for a sector of data at most. */
#define SPARSE_GAP_BYTES_MAX ((off_t)1024 * 1024)

/*
 * Bytes of holes that have data behind them in one file: libarchive goes by steps of 2 GiB, which
 * takes 26 ms for so many.
 */
#define SPARSE_HOLES_BYTES_MAX ((off_t)1 << 52)

/*
 * How often a file is tried again that a process keeps a lease on, and how much longer than the
 * kernel gives it to let go; and for how long where the kernel gives it any time.
 */
#define LEASE_POLL_MS 10
#define LEASE_GRACE_MS 5000
#define LEASE_WAIT_MAX_MS 120000

/*
 * Bytes of an archive that await callbacks of the caller's, or were written by it and await a
 * thread.
 */
#define CHANNEL_BYTES ((size_t)VARVE_STREAM_BYTES)

/*
 * Conversions between character sets that libarchive has open for one archive: it takes one for
 * each direction.
 */
#define LIBARCHIVE_CONVERSIONS_MAX 8

/*
 * Bytes that libarchive may hold for one archive. SPARSE_PIECES_MAX pieces of a file take 90 MiB in
 * it. Without a bound a map of pieces, four bytes each in an archive and nearly none compressed,
 * would take all memory there is.
 */
#define LIBARCHIVE_BYTES_MAX ((size_t)256 << 20)

/* Its blocks up to this size, in steps, are cut off chunks: an entry and its strings are. */
#define LIBARCHIVE_SMALL_MAX 2048
#define LIBARCHIVE_SMALL_STEP 32
#define LIBARCHIVE_CHUNK_BYTES 32768

/* Bytes of a path in an archive: four times what one system call takes. */
#define UNPACK_PATH_BYTES_MAX (4 * PATH_MAX)

/*
 * Directories of one archive, and bytes of their paths, that are held until their times can be set.
 */
#define UNPACK_DIRS_MAX (4 * 1024 * 1024)
#define UNPACK_NAMES_BYTES_MAX (256 * 1024 * 1024)

/*
 * Bytes of the paths that are held while a directory is copied (walk/copy.h), and those of a file
 * between two looks at a cancel.
 */
#define COPY_NAMES_BYTES_MAX ((size_t)256 << 20)
#define COPY_STEP_BYTES ((off_t)64 << 20)

/*
 * What the decoder of a compressed archive may hold: a window of zstd (1 << 27 = 128 MiB, as its
 * command takes without --memory), a dictionary of xz (64 MiB, as xz -9 has) and what else its
 * decoder takes: the next larger dictionary has 96 MiB. Of gzip it is 100 KiB, of bzip2 4 MiB.
 */
#define ZSTD_WINDOW_LOG_MAX 27
#define XZ_DICTIONARY_BYTES_MAX (64 * 1024 * 1024)
#define XZ_MEMORY_BYTES_MAX (XZ_DICTIONARY_BYTES_MAX + 8 * 1024 * 1024)

/* Pieces of STREAM_CHUNK_BYTES that are decompressed ahead of the thread that unpacks. */
#define INFLATE_PIECES 4

/* Pieces of STREAM_CHUNK_BYTES of one stream that await the thread that takes its digest. */
#define DIGEST_PIECES 4

/*
 * Links of one archive to files that were there before it, whose names are held (some 40 bytes
 * each).
 */
#define BROUGHT_NAMES_MAX (4 * 1024 * 1024)

/*
 * Of an archive, kept behind what is unpacked: more than the headers of an entry take that has few
 * attributes.
 */
#define PAX_BEFORE_BYTES 8192

/* Entries that failed and whose records are kept for the caller. */
#define REPORT_KEPT_MAX 64

/* Bytes of a piece of memory that holds paths. */
#define CHANGES_BLOCK_BYTES (256 * 1024)

/* Bytes asked of one getdents64. */
#define READDIR_BUFFER_BYTES (64 * 1024)

/*
 * How often the callback of varve_progress_watch() runs at most: ten times a second is as much as
 * people can follow.
 */
#define PROGRESS_INTERVAL_NS (VARVE_PROGRESS_INTERVAL_MS * 1000000ull)

/* ---- walks: see engine/walk/walk.c ----------------------------------------------------------- */

/*
 * Threads that walk, for all walks of a store together: as many as CPUs while they compute, up to
 * this while they sleep.
 */
#define WALK_THREADS_MAX 32

/* Walks of a store that are under way at once; the others wait, with nothing open. */
#define WALKS_MAX 8

/* How long a thread stays with one walk: the others, and a cancel, wait no longer. */
#define WALK_SLICE_NS 4000000

/* Directories that one walk holds open beside those that are being read. */
#define WALK_FDS_MAX 48
/* The same of a walk that is a part of an operation, as when unpacking replaces a directory. */
#define WALK_HERE_FDS_MAX 4

/*
 * Directories found but not entered, of one walk: beyond it a thread that reads one descends first.
 */
#define WALK_PENDING_MAX 8192

/*
 * Stacks of directories of one walk: threads that share one get in each other's way, but do no
 * harm.
 */
#define WALK_STACKS 8

/* Subdirectories taken from one directory before it is set aside for them. */
#define WALK_CHILDREN_MAX 1024

/*
 * Bytes of the records of one walk: a chain of 40,000 directories with the longest names; deeper
 * ones are refused.
 */
#define WALK_RECORDS_BYTES_MAX (16 * 1024 * 1024)

/* Threads that unlink in one tree: three sleep for each other's locks, and are slower than one. */
#define RM_TREE_THREADS_MAX 2

/* Entries in one batch for the ring, and batches of one walk under way: 90 KiB each. */
#define WALK_BATCH 128
#define WALK_BATCHES_MAX 8

/*
 * How often a layer that is being shifted is looked through for inodes that the walk has missed, or
 * that are new.
 */
#define SHIFT_ROUNDS_MAX 8

/* Entries handled between two looks at the clock. */
#define WALK_PROBE 16

/* An entry that took longer came from the disk (hot 1 us, from a disk in memory 10 us). */
#define WALK_SLOW_NS 25000

/* Inodes in a page of a set of inodes: 4 KiB of bits. A set has at most so many pages (16 MiB). */
#define INODE_SET_PER_PAGE 32768
#define INODE_PAGES_MAX 4096

/*
 * Inode numbers that are searched for an attribute at once (some 4 ms), after so many questions
 * about them; spans that are remembered (32 KiB): a million inodes and more.
 */
#define XATTR_SEARCH_SPAN 4096
#define XATTR_SEARCH_ASKS 16
#define XATTR_SEARCH_SPANS 1024

/*
 * Two coarse clocks, read one after the other, are apart by a tick of the kernel (100 a second at
 * least) more or less.
 */
#define XATTR_SEARCH_TICK_NS 20000000

/* Pages of a set of inodes that are found without taking its lock. */
#define INODE_SET_RECENT 16

/*
 * Inode numbers in one piece of a search that is split over threads. While items come from a slow
 * disk the pieces are small, so that more threads find one; a piece costs some 20 us, which is 5 %
 * of a small one where all is cached.
 */
#define SEARCH_SPAN 8192
#define SEARCH_SPAN_SLOW 512

/*
 * An item is slow when it took this part of what makes an entry of a walk slow: searched, a hot one
 * takes 1 us.
 */
#define SEARCH_SLOW_PART 5

/*
 * Bytes asked of one search for inodes: some thousand items, so that the call's own cost does not
 * count.
 */
#define SEARCH_INODES_BYTES (256 * 1024)

/* statx calls in flight for one list. */
#define LIST_BATCH 128

/*
 * How long a request that needs a lock of another process waits before it tries again: at first,
 * and at most.
 */
#define LOCK_RETRY_MIN_NS (1 * NS_PER_MS)
#define LOCK_RETRY_MAX_NS (64 * NS_PER_MS)

/*
 * Bytes of a record in one attribute: what any file system takes (nodes of 4 KiB: 3,000 bytes fit,
 * 3,800 do not), and at most; how many are asked for first; attributes of one record, at most.
 */
#define RECORD_CHUNK_MIN 3000
#define RECORD_CHUNK_MAX 12000
#define RECORD_FIRST_BYTES 2048
#define RECORD_CHUNKS_MAX 32

/* How often a record of several attributes may be replaced while it is read. */
#define RECORD_TRIES 64

/* A quotas/ID file holds a decimal 64-bit number. */
#define QUOTA_FILE_BYTES 32

/* Groups that one layer can be in. */
#define LAYER_GROUPS_MAX 8

/* How often the last layer of a group may take it away before a create has joined it. */
#define GROUP_TRIES 16

/* A record of a group: its limit, a blank, its name. */
#define GROUP_RECORD_BYTES (QUOTA_FILE_BYTES + VARVE_ID_MAX + 2)

/* The smallest image that mkfs.btrfs takes with its defaults (measured, btrfs-progs 6.2). */
#define POOL_BYTES_MIN 114294784

/*
 * Another process may take the loop device that the kernel named as free: how often to ask again.
 */
#define POOL_LOOP_TRIES 64

/*
 * How long an image may be on its way from or to a loop device, in milliseconds, and how often that
 * is looked at: the kernel detaches a device in its own time after the unmount, and has no event
 * for it.
 */
#define POOL_SETTLE_MS 10000
#define POOL_LOOK_MS 5

/*
 * Findings of varve_check() that are kept: so many plain directories, and so many others; the rest
 * is counted.
 */
#define CHECK_FINDINGS_MAX 10000

/* Bytes of a home path: the path of a layer has to fit into PATH_MAX. */
#define HOME_PATH_MAX (PATH_MAX - VARVE_ID_MAX - 64)

static_assert(RING_ENTRIES_DEFAULT >= RING_ENTRIES_MIN && RING_ENTRIES_DEFAULT <= RING_ENTRIES_MAX,
	      "ring depth");
static_assert(COMMIT_THREADS_DEFAULT <= COMMIT_THREADS_MAX, "commit threads");
static_assert(COMMIT_THREADS_MAX <= UINT16_MAX, "an operation's slot");
static_assert(BACKLOG_DEFAULT <= BACKLOG_LIMIT, "backlog");
static_assert(REQUESTS_DEFAULT <= VARVE_REQUESTS_MAX, "requests");
static_assert(WALK_BATCH <= READDIR_BUFFER_BYTES / 32, "a batch comes from one buffer");
static_assert(CONTENT_MAP_MIN <= CONTENT_CHUNK_BYTES,
	      "a file whose extents are not compared is read at once");
static_assert(VARVE_ID_MAX == NAME_MAX, "an id is a file name");

#endif
