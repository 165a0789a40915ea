/* SPDX-License-Identifier: Apache-2.0 */
/* Every bound of the engine, with its reason. Nothing in the engine grows without one of these. */
#ifndef VARVE_BASE_LIMITS_H
#define VARVE_BASE_LIMITS_H

#include "varve.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>

/* Requests in flight. A request is about 320 bytes; 4096 of them keep any disk busy. */
#define REQUESTS_DEFAULT 4096

/* Threads whose latest refusal is kept (1.6 KiB each): more than submit to one store. */
#define REFUSALS_MAX 64

/* Calls in the ring at once; io-wq runs at most 4 per CPU anyway, so more only queue. */
#define RING_ENTRIES_DEFAULT 256
#define RING_ENTRIES_MIN 8
#define RING_ENTRIES_MAX 4096

/*
 * How long a thread that waits for another one polls before it sleeps, if its last sleep was no
 * longer than that: a wake-up costs both sides some 5 to 20 us.
 */
#define SPIN_NS (50 * 1000)

/*
 * The shortest time between two yields of a thread that computes for long. A yield may forgo the
 * rest of the kernel's time slice, some 3 ms of the store's share beside other programs; a short
 * request may wait for this time at each of its steps.
 */
#define YIELD_NS (500 * 1000)

/*
 * Descriptors that operations count on. They are counted at most once in FDS_COUNT_MS, by one call
 * (0.4 us), before Linux 6.2 by a call for each number below the limit (40 ns each), and for at
 * most one FDS_COUNT_SHARE-th of the time.
 */
#define FDS_LIMIT_MAX (1024 * 1024)
#define FDS_COUNTED_MAX 4096
#define FDS_COUNT_MS 20
#define FDS_COUNT_SHARE 50

/*
 * When no archive has moved a byte for this time, archives that wait for their peers no longer keep
 * other operations from beginning.
 */
#define FDS_STALL_MS 5000

/*
 * While at most this many descriptors are reserved, none are counted, so that a few operations cost
 * nothing.
 */
#define FDS_EASY 20

/*
 * Descriptors that an operation has open at once: its slot, its source, its result, a lock, a
 * record or a file in sysfs.
 */
#define FDS_OPERATION 5

/*
 * Descriptors of a removal: the layer is destroyed by its name, by the one thread that destroys;
 * further descriptors are counted for that thread.
 */
#define FDS_REMOVE 1

/* The operation opens nothing. */
#define FDS_NOTHING UINT_MAX

/*
 * Descriptors that no operation may reserve: a walk by one thread needs them, so that one walk can
 * always proceed.
 */
#define FDS_RESERVE 12

/*
 * Descriptors of one thread of a comparison: two directories, two files, and one to open a file by.
 * Those of a whole request: two layers, two for their clones, and either these for each thread, or
 * those of an archive that is read ahead and of its other end.
 */
#define FDS_COMPARE_THREAD 5
#define FDS_CHANGES (4 + COMPARE_THREADS_MAX * FDS_COMPARE_THREAD)

/*
 * Descriptors of unpacking: the layer, two for its clone, two directories, a file, the spares, a
 * walk that empties a directory.
 */
#define FDS_APPLY 19

/*
 * Spare descriptors that unpacking holds, to be closed when it needs others: as many as one entry
 * opens at once.
 */
#define UNPACK_SPARES 4

/* The same of a walk: a directory, its parent, an entry. */
#define WALK_SPARES 3
#define SPARES_MAX 4

/*
 * Of the descriptors that are free when a store is opened, one in FDS_SLOTS_PART is for worker
 * slots, which have a directory each. One in FDS_WALK_PART bounds the idle directories of a walk,
 * and one in FDS_WALK_PART the threads that walk.
 */
#define FDS_SLOTS_PART 4
#define FDS_WALK_PART 16

/* Threads for short blocking calls; these are CPU bound, so the default is one for each CPU. */
#define FS_THREADS_MAX 64

/*
 * Threads that sleep in a commit, and so the largest group. 128 gave the best rate measured (see
 * docs/measurements.md).
 */
