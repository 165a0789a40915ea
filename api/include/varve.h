/* SPDX-License-Identifier: Apache-2.0 */
/**
 * varve.h: container layers on btrfs, asynchronously.
 *
 * A store is a directory on a btrfs file system. Its layers are subvolumes: HOME/subvolumes/ID. A
 * program opens a store, submits requests, and gets the result of each in a callback, which runs
 * inside the program's own call of varve_dispatch() or varve_wait(). No callback runs on a thread
 * of the library, except varve_config.log.
 *
 *	caller                      library
 *	varve_open()           ->   starts one reactor thread
 *	varve_layer_create()   ->   checks the arguments, queues, returns at once
 *	poll(varve_fd())       <-   becomes readable when a request has ended
 *	varve_dispatch()       ->   runs the callbacks
 *	varve_close()          ->   cancels requests in flight, runs their callbacks, frees
 *
 * Reading order: results and failures, the store, the event loop, layers, the store's upkeep,
 * quota, numbers, pools, futures, blocking twins.
 *
 * Conventions, which hold for every call unless its comment says otherwise:
 *
 * - Return value: 0, or a negative errno. A refused request (negative return) has no callback, and
 *   the caller keeps all that it passed. An accepted request (0) has exactly one callback, on
 *   success, failure, cancel and close alike.
 * - Arguments are copied before the call returns and need not live longer. `user_data` is handed to
 *   the callback unchanged.
 * - The arguments of a callback belong to the library and live until the callback returns.
 * - Threads: requests and varve_cancel() may be made from any thread, at any time between
 *   varve_open() and varve_close(). varve_dispatch(), varve_wait() and varve_close() belong to one
 *   thread at a time.
 * - Errors that every request can be refused with: -EAGAIN (requests_max are in flight: dispatch,
 *   then try again), -ENOMEM, -ESHUTDOWN (the store is being closed), -ECHILD (called in a forked
 *   child of the process that opened the store), -EINVAL (a NULL store or callback, an unknown
 *   flag). varve_refusal() returns the reason in words.
 * - Errors that every callback can have: -ECANCELED (varve_cancel(), varve_close()), -EACCES (the
 *   home may not be searched), -EMFILE, -ENOMEM, -EIO.
 * - Privilege, where a comment names none: search access to the home. A crash in a request that
 *   only reads leaves nothing.
 * - Signals: only varve_wait() is interrupted by a signal, and returns -EINTR.
 * - Sizes: a struct that a caller owns (options, outputs) begins with its size. Start from its
 *   VARVE_..._INIT; a program that cannot use the macro calls the varve_..._init() of the same
 *   name, which writes SIZE bytes: the size, then zeros. Caller and library may be of different
 *   versions. Options may be smaller (the rest counts as zero) or larger (-E2BIG where a member
 *   that this library does not know is not zero). An output is filled with the members that both
 *   know, its size is set to their size, and the rest is zero. Arguments of callbacks have a size,
 *   too: VARVE_HAS() checks for a member. Structs without a size never grow. See varve_abi(7).
 * - Oldest kernel: Linux 6.1. Features of newer kernels are probed at run time.
 * - The content of a layer is not trusted: the library resolves each path below the store from an
 *   open directory and never through a symbolic link.
 */
#ifndef VARVE_H
#define VARVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/** The version of this header; varve_version() is the version of the library that is loaded. */
#define VARVE_VERSION_STRING "0.2.0"

/**
 * Flags are 64 bits wide, and each bit has one meaning in all calls. Bits 0..31 are arguments of
 * requests, 32..47 of varve_open(); bits 48..63 are in results. A call refuses the flags of other
 * calls.
 */
#define VARVE_FLAG(bit) (UINT64_C(1) << (bit))

/** Bytes in the longest id, without its NUL (the longest name that btrfs allows a subvolume). */
#define VARVE_ID_MAX 255

/** Bytes of the path in a failure, with its NUL; a longer path loses its beginning. */
#define VARVE_FAILURE_PATH_SIZE 1024

/** Bytes of the explanation in a failure, with its NUL. */
#define VARVE_FAILURE_DETAIL_SIZE 256

/** Bytes of a digest as text, "sha256:" and 64 hexadecimal digits, with its NUL. */
#define VARVE_DIGEST_SIZE 72

/** The largest value of varve_config.requests_max. */
#define VARVE_REQUESTS_MAX 65536

/** The most ids that one batch can hold. */
#define VARVE_BATCH_MAX 65536

/**
 * The most bytes of an archive that the library buffers for a sink, or from varve_stream_write().
 */
#define VARVE_STREAM_BYTES 262144

/**
 * In place of a descriptor for an archive: a varve_sink gets the archive, or varve_stream_write()
 * provides it.
 */
#define VARVE_STREAM (-2)

/** Returned by a sink that is not to be called again before varve_stream_resume(). */
#define VARVE_PAUSE 1

/** The most entries of one map of ids (the kernel's limit for a user namespace). */
#define VARVE_ID_MAPS_MAX 340

/** The most labels of a layer. */
#define VARVE_LABELS_MAX 128

/** The most bytes of a label, of its key and its value together (containerd's limit). */
#define VARVE_LABEL_BYTES_MAX 4096

/** The most bytes of all labels of a layer together. */
#define VARVE_LABELS_BYTES_MAX 16384

/** The most bytes of a layer's record. */
#define VARVE_RECORD_BYTES_MAX 49152

/** The most threads that compress one archive. */
#define VARVE_COMPRESS_THREADS_MAX 8

/** Milliseconds between two calls of a request's varve_progress_callback, at least. */
#define VARVE_PROGRESS_INTERVAL_MS 100

/** An open store. */
struct varve_store;

/**
 * The handle of an accepted request, valid until its callback has returned. Never 0, and never used
 * twice by a store: a stale handle is refused, not taken for a newer request.
 */
typedef uint64_t varve_request;

/** The operations. A number keeps its meaning; later versions add numbers. */
enum varve_operation {
	VARVE_NOOP = 0,
	VARVE_CREATE = 1,
	VARVE_REMOVE = 2,
	VARVE_GET = 3,
	VARVE_EXISTS = 4,
	VARVE_LIST = 5,
	VARVE_INFO = 6,
	VARVE_SYNC = 7,
	VARVE_SWEEP = 8,
	VARVE_STATUS = 9,
	VARVE_CHANGES = 10,
	VARVE_USAGE = 11,
	VARVE_QUOTA = 12,
	VARVE_CHOWN = 13,
	VARVE_RELABEL = 14,
	VARVE_DIFF = 15,
	VARVE_DIFF_SIZE = 16,
	VARVE_APPLY = 17,
	VARVE_OPEN_LAYER = 18,
	VARVE_CHECK = 19,
	VARVE_FREEZE = 20,
	VARVE_RENAME = 21,
	VARVE_ADOPT = 22,
	VARVE_LABEL = 23,
	VARVE_RECORD = 24,
	VARVE_FLUSH = 25,
};

/**
 * The name of OPERATION, for instance "create"; NULL for a number that this library does not know.
 * So a loop from 0 on until NULL gets all names. Any thread.
 */
const char *varve_operation_name(enum varve_operation operation);

/**
 * Does the struct at POINTER, which has a size, have MEMBER? Yes, unless the library is older than
 * this header.
 */
#define VARVE_HAS(pointer, member) \
	((pointer)->size >=        \
	 (size_t)((const char *)(&(pointer)->member + 1) - (const char *)(pointer)))

/* ---- results and failures -------------------------------------------------------------------- */

/**
 * A failure: the step of the operation, the system call and the path. The struct may be copied; as
 * an output it needs no initialising. The strings behind pointers are constants of the library. The
 * struct never grows: a later version uses the reserved bytes.
 */
struct varve_failure {
	/** Negative errno; 0: no failure, and the rest is empty. */
	int error;
	/** "create", "remove", ..., "open". */
	const char *operation;
	/** The step of the operation: "STAGE"; "CHECK" when the arguments were refused. */
	const char *step;
	/** The system call or ioctl: "BTRFS_IOC_SNAP_CREATE_V2"; NULL for none. */
	const char *call;
	/** The layer, or "". A longer id is cut. */
	char id[VARVE_ID_MAX + 1];
	/** The path that was given to the call, or "". */
	char path[VARVE_FAILURE_PATH_SIZE];
	/** A cause or a remedy in words, or "". */
	char detail[VARVE_FAILURE_DETAIL_SIZE];
	/** Zeros. */
	uint64_t reserved[16];
};

/**
 * Write FAILURE as one line into BUFFER (SIZE bytes, always ends in NUL) and return BUFFER. For
 * instance `create web-1: STAGE: fstatat /pool/subvolumes/web-1: File exists`. Bytes of ids and
 * paths other than printable ASCII become \xHH. Any thread; never fails.
 */
char *varve_strerror(const struct varve_failure *failure, char *buffer, size_t size);

/**
 * The entries that a request left out or changed. The blocking twins of diff, apply, chown, and of
 * a create with an apply or a chown, set options->ret_skipped on success. Calls with a callback
 * ignore ret_skipped: result->skipped has the same entries. Free RECORDS with free().
 */
struct varve_skipped {
	struct varve_failure *records; /**< The first of these entries; NULL: none. */
	size_t count;                  /**< The number of records. */
	uint64_t total;                /**< The number of entries. */
};

/** The result for one id of a batch. */
struct varve_outcome {
	const char *id;                      /**< The id, as it was given. */
	int error;                           /**< 0 or negative errno. */
	const struct varve_failure *failure; /**< NULL when error is 0. */
};

/** The properties of a layer. */
struct varve_layer_info {
	/** sizeof(struct varve_layer_info). */
	size_t size;
	/** The layer's id. */
	char id[VARVE_ID_MAX + 1];
	/**
	 * The layer that this one is a snapshot of; "" where there is none, or where it is not, or
	 * no longer, a layer of this store.
	 */
	char parent[VARVE_ID_MAX + 1];
	/** The subvolume's number in btrfs. */
	uint64_t subvolume_id;
	/** The subvolume's own uuid. */
	uint8_t uuid[16];
	/** The uuid of the source of the snapshot; zeros for none. */
	uint8_t parent_uuid[16];
	/** Transaction of the last change. */
	uint64_t generation;
	/** Transaction of the creation. */
	uint64_t created_generation;
	/** Creation, seconds since the epoch. */
	int64_t created_s;
	/** ... and nanoseconds, 0..999999999. */
	uint32_t created_ns;
	/** Last change of the subvolume's root item (ctime), seconds since the epoch. */
	int64_t changed_s;
	/** ... and nanoseconds, 0..999999999. */
	uint32_t changed_ns;
	/** VARVE_LAYER_* bits. */
	uint64_t flags;
	/**
	 * Bytes that quota counts for the layer. Full quotas: all bytes, inherited ones included;
	 * simple quotas: those first written in the layer.
	 */
	uint64_t quota_referenced;
	/** ... and those of them that no other subvolume has. */
	uint64_t quota_exclusive;
	/** The limit of quota_referenced in force; 0: none. */
	uint64_t quota_limit;
};

#define VARVE_LAYER_INFO_INIT                                                                     \
	{                                                                                         \
		sizeof(struct varve_layer_info), { 0 }, { 0 }, 0, { 0 }, { 0 }, 0, 0, 0, 0, 0, 0, \
			0, 0, 0, 0                                                                \
	}
/** As VARVE_LAYER_INFO_INIT; SIZE is sizeof(*info). */
void varve_layer_info_init(struct varve_layer_info *info, size_t size);

/** varve_layer_info.flags: the layer is read-only. */
#define VARVE_LAYER_READ_ONLY VARVE_FLAG(48)
/** varve_layer_info.flags: quota runs, and the quota_* fields are known. */
#define VARVE_LAYER_QUOTA VARVE_FLAG(49)

/** The labels and the record of a layer: see varve_layer_label(). */
struct varve_layer_record {
	/** sizeof(struct varve_layer_record) of the library: see VARVE_HAS(). */
	size_t size;
	/** Changes with each change; 0: the layer never had a label or a record. */
	uint64_t revision;
	/** "KEY=VALUE" strings, sorted bytewise by their keys. */
	const char *const *labels;
	/** The number of labels. */
	size_t labels_count;
	/** The record. */
	const void *bytes;
	/** Bytes of the record; 0: none. */
	size_t bytes_count;
};

/** COUNT ids from CONTAINER on inside a container stand for the ids from HOST on outside. */
struct varve_id_map {
	uint32_t container; /**< The first id inside. */
	uint32_t host;      /**< The first id outside. */
	uint32_t count;     /**< The number of ids. */
};

/**
 * How to shift the ownership of a layer. Start from VARVE_CHOWN_OPTIONS_INIT. A map without entries
 * changes nothing.
 */
struct varve_chown_options {
	/** sizeof(struct varve_chown_options). */
	size_t size;
	/** VARVE_DURABLE or VARVE_RELAXED; VARVE_OVERFLOW_IDS. */
	uint64_t flags;
	/** The layer's present map of users. */
	const struct varve_id_map *uid_from;
	/** Its entries, up to VARVE_ID_MAPS_MAX. */
	size_t uid_from_count;
	/** ... and of groups. */
	const struct varve_id_map *gid_from;
	/** Its entries. */
	size_t gid_from_count;
	/** The layer's new map of users. */
	const struct varve_id_map *uid_to;
	/** Its entries. */
	size_t uid_to_count;
	/** ... and of groups. */
	const struct varve_id_map *gid_to;
	/** Its entries. */
	size_t gid_to_count;
	/** Output of the blocking twins: see varve_skipped. NULL: none. */
	struct varve_skipped *ret_skipped;
};