#define COMMIT_THREADS_DEFAULT 128
#define COMMIT_THREADS_MAX 512
/* With spare copies: all that are made at a time are one group, which takes two commits. */
#define COMMIT_THREADS_SPARES 256
/* Groups are counted by their size: 1, 2, up to 4, 8, ... snapshots. */
#define GROUP_SIZE_BUCKETS 10

/*
 * Long calls under way: sweeps, checks, searches of whole trees, sorts. More than CPUs, because
 * they sleep in flushes and for the disk, and a small one should not wait for a few large ones;
 * further ones wait in order.
 */
#define LONG_THREADS_MAX 16

/* Stack of a lane thread: the deepest call needs under 24 KiB (search buffers are on the heap). */
#define LANE_STACK_BYTES (128 * 1024)

/* An idle lane thread ends after this time, so that a quiet store has few threads. */
#define LANE_IDLE_MS 10000

/*
 * Dead subvolumes that may await the cleaner before creates wait: at some 100 us each, half a
 * second of its work.
 */
#define BACKLOG_DEFAULT 4096
#define BACKLOG_LIMIT 1000000

/*
 * Under full quotas, while layers are removed: the number of layers dead or being made beyond which
 * creates wait. The cost of a commit and of a drop grows with the number of snapshots that share
 * leaves; a churn is fastest with 8.
 */
#define BACKLOG_FULL_QUOTA 8
/*
 * How long after a removal BACKLOG_FULL_QUOTA applies; how long a create waits while the cleaner
 * drops nothing, before it runs alone.
 */
#define BACKLOG_FULL_QUOTA_MS 5000
#define BACKLOG_FULL_QUOTA_WAIT_MS 25

/*
 * How often the kernel's cleaner is checked while a create waits: less often the longer it has
 * dropped nothing.
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
 * How often the cleaner is checked after a removal, until all is dropped and the leftovers are
 * swept.
 */
#define BACKLOG_SWEEP_MS 5000

/* After so many removals the store sweeps although more are still to be dropped. */
#define BACKLOG_SWEEP_DESTROYED 4096

/*
 * How long destroys may take at one boundary between groups, and in one call while other requests
 * wait for the call: a create or a cancel may wait for this long. A destroy takes 25 us, and 4 us
 * for each cached inode of the layer.
 */
#define DESTROY_SLICE_NS (3 * NS_PER_MS)

/*
 * Removals in the background (store/pace.h). While layers are made, a slice takes at most
 * 1 / PACE_CREATE_PART of the time of a create; it has at most PACE_SLICE_MAX removals. So a create
 * takes a quarter longer on average, and half longer at most.
 */
#define PACE_CREATE_PART 2
#define PACE_SLICE_MAX 128

/*
 * While layers are made, the gap after a slice is 1 / PACE_GAP_PART of the slice. While creates
 * are slow, it is as long as the slice. Creates are slow when they take PACE_SLOW_FACTOR times as
 * long as on a quiet store.
 */
#define PACE_GAP_PART 4
#define PACE_SLOW_FACTOR 2

/* The longest gap: at least one removal in this time. A thousand end in under two minutes. */
#define PACE_WAIT_MAX_NS (100 * NS_PER_MS)

/* The parts by which averages, and the value of a quiet store, follow new values. */
#define PACE_AVERAGE_PARTS 8
#define PACE_FORGET_PARTS 256

/*
 * Where less than 1 / PACE_FREE_PART of the file system is free, removals do not wait: their
 * space is needed.
 */
#define PACE_FREE_PART 10

/*
 * While removals wait in the background: how often the free space and waits for the disk are
 * checked, and the cleaner is woken. Subvolumes that are dropped as they come hold up creates less
 * than all at once.
 */
#define PACE_LOOK_NS (100 * NS_PER_MS)

/* The kernel reports tasks that wait for the disk once in its window of two seconds. */
#define PACE_PRESSED_NS (2000 * NS_PER_MS)

/*
 * Spare copies (store/stock.h): of up to STOCK_PARENTS_MAX layers, from STOCK_COPIES_MIN to
 * STOCK_COPIES_MAX of each. More copies share the commits of a refill, but each makes the next
 * commit a little slower (docs/measurements.md). A refill holds up all requests. It begins when one
 * in STOCK_REFILL_PART copies is left, or half of them, up to STOCK_COPIES_MIN, if that is more. If
 * it begins less than STOCK_FAST_NS after the one before, it makes up to twice as many; if more
 * than STOCK_SLOW_NS after, up to half as many.
 */