#define VARVE_CHOWN_OPTIONS_INIT                                                 \
	{                                                                        \
		sizeof(struct varve_chown_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
	}
/** As VARVE_CHOWN_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_chown_options_init(struct varve_chown_options *options, size_t size);

/**
 * The size of a layer with its nested subvolumes; the numbers of the quota group are the layer's
 * alone.
 */
struct varve_layer_usage {
	/** sizeof(struct varve_layer_usage). */
	size_t size;
	/** The sum of sizes of all but directories; an inode counts once. */
	uint64_t bytes;
	/** The number of inodes, the root and directories included. */
	uint64_t inodes;
	/** Space of the files: st_blocks times 512. Shared space counts. */
	uint64_t disk_bytes;
	/** The referenced bytes of the quota group; with VARVE_USAGE_QUOTA. */
	uint64_t referenced_bytes;
	/** ... and those of them that no other subvolume has. */
	uint64_t exclusive_bytes;
	/** VARVE_USAGE_WALK or VARVE_USAGE_SEARCH: the method; VARVE_USAGE_QUOTA. */
	uint64_t flags;
	/** The limit of referenced_bytes in force; 0: none. With VARVE_USAGE_QUOTA. */
	uint64_t limit_bytes;
};

#define VARVE_LAYER_USAGE_INIT                                        \
	{                                                             \
		sizeof(struct varve_layer_usage), 0, 0, 0, 0, 0, 0, 0 \
	}
/** As VARVE_LAYER_USAGE_INIT; SIZE is sizeof(*usage). */
void varve_layer_usage_init(struct varve_layer_usage *usage, size_t size);

/** The progress of a request. */
struct varve_progress {
	/** sizeof(struct varve_progress). */
	size_t size;
	/** Files and directories looked at. */
	uint64_t entries;
	/** Their bytes, where the operation counts bytes. */
	uint64_t bytes;
	/** sync with VARVE_SYNC_CLEAN: removed subvolumes whose space is not free yet. */
	uint64_t left;
};

#define VARVE_PROGRESS_INIT                            \
	{                                              \
		sizeof(struct varve_progress), 0, 0, 0 \
	}
/** As VARVE_PROGRESS_INIT; SIZE is sizeof(*progress). */
void varve_progress_init(struct varve_progress *progress, size_t size);

/** The result of a sweep. */
struct varve_sweep_report {
	/** sizeof(struct varve_sweep_report). */
	size_t size;
	/**
	 * Half-made layers of dead processes; where the store is in a snapshot of a subvolume, also
	 * the empty directories that stand for the original's layers.
	 */
	uint64_t staging_removed;
	/** Half-destroyed layers of dead processes. */
	uint64_t trash_removed;
	/** quotas/ID files without a layer ID. */
	uint64_t quota_files_removed;
	/** Leftovers that could not be removed; the first one is the result's failure. */
	uint64_t failures;
	/** Quota groups of subvolumes that are gone. */
	uint64_t quota_groups_removed;
	/** Labels and records of layers that are gone, or that are damaged. */
	uint64_t records_removed;
};

#define VARVE_SWEEP_REPORT_INIT                                     \
	{                                                           \
		sizeof(struct varve_sweep_report), 0, 0, 0, 0, 0, 0 \
	}
/** As VARVE_SWEEP_REPORT_INIT; SIZE is sizeof(*report). */
void varve_sweep_report_init(struct varve_sweep_report *report, size_t size);

/** The mode of quota on a file system: see varve_quota_enable(). */
enum varve_quota_mode {
	/** Quota is off. */
	VARVE_QUOTA_OFF,
	/** Full quotas: each byte counts for every layer that has it. */
	VARVE_QUOTA_FULL,
	/** Simple quotas (Linux 6.7): each byte counts for the layer that wrote it. */
	VARVE_QUOTA_SIMPLE,
};

/** The state of quota, and the result of varve_quota_gc(). */
struct varve_quota {
	/** sizeof(struct varve_quota). */
	size_t size;
	/** The mode in which quota runs. */
	enum varve_quota_mode mode;
	/** VARVE_QUOTA_* bits. */
	uint64_t flags;
	/** The position of the rescan, in bytes of the file system's address space. */
	uint64_t rescan_position;
	/** Quota groups of the file system, of all levels. */
	uint64_t groups;
	/** ... and those of them that belong to subvolumes that are gone. */
	uint64_t groups_stale;
	/** Layers of the store with a recorded size. */
	uint64_t records;
	/** gc: groups removed. */
	uint64_t groups_removed;
	/** gc: recorded sizes without a layer removed. */
	uint64_t records_removed;
	/** gc: failed removals; the first one is the result's failure. */
	uint64_t failures;
};

#define VARVE_QUOTA_INIT                                                            \
	{                                                                           \
		sizeof(struct varve_quota), VARVE_QUOTA_OFF, 0, 0, 0, 0, 0, 0, 0, 0 \
	}
/** As VARVE_QUOTA_INIT; SIZE is sizeof(*quota). */
void varve_quota_init(struct varve_quota *quota, size_t size);

/**
 * varve_quota.flags: the groups' counts are wrong, and LIMITS ARE NOT ENFORCED, until
 * varve_quota_rescan().
 */
#define VARVE_QUOTA_INCONSISTENT VARVE_FLAG(51)
/** varve_quota.flags: a rescan is running. Only known, and set, with CAP_SYS_ADMIN. */
#define VARVE_QUOTA_RESCAN_RUNNING VARVE_FLAG(52)
/** varve_quota.flags: groups and groups_stale are known. Needs CAP_SYS_ADMIN. */
#define VARVE_QUOTA_COUNTED VARVE_FLAG(53)

/** One line of varve_status(). */
struct varve_status_entry {
	/** Lower case words, joined by '_': "kernel", "cleaner_backlog". */
	const char *key;
	/** The value as text. */
	const char *value;
};

/** A fault in a store: see varve_check(). */
struct varve_finding {
	/** A word: "directory", "record", "limit", "staging", ... A constant of the library. */
	const char *kind;
	/** The path below the home; "" for the file system as a whole. Any bytes but NUL. */
	const char *path;
	/** The fault in words. */
	const char *detail;
	/** What varve_sweep() does about the fault, a constant; NULL: nothing. */
	const char *sweep;
};

/** The change of a path; the values are the letters that the command prints. */
enum varve_change_kind {
	VARVE_CHANGE_ADD = 'A',
	VARVE_CHANGE_DELETE = 'D',
	VARVE_CHANGE_MODIFY = 'M',
};

/** A path of a layer that differs from the parent's. */
struct varve_change {
	/** Absolute within the layer: "/etc/passwd". Any bytes but NUL. */
	const char *path;
	/** The kind of change. */
	enum varve_change_kind kind;
};

/**
 * The digests of an archive. The blocking twins of apply, diff, and create with an apply, set
 * options->ret_digests on success; calls with a callback ignore it.
 */
struct varve_digests {
	/** sizeof(struct varve_digests). */
	size_t size;
	/** The sha-256 of the stream as it was given or written: the digest of an OCI blob. */
	char digest[VARVE_DIGEST_SIZE];
	/** The sha-256 of the archive without compression: the diff id of OCI. */
	char diff_id[VARVE_DIGEST_SIZE];
	/** The bytes of the stream: the size of the OCI blob. */
	uint64_t stream_bytes;
	/** The bytes of the archive without compression. */
	uint64_t plain_bytes;
};

#define VARVE_DIGESTS_INIT                                       \
	{                                                        \
		sizeof(struct varve_digests), { 0 }, { 0 }, 0, 0 \
	}
/** As VARVE_DIGESTS_INIT; SIZE is sizeof(*digests). */
void varve_digests_init(struct varve_digests *digests, size_t size);

/** The result of a request, for its callback. Fields of other operations are 0 or NULL. */
struct varve_result {
	/** sizeof(struct varve_result) of the library: see VARVE_HAS(). */
	size_t size;
	/** The request. */
	varve_request request;
	/** The request's operation. */
	enum varve_operation operation;
	/** 0 or negative errno; of a batch the first error, in the order of the ids. */
	int error;
	/** NULL when error is 0. */
	const struct varve_failure *failure;
	/** create, remove: one for each id, in the order given. */
	const struct varve_outcome *outcomes;
	/** The number of outcomes: 1, or the size of the batch. */
	size_t outcomes_count;
	/** get: the absolute path of the layer. */
	const char *path;
	/** open_layer: the layer's directory, which the callback has to close. */
	int descriptor;
	/** exists: there is such a layer. */
	bool exists;
	/** list, find: the ids, sorted bytewise. */
	const char *const *ids;
	/** list, find: the number of ids. */
	size_t ids_count;
	/** info. */
	const struct varve_layer_info *info;
	/** sweep; also when error is not 0. */
	const struct varve_sweep_report *sweep;
	/** status. */
	const struct varve_status_entry *status;
	/** status: the number of lines. */
	size_t status_count;
	/** changes: the paths, sorted bytewise, each once. */
	const struct varve_change *changes;
	/** changes: the number of paths. */
	size_t changes_count;
	/** usage. */
	const struct varve_layer_usage *usage;
	/** quota; of a gc also when error is not 0. */
	const struct varve_quota *quota;
	/**
	 * diff: bytes of the archive; diff_size: bytes of the files; apply: the sum of the sizes in
	 * the entries. After an error: the bytes so far.
	 */
	uint64_t bytes;
	/**
	 * The first of: entries that a diff left out, or that changed during the diff; entries that
	 * an apply changed; entries whose owner became the overflow id.
	 */
	const struct varve_failure *skipped;
	/** The number of records in skipped. */
	size_t skipped_count;
	/** The number of such entries. */
	uint64_t skipped_total;
	/** check: the findings, place by place. */
	const struct varve_finding *findings;
	/** check: the number of records in findings. */
	size_t findings_count;
	/**
	 * check: the number of findings; records are kept of the first 10000 plain directories, and
	 * of the first 10000 others.
	 */
	uint64_t findings_total;
	/**
	 * apply, diff, and create with an apply: the digests, where they were requested and the
	 * stream was read or written to its end; also where they differ from the expected ones.
	 */
	const struct varve_digests *digests;
	/**
	 * label: the labels and the record after the change; record: those of the layer; info:
	 * those of the layer, NULL where it has none or they cannot be read.
	 */
	const struct varve_layer_record *record;
	/**
	 * find with VARVE_FIND_RECORDS and without a function for each layer: one for each id; NULL
	 * where the layer has none.
	 */
	const struct varve_layer_record *const *records;
};

/**
 * A callback. Runs on the thread that called varve_dispatch(), varve_wait(), varve_wait_for() or
 * varve_close(). It may submit, cancel, and close the store; it may not dispatch or wait (-EBUSY).
 */
typedef void varve_callback(struct varve_store *store, const struct varve_result *result,
			    void *user_data);

/**
 * Called with the progress of REQUEST: see varve_progress_watch(). PROGRESS lives until the
 * callback returns.
 */
typedef void varve_progress_callback(struct varve_store *store, varve_request request,
				     const struct varve_progress *progress, void *user_data);

/**
 * Take a chunk of an archive. BYTES belong to the library and live until the sink returns; SIZE is
 * 1 or more. Chunks arrive in order, one at a time, on the thread that called varve_dispatch(),
 * varve_wait(), varve_wait_for() or a blocking twin. A sink may do what a callback may do.
 *
 * Returns 0: the sink has taken the chunk and may be called again. VARVE_PAUSE: the sink has taken
 * the chunk, and is called again only after varve_stream_resume(). A negative errno: the request
 * ends with that error, and the sink is not called again; any other value counts as -EINVAL.
 */
typedef int varve_sink(struct varve_store *store, varve_request request, const void *bytes,
		       size_t size, void *sink_data);

/**
 * Announce that varve_stream_write() will take SIZE bytes of REQUEST's archive. Called once after
 * the request was accepted; and, after a varve_stream_write() that took fewer bytes than it was
 * given, once half of VARVE_STREAM_BYTES is free again. Runs on the same threads as a sink, and may
 * do what a sink may do.
 */
typedef void varve_room(struct varve_store *store, varve_request request, size_t size,
			void *room_data);

/* ---- the store ------------------------------------------------------------------------------- */

/** Do not use io_uring, even where the kernel has it. */
#define VARVE_OPEN_NO_URING VARVE_FLAG(32)
/** Requests are relaxed unless they say VARVE_DURABLE: see varve_durability(7). */
#define VARVE_OPEN_RELAXED VARVE_FLAG(33)
/** Do not remove leftovers of crashed processes at open. */
#define VARVE_OPEN_NO_SWEEP VARVE_FLAG(34)
/**
 * Bind-mount the home on itself, privately, unless it already is a mount point. varve_close()
 * unmounts it, unless something else is mounted in the home by then. Needs CAP_SYS_ADMIN.
 */
#define VARVE_OPEN_PRIVATE_MOUNT VARVE_FLAG(35)
/** Create nothing: varve_open() fails with -ENOENT where there is no store. */
#define VARVE_OPEN_EXISTING VARVE_FLAG(36)
/**
 * Use a home that other users can change: the home, a directory of the store in it, or a directory
 * above belongs to another user than root, the caller and root_uid, or may be written by its group
 * or others (above the home: and is not sticky). Such a user can exchange the home, layers and
 * other files of the store during a request of the caller, which may be root.
 */
#define VARVE_OPEN_SHARED_HOME VARVE_FLAG(37)
/**
 * Make snapshots ahead ("spare copies") of layers from which others are created again and again. A
 * create that takes a spare copy does not wait for a commit, unless it is durable. The new layer is
 * what a snapshot at that moment would be: a copy whose parent has changed in any way is dropped.
 * Only a plain create takes a spare copy: without a size, groups, an archive, a shift of ownership,
 * an SELinux label or VARVE_CREATE_READ_ONLY.
 *
 * There are up to 256 spare copies of each of up to 16 layers, in the store's staging directory.
 * They are dropped when their parent is removed or has changed, when nothing was created from it
 * for 10 seconds, and by varve_close(). When another process removes the parent, its space becomes
 * free after those 10 seconds. None are made while quota runs, while less than a tenth of the file
 * system is free, or without CAP_SYS_ADMIN. After a crash the next sweep removes them.
 */
#define VARVE_OPEN_SPARES VARVE_FLAG(38)

/**
 * How to open a store. Start from VARVE_CONFIG_INIT; every field that is 0 or NULL stands for its
 * default.
 */
struct varve_config {
	/** sizeof(struct varve_config): lets later versions add fields. */
	size_t size;
	/** The store's directory, made (0700) when missing. NULL: "/var/lib/varve". */
	const char *home;
	/** "KEY=VALUE" strings, NULL last; the keys of varve(7), case ignored. */
	const char *const *options;
	/** VARVE_OPEN_* bits. */
	uint64_t flags;
	/** Requests in flight, 1..VARVE_REQUESTS_MAX. 0: 4096. */
	uint32_t requests_max;
	/** Depth of the io_uring, 8..4096. 0: 256. */
	uint32_t ring_entries;
	/** Threads for short blocking calls, 1..64. 0: one for each CPU. */
	uint32_t fs_threads_max;
	/**
	 * Snapshots in flight, 1..512; their threads mostly sleep. 0: 128, with VARVE_OPEN_SPARES
	 * 256. At most a quarter of the descriptors that RLIMIT_NOFILE leaves, since each keeps a
	 * directory open; the library never raises the limit.
	 */
	uint32_t commit_threads_max;
	/**
	 * Removed layers that may await the kernel's cleaner before creates wait, 1..1000000. 0:
	 * 4096. Under full quotas creates wait sooner: varve_durability(7). The cleaner does not
	 * drop a layer of which a file is open: with so many of them creates wait until one is
	 * closed, or fail with VARVE_CREATE_NOWAIT.
	 */
	uint32_t backlog_max;
	/** Owner of the home and of new base layers. */
	uint32_t root_uid;
	/** Group of the home and of new base layers. */
	uint32_t root_gid;
	/**
	 * What to trace, as in VARVE_DEBUG ("op,ring,lane,btrfs" or "all"). NULL: the value of
	 * VARVE_DEBUG in the environment.
	 */
	const char *debug;
	/**
	 * Take a line of the trace, without a line end. Called on any thread, also of the library;
	 * must not call the library. NULL: lines go to standard error.
	 */
	void (*log)(void *log_data, const char *line);
	/** Passed to log. */
	void *log_data;
};

#define VARVE_CONFIG_INIT                                                          \
	{                                                                          \
		sizeof(struct varve_config), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
	}
/** As VARVE_CONFIG_INIT; SIZE is sizeof(*config). */
void varve_config_init(struct varve_config *config, size_t size);

/**
 * Open the store in CONFIG->home, create the home and HOME/subvolumes when missing, and start the
 * store's threads. HOME/quotas and HOME/.varve are created by the first request that needs them: so
 * an existing store can be opened on a full or read-only file system, and without write permission.
 *
 * Blocks for a few file-system calls and a sweep of leftovers (see varve_sweep()); the store opens
 * even when the sweep fails. Any number of processes may have the same home open, and one process
 * may open it several times.
 *
 * On success *RET_STORE is the store; end it with varve_close(). On failure *RET_STORE is
 * unchanged, and *RET_FAILURE (if not NULL) has the reason.
 *
 * Errors: -EINVAL (a number out of its range, an option that is unknown or does not parse, an
 * unknown flag), -ENAMETOOLONG (the home's path leaves no room for an id), -ENOENT
 * (VARVE_OPEN_EXISTING and no store), -ENOTSUP (the home is not on btrfs; an option that this
 * version or kernel does not support), -ENOTDIR, -EACCES, -EROFS, -EMFILE, -ENOMEM, -EPERM
 * (VARVE_OPEN_PRIVATE_MOUNT without privilege; or, in the step "TRUST", another user can change the
 * home: see VARVE_OPEN_SHARED_HOME). Privilege: write access to the home, where something has to be
 * created in it. A crash leaves at most empty directories. -EBUSY: quota runs in another mode than
 * the option "quota" requires. -E2BIG: a member of CONFIG that this version does not know is not 0.
 */
int varve_open(const struct varve_config *config, struct varve_store **ret_store,
	       struct varve_failure *ret_failure);

/**
 * Close STORE (NULL: do nothing): refuse new requests, cancel requests in flight, wait until each
 * has ended or undone its steps, run their callbacks, stop the threads and free the store. Returns
 * 0. Never changes quotas. Blocks for as long as a commit of the file system takes.
 *
 * In a callback, return at once; the store is closed, and must not be used any more, when the
 * surrounding varve_dispatch() returns. In a forked child, only free memory and descriptors.
 */
int varve_close(struct varve_store *store);

/** The version of the library that is loaded: "0.2.0". Any thread. */
const char *varve_version(void);

/**
 * Copy into *RET_FAILURE why STORE last refused a request of the calling thread. Returns 0, or
 * -ENOENT when there was no refusal. The store keeps the last refusal of each of the last 64
 * threads. Any thread.
 */
int varve_refusal(struct varve_store *store, struct varve_failure *ret_failure);

/**
 * Check that ID is valid: 1..255 bytes, no '/', not "." or "..", not beginning with ".varve".
 * Returns 0, -EINVAL or -ENAMETOOLONG; on an error *RET_FAILURE (if not NULL) has the reason. Any
 * thread; accesses no file.
 */
int varve_id_check(const char *id, struct varve_failure *ret_failure);

/* ---- the event loop -------------------------------------------------------------------------- */

/**
 * The descriptor to poll: readable while a callback is pending. It may become readable spuriously,
 * and varve_dispatch() then returns 0. The store owns the descriptor and keeps it until it is
 * closed. Do not read from it. Any thread.
 */
int varve_fd(const struct varve_store *store);

/**
 * Run up to MAX callbacks (0: all that were ready when the call began). A chunk for a sink counts
 * as one, and each call runs a sink once at most. Returns the number of callbacks that ran. Never
 * blocks and makes no file-system call. Errors: -EBUSY (inside a callback, or while another thread
 * dispatches), -ECHILD; -ESHUTDOWN when a callback closed the store, which is then freed.
 */
int varve_dispatch(struct varve_store *store, unsigned max);

/**
 * Run callbacks as varve_dispatch() does, and wait for the first one for at most TIMEOUT_MS
 * milliseconds (negative: for ever; 0: do not wait). Where requests end within 50 us, poll for that
 * long before sleeping. Returns the number of callbacks that ran; 0 after the timeout. Also waits
 * while no request is in flight, as another thread may submit one: a loop that ends with its
 * requests checks varve_pending(). Errors: as varve_dispatch(), and -EINTR.
 */
int varve_wait(struct varve_store *store, int timeout_ms);

/**
 * The number of requests in flight: those that were accepted and whose callback has not returned.
 * Or -ECHILD. Any thread; no system call.
 */
int varve_pending(struct varve_store *store);

/**
 * Wait for at most TIMEOUT_MS milliseconds (negative: for ever) until the callback of REQUEST has
 * returned. Run that callback (and its sink or room) and no other. Any number of threads may wait,
 * each for a request of its own. Returns 0; at once when REQUEST is not in flight. Errors: -ETIME,
 * -EBUSY (inside a callback), -ECHILD; -ESHUTDOWN when the callback closed the store, which is then
 * freed. Signals do not interrupt the call.
 */
int varve_wait_for(struct varve_store *store, varve_request request, int timeout_ms);

/**
 * Cancel REQUEST. Best effort: the request either ends as without a cancel, or undoes its steps and
 * ends with -ECANCELED. Its sink is not called any more; a call that runs on another thread may
 * still finish. Returns 0 when REQUEST was in flight, -ENOENT when not. Any thread.
 */
int varve_cancel(struct varve_store *store, varve_request request);

/**
 * Copy the progress of REQUEST into *RET_PROGRESS; only requests that look at each file count.
 * Returns 0, or -ENOENT when REQUEST is not in flight. Any thread, also inside callbacks; makes no
 * system call.
 */
int varve_progress(struct varve_store *store, varve_request request,
		   struct varve_progress *ret_progress);

/**
 * Have CALLBACK called with the progress of REQUEST, at most once in VARVE_PROGRESS_INTERVAL_MS,
 * and only when the progress has changed. A request has one such callback: a new one replaces the
 * old one, and NULL removes it, without waiting for a call that has begun on another thread. Only
 * requests that look at each file call it.
 *
 * CALLBACK runs in varve_dispatch() and varve_wait(), on their caller's thread, and counts as one
 * of their callbacks; varve_fd() becomes readable for it. It may do what other callbacks may, and
 * never runs after the request's own callback has begun. varve_wait_for() and the blocking twins do
 * not run it.
 *
 * Returns 0, -ENOENT when REQUEST is not in flight, or -ENOMEM; on an error USER_DATA stays the
 * caller's. Any thread; makes no system call.
 */
int varve_progress_watch(struct varve_store *store, varve_request request,
			 varve_progress_callback *callback, void *user_data);

/**
 * Submit a request that does nothing but go to the library's thread and back to the callback. Use
 * it to measure the library, or to wake a loop.
 */
int varve_noop(struct varve_store *store, varve_callback *callback, void *user_data,
	       varve_request *ret_request);

/* ---- layers -------------------------------------------------------------------------------------
 *
 * Requests on one id run in the order in which they were submitted; a create is also a request on
 * its parent's id. Requests on different ids run in parallel. So a layer may be created from a
 * parent whose own create has not ended.
 *
 * Every call that takes an id refuses a bad one, as varve_id_check().
 */

/**
 * When the callback runs, the result survives a power cut. The default, unless the store was opened
 * with VARVE_OPEN_RELAXED.
 */
#define VARVE_DURABLE VARVE_FLAG(0)
/**
 * When the callback runs, the work is done. After a power cut a created layer is absent or whole,
 * content included; a removed layer is gone or whole; owners, labels, limits, and content applied
 * to an existing layer may be changed in part. Several times faster. See varve_durability(7).
 */
#define VARVE_RELAXED VARVE_FLAG(1)
/**
 * apply, chown, diff, and create with either: an owner that is in none of the given maps becomes
 * the overflow id 65534, and the entry is in result->skipped. Without this flag such an owner is an
 * error, -EOVERFLOW.
 */
#define VARVE_OVERFLOW_IDS VARVE_FLAG(12)
/**
 * apply: leave out devices that the caller may not make, as in a user namespace; these are in
 * result->skipped. Without this flag such a device is an error, -EPERM.
 */
#define VARVE_APPLY_SKIP_DEVICES VARVE_FLAG(13)
/**
 * apply: give the caller the files whose owner the caller may not set; these are in
 * result->skipped. Without this flag such an owner is an error: -EPERM, or -EINVAL where the id is
 * in no map of a user namespace. As ignore_chown_errors of containers/storage.
 */
#define VARVE_APPLY_IGNORE_OWNERS VARVE_FLAG(14)
/**
 * apply, diff, and create with an apply: take the digests of the archive, result->digests, on
 * threads beside the one that reads or writes it. Needs libcrypto.so.3, which is loaded when first
 * needed; without it the request fails with -ENOTSUP.
 */
#define VARVE_DIGESTS VARVE_FLAG(20)
/**
 * apply: begin to write the content of large files to disk while they are unpacked, because a
 * varve_layer_flush() or a varve_sync() comes next. A durable apply, and a create, do so always.
 */
#define VARVE_APPLY_WRITEBACK VARVE_FLAG(21)
/** create: make the layer read-only. */
#define VARVE_CREATE_READ_ONLY VARVE_FLAG(2)
/**
 * remove: remove in the background, so that other requests and programs are delayed little: the
 * removal begins when creates of the store, and the disk, leave time for it. See
 * varve_layer_remove().
 */
#define VARVE_REMOVE_BACKGROUND VARVE_FLAG(22)
/** create: fail with -EAGAIN where the create would have to wait for the cleaner's backlog. */
#define VARVE_CREATE_NOWAIT VARVE_FLAG(3)

/** How to unpack an archive into a layer. Start from VARVE_APPLY_OPTIONS_INIT. */
struct varve_apply_options {
	/** sizeof(struct varve_apply_options). */
	size_t size;
	/**
	 * VARVE_OVERFLOW_IDS, VARVE_APPLY_*, VARVE_DIGESTS; VARVE_DURABLE or VARVE_RELAXED, but not
	 * within a create.
	 */
	uint64_t flags;
	/** The map of users: the archive has the container's. NULL: none. */
	const struct varve_id_map *uids;
	/** Entries, up to VARVE_ID_MAPS_MAX. */
	size_t uids_count;
	/** The map of groups. NULL: none. */
	const struct varve_id_map *gids;
	/** Entries, up to VARVE_ID_MAPS_MAX. */
	size_t gids_count;
	/** With VARVE_STREAM: announces room for varve_stream_write(). NULL: none. */
	varve_room *room;
	/** Passed to room. */
	void *room_data;
	/**
	 * The permission bits, up to 07777, of all entries but symbolic links. Files and
	 * directories keep the owner and mode of the archive in the attribute
	 * user.containers.override_stat: as force_mask of containers/storage. 0: none.
	 */
	uint64_t force_mode;
	/** Output of the blocking twins: see varve_skipped. NULL: none. */
	struct varve_skipped *ret_skipped;
	/**
	 * The digest that the stream must have, "sha256:" and 64 lower-case hexadecimal digits;
	 * another one fails the request with -EBADMSG. NULL: any.
	 */
	const char *expect;
	/** The digest that the archive must have without its compression. NULL: any. */
	const char *expect_diff_id;
	/** Output of the blocking twins, with VARVE_DIGESTS or a digest to expect. NULL: none. */
	struct varve_digests *ret_digests;
};

#define VARVE_APPLY_OPTIONS_INIT                                                       \
	{                                                                              \
		sizeof(struct varve_apply_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
	}
/** As VARVE_APPLY_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_apply_options_init(struct varve_apply_options *options, size_t size);

/** How to create a layer. Start from VARVE_CREATE_OPTIONS_INIT. */
struct varve_create_options {
	/** sizeof(struct varve_create_options). */
	size_t size;
	/** The layer to start from; NULL or "": an empty base layer. */
	const char *parent;
	/** Start from this layer instead of from the parent; NULL: none. */
	const char *template_id;
	/**
	 * "KEY=VALUE" strings, NULL last: "size=SIZE", "group=NAME" or "group=NAME:SIZE" (up to 8):
	 * see the section about quota.
	 */
	const char *const *storage_options;
	/** VARVE_DURABLE, VARVE_RELAXED, VARVE_CREATE_*. */
	uint64_t flags;
	/** Permission bits of a base layer's root, 0..07777. 0: 0755. */
	uint32_t mode;
	/** The source of apply's archive, or VARVE_STREAM. */
	int apply_fd;
	/** Shift the ownership of all entries before the layer appears; NULL: do not. */
	const struct varve_chown_options *chown;
	/** Set this SELinux label on all entries before the layer appears; NULL or "": do not. */
	const char *label;
	/**
	 * Unpack an archive into the layer before it appears; one layer only, and a writable one.
	 * NULL: none. See varve_layer_apply().
	 */
	const struct varve_apply_options *apply;
	/** Labels of the layers, "KEY=VALUE" strings, NULL last; NULL: none. */
	const char *const *labels;
	/** The record of the layers. */
	const void *record;
	/** Bytes of the record, up to VARVE_RECORD_BYTES_MAX; 0: none. */
	size_t record_bytes;
};

#define VARVE_CREATE_OPTIONS_INIT                                                       \
	{                                                                               \
		sizeof(struct varve_create_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
	}
/** As VARVE_CREATE_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_create_options_init(struct varve_create_options *options, size_t size);

/**
 * Create layer ID: an empty one, or a writable (or read-only) snapshot of another layer. OPTIONS
 * may be NULL.
 *
 * The layer is made in a staging directory and appears whole, by one rename; or is made in its
 * place when no other create is in flight. Creates that are in flight together share a commit of
 * the file system.
 *
 * Errors in the callback: -EEXIST (the id exists), -ENOENT (no such parent), -ENOTDIR (the parent
 * is not a directory), -EINVAL (the parent is not a subvolume of this store), -EXDEV (something is
 * mounted over the parent), -ETXTBSY (the parent has an active swap file), -EOVERFLOW (some hundred
 * layers have ids of the same btrfs hash, as only ids that were made for that do), -ENOSPC,
 * -EDQUOT, -EROFS, -EMFILE, -EAGAIN (VARVE_CREATE_NOWAIT), -ECANCELED, -EIO; with a shift or a
 * label those of varve_layer_chown() and varve_layer_relabel(). A failed create leaves nothing;
 * where the new subvolume cannot be destroyed (an owner without the mount option
 * user_subvol_rm_allowed), the create moves it to the trash for varve_sweep(), and says so in the
 * detail.
 *
 * Refused with -EINVAL: a storage option that is unknown or does not parse ("size" below
 * btrfs.min_space); with -ENOTSUP: a size in a store that was opened with quota=off. A layer with a
 * size or a group can fail, before anything is made, with -EPERM (quota has to be turned on, a
 * group made, or a limit set after a snapshot as in full mode, and the caller lacks CAP_SYS_ADMIN),
 * -ENOTCONN (quota is off, and the store was opened with quota=keep), -EBUSY (quota runs in another
 * mode than the store was opened for) and -ENOTSUP (a snapshot under full quotas, where it or its
 * parent is in a group: see the section about quota).
 *
 * Privilege: write access to the home; for a snapshot, ownership of the parent or CAP_FOWNER. A
 * crash leaves the whole layer, or a leftover that varve_sweep() removes, never a half-made layer
 * in HOME/subvolumes.
 */
int varve_layer_create(struct varve_store *store, const char *id,
		       const struct varve_create_options *options, varve_callback *callback,
		       void *user_data, varve_request *ret_request);

/**
 * Create COUNT layers (1..VARVE_BATCH_MAX), all with the same OPTIONS. One callback has the result
 * of each layer in result->outcomes; a failed layer does not stop the others. A cancel undoes the
 * layers that are not yet in place. A batch counts as one request. A bad id refuses the whole
 * batch.
 */
int varve_layer_create_batch(struct varve_store *store, const char *const *ids, size_t count,
			     const struct varve_create_options *options, varve_callback *callback,
			     void *user_data, varve_request *ret_request);

/**
 * Remove layer ID with its nested subvolumes. FLAGS: VARVE_DURABLE or VARVE_RELAXED, or 0; and
 * VARVE_REMOVE_BACKGROUND.
 *
 * Takes the same time whatever the number of files. The kernel's cleaner frees the space later: see
 * varve_sync(). A layer with open files or bind mounts can be removed; these keep the old content
 * until they are closed. The kernel unmounts, in all mount namespaces, the file systems that are
 * mounted in the layer, and does not change their content.
 *
 * With VARVE_REMOVE_BACKGROUND the removal waits for its turn. Such removals begin a few at a time:
 * fewer while layers are made in the store, and still fewer while these creates are slow. While no
 * layer is made, fewer begin where tasks of the machine wait for the disk (/proc/pressure/io, where
 * the kernel allows it). At least one begins each tenth of a second, and no more than that while a
 * create waits for the cleaner (backlog_max). None waits while less than a tenth of the file system
 * is free. A removal that waits can be cancelled, and varve_close() cancels it: then the layer is
 * whole. Another request for the same id runs after the removal, as always, and makes the removal
 * begin at once. varve_statistics.background_waiting counts those that wait.
 *
 * Flags (chattr +i, +a) on the roots of the layer and of nested subvolumes, and on directories that
 * contain subvolumes, are cleared, which takes CAP_LINUX_IMMUTABLE; missing permissions of the
 * owner are added. A layer that is not removed gets the flags and mode of its root back.
 *
 * Privilege: CAP_SYS_ADMIN, or the mount option user_subvol_rm_allowed and ownership. For an owner
 * with neither, or of a read-only subvolume, the layer is removed entry by entry: it is moved to
 * the trash, made writable, emptied and removed. That takes longer the more files there are (see
 * varve_progress()) and can be cancelled; varve_sweep() removes the rest.
 *
 * Errors in the callback: -ENOENT (no such layer), -ENOTDIR or -EINVAL (the entry is not a layer),
 * -EPERM (the layer is the file system's default subvolume, is being sent, holds an active swap
 * file, or has a flag that may not be cleared; or the caller lacks privilege), -EACCES, -EROFS,
 * -ENOSPC, -EBUSY (entry by entry: something is mounted in the layer; or subvolumes are made in it
 * as fast as they are destroyed, and the removal stops after some thousands), -ECANCELED, -EIO.
 *
 * After a failure the layer is whole, unless something in it was destroyed. Then it is in the
 * trash, and varve_sweep() removes the rest; or, where there was no room for the move (-ENOSPC,
 * -EDQUOT of the file system), it is in its place without the destroyed parts, and has to be
 * removed again. The failure's detail says which. A crash leaves the layer whole, or gone from its
 * place; or, where there was no room for the move, in its place without some nested subvolumes or
 * files.
 */
int varve_layer_remove(struct varve_store *store, const char *id, uint64_t flags,
		       varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Remove COUNT layers (1..VARVE_BATCH_MAX) in one request. Its callback, a cancel and a bad id are
 * as in varve_layer_create_batch().
 */
int varve_layer_remove_batch(struct varve_store *store, const char *const *ids, size_t count,
			     uint64_t flags, varve_callback *callback, void *user_data,
			     varve_request *ret_request);

/**
 * Find the directory of layer ID: result->path, absolute and through no symbolic link. Nothing is
 * mounted, and no reference is taken: the path is valid until the layer is removed, or the home or
 * a directory above it is renamed. OPTIONS: mount options, NULL last, or NULL; "ro" is accepted and
 * ignored, any other is refused with -EINVAL. Where the layer's recorded size is at least
 * btrfs.min_space and differs from the limit in force, the size is applied again. Errors in the
 * callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume); -EPERM, -EBUSY as varve_layer_create()
 * with a size.
 */
int varve_layer_get(struct varve_store *store, const char *id, const char *const *options,
		    varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * The counterpart of varve_layer_get(), for callers that pair the two. Does nothing but refuse a
 * bad id. Any thread.
 */
int varve_layer_put(struct varve_store *store, const char *id);

/**
 * Open layer ID as a directory: result->descriptor, close-on-exec and open for reading, belongs to
 * the callback, which closes it. FLAGS: 0. The descriptor stays with this layer, also when the id
 * is removed or renamed; a removal does not wait for it to be closed, but the kernel's cleaner
 * does. Do not trust the layer's content: resolve paths by openat2() with RESOLVE_IN_ROOT or
 * RESOLVE_BENEATH. Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume of this
 * store), -EACCES, -EMFILE. Nothing is changed.
 */
int varve_layer_open(struct varve_store *store, const char *id, uint64_t flags,
		     varve_callback *callback, void *user_data, varve_request *ret_request);

/** Check whether layer ID exists: result->exists. A plain directory or file is no layer. */
int varve_layer_exists(struct varve_store *store, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request);

/**
 * List all layers: result->ids. With CAP_SYS_ADMIN one tree search finds them; without, each entry
 * of HOME/subvolumes is checked.
 */
int varve_layer_list(struct varve_store *store, varve_callback *callback, void *user_data,
		     varve_request *ret_request);

/**
 * Get the properties of layer ID: result->info. Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL
 * (not a subvolume). Without CAP_SYS_ADMIN each layer of the store is looked at to find the
 * parent's name, which takes time in a large store.
 */
int varve_layer_info(struct varve_store *store, const char *id, varve_callback *callback,
		     void *user_data, varve_request *ret_request);

/* ---- what is in a layer -------------------------------------------------------------------------
 *
 * The calls below compare a layer with a parent, which the options name. NULL: the layer that it is
 * a snapshot of (-ESTALE where the store no longer has that layer; in a layer that is no snapshot
 * everything is new). "": no parent, everything is new.
 */

/**
 * Walk both layers even where their trees could be searched for changes. Slow; the result is the
 * same.
 */
#define VARVE_CHANGES_WALK VARVE_FLAG(4)

/** How to compare a layer with its parent. Start from VARVE_CHANGES_OPTIONS_INIT. */
struct varve_changes_options {
	/** sizeof(struct varve_changes_options). */
	size_t size;
	/** The layer to compare with; NULL: the source of the snapshot; "": none. */
	const char *parent;
	/** VARVE_CHANGES_WALK or 0. */
	uint64_t flags;
	/** The layer's map of users. NULL: none. */
	const struct varve_id_map *uids;
	/** Its entries, up to VARVE_ID_MAPS_MAX. */
	size_t uids_count;
	/** ... and of groups. */
	const struct varve_id_map *gids;
	/** Its entries. */
	size_t gids_count;
	/** The parent's map of users. NULL: none. */
	const struct varve_id_map *parent_uids;
	/** Its entries. */
	size_t parent_uids_count;
	/** ... and of groups. */
	const struct varve_id_map *parent_gids;
	/** Its entries. */
	size_t parent_gids_count;
};

#define VARVE_CHANGES_OPTIONS_INIT                                                 \
	{                                                                          \
		sizeof(struct varve_changes_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
	}
/** As VARVE_CHANGES_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_changes_options_init(struct varve_changes_options *options, size_t size);

/**
 * List the paths of layer ID that differ from its parent: result->changes. The directories above a
 * changed path are listed as modified; a deleted directory is listed without its content; the root
 * itself is not listed. A path is modified when its type, mode, owner, group, device, modification
 * time (one without nanoseconds is equal to all of its second), size (but of directories), link
 * target, content, security.capability or user.* attributes differ. OPTIONS may be NULL.
 *
 * Owners are compared as the containers see them: a layer that was made with a shift of ownership
 * (varve_create_options.chown) is compared with its parent by the maps of both, and a shift alone
 * is no change. root:root outside of a map stands for the container's root:root, as in
 * varve_layer_chown(); other owners outside of a map are compared as the host has them. A shift
 * writes every inode, so that all of them are looked at.
 *
 * Content is compared only where nothing else differs and the ctime or btrfs says that the inode
 * was changed since the snapshot. Data in the same place on disk is not read. Where such a file
 * cannot be opened (without privilege, or because a process holds a lease on it), it is listed as
 * modified.
 *
 * Where one layer descends from the other, or both from a third, in any number of snapshots that
 * still exist, the trees of btrfs are searched for what is newer than the snapshot: the time
 * depends on the number of changes, not of files. The whole file system is flushed first. This
 * takes CAP_SYS_ADMIN; without it, and for unrelated layers, both trees are walked.
 *
 * A file that is written to meanwhile is listed by its old or its new state. A subvolume that is
 * nested in the parent is an empty directory in the layer: its content is listed as deleted. Mounts
 * are not entered: with CAP_SYS_ADMIN the layers' own content beneath a mount is compared; without,
 * an entry of both with a mount on it is not listed.
 *
 * Errors in the callback: -ENOENT (no such layer or parent), -ESTALE (no parent was named, and the
 * layer that this is a snapshot of is gone), -ENOTDIR, -EINVAL (not a layer of this store),
 * -ENAMETOOLONG (directories that are nested so deeply that a path has more than 16,384 bytes:
 * archives do not take it), -EACCES, -ENOMEM, -ECANCELED, -EIO. Nothing is changed.
 */
int varve_layer_changes(struct varve_store *store, const char *id,
			const struct varve_changes_options *options, varve_callback *callback,
			void *user_data, varve_request *ret_request);

/**
 * usage: look at each file, also where the trees could be searched. In a result: each file was
 * looked at.
 */
#define VARVE_USAGE_WALK VARVE_FLAG(5)
/**
 * usage: search the file system's trees; takes CAP_SYS_ADMIN. In a result: the trees were searched.
 */
#define VARVE_USAGE_SEARCH VARVE_FLAG(6)
/** usage: measure only what was added to the layer since it was made: see varve_layer_usage(). */
#define VARVE_USAGE_DELTA VARVE_FLAG(24)
/**
 * usage: do not flush the file system first. A search then counts what was written back and
 * committed earlier; data that is only in memory does not count.
 */
#define VARVE_USAGE_NO_FLUSH VARVE_FLAG(25)
/** usage, result: the delta was measured before, and the layer is unchanged since. */
#define VARVE_USAGE_REMEMBERED VARVE_FLAG(60)
/** usage, result: referenced_bytes, exclusive_bytes and limit_bytes are known. */
#define VARVE_USAGE_QUOTA VARVE_FLAG(50)
/**
 * usage, result: something is mounted in the layer, and the layer's own content beneath could not
 * be counted.
 */
#define VARVE_USAGE_MOUNTS VARVE_FLAG(54)

/**
 * Measure layer ID: result->usage. FLAGS: VARVE_USAGE_WALK or VARVE_USAGE_SEARCH, which give the
 * same numbers, or neither; and any of VARVE_USAGE_DELTA, VARVE_USAGE_NO_FLUSH.
 *
 * With neither method, the library searches for a caller with CAP_SYS_ADMIN, and walks for others.
 * Before a search it flushes the file system, so that recent writes count. Mounts in the layer are
 * not entered. The layer's own content beneath a mount counts; without CAP_SYS_ADMIN it cannot be
 * seen, and is left out (VARVE_USAGE_MOUNTS). Files that vanish meanwhile are ignored.
 * varve_progress() has the progress.
 *
 * With VARVE_USAGE_DELTA the numbers are those of what was added to the layer since it was made
 * from its parent. A new inode counts once, with its size and its space, whatever its number of
 * names. Of a file that was there, bytes and disk_bytes count the extents that the parent's file
 * does not have at the same place: what was written since, also over old data, and what was cloned
 * from elsewhere. A change of names, owners, modes or attributes alone counts nothing, and neither
 * does what was deleted. Subvolumes nested in the layer count wholly; empty directories in the
 * place of those nested in the parent count nothing. In a layer without a parent everything counts.
 * The numbers of quota are not given.
 *
 * A search of a delta takes time in proportion to the changes, and needs no parent; but where the
 * parent is gone, or has changed the same file, old data that was cloned into the file counts
 * nothing. The store remembers the answer for up to 16,384 layers, until the layer changes, but not
 * where subvolumes are nested in it. Requests in flight together share one flush; with
 * VARVE_USAGE_NO_FLUSH there is none. A walk compares with the parent as it is now, opens each
 * changed file, and fails with -ESTALE where the parent is gone. It misses changes where the clock
 * was set back since the layer was made.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume), -EPERM (VARVE_USAGE_SEARCH
 * without privilege), -ESTALE and -EBUSY (a walk of a delta: no parent, or a process holds a lease
 * on a changed file), -EACCES (a directory that the caller may not read; the rest is walked, but
 * there is no result), -ENOBUFS (hard links over more than 134 million inode numbers, or
 * directories nested tens of thousands deep, beyond the memory of a walk), -ECANCELED, -EIO. Quota
 * numbers are given where sysfs is mounted, else to privileged callers. A crash leaves nothing.
 */
int varve_layer_usage(struct varve_store *store, const char *id, uint64_t flags,
		      varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Shift the ownership of everything in layer ID: each owner is mapped into the container by the
 * `from` maps, then out of it by the `to` maps. An owner that is not in a `from` map is an error,
 * but for root:root; so is, without VARVE_OVERFLOW_IDS, an owner that is not in a `to` map. Setuid,
 * setgid and security.capability are kept, and ids in POSIX access control lists are shifted. An
 * inode is shifted once, whatever its number of names. A symbolic link is shifted itself. Mounts
 * are not entered, and the layer's own content beneath is shifted. Continues after a failure and
 * reports the first one.
 *
 * In a layer that is in use, files that move meanwhile are shifted, too: the file system's trees
 * are searched for missed inodes until none is found. Without CAP_SYS_ADMIN the layer is walked
 * again instead, and a file that moves all the time may be missed. Where new files are made all the
 * time, the shift ends after eight rounds with -EBUSY; the failure's detail has the number of
 * missed files.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume), -EBUSY, -EXDEV (without
 * CAP_SYS_ADMIN: what lies beneath a mount was left out), -EOVERFLOW (an owner that a map does not
 * know, or that has no id in the caller's user namespace), -EPERM, -EACCES, -EROFS (the layer, or
 * one nested in it, is read-only), -ENOSPC, -ENOBUFS as in varve_layer_usage(), -ECANCELED, -EIO.
 * Refused with -EINVAL: an entry that is empty or exceeds 32 bits, too many entries. Privilege:
 * CAP_CHOWN, CAP_FOWNER; CAP_SETFCAP where there are capabilities. After a failure, a cancel or a
 * crash the layer is shifted in part, and shifted files look like unshifted ones. Remove such a
 * layer, and create it anew with varve_create_options.chown: it then appears only when the shift is
 * complete.
 */
int varve_layer_chown(struct varve_store *store, const char *id,
		      const struct varve_chown_options *options, varve_callback *callback,
		      void *user_data, varve_request *ret_request);

/** freeze: make the layer writable again. */
#define VARVE_FREEZE_THAW VARVE_FLAG(15)

/**
 * Make layer ID read-only, or with VARVE_FREEZE_THAW in FLAGS writable; do nothing where the layer
 * already is. The kernel commits, so the result is durable even with VARVE_RELAXED. Nested
 * subvolumes keep their own flag. A file that is open for writing stays writable: the kernel checks
 * the flag when a file is opened.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume of the store), -EPERM (not
 * the owner; thaw: the layer is being sent), -EROFS, -ENOSPC, -ECANCELED, -EIO. Privilege: to own
 * the layer or CAP_FOWNER. A crash leaves the old or the new state.
 */
int varve_layer_freeze(struct varve_store *store, const char *id, uint64_t flags,
		       varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Make the data and the names that layer ID has at the time of the call survive a power cut,
 * whichever program has written them. FLAGS: 0. Requests that are in flight together share one
 * flush and one commit of the file system. A flush takes as long as there is data to write, and
 * delays only other requests on ID. To shorten it, let an apply begin to write its data early:
 * VARVE_APPLY_WRITEBACK.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume of the store), -EIO (data of
 * any file of the file system was lost meanwhile: the kernel does not report the file), -EROFS,
 * -ENOSPC, -ECANCELED. A cancel ends the wait. No privilege. Nothing is changed, and a crash leaves
 * nothing.
 */
int varve_layer_flush(struct varve_store *store, const char *id, uint64_t flags,
		      varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Give layer ID the name NEW_ID. The recorded size is renamed as well; the limit, the groups and
 * the layers made from this one do not change. Mounts in the layer and open files stay valid.
 * FLAGS: VARVE_DURABLE or VARVE_RELAXED.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume of the store), -EEXIST
 * (NEW_ID is taken), -EBUSY (something is mounted on the layer itself), -EPERM (its root directory
 * has the flag +i or +a), -ESTALE (another process has replaced the layer meanwhile; the new one is
 * not touched), -EACCES, -EROFS, -ENOSPC, -ECANCELED, -EIO. Refused: -EINVAL where the names are
 * the same. Privilege: write access to the home. A crash leaves the whole layer under one of the
 * names, with its record.
 */
int varve_layer_rename(struct varve_store *store, const char *id, const char *new_id,
		       uint64_t flags, varve_callback *callback, void *user_data,
		       varve_request *ret_request);

/**
 * Turn the plain directory ID, which lies in a layer's place (varve_check() finds such
 * directories), into a layer. Its files, with all metadata and flags (chattr), are copied into a
 * new subvolume that shares their data; the subvolume then replaces the directory, and the
 * directory is removed. A size that is recorded for ID is put in force. Do not write to the
 * directory meanwhile: a change during the copy fails the request, and a change during the
 * replacement is lost. FLAGS: VARVE_DURABLE or VARVE_RELAXED.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EEXIST (ID is a subvolume), -EBUSY (a subvolume is
 * nested in the directory, something is mounted on it or in it, it was changed or moved meanwhile,
 * a time of change is ahead of the clock, the clock was set meanwhile, or another process has
 * locked it by flock(2), as this call does), -EPERM (an entry has the flag +i or +a), -E2BIG (the
 * attributes of an entry have more than 1 MiB, or their names more than 64 KiB), -EXDEV
 * (HOME/.varve and HOME/subvolumes are in two subvolumes), -EACCES, -EROFS, -ENOSPC, -EDQUOT,
 * -ENOBUFS (the paths of directories, and of files with several names, have more than 256 MiB),
 * -ECANCELED, -ENOMEM, -EIO. After an error at the step CLEAR the layer exists, and the rest of the
 * directory is a leftover. Privilege: to read the whole directory, and to make files of its owners.
 * A crash leaves the directory or the layer whole; the other is a leftover for varve_sweep().
 */
int varve_layer_adopt(struct varve_store *store, const char *id, uint64_t flags,
		      varve_callback *callback, void *user_data, varve_request *ret_request);

/** relabel: shared by containers: the label's level becomes "s0". */
#define VARVE_RELABEL_SHARED VARVE_FLAG(7)

/**
 * Set the SELinux LABEL ("user:role:type:level") on everything in layer ID, symbolic links
 * included; the root last. Where the root has LABEL already, only entries with another label are
 * written. Does nothing where SELinux is off or LABEL is "". FLAGS: VARVE_DURABLE or VARVE_RELAXED,
 * VARVE_RELABEL_SHARED. Mounts are not entered, and the layer's own content beneath is labelled. A
 * new file gets the label of its directory; an entry that is renamed meanwhile may be missed.
 * Continues after a failure and reports the first one.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume; a label that the policy does
 * not know), -EXDEV (without CAP_SYS_ADMIN: content beneath a mount was left out), -EPERM (the
 * layer is the home directory of the user), -EACCES (the policy forbids it), -EROFS, -ENOSPC,
 * -ECANCELED, -EIO. Refused: -EINVAL (a label with fewer than three ':'), -ENAMETOOLONG. Privilege:
 * CAP_SYS_ADMIN, or as the policy says. A failure, a cancel or a crash leaves the layer labelled in
 * part; the same request again labels the rest.
 */
int varve_layer_relabel(struct varve_store *store, const char *id, const char *label,
			uint64_t flags, varve_callback *callback, void *user_data,
			varve_request *ret_request);

/** label: delete the labels that are not set. */
#define VARVE_LABEL_ONLY VARVE_FLAG(16)
/** label: replace the record, also by one of 0 bytes, which is none. */
#define VARVE_LABEL_RECORD VARVE_FLAG(17)
/** label: change nothing, and fail with -ESTALE, unless the revision is that of the options. */
#define VARVE_LABEL_COMPARE VARVE_FLAG(18)

/** How to change the labels and the record of a layer. Start from VARVE_LABEL_OPTIONS_INIT. */
struct varve_label_options {
	/** sizeof(struct varve_label_options). */
	size_t size;
	/** VARVE_LABEL_*; VARVE_DURABLE or VARVE_RELAXED. */
	uint64_t flags;
	/** With VARVE_LABEL_COMPARE: the revision to be changed; 0: no label and no record yet. */
	uint64_t revision;
	/** Labels to be set, "KEY=VALUE" strings, NULL last; NULL: none. */
	const char *const *labels;
	/** Keys whose labels are to be deleted, NULL last; NULL: none. An absent one is ignored. */
	const char *const *deleted;
	/** With VARVE_LABEL_RECORD: the record. */
	const void *record;
	/** Its bytes, up to VARVE_RECORD_BYTES_MAX. */
	size_t record_bytes;
};

#define VARVE_LABEL_OPTIONS_INIT                                     \
	{                                                            \
		sizeof(struct varve_label_options), 0, 0, 0, 0, 0, 0 \
	}
/** As VARVE_LABEL_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_label_options_init(struct varve_label_options *options, size_t size);

/**
 * Change the labels and the record of layer ID, all in one step, as OPTIONS say: result->record has
 * them after the change. The layer's content is not touched, so the layer may be read-only, and
 * requests that read the layer run meanwhile.
 *
 * Labels are pairs of a key and a value, at most VARVE_LABELS_MAX of them; a record is a string of
 * bytes that the library does not interpret. Both appear with the layer (varve_create_options), are
 * removed with it, stay with it when it is renamed, and are not inherited by snapshots. They are
 * stored in HOME/.varve/layers and belong to the subvolume: in a copy of the store on another file
 * system the layers have none, and neither has a layer that another program makes under the same
 * name.
 *
 * A caller that reads, decides and writes passes the revision that it has read, with
 * VARVE_LABEL_COMPARE: of any number of processes and threads one succeeds, and the others get
 * -ESTALE and read again. Without the flag changes are made one after the other, and none is lost
 * where each sets keys of its own.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume of the store), -ESTALE,
 * -E2BIG (more than VARVE_LABELS_MAX labels, or VARVE_LABELS_BYTES_MAX bytes, with those that the
 * layer has), -EUCLEAN (what is stored is damaged: varve_sweep() removes it), -ENOTSUP (a later
 * version has stored it), -EROFS, -ENOSPC, -EACCES, -ECANCELED, -EIO. Refused: -EINVAL (a label
 * without a key or '=' or of more than VARVE_LABEL_BYTES_MAX bytes, a key with '=' or control
 * characters, a key twice), -E2BIG (too many labels, a record of more than VARVE_RECORD_BYTES_MAX).
 * Privilege: write access to HOME/.varve. Where the mode of the layer's root denies access to its
 * owner, the mode is changed while the root is opened; a crash then leaves it changed. A failure
 * leaves the old state; where only the wait for the disk failed, the new one. A crash leaves the
 * old or the new state, whole.
 */
int varve_layer_label(struct varve_store *store, const char *id,
		      const struct varve_label_options *options, varve_callback *callback,
		      void *user_data, varve_request *ret_request);

/**
 * Read the labels and the record of layer ID: result->record, of revision 0 where it has none.
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume of the store), -EUCLEAN and
 * -ENOTSUP as varve_layer_label(), -EACCES, -ECANCELED, -EIO.
 */
int varve_layer_record(struct varve_store *store, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request);

/** find: give the labels and the record of each layer, too, in result->records. */
#define VARVE_FIND_RECORDS VARVE_FLAG(19)

/**
 * Take a layer that was found, ID, and its labels and record, RECORD (NULL: it has none). Both
 * belong to the library and live until the function returns. Layers come in no order, one at a
 * time, each once, before the callback of the request, on the thread that called varve_dispatch(),
 * varve_wait(), varve_wait_for() or the blocking twin. The function may do what a callback may do;
 * until it returns, the request waits with few records in memory.
 *
 * Returns 0, or a negative errno: the request ends with that, and the function is not called again;
 * any other value counts as -EINVAL.
 */
typedef int varve_found(struct varve_store *store, varve_request request, const char *id,
			const struct varve_layer_record *record, void *found_data);

/** Which layers to find. Start from VARVE_FIND_OPTIONS_INIT. */
struct varve_find_options {
	/** sizeof(struct varve_find_options). */
	size_t size;
	/** VARVE_FIND_RECORDS. */
	uint64_t flags;
	/**
	 * Labels that a layer has to have, all of them: "KEY=VALUE", or "KEY" for any value; NULL
	 * last. NULL: every layer.
	 */
	const char *const *labels;
	/**
	 * With VARVE_FIND_RECORDS: takes the layers one by one, while others are still being read;
	 * result->records is NULL then. NULL: all records are in the result, and in memory at once.
	 */
	varve_found *found;
	/** Passed to found. */
	void *found_data;
};

#define VARVE_FIND_OPTIONS_INIT                               \
	{                                                     \
		sizeof(struct varve_find_options), 0, 0, 0, 0 \
	}
/** As VARVE_FIND_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_find_options_init(struct varve_find_options *options, size_t size);

/**
 * List the layers that have certain labels, as varve_layer_list() lists all: result->ids, and with
 * VARVE_FIND_RECORDS result->records. OPTIONS may be NULL. With CAP_SYS_ADMIN no layer is opened:
 * one tree search finds the subvolumes, and one call reads a short record. Without, each layer
 * whose record matches is opened. Labels and records that are damaged, or that the caller cannot
 * read, count as absent: see varve_check(). Errors in the callback: as varve_layer_list(), and what
 * `found` returned. Refused with -EINVAL: a label that no layer can have; found without
 * VARVE_FIND_RECORDS.
 */
int varve_layer_find(struct varve_store *store, const struct varve_find_options *options,
		     varve_callback *callback, void *user_data, varve_request *ret_request);

/** How an archive is compressed. */
enum varve_compression {
	VARVE_COMPRESS_NONE = 0,
	VARVE_COMPRESS_GZIP = 1,
	VARVE_COMPRESS_ZSTD = 2,
};

/** How to write a layer's changes as an archive. Start from VARVE_DIFF_OPTIONS_INIT. */
struct varve_diff_options {
	/** sizeof(struct varve_diff_options). */
	size_t size;
	/** As in varve_changes_options. */
	const char *parent;
	/** VARVE_CHANGES_WALK, VARVE_OVERFLOW_IDS, VARVE_DIGESTS. */
	uint64_t flags;
	/** The map of users: the archive has the container's. NULL: none. */
	const struct varve_id_map *uids;
	/** The number of ranges. */
	size_t uids_count;
	/** The map of groups. NULL: none. */
	const struct varve_id_map *gids;
	/** The number of ranges. */
	size_t gids_count;
	/** With VARVE_STREAM: takes the archive. */
	varve_sink *sink;
	/** Passed to sink. */
	void *sink_data;
	/** The most bytes for one call of sink, up to VARVE_STREAM_BYTES, the default (0). */
	size_t chunk_bytes;
	/** A file of more bytes, holes counted, fails the request. 0: no maximum. */
	uint64_t file_size_max;
	/** As in varve_changes_options: uids and gids are the layer's own. */
	const struct varve_id_map *parent_uids;
	/** Its entries. */
	size_t parent_uids_count;
	/** ... and of groups. */
	const struct varve_id_map *parent_gids;
	/** Its entries. */
	size_t parent_gids_count;
	/** Output of the blocking twins: see varve_skipped. NULL: none. */
	struct varve_skipped *ret_skipped;
	/** Output of the blocking twins, with VARVE_DIGESTS. NULL: none. */
	struct varve_digests *ret_digests;
	/** The compression (enum varve_compression). */
	uint64_t compress;
	/** The level: 1..9 of gzip, 1..19 of zstd. 0: 6 and 3. */
	uint64_t compress_level;
	/** Threads that compress, up to VARVE_COMPRESS_THREADS_MAX. 0: one for each CPU. */
	uint64_t compress_threads;
};

#define VARVE_DIFF_OPTIONS_INIT                                                                    \
	{                                                                                          \
		sizeof(struct varve_diff_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
			0, 0, 0                                                                    \
	}
/** As VARVE_DIFF_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_diff_options_init(struct varve_diff_options *options, size_t size);

/**
 * Write the differences between layer ID and its parent to FD, as a tar archive (PAX). OPTIONS may
 * be NULL.
 *
 * The archive is sorted bytewise by path and depends on the layer's content alone: the same layer
 * gives the same bytes. An entry has its mode, owner, time in seconds, attributes (but no labels of
 * security modules and no properties of btrfs), and content with its holes. Further names of a file
 * are links to the first name. An empty file ".wh.NAME" stands for a deleted NAME. Sockets are left
 * out. Only regular files and directories are opened.
 *
 * These are left out and listed in result->skipped, and the request does not fail: an entry that
 * vanishes; an entry that a caller without privilege may not read, or on which something is mounted
 * (with CAP_SYS_ADMIN the layer's own content beneath is archived); a file with data behind holes
 * of more than 4 PiB (-EFBIG); a file with more than 1 MiB of attributes, or 64 KiB of attribute
 * names, because readers of archives refuse these (-E2BIG). A file that changed while it was read
 * is archived and listed. The request waits for a lease on a file (fcntl). Any other error while an
 * entry is read, such as too few descriptors or a failing disk, fails the request.
 *
 * Holes are not read, and take no space in the archive: a file of 1 PiB that `truncate -s 1P` made
 * is some KiB of an archive. GNU tar and varve_layer_apply() make the file sparse again. Other
 * readers may fill a disk: those written in Go expand holes, and OCI advises against sparse files.
 * For such readers set file_size_max: the request then fails with -EFBIG and the path. A file with
 * more than a million pieces is archived with its holes of up to 1 MiB as zeros.
 *
 * FD may be a file, a pipe or a socket, blocking or not; it is duplicated, and may be closed at
 * once. A thread writes to FD and may wait for the reader: the request stays in flight until the
 * reader has taken the whole archive or has closed its end (-EPIPE), or until the request is
 * cancelled. A file is written from FD's position on. After an error the archive ends within a
 * block.
 *
 * With VARVE_STREAM as FD the archive goes to options->sink, in chunks, on the thread that
 * dispatches: see varve_sink. At most VARVE_STREAM_BYTES are buffered, and the archive stops while
 * the sink pauses. The callback runs after the last chunk.
 *
 * With options->compress the archive is compressed by threads of the library, a MiB at a time, each
 * of which is a gzip member or a zstd frame: the same layer, level and version of the compressor
 * give the same bytes, whatever the number of threads. result->bytes is the number of compressed
 * bytes. Needs libz.so.1 or libzstd.so.1 (else -ENOTSUP).
 *
 * Errors in the callback: as varve_layer_changes(), -EFBIG (file_size_max), -EINVAL (a name that
 * begins with ".wh.", which would mean a deletion), -EOVERFLOW (an owner that is in no map: see
 * VARVE_OVERFLOW_IDS), and the errors of write() or the sink. Refused with -EBADF: FD cannot be
 * written. With -EINVAL: more than VARVE_ID_MAPS_MAX ranges; a sink and a descriptor, or neither;
 * chunk_bytes out of its range.
 */
int varve_layer_diff(struct varve_store *store, const char *id,
		     const struct varve_diff_options *options, int fd, varve_callback *callback,
		     void *user_data, varve_request *ret_request);

/**
 * Sum the sizes of the files that differ between layer ID and its parent: result->bytes. A file
 * with several names counts once; holes count; the maximum is 2^63 - 1. Files that vanish meanwhile
 * do not count. OPTIONS and errors as in varve_layer_changes().
 */
int varve_layer_diff_size(struct varve_store *store, const char *id,
			  const struct varve_changes_options *options, varve_callback *callback,
			  void *user_data, varve_request *ret_request);

/**
 * Unpack the tar archive from FD into the existing layer ID. For a layer that is whole or absent,
 * unpack into a new one: varve_create_options.apply. OPTIONS may be NULL. result->bytes is the sum
 * of the sizes in the entries.
 *
 * An entry replaces an existing file of its name; an existing directory keeps its content and gets
 * the entry's owner, mode, time and attributes. Missing directories above an entry are made (0755).
 * Names and targets of hard links begin at the layer's root, with or without "/" or "./". A
 * symbolic link is made with its target unchanged. Times and modes of directories are set last.
 * Holes stay holes. Attributes are kept (some of them need privilege), and so are access control
 * lists, with their ids mapped; labels of security modules and properties of btrfs are not. What
 * could not be kept is in result->skipped. A file whose owner VARVE_OVERFLOW_IDS makes 65534 gets
 * no setuid or setgid bit. An entry for which libarchive would need more than 256 MiB of memory
 * fails the request with -ENOBUFS.
 *
 * A file ".wh.NAME" deletes NAME, and ".wh..wh..opq" empties its directory. Both remove only what
 * was there before the archive, wherever in the archive they stand; a deletion of an entry of the
 * archive itself is in result->skipped. Other files ".wh..wh.*" are ignored (files in
 * ".wh..wh.plnk" serve as targets of links), and so is the content of a directory ".wh..wh.*" at
 * the root. Any other entry in a directory whose name begins with ".wh." fails the request with
 * -EINVAL: no archive could represent such a layer.
 *
 * The archive is not trusted. Each entry is checked before it is unpacked, links in the layer are
 * resolved with the layer's root as "/", and nothing outside of the layer is read or changed,
 * whatever a user of the layer exchanges meanwhile (-ESTALE where this is detected). Mounts in the
 * layer are neither changed nor unmounted. With CAP_SYS_ADMIN an entry goes to the layer's own
 * content beneath a mount, and a mount point cannot be replaced or deleted (-EBUSY); without, any
 * entry at a mount or below is -EBUSY.
 *
 * An archive may end with one block of zeros instead of two, or with none, which result->skipped
 * reports with -ENODATA; an empty input is an archive without entries. Bytes behind the end are
 * ignored, but where digests are taken FD is read to its end, and all of its bytes belong to them.
 * FD is duplicated, and a thread reads from it and may wait, as in varve_layer_diff(). With
 * VARVE_STREAM as FD the archive comes from varve_stream_write().
 *
 * An archive compressed by gzip, zstd, xz or bzip2 is recognised by its first bytes and
 * decompressed by a thread of its own. Several gzip members, zstd frames, xz or bzip2 streams may
 * follow each other, with zeros between and behind them. Compressed input is read to its end, where
 * its checksum is. The libraries (libz.so.1, or libisal.so.2, which is faster; libzstd.so.1;
 * liblzma.so.5; libbz2.so.1) are loaded when first needed. A zstd window may have 128 MiB, an xz
 * dictionary 64 MiB; a request needs no more memory, whatever the size of the archive.
 *
 * With VARVE_DIGESTS result->digests has the digests of the stream and of the archive in it. A
 * stream whose digest is not options->expect (or expect_diff_id) fails the request with -EBADMSG,
 * and the detail has both digests. This is known at the end of the stream: a create then leaves
 * nothing, but an existing layer has the archive unpacked.
 *
 * Errors in the callback: -EINVAL (a name, or the target of a hard link, that leads out by "..", a
 * whiteout of "..", something in a directory ".wh.*"), -ENAMETOOLONG, -ENODATA (the archive or its
 * compressed form is cut off), -EBADMSG (corrupt, wrong sizes, an entry without a name, a lone
 * block of zeros before entries), -ENOTSUP (compressed twice, or otherwise than above, or the
 * library is missing: see the detail), -EPERM (a device without CAP_MKNOD, an owner without
 * CAP_CHOWN: see VARVE_APPLY_*), -EOVERFLOW (an owner that is in no map: see VARVE_OVERFLOW_IDS; or
 * has no id in the caller's user namespace: see VARVE_APPLY_IGNORE_OWNERS), -ENOENT (no such layer;
 * a link to nothing), -E2BIG (an attribute larger than a node of the file system; the limit is in
 * the detail), -EBUSY and -ESTALE (see above), -EROFS, -ENOSPC, -EDQUOT, -ENOBUFS (too many
 * directories, or a larger window or dictionary), -ENOMEM, -ECANCELED, -EIO (also, durable or
 * within a create: data of any file of the file system was lost meanwhile). After an error, a
 * cancel or a crash the archive is unpacked in part. Refused with -EBADF: FD cannot be read. With
 * -EINVAL: room and a descriptor; a force_mode with other bits than permissions; a text that is no
 * digest.
 */
int varve_layer_apply(struct varve_store *store, const char *id,
		      const struct varve_apply_options *options, int fd, varve_callback *callback,
		      void *user_data, varve_request *ret_request);

/**
 * Give the next SIZE bytes of the archive to REQUEST, a varve_layer_apply() or varve_layer_create()
 * from VARVE_STREAM, once the request was accepted. The bytes are copied; *RET_TAKEN is the number
 * of bytes taken, 1 or more (0 for SIZE 0): the library buffers at most VARVE_STREAM_BYTES. When it
 * took fewer than SIZE, options->room announces room. Bytes behind the end of the archive are taken
 * and ignored.
 *
 * Never waits. Any thread, also inside callbacks; one at a time for each request. Errors: -EAGAIN
 * (no room: nothing was taken), -EPIPE (the stream was ended, or the request has failed or was
 * cancelled, and its callback is pending), -ENOENT (REQUEST is not in flight), -EINVAL (REQUEST
 * reads no stream), -EBUSY (another thread writes), -ECHILD.
 */
int varve_stream_write(struct varve_store *store, varve_request request, const void *bytes,
		       size_t size, size_t *ret_taken);

/**
 * End the archive of REQUEST, with ERROR 0; the request does not end without this call. With a
 * negative errno, drop the bytes that are not yet unpacked, and let the request fail with that
 * error (a failed create leaves nothing). Threads and errors: as varve_stream_write(), without
 * -EAGAIN; -EINVAL also where ERROR is positive.
 */
int varve_stream_end(struct varve_store *store, varve_request request, int error);

/**
 * End the archive as varve_stream_end() with ERROR, a negative errno, and give the reason: DETAIL
 * (may be NULL), the reason in words, becomes the failure's detail, cut to
 * VARVE_FAILURE_DETAIL_SIZE bytes. Refused with -EINVAL: ERROR is not negative.
 */
int varve_stream_fail(struct varve_store *store, varve_request request, int error,
		      const char *detail);

/**
 * Let the sink of REQUEST, which has returned VARVE_PAUSE, be called again. Does nothing where the
 * sink was not paused. If the sink runs on another thread at that moment, its VARVE_PAUSE has no
 * effect. Any thread, also inside callbacks; never waits. Errors: -ENOENT (REQUEST is not in
 * flight), -EINVAL (REQUEST has no sink), -ECHILD.
 */
int varve_stream_resume(struct varve_store *store, varve_request request);

/* ---- the store's upkeep ---------------------------------------------------------------------- */

/**
 * varve_sync: also wait until the kernel has dropped every removed subvolume of the file system.
 */
#define VARVE_SYNC_CLEAN VARVE_FLAG(8)

/**
 * Flush and commit the file system: all requests that ended before this call, and all data written
 * to layers, become durable. With VARVE_SYNC_CLEAN in FLAGS also wait until the space of all
 * removed layers is free; on Linux before 6.13 that takes CAP_SYS_ADMIN (-EPERM).
 */
int varve_sync(struct varve_store *store, uint64_t flags, varve_callback *callback, void *user_data,
	       varve_request *ret_request);

/**
 * Remove the leftovers of crashed processes: half-made layers (staging), half-destroyed ones
 * (trash), quotas/ID files without a layer, and quota groups of the file system without a subvolume
 * (as varve_quota_gc()). Entries of running processes are not touched. A leftover with a mount in
 * it, in this mount namespace, is kept (-EBUSY; the detail names the mount point): a sweep unmounts
 * nothing. A leftover in a staging directory that cannot be opened is kept, and counts as a
 * failure, because its process may still run. Continues after a failure; result->sweep has the
 * counts, result->error is the first failure. While another process holds the lock of the records
 * (varve_status() names that process) the sweep waits, and can be cancelled; the sweep of
 * varve_open() skips what needs the lock.
 */
int varve_sweep(struct varve_store *store, varve_callback *callback, void *user_data,
		varve_request *ret_request);

/**
 * Check the store for faults, and change nothing. The check finds plain directories and files in
 * the places of layers; empty directories that stand for layers where the store is in a snapshot;
 * recorded sizes without a layer, that do not parse or are not in force; labels and records that
 * are damaged or belong to no layer; quota groups of subvolumes that are gone; and leftovers of
 * dead processes in staging and in the trash. result->findings lists them, with what varve_sweep()
 * does about each. A finding is no error of the request. Entries of running processes are ignored.
 * While another process holds the lock of the records the check waits, and can be cancelled.
 * Without CAP_SYS_ADMIN groups are not checked. The time grows with the number of layers, not of
 * files.
 */
int varve_check(struct varve_store *store, varve_callback *callback, void *user_data,
		varve_request *ret_request);

/**
 * Get versions, kernel, io_uring features, privileges, limits and backlog: result->status, in a
 * fixed order.
 */
int varve_status(struct varve_store *store, varve_callback *callback, void *user_data,
		 varve_request *ret_request);

/* ---- quota --------------------------------------------------------------------------------------
 *
 * A layer can have a size: a limit of the "referenced" bytes that btrfs's quota counts for the
 * layer. A write past the limit fails with EDQUOT. The size is recorded in HOME/quotas/ID and is in
 * force from the moment the layer appears.
 *
 * Layers can share a limit: those that are created with the storage option "group=NAME:SIZE" are in
 * one group, whose members together may hold SIZE. A layer can be in several groups. A group is
 * made with its first layer and removed with its last one. "group=NAME" joins a group and keeps its
 * limit; "group=NAME:SIZE" replaces the limit.
 *
 * Under full quotas btrfs cannot add a snapshot to a group without a rescan, with one exception
 * (Linux 6.9): parent and snapshot are in the same group and in no other, and no layer outside of
 * the group shares data with its members. So create the first layer of a group empty, and all
 * others as snapshots of the first. Any other snapshot that joins a group, or whose parent is in
 * one, fails with -ENOTSUP before anything is made. Simple quotas have no such restriction.
 *
 * Quota belongs to the file system, not to the store, and closing a store never changes quota.
 * There are two modes:
 *
 * - Simple (Linux 6.7): each byte counts for the layer that first wrote it; a snapshot begins at 0.
 *   Costs little. Once simple quotas were turned on, kernels before 6.7 cannot mount the file
 *   system.
 * - Full: each byte counts for every layer that has it; a snapshot begins with all bytes that it
 *   inherits. The cost of each create and removal grows with the number of layers that share data:
 *   rates can fall to tens of layers a second. A large removal can make the counts INCONSISTENT:
 *   limits are then not enforced until a rescan has ended.
 *
 * The option "quota" of varve_config selects what a store does. "simple", "full": varve_open()
 * turns quota on in that mode, and fails with -EBUSY when quota runs in the other mode. "keep": use
 * quota as it is, and never turn it on. "off": no sizes. Without the option quota is turned on by
 * the first request for a size, simple where the kernel has it, else full; or at open, where
 * "btrfs.min_space" or "btrfs.size" (the default size of writable layers) is given.
 */

/**
 * Get the state of quota: result->quota. Without CAP_SYS_ADMIN some fields are not known: see
 * varve_quota.flags. The time grows with the number of groups: some milliseconds for 10000.
 */
int varve_quota_status(struct varve_store *store, varve_callback *callback, void *user_data,
		       varve_request *ret_request);

/**
 * Turn quota on in MODE, for the whole file system; do nothing where quota runs in that mode.
 * Errors in the callback: -EBUSY (quota runs in the other mode), -ENOTSUP (the kernel has no such
 * mode), -EPERM. Refused with -EINVAL: a MODE other than full and simple. Full mode begins with a
 * rescan, after which limits are enforced. Needs CAP_SYS_ADMIN.
 */
int varve_quota_enable(struct varve_store *store, enum varve_quota_mode mode,
		       varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Turn quota off, for the whole file system: all groups and limits are lost, also those of other
 * programs. Recorded sizes stay, and varve_layer_get() applies them again. Needs CAP_SYS_ADMIN.
 */
int varve_quota_disable(struct varve_store *store, varve_callback *callback, void *user_data,
			varve_request *ret_request);

/**
 * Limit layer ID to BYTES, or remove its limit (0), and record the size. Where the layer holds more
 * than BYTES, writes fail until it holds less. Durable when the callback runs, unless the store was
 * opened with VARVE_OPEN_RELAXED. Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a
 * subvolume), and as varve_layer_create() with a size. Refused with -EINVAL: less than
 * btrfs.min_space. Needs CAP_SYS_ADMIN. A crash before the callback leaves the old or the new
 * limit; where the record is new and the limit old, varve_layer_get() applies the record.
 */
int varve_quota_limit(struct varve_store *store, const char *id, uint64_t bytes,
		      varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Limit the group of layers NAME (storage option "group=NAME") to BYTES, or remove its limit (0),
 * and record the size. Durable as varve_quota_limit(). Errors in the callback: -ENOENT (the store
 * has no such group), -ENOTCONN (quota is off), -EPERM. Refused with -EINVAL: a bad NAME. Needs
 * CAP_SYS_ADMIN. A crash before the callback leaves the old or the new limit; where the record is
 * new and the limit old, the next layer that joins the group with a size, or the next call for the
 * group, applies the record.
 */
int varve_quota_limit_group(struct varve_store *store, const char *name, uint64_t bytes,
			    varve_callback *callback, void *user_data, varve_request *ret_request);

/** varve_quota_rescan: wait until the rescan has ended. */
#define VARVE_QUOTA_WAIT VARVE_FLAG(9)

/**
 * Start a rescan, which counts everything anew and ends the state INCONSISTENT; one that runs
 * already is not restarted. With VARVE_QUOTA_WAIT in FLAGS the callback runs when the rescan has
 * ended; that cannot be cancelled. Does nothing in simple mode. Errors in the callback: -ENOTCONN
 * (quota is off), -EPERM. Needs CAP_SYS_ADMIN.
 */
int varve_quota_rescan(struct varve_store *store, uint64_t flags, varve_callback *callback,
		       void *user_data, varve_request *ret_request);

/**
 * Remove the quota groups of subvolumes that are gone, in the whole file system, and recorded sizes
 * without a layer. A group that still holds space (simple quotas: until the last snapshot that
 * shares it is gone) is kept. varve_sweep() does the same. A store with CAP_SYS_ADMIN also removes
 * the groups of its own removed layers, some seconds after the cleaner has dropped them; kernels
 * since 6.12 remove most groups themselves. Continues after a failure. Needs CAP_SYS_ADMIN.
 */
int varve_quota_gc(struct varve_store *store, varve_callback *callback, void *user_data,
		   varve_request *ret_request);

/* ---- numbers --------------------------------------------------------------------------------- */

/** Buckets of a latency histogram: see varve_histogram. */
#define VARVE_HISTOGRAM_BUCKETS 592

/**
 * Latencies. Log-linear: 16 buckets for each power of two, so a value read back is at most 1/16 too
 * large. Values below 16 ns are exact; those of 2^40 ns (18 minutes) and more share the last
 * bucket.
 */
struct varve_histogram {
	uint64_t count;  /**< Values recorded. */
	uint64_t sum_ns; /**< Their sum. */
	uint64_t min_ns; /**< The smallest; 0 when there is none. */
	uint64_t max_ns; /**< The largest. */
	uint64_t buckets[VARVE_HISTOGRAM_BUCKETS];
};

/**
 * The smallest latency, in nanoseconds, that at least PERCENT (0..100) of the values do not exceed;
 * 0 where there are no values.
 */
uint64_t varve_histogram_percentile(const struct varve_histogram *histogram, double percent);

/** The results of one operation's requests, and the time from submission to completion. */
struct varve_operation_statistics {
	size_t size;        /**< sizeof(struct varve_operation_statistics). */
	uint64_t submitted; /**< Accepted. */
	uint64_t refused;   /**< Refused at submission. */
	uint64_t succeeded; /**< Ended with 0. A batch counts each id. */
	uint64_t failed;    /**< Ended with an error other than -ECANCELED. */
	uint64_t cancelled; /**< Ended with -ECANCELED. */
	struct varve_histogram latency;
};

#define VARVE_OPERATION_STATISTICS_INIT                                   \
	{                                                                 \
		sizeof(struct varve_operation_statistics), 0, 0, 0, 0, 0, \
		{                                                         \
			0, 0, 0, 0,                                       \
			{                                                 \
				0                                         \
			}                                                 \
		}                                                         \
	}
/** As VARVE_OPERATION_STATISTICS_INIT; SIZE is sizeof(*stats). */
void varve_operation_statistics_init(struct varve_operation_statistics *stats, size_t size);

/** Counters since the store was opened, by this store alone. */
struct varve_statistics {
	/** sizeof(struct varve_statistics). */
	size_t size;
	/** Group commits: groups of snapshots made together. */
	uint64_t beats;
	/** Transactions of the file system for these groups and for syncs. */
	uint64_t commits;
	/** Snapshots made. */
	uint64_t snapshots;
	/** ... and those of them that were made directly in their place. */
	uint64_t snapshots_direct;
	/** Commits for durable requests while no snapshot waited, and flushes. */
	uint64_t syncs;
	/** Most snapshots in one group. */
	uint64_t group_max;
	/** Requests in flight now. */
	uint32_t requests;
	/** Most requests in flight at once. */
	uint32_t requests_peak;
	/** Most calls in the io_uring at once. */
	uint32_t ring_depth_peak;
	/** Most threads for short calls at once: see fs_threads_max. */
	uint32_t fs_threads_peak;
	/** Most threads for snapshots and commits at once: see commit_threads_max. */
	uint32_t commit_threads_peak;
	/** Calls made through io_uring. */
	uint64_t ring_calls;
	/** Calls made by threads of the library. */
	uint64_t lane_calls;
	/** Removed subvolumes that awaited the cleaner at the last look. */
	uint64_t cleaner_backlog;
	/**
	 * The mode (enum varve_quota_mode) in which the store has turned quota on, for a size, a
	 * group or an option; 0: the store did not.
	 */
	uint64_t quota_turned_on;
	/** Removals that wait in the background now: see VARVE_REMOVE_BACKGROUND. */
	uint64_t background_waiting;
	/** Spare copies held now; made, taken by creates and dropped: see VARVE_OPEN_SPARES. */
	uint64_t spares;
	uint64_t spares_made;
	uint64_t spares_taken;
	uint64_t spares_dropped;
};

#define VARVE_STATISTICS_INIT                                                                    \
	{                                                                                        \
		sizeof(struct varve_statistics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
			0, 0, 0, 0                                                               \
	}
/** As VARVE_STATISTICS_INIT; SIZE is sizeof(*statistics). */
void varve_statistics_init(struct varve_statistics *statistics, size_t size);

/**
 * Copy the counters into *RET_STATISTICS. No system call; any thread. Returns 0, -EINVAL or
 * -ECHILD.
 */
int varve_statistics(struct varve_store *store, struct varve_statistics *ret_statistics);

/**
 * Copy the counters of OPERATION into *RET_STATISTICS. No system call; any thread. -EINVAL: no such
 * operation.
 */
int varve_operation_statistics(struct varve_store *store, enum varve_operation operation,
			       struct varve_operation_statistics *ret_statistics);

/**
 * Write all counters of STORE since it was opened as OpenMetrics text, which ends in "# EOF", to
 * *RET_TEXT, to be freed with free(). These are the counters of varve_statistics() and
 * varve_operation_statistics(), with the latencies of each operation, and the number of snapshots
 * that share each group commit. Names begin with "varve_"; times are in seconds. No system call;
 * any thread. Returns 0, -EINVAL, -ECHILD or -ENOMEM.
 */
int varve_metrics(struct varve_store *store, char **ret_text);

/* ---- pools --------------------------------------------------------------------------------------
 *
 * A pool is a btrfs file system in an image file, mounted through a loop device: for machines
 * without a btrfs disk, for tests and benchmarks. These calls block, need CAP_SYS_ADMIN, and need
 * no store.
 */

/**
 * Make FILE (which must not exist) a sparse image of SIZE_BYTES (at least 114294784, the least that
 * mkfs.btrfs accepts), make a file system in it with mkfs.btrfs, and mount it on MOUNT_DIR (made
 * when missing). On failure nothing is left but, perhaps, MOUNT_DIR. Errors: -EEXIST, -EINVAL (too
 * small), -ENOENT (no mkfs.btrfs), -EIO (mkfs.btrfs failed: see the detail), -EPERM, -EBUSY (no
 * loop device is free). A crash can leave FILE, or a loop device that detaches itself. FILE is
 * locked meanwhile: varve_pool_mount() cannot mount it before it is complete.
 */
int varve_pool_create(const char *file, uint64_t size_bytes, const char *mount_dir,
		      struct varve_failure *ret_failure);

/**
 * Mount the pool in FILE on MOUNT_DIR, with user_subvol_rm_allowed. The loop device detaches itself
 * when unmounted. An image that is already mounted or attached, under any name and in any mount
 * namespace, is refused with -EBUSY, and the detail says where: two loop devices of one image are
 * two file systems that destroy each other. If the image is being attached or detached, the call
 * waits for ten seconds at most. Programs that ignore the lock (flock) on the image, such as
 * losetup, can still attach it a second time afterwards. -EINVAL: not a regular file, no btrfs.
 */
int varve_pool_mount(const char *file, const char *mount_dir, struct varve_failure *ret_failure);

/**
 * Unmount the pool on MOUNT_DIR, which may also be the pool's image. -EBUSY while the pool is in
 * use, -EINVAL when no pool is mounted there. On success the image is free; or the detail of
 * *RET_FAILURE, whose error is 0, says what still holds the image.
 */
int varve_pool_umount(const char *mount_dir, struct varve_failure *ret_failure);

/**
 * Parse TEXT as a size: digits, an optional fraction, an optional unit (k m g t p, also kb or kib;
 * all are powers of 1024; case ignored). Sets *RET_BYTES. -EINVAL when it does not parse, -ERANGE
 * when it does not fit. Any thread.
 */
int varve_size_parse(const char *text, uint64_t *ret_bytes);

/* ---- futures ------------------------------------------------------------------------------------
 *
 * A future keeps a copy of a request's result. It serves programs and bindings that wait for one
 * request and need its whole result, or let another thread cancel it:
 *
 *	varve_future_create(&future);
 *	varve_layer_diff(store, id, &options, fd, varve_future_callback, future, &request);
 *	varve_wait_for(store, request, -1);		while another thread may varve_cancel(store, request)
 *	result = varve_future_result(future);
 *	...
 *	varve_future_destroy(future);
 */

/** The result of a request, kept. */
struct varve_future;

/**
 * Create a future: *RET_FUTURE; end it with varve_future_destroy(). Returns 0, -EINVAL or -ENOMEM.
 */
int varve_future_create(struct varve_future **ret_future);

/**
 * The callback for a request whose user data is a future: keep a copy of RESULT in FUTURE. A future
 * is for one request. Where there is no memory for the copy, the future's result is -ENOMEM even if
 * the request succeeded.
 */
void varve_future_callback(struct varve_store *store, const struct varve_result *result,
			   void *future);

/**
 * The result of FUTURE's request, valid until the future is destroyed; NULL until the request's
 * callback has returned. A descriptor in the result belongs to the future, unless
 * varve_future_take() takes it. Any thread.
 */
const struct varve_result *varve_future_result(const struct varve_future *future);

/**
 * Take the descriptor of FUTURE's result, which the caller then closes; -EBADF: there is none, or
 * it was taken.
 */
int varve_future_take(struct varve_future *future);

/**
 * Free FUTURE, whose request was refused or has ended, and close its descriptor. FUTURE may be
 * NULL.
 */
void varve_future_destroy(struct varve_future *future);

/* ---- blocking twins -----------------------------------------------------------------------------
 *
 * A twin submits its request, waits for it, and runs no callback but the request's sink or room.
 * Twins may run on any number of threads at once, but not inside a callback (-EBUSY). A twin
 * returns the request's error, or the refusal; *RET_FAILURE (if not NULL) then has the reason.
 * Other outputs are set on success only, and may be NULL. Signals do not interrupt a twin; use a
 * future where another thread has to cancel.
 */

/** Blocking varve_noop(). */
int varve_noop_wait(struct varve_store *store, struct varve_failure *ret_failure);

/** Blocking varve_layer_create(). */
int varve_layer_create_wait(struct varve_store *store, const char *id,
			    const struct varve_create_options *options,
			    struct varve_failure *ret_failure);

/**
 * The same with an archive, options->apply. *RET_BYTES and *RET_SKIPPED, if not NULL, are set on
 * success, as in varve_layer_apply_wait().
 */
int varve_layer_create_apply_wait(struct varve_store *store, const char *id,
				  const struct varve_create_options *options, uint64_t *ret_bytes,
				  uint64_t *ret_skipped, struct varve_failure *ret_failure);

/**
 * Blocking varve_layer_create_batch(). RET_ERRORS, if not NULL, takes COUNT errors (0 or negative
 * errno), once the batch was accepted. The failure is that of the first id that failed.
 */
int varve_layer_create_batch_wait(struct varve_store *store, const char *const *ids, size_t count,
				  const struct varve_create_options *options, int *ret_errors,
				  struct varve_failure *ret_failure);

/** Blocking varve_layer_remove(). */
int varve_layer_remove_wait(struct varve_store *store, const char *id, uint64_t flags,
			    struct varve_failure *ret_failure);

/** Blocking varve_layer_remove_batch(); RET_ERRORS as in varve_layer_create_batch_wait(). */
int varve_layer_remove_batch_wait(struct varve_store *store, const char *const *ids, size_t count,
				  uint64_t flags, int *ret_errors,
				  struct varve_failure *ret_failure);

/** Blocking varve_layer_get(). *RET_PATH is to be freed with free(). */
int varve_layer_get_wait(struct varve_store *store, const char *id, const char *const *options,
			 char **ret_path, struct varve_failure *ret_failure);

/** Blocking varve_layer_open(). *RET_DESCRIPTOR is to be closed with close(). */
int varve_layer_open_wait(struct varve_store *store, const char *id, uint64_t flags,
			  int *ret_descriptor, struct varve_failure *ret_failure);

/** Blocking varve_layer_exists(). Sets *RET_EXISTS. */
int varve_layer_exists_wait(struct varve_store *store, const char *id, bool *ret_exists,
			    struct varve_failure *ret_failure);

/** Blocking varve_layer_list(). *RET_IDS, of *RET_COUNT strings, is to be freed with one free(). */
int varve_layer_list_wait(struct varve_store *store, char ***ret_ids, size_t *ret_count,
			  struct varve_failure *ret_failure);

/** Blocking varve_layer_info(). */
int varve_layer_info_wait(struct varve_store *store, const char *id,
			  struct varve_layer_info *ret_info, struct varve_failure *ret_failure);

/**
 * Blocking varve_layer_changes(). *RET_CHANGES, of *RET_COUNT changes, is to be freed with one
 * free().
 */
int varve_layer_changes_wait(struct varve_store *store, const char *id,
			     const struct varve_changes_options *options,
			     struct varve_change **ret_changes, size_t *ret_count,
			     struct varve_failure *ret_failure);

/** Blocking varve_layer_usage(). */
int varve_layer_usage_wait(struct varve_store *store, const char *id, uint64_t flags,
			   struct varve_layer_usage *ret_usage, struct varve_failure *ret_failure);

/** Blocking varve_layer_chown(). */
int varve_layer_chown_wait(struct varve_store *store, const char *id,
			   const struct varve_chown_options *options,
			   struct varve_failure *ret_failure);

/** Blocking varve_layer_freeze(). */
int varve_layer_freeze_wait(struct varve_store *store, const char *id, uint64_t flags,
			    struct varve_failure *ret_failure);

/** Blocking varve_layer_flush(). */
int varve_layer_flush_wait(struct varve_store *store, const char *id, uint64_t flags,
			   struct varve_failure *ret_failure);

/** Blocking varve_layer_rename(). */
int varve_layer_rename_wait(struct varve_store *store, const char *id, const char *new_id,
			    uint64_t flags, struct varve_failure *ret_failure);

/** Blocking varve_layer_adopt(). */
int varve_layer_adopt_wait(struct varve_store *store, const char *id, uint64_t flags,
			   struct varve_failure *ret_failure);

/** Blocking varve_layer_relabel(). */
int varve_layer_relabel_wait(struct varve_store *store, const char *id, const char *label,
			     uint64_t flags, struct varve_failure *ret_failure);

/**
 * Blocking varve_layer_label(). *RET_RECORD (RET_RECORD may be NULL) is to be freed with one
 * free().
 */
int varve_layer_label_wait(struct varve_store *store, const char *id,
			   const struct varve_label_options *options,
			   struct varve_layer_record **ret_record,
			   struct varve_failure *ret_failure);

/** Blocking varve_layer_record(). *RET_RECORD is to be freed with one free(). */
int varve_layer_record_wait(struct varve_store *store, const char *id,
			    struct varve_layer_record **ret_record,
			    struct varve_failure *ret_failure);

/**
 * Blocking varve_layer_find(). *RET_IDS, of *RET_COUNT strings, is to be freed with one free(); the
 * records, which VARVE_FIND_RECORDS asks for, are in *RET_RECORDS, to be freed likewise. Either may
 * be NULL.
 */
int varve_layer_find_wait(struct varve_store *store, const struct varve_find_options *options,
			  char ***ret_ids, struct varve_layer_record ***ret_records,
			  size_t *ret_count, struct varve_failure *ret_failure);

/**
 * Blocking varve_layer_diff(). *RET_BYTES and *RET_SKIPPED (how many entries), if not NULL, are set
 * on success.
 */
int varve_layer_diff_wait(struct varve_store *store, const char *id,
			  const struct varve_diff_options *options, int fd, uint64_t *ret_bytes,
			  uint64_t *ret_skipped, struct varve_failure *ret_failure);

/** Blocking varve_layer_apply(). *RET_BYTES and *RET_SKIPPED, if not NULL, are set on success. */
int varve_layer_apply_wait(struct varve_store *store, const char *id,
			   const struct varve_apply_options *options, int fd, uint64_t *ret_bytes,
			   uint64_t *ret_skipped, struct varve_failure *ret_failure);

/** Blocking varve_layer_diff_size(). Sets *RET_BYTES. */
int varve_layer_diff_size_wait(struct varve_store *store, const char *id,
			       const struct varve_changes_options *options, uint64_t *ret_bytes,
			       struct varve_failure *ret_failure);

/** Blocking varve_sync(). */
int varve_sync_wait(struct varve_store *store, uint64_t flags, struct varve_failure *ret_failure);

/** Blocking varve_sweep(). *RET_REPORT (if not NULL) is set whenever the request was accepted. */
int varve_sweep_wait(struct varve_store *store, struct varve_sweep_report *ret_report,
		     struct varve_failure *ret_failure);

/**
 * Blocking varve_check(). *RET_FINDINGS, of *RET_COUNT findings, is to be freed with one free().
 */
int varve_check_wait(struct varve_store *store, struct varve_finding **ret_findings,
		     size_t *ret_count, struct varve_failure *ret_failure);

/** Blocking varve_status(). *RET_ENTRIES, of *RET_COUNT entries, is to be freed with one free(). */
int varve_status_wait(struct varve_store *store, struct varve_status_entry **ret_entries,
		      size_t *ret_count, struct varve_failure *ret_failure);

/** Blocking varve_quota_status(). */
int varve_quota_status_wait(struct varve_store *store, struct varve_quota *ret_quota,
			    struct varve_failure *ret_failure);

/** Blocking varve_quota_enable(). */
int varve_quota_enable_wait(struct varve_store *store, enum varve_quota_mode mode,
			    struct varve_failure *ret_failure);

/** Blocking varve_quota_disable(). */
int varve_quota_disable_wait(struct varve_store *store, struct varve_failure *ret_failure);

/** Blocking varve_quota_limit(). */
int varve_quota_limit_wait(struct varve_store *store, const char *id, uint64_t bytes,
			   struct varve_failure *ret_failure);

/** Blocking varve_quota_limit_group(). */
int varve_quota_limit_group_wait(struct varve_store *store, const char *name, uint64_t bytes,
				 struct varve_failure *ret_failure);

/** Blocking varve_quota_rescan(). */
int varve_quota_rescan_wait(struct varve_store *store, uint64_t flags,
			    struct varve_failure *ret_failure);

/** Blocking varve_quota_gc(). *RET_QUOTA (if not NULL) is set whenever the request was accepted. */
int varve_quota_gc_wait(struct varve_store *store, struct varve_quota *ret_quota,
			struct varve_failure *ret_failure);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