#define STOCK_REFILL_PART 8
#define STOCK_PARENTS_MAX 16
#define STOCK_COPIES_MIN 4
#define STOCK_COPIES_MAX 256
#define STOCK_FAST_NS (250 * NS_PER_MS)
#define STOCK_SLOW_NS (2000 * NS_PER_MS)

/* Copies of a layer from which nothing was created for this time are dropped. */
#define STOCK_IDLE_NS (10000 * NS_PER_MS)

/*
 * After a failure, and when STOCK_MISFITS_MAX copies in a row did not fit, no copies are made for
 * this time. After the same time a copy that could not be destroyed is destroyed again.
 */
#define STOCK_REST_NS (10000 * NS_PER_MS)
#define STOCK_MISFITS_MAX 2

/* Copies dropped at one boundary between groups: some 30 us each. */
#define STOCK_DROPS_MAX 32

/*
 * A snapshot in flight reserves STOCK_RESERVED_BYTES of the file system; those of a refill together
 * reserve at most 1 / STOCK_ROOM_PART of the free space.
 */
#define STOCK_RESERVED_BYTES (UINT64_C(2) << 20)
#define STOCK_ROOM_PART 8

/*
 * Where at least this many snapshots wait for a commit, the commit is made before the next group of
 * creates (group_commit.h). With fewer this is slower (docs/measurements.md).
 */
#define COMMIT_FIRST_MIN 16

/*
 * Boundaries that follow each other while creates wait for a group or others for a commit; then
 * those have their turn (group_commit.h).
 */
#define COMMIT_BOUNDARIES_MAX 64

/* Destroys run at one boundary between groups while creates wait, however short they are. */
#define DESTROYS_PER_GROUP_MAX 128

/* Destroys handed to a lane in one call when no create waits. */
#define DESTROYS_PER_CALL_MAX 256

/*
 * How often nested subvolumes are collected again before a removal gives up, because programs in
 * the layer may create more.
 */
#define NESTED_ROUNDS_MAX 64

/*
 * Without privilege a nested subvolume is found by its path, which a program in the layer may
 * exchange: how often one batch looks again before the layer is removed entry by entry.
 */
#define NESTED_MOVED_MAX 64

/* How often flags and read-only states that forbid to destroy one nested subvolume are cleared. */
#define NESTED_LOOSEN_MAX 8

/*
 * Nested subvolumes destroyed in one piece of work, so that a layer with thousands does not delay a
 * group.
 */
#define NESTED_BATCH 64

/*
 * Such pieces of work for one layer without privilege, where nested subvolumes are not collected
 * first and programs in the layer may make them as fast: 16,384 subvolumes. Another removal
 * continues from there.
 */
#define NESTED_BATCHES_MAX 256

/*
 * Nested subvolumes of one layer that are held in memory at once (24 bytes each); with more,
 * several rounds are made.
 */
#define NESTED_MAX 65536

/* Bytes of the answer of one tree search: some 100 to 1000 items. */
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

/* Extents of changed files that are held while a delta is measured by walking (32 bytes each). */
#define DELTA_EXTENTS_MAX ((size_t)4 * 1024 * 1024)

/* Extents of one file that are compared with its parent's at once, while a tree is searched. */
#define DELTA_EXTENTS_BATCH ((size_t)4096)

/*
 * How far before an offset the extent may begin that holds it: an extent has at most 128 MiB of a
 * file, a preallocated one twice as much.
 */
#define DELTA_EXTENT_BYTES_MAX ((uint64_t)256 * 1024 * 1024)

/* Layers whose delta is remembered (80 bytes each): those of a node with many. */
#define USAGE_CACHE_MAX 16384
#define USAGE_CACHE_BUCKETS 4096

/* Threads that one comparison of two trees uses at most: each has descriptors reserved. */
#define COMPARE_THREADS_MAX 8

/* Bytes of names of directories that go onto the stack of a comparison together. */
#define COMPARE_BATCH_BYTES ((size_t)4096)

/*
 * How long the thread that has prepared a comparison runs it before it becomes a job of the
 * workers: most end by then.
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
 * their own, in which later requests wait for a free thread: 128 stalled unpackings, or 32 stalled
 * archives with the threads that read ahead for them, delay the next.
 */
#define STREAM_THREADS_MAX 128

/*
 * Threads that read ahead for one archive; with the thread that writes it they keep two CPUs, or a
 * few disks, busy.
 */
#define PACK_THREADS_MAX 3

/* Entries read ahead for one archive, and those that one thread takes at once. */
#define PREFETCH_ITEMS 256
#define PREFETCH_CLAIM 64

/* Longer files that are kept open until they are written. */
#define PREFETCH_FDS_MAX 8

/*
 * Bytes of attributes, names and values, of one file: readers of archives (libarchive, Go) take no
 * longer header.
 */
#define XATTRS_BYTES_MAX (1024 * 1024)

/*
 * Bytes of attributes that are read ahead; and of one entry that comes from the tree, so that
 * PREFETCH_ITEMS of them fit.
 */
#define PREFETCH_XATTRS_BYTES (4 * 1024 * 1024)
#define GATHER_XATTRS_BYTES (PREFETCH_XATTRS_BYTES / PREFETCH_ITEMS)

/* Bytes of a file that are read ahead; of a longer one the rest is read while it is written. */
#define PREFETCH_FILE_BYTES (64 * 1024)

/*
 * The number of entries from which on the tree is searched for them: a search takes three flushes.
 */
#define GATHER_MIN 2048

/* Bytes moved at once: to and from streams, out of and into files. */
#define STREAM_CHUNK_BYTES (256 * 1024)

/*
 * Pieces of data with holes between them in one file's map in an archive; with more, small holes
 * are zeros (some 130 bytes each).
 */
#define SPARSE_PIECES_MAX ((size_t)1000000)

/* The largest hole that becomes zeros. */
#define SPARSE_GAP_BYTES_MAX ((off_t)1024 * 1024)

/*
 * Bytes of holes that have data behind them in one file: libarchive skips holes in steps of 2 GiB,
 * which takes 26 ms for this many.
 */
#define SPARSE_HOLES_BYTES_MAX ((off_t)1 << 52)

/*
 * How often a file with a lease is tried again; how much longer than the kernel's own limit for
 * breaking a lease; and for how long where the kernel sets no limit.
 */
#define LEASE_POLL_MS 10
#define LEASE_GRACE_MS 5000
#define LEASE_WAIT_MAX_MS 120000

/*
 * Bytes of an archive that wait for callbacks, or were written by the caller and wait for a thread.
 */
#define CHANNEL_BYTES ((size_t)VARVE_STREAM_BYTES)

/*
 * Conversions between character sets that libarchive has open for one archive, one for each
 * direction.
 */
#define LIBARCHIVE_CONVERSIONS_MAX 8

/*
 * Bytes that libarchive may hold for one archive. SPARSE_PIECES_MAX pieces of a file take 90 MiB in
 * it. Without a bound a map of pieces, four bytes each in an archive and nearly none compressed,
 * would take all memory there is.
 */
#define LIBARCHIVE_BYTES_MAX ((size_t)256 << 20)

/*
 * Blocks of libarchive up to this size, in steps, are cut off chunks: an entry and its strings are
 * that small.
 */
#define LIBARCHIVE_SMALL_MAX 2048
#define LIBARCHIVE_SMALL_STEP 32
#define LIBARCHIVE_CHUNK_BYTES 32768

/*
 * Bytes of a path in an archive, and of that of a directory whose entries are compared: four times
 * what one system call takes. Without a bound a chain of directories, and an archive of them, would
 * take memory that grows with the square of their number.
 */
#define ARCHIVE_PATH_BYTES_MAX (4 * PATH_MAX)

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
 * Memory of the decoder of a compressed archive: a window of zstd (1 << 27 = 128 MiB, as its
 * command takes without --memory), a dictionary of xz (64 MiB, as xz -9 has) and the decoder's own
 * memory; the next larger dictionary has 96 MiB. gzip takes 100 KiB, bzip2 4 MiB.
 */
#define ZSTD_WINDOW_LOG_MAX 27
#define XZ_DICTIONARY_BYTES_MAX (64 * 1024 * 1024)
#define XZ_MEMORY_BYTES_MAX (XZ_DICTIONARY_BYTES_MAX + 8 * 1024 * 1024)

/*
 * Unpacked files of this size or more begin to be written to disk at once. For smaller ones that
 * takes longer than it saves (docs/measurements.md).
 */
#define WRITEBACK_FILE_BYTES_MIN (64 * 1024)

/*
 * A longer file begins to be written each time that so many bytes more are there: a multiple of any
 * page, because a page that is being written delays a write to it. Handing over 8 MiB takes longer
 * than INFLATE_PIECES last, and then decompression waits for it.
 */
#define WRITEBACK_STEP_BYTES ((int64_t)1 << 20)

/*
 * Pieces of STREAM_CHUNK_BYTES that are decompressed ahead of the thread that unpacks, and those
 * that are read and not hashed yet: with 4 of them both threads often wait (docs/measurements.md).
 */
#define INFLATE_PIECES 8
/* What varve_layer_apply(3) says of their memory, and with that of digests. */
#define INFLATE_BYTES_MAX (3 * 1024 * 1024)
#define INFLATE_DIGESTS_BYTES_MAX (5 * 1024 * 1024)

/*
 * Threads that compress one archive: each has a compressor (16 MiB at the highest level of zstd)
 * and a block, with as many bytes again for what becomes of it.
 */
#define COMPRESS_THREADS_MAX VARVE_COMPRESS_THREADS_MAX

/*
 * Bytes of a block, which is compressed at once and can be decompressed without the rest: larger
 * blocks compress a few per cent better, and take longer to cancel (0.5 s at zstd's highest level).
 */
#define COMPRESS_BLOCK_BYTES ((size_t)1 << 20)

/* Levels that can be asked for, as the commands have them without --ultra, and their defaults. */
#define GZIP_LEVEL_MAX 9
#define GZIP_LEVEL_DEFAULT 6
#define ZSTD_LEVEL_MAX 19
#define ZSTD_LEVEL_DEFAULT 3

/* Pieces of STREAM_CHUNK_BYTES of one stream that await the thread that takes its digest. */
#define DIGEST_PIECES 4

/*
 * The number of CPUs from which on the digests of a compressed archive are taken on threads of
 * their own. With fewer the thread that decompresses and the one that unpacks take them, because a
 * hand-over costs a copy and a wake.
 */
#define DIGEST_CPUS_MIN 3

/*
 * Links of one archive to files that were there before it, whose names are held (some 40 bytes
 * each).
 */
#define UNPACKED_NAMES_MAX (4 * 1024 * 1024)

/*
 * Bytes of an archive that are kept behind the current entry: more than the headers of an entry
 * with few attributes take.
 */
#define PAX_BEFORE_BYTES 8192

/* Failed entries whose records are kept for the caller. */
#define REPORT_KEPT_MAX 64

/* Bytes of a piece of memory that holds paths. */
#define CHANGES_BLOCK_BYTES (256 * 1024)

/* Bytes asked of one getdents64. */
#define READDIR_BUFFER_BYTES (64 * 1024)

/*
 * The shortest time between two callbacks of varve_progress_watch(): a person can follow ten a
 * second.
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

/* How long a thread stays with one walk; other walks, and a cancel, wait no longer. */
#define WALK_SLICE_NS 4000000

/* Directories that one walk holds open beside those that are being read. */
#define WALK_FDS_MAX 48
/* The same of a walk that is a part of an operation, as when unpacking replaces a directory. */
#define WALK_HERE_FDS_MAX 4

/*
 * Directories found but not entered, of one walk: beyond it a thread that reads one descends first.
 */
#define WALK_PENDING_MAX 8192

/* Stacks of directories of one walk; threads that share a stack are only slower. */
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
 * How often a layer that is being shifted is searched for inodes that the walk has missed, or that
 * are new.
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
 * Inode numbers that are searched for an attribute at once (some 4 ms), after so many lookups in
 * this span; spans that are remembered (32 KiB): a million inodes and more.
 */
#define XATTR_SEARCH_SPAN 4096
#define XATTR_SEARCH_LOOKUPS 16
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
 * Layers, and bytes of their records, that a find passes to the caller's thread at once: the lane
 * thread reads as many meanwhile.
 */
#define LIST_PASS_LAYERS 256
#define LIST_PASS_BYTES (128 * 1024)

/*
 * How long a request waits before it tries again to get a lock that another process holds: at
 * first, and at most.
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

/*
 * Bytes of the blocks of an arena: at first, and at most, and how they grow. Three quarters of them
 * may be of no use. Those of ARENA_HUGE_BYTES, a huge page of most processors, have such pages.
 */
#define ARENA_BLOCK_MIN (16 * 1024)
#define ARENA_BLOCK_MAX (4 * 1024 * 1024)
#define ARENA_GROWTH 4
#define ARENA_HUGE_BYTES (2 * 1024 * 1024)

/* How often to open a layer whose mode keeps its owner out, while other threads do the same. */
#define LAYER_OPEN_TRIES 8

/* Inode numbers between two files whose records one search finds: it takes as long as a call. */
#define RECORD_SCAN_GAP_MAX 64

/*
 * Removals of a store that are marked at once (size_record.h): the kernel looks through all marks
 * to set one, 12 us with 2,000 and 85 us with 8,000 of them.
 */
#define RECORD_MARKS_MAX 1024

/* How often a record of several attributes may be replaced while it is read. */
#define RECORD_TRIES 64

/* A quotas/ID file holds a decimal 64-bit number. */
#define QUOTA_FILE_BYTES 32

/* Groups that one layer can be in. */
#define LAYER_GROUPS_MAX 8

/* How often a create tries to join a group that its last layer removes meanwhile. */
#define GROUP_TRIES 16

/* A record of a group: its limit, a blank, its name. */
#define GROUP_RECORD_BYTES (QUOTA_FILE_BYTES + VARVE_ID_MAX + 2)

/* The smallest image that mkfs.btrfs takes with its defaults (measured, btrfs-progs 6.2). */
#define POOL_BYTES_MIN 114294784

/* How often to ask for a free loop device, because another process may take it first. */
#define POOL_LOOP_TRIES 64

/*
 * How long attaching or detaching an image may take, in milliseconds, and how often it is checked:
 * the kernel detaches a device some time after the unmount, and has no event for it.
 */
#define POOL_SETTLE_MS 10000
#define POOL_LOOK_MS 5

/*
 * Findings of varve_check() that are kept, of plain directories and of others each; the rest is
 * counted.
 */
#define CHECK_FINDINGS_MAX 10000

/* Bytes of a home path: the path of a layer has to fit into PATH_MAX. */
#define HOME_PATH_MAX (PATH_MAX - VARVE_ID_MAX - 64)

static_assert(RING_ENTRIES_DEFAULT >= RING_ENTRIES_MIN && RING_ENTRIES_DEFAULT <= RING_ENTRIES_MAX,
	      "ring depth");
static_assert(COMMIT_THREADS_DEFAULT <= COMMIT_THREADS_MAX, "commit threads");
static_assert(COMMIT_THREADS_SPARES >= STOCK_COPIES_MAX, "a refill is one group");
static_assert(COMMIT_THREADS_SPARES <= COMMIT_THREADS_MAX, "commit threads for spare copies");
static_assert(COMMIT_THREADS_MAX <= UINT16_MAX, "an operation's slot");
static_assert(COMMIT_THREADS_MAX <= 1 << (GROUP_SIZE_BUCKETS - 1), "the largest group");
static_assert(BACKLOG_DEFAULT <= BACKLOG_LIMIT, "backlog");
static_assert(REQUESTS_DEFAULT <= VARVE_REQUESTS_MAX, "requests");
static_assert(WALK_BATCH <= READDIR_BUFFER_BYTES / 32, "a batch comes from one buffer");
static_assert(CONTENT_MAP_MIN <= CONTENT_CHUNK_BYTES,
	      "a file whose extents are not compared is read at once");
static_assert(VARVE_ID_MAX == NAME_MAX, "an id is a file name");

#endif
