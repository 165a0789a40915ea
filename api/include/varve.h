/* SPDX-License-Identifier: Apache-2.0 */
/**
 * varve.h: container layers on btrfs, asynchronously.
 *
 * A store is a directory on a btrfs file system. Its layers are subvolumes: HOME/subvolumes/ID. A program opens a
 * store, submits requests, and learns how each ended from a callback that runs inside its own call of varve_dispatch()
 * or varve_wait(). The library never calls back from a thread of its own, with the one exception of
 * varve_config.log.
 *
 *	caller                      library
 *	varve_open()           ->   starts one reactor thread
 *	varve_layer_create()   ->   checks the arguments, queues, returns at once
 *	poll(varve_fd())       <-   becomes readable when something has ended
 *	varve_dispatch()       ->   runs the callbacks
 *	varve_close()          ->   cancels what is left, runs its callbacks, frees
 *
 * Reading order: results and failures, the store, the event loop, layers, the store's upkeep, quota, numbers, pools,
 * futures, blocking twins.
 *
 * Conventions, which hold for every call unless its own text says otherwise:
 *
 * - Return value: 0, or a negative errno. A request that is refused (negative return) has no callback, and the caller
 *   keeps all that it passed. A request that is accepted (0) has exactly one callback, whatever happens: success,
 *   failure, cancel or close.
 * - Arguments are copied before the call returns; nothing passed in needs to live longer. `user_data` is handed back as
 *   it came.
 * - What a callback is given belongs to the library and lives until the callback returns.
 * - Threads: requests and varve_cancel() may be made from any thread, at any time between varve_open() and
 *   varve_close(). varve_dispatch(), varve_wait() and varve_close() belong to one thread at a time.
 * - Errors that every request can be refused with: -EAGAIN (requests_max are in flight: dispatch, then try again),
 *   -ENOMEM, -ESHUTDOWN (the store is being closed), -ECHILD (called in a forked child of the process that opened the
 *   store), -EINVAL (a NULL store or callback, a flag that is not known). varve_refusal() tells the reason in words.
 * - Signals: no call is cut short by one, but varve_wait(), which returns -EINTR.
 * - Sizes: a struct that a caller owns, options and outputs, begins with its size: start from its VARVE_..._INIT, or have the
 *   varve_..._init() of its name fill it in (SIZE bytes of zeros but for the size: for programs that cannot use the macro).
 *   Caller and library may be of different versions: options may be smaller (the rest is zero) or larger (-E2BIG where what
 *   this library does not know is not zero); an output is filled as far as both know it, its size is set to that, and the rest
 *   is zero. What a callback is given has a size, too: VARVE_HAS() tells whether a member is there. Structs without a size
 *   never grow. See varve_abi(7).
 * - Oldest kernel: Linux 6.1. What a newer one adds is found at run time.
 * - A path that the library makes or reads below the store is resolved from an open directory and never through a
 *   symbolic link: what a layer contains is not trusted.
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
 * Flags are 64 bits wide, and no two mean different things: bits 0..31 are given to requests, 32..47 to varve_open(), 48..63
 * are found in results. A call refuses those that are not for it.
 */
#define VARVE_FLAG(bit) (UINT64_C(1) << (bit))

/** Bytes in the longest id, without its NUL (the longest name that btrfs takes for a subvolume in a directory). */
#define VARVE_ID_MAX 255

/** Bytes kept of the path in a failure, with its NUL; of a longer one the end is kept. */
#define VARVE_FAILURE_PATH_SIZE 1024

/** Bytes kept of the explanation in a failure, with its NUL. */
#define VARVE_FAILURE_DETAIL_SIZE 256

/** The most requests that `requests_max` can ask for. */
#define VARVE_REQUESTS_MAX 65536

/** The most ids that one batch can hold. */
#define VARVE_BATCH_MAX 65536

/** Bytes of an archive that the library holds on their way to a sink, or from varve_stream_write(). */
#define VARVE_STREAM_BYTES 262144

/** In the place of a descriptor: the archive goes to, or comes from, callbacks: see varve_sink, varve_stream_write(). */
#define VARVE_STREAM (-2)

/** What a sink returns to be called no more until varve_stream_resume(). */
#define VARVE_PAUSE 1

/** The most entries of one map of ids (what the kernel takes for a user namespace). */
#define VARVE_ID_MAPS_MAX 340

/** Milliseconds between two calls of a request's varve_progress_callback, at least. */
#define VARVE_PROGRESS_INTERVAL_MS 100

/** An open store. */
struct varve_store;

/**
 * Names one accepted request, for as long as its callback has not returned. Never 0, and never used twice in the life of
 * a store: a stale one is refused, not mistaken for a newer request.
 */
typedef uint64_t varve_request;

/** What a request asks for. A number keeps its meaning; later versions add some. */
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
};

/** The name of OPERATION: "create"; NULL where this library has none of that number, so that a loop from 0 ends. Any thread. */
const char *varve_operation_name(enum varve_operation operation);

/** Is MEMBER of the struct at POINTER, which has a size, there? It is, unless the library is older than this header. */
#define VARVE_HAS(pointer, member)                                                                     \
	((pointer)->size >= (size_t)((const char *)(&(pointer)->member + 1) - (const char *)(pointer)))

/* ---- results and failures ---------------------------------------------------------------------------------------- */

/**
 * Why something failed: which step of which operation, in which system call, on which path. Plain memory: copy it as you
 * like; as an output it needs no initialising. The strings behind pointers are constants of the library. It never grows: a
 * later version uses what is reserved.
 */
struct varve_failure {
	int error;		/**< Negative errno; 0: nothing failed, and the rest is empty. */
	const char *operation;	/**< "create", "remove", ..., "open". */
	const char *step;	/**< The step within it: "STAGE"; "CHECK" when the arguments were refused. */
	const char *call;	/**< The system call or ioctl: "BTRFS_IOC_SNAP_CREATE_V2"; NULL when there was none. */
	char id[VARVE_ID_MAX + 1];			/**< The layer, or "". A longer id is cut. */
	char path[VARVE_FAILURE_PATH_SIZE];		/**< The path that the call was about, or "". */
	char detail[VARVE_FAILURE_DETAIL_SIZE];		/**< What a person should know beside that, or "". */
	uint64_t reserved[16];		/**< Zeros. */
};

/**
 * Write one line about FAILURE into BUFFER (SIZE bytes, always ends in NUL) and return BUFFER. For instance
 * `create web-1: STAGE: fstatat /pool/subvolumes/web-1: File exists`. Bytes of ids and paths that are not printable
 * ASCII are shown as \xHH. Any thread; never fails.
 */
char *varve_strerror(const struct varve_failure *failure, char *buffer, size_t size);

/**
 * What was left out, or not kept as it is, while a request went on: where the options of a diff, apply, chown, or of a create with one of
 * these, have ret_skipped, the blocking twin sets it on success. Calls with a callback do not look at it: result->skipped has the same.
 * RECORDS is to be freed with free().
 */
struct varve_skipped {
	struct varve_failure *records;	/**< The first of them; NULL: there is none. */
	size_t count;			/**< How many records. */
	uint64_t total;			/**< How many there were. */
};

/** How one id of a batch ended. */
struct varve_outcome {
	const char *id;				/**< The id, as it was given. */
	int error;				/**< 0 or negative errno. */
	const struct varve_failure *failure;	/**< NULL when error is 0. */
};

/** What is known of a layer. */
struct varve_layer_info {
	size_t size;			/**< sizeof(struct varve_layer_info). */
	char id[VARVE_ID_MAX + 1];	/**< Its id. */
	char parent[VARVE_ID_MAX + 1];	/**< The layer it is a snapshot of; "" for none, or when that is not (or no longer)
					     a layer of this store. */
	uint64_t subvolume_id;		/**< btrfs's number of the subvolume. */
	uint8_t uuid[16];		/**< The subvolume's own uuid. */
	uint8_t parent_uuid[16];	/**< The uuid of what it is a snapshot of; zeros for none. */
	uint64_t generation;		/**< Transaction of the last change. */
	uint64_t created_generation;	/**< Transaction of the creation. */
	int64_t created_s;		/**< Creation, seconds since the epoch. */
	uint32_t created_ns;		/**< ... and nanoseconds, 0..999999999. */
	int64_t changed_s;		/**< Last change of the subvolume's root item (ctime), seconds since the epoch. */
	uint32_t changed_ns;		/**< ... and nanoseconds, 0..999999999. */
	uint64_t flags;			/**< VARVE_LAYER_* bits. */
	uint64_t quota_referenced;	/**< Bytes that quota counts for it. Full quotas: all that is in it, what it inherited
					     included; simple quotas: what was first written in it. */
	uint64_t quota_exclusive;	/**< ... of which no other layer has. */
	uint64_t quota_limit;		/**< The limit of quota_referenced that is in force; 0: none. */
};

#define VARVE_LAYER_INFO_INIT { sizeof(struct varve_layer_info), { 0 }, { 0 }, 0, { 0 }, { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/** As VARVE_LAYER_INFO_INIT; SIZE is sizeof(*info). */
void varve_layer_info_init(struct varve_layer_info *info, size_t size);

/** varve_layer_info.flags: the layer is read-only. */
#define VARVE_LAYER_READ_ONLY VARVE_FLAG(48)
/** varve_layer_info.flags: quota runs, and the quota_* fields are known. */
#define VARVE_LAYER_QUOTA VARVE_FLAG(49)

/** COUNT ids from CONTAINER on inside a container are those from HOST on outside. */
struct varve_id_map {
	uint32_t container;	/**< The first id inside. */
	uint32_t host;		/**< The first id outside. */
	uint32_t count;		/**< How many. */
};

/** How to shift the ownership of a layer. Start from VARVE_CHOWN_OPTIONS_INIT. A map without entries changes nothing. */
struct varve_chown_options {
	size_t size;				/**< sizeof(struct varve_chown_options). */
	uint64_t flags;				/**< VARVE_DURABLE or VARVE_RELAXED; VARVE_OVERFLOW_IDS. */
	const struct varve_id_map *uid_from;	/**< The map of users that the layer is in now. */
	size_t uid_from_count;			/**< Its entries, up to VARVE_ID_MAPS_MAX. */
	const struct varve_id_map *gid_from;	/**< ... and of groups. */
	size_t gid_from_count;			/**< Its entries. */
	const struct varve_id_map *uid_to;	/**< The map of users that it is to be in. */
	size_t uid_to_count;			/**< Its entries. */
	const struct varve_id_map *gid_to;	/**< ... and of groups. */
	size_t gid_to_count;			/**< Its entries. */
	struct varve_skipped *ret_skipped;	/**< For the blocking twins: see varve_skipped. NULL: nobody wants to know. */
};

#define VARVE_CHOWN_OPTIONS_INIT { sizeof(struct varve_chown_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/** As VARVE_CHOWN_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_chown_options_init(struct varve_chown_options *options, size_t size);

/** What a layer takes; with the subvolumes that are nested in it, but for the quota group's numbers. */
struct varve_layer_usage {
	size_t size;			/**< sizeof(struct varve_layer_usage). */
	uint64_t bytes;			/**< Sizes of all that is no directory, an inode with several links once. */
	uint64_t inodes;		/**< How many inodes, the root and directories included. */
	uint64_t disk_bytes;		/**< Space of the files, as stat() tells it: blocks times 512. Shared space counts. */
	uint64_t referenced_bytes;	/**< Of the layer's quota group; only with VARVE_USAGE_QUOTA. */
	uint64_t exclusive_bytes;	/**< ... and what no other subvolume shares. */
	uint64_t flags;			/**< VARVE_USAGE_WALK or VARVE_USAGE_SEARCH: how it was counted; VARVE_USAGE_QUOTA. */
	uint64_t limit_bytes;		/**< The limit of referenced_bytes that is in force; 0: none. With VARVE_USAGE_QUOTA. */
};

#define VARVE_LAYER_USAGE_INIT { sizeof(struct varve_layer_usage), 0, 0, 0, 0, 0, 0, 0 }
/** As VARVE_LAYER_USAGE_INIT; SIZE is sizeof(*usage). */
void varve_layer_usage_init(struct varve_layer_usage *usage, size_t size);

/** How far a request has come. */
struct varve_progress {
	size_t size;		/**< sizeof(struct varve_progress). */
	uint64_t entries;	/**< Files and directories looked at. */
	uint64_t bytes;		/**< Their bytes, where the operation counts them. */
	uint64_t left;		/**< sync with VARVE_SYNC_CLEAN: removed subvolumes whose space is not free yet. */
};

#define VARVE_PROGRESS_INIT { sizeof(struct varve_progress), 0, 0, 0 }
/** As VARVE_PROGRESS_INIT; SIZE is sizeof(*progress). */
void varve_progress_init(struct varve_progress *progress, size_t size);

/** What a sweep did. */
struct varve_sweep_report {
	size_t size;			/**< sizeof(struct varve_sweep_report). */
	uint64_t staging_removed;	/**< Half-made layers of processes that are gone; and, in a store that is within a snapshot of
					     a subvolume, the empty directories in the places of the original's layers. */
	uint64_t trash_removed;		/**< Half-destroyed layers of processes that are gone. */
	uint64_t quota_files_removed;	/**< quotas/ID files without a layer ID. */
	uint64_t failures;		/**< Leftovers that could not be removed; the first one is the result's failure. */
	uint64_t quota_groups_removed;	/**< Quota groups of subvolumes that are gone. */
};

#define VARVE_SWEEP_REPORT_INIT { sizeof(struct varve_sweep_report), 0, 0, 0, 0, 0 }
/** As VARVE_SWEEP_REPORT_INIT; SIZE is sizeof(*report). */
void varve_sweep_report_init(struct varve_sweep_report *report, size_t size);

/** How quota runs on a file system: see varve_quota_enable(). */
enum varve_quota_mode {
	VARVE_QUOTA_OFF,	/**< It does not. */
	VARVE_QUOTA_FULL,	/**< Full quotas: each byte counts for every layer that has it. */
	VARVE_QUOTA_SIMPLE,	/**< Simple quotas (Linux 6.7): each byte counts for the layer that wrote it. */
};

/** What is known of quota, and what varve_quota_gc() did. */
struct varve_quota {
	size_t size;			/**< sizeof(struct varve_quota). */
	enum varve_quota_mode mode;	/**< How it runs. */
	uint64_t flags;			/**< VARVE_QUOTA_* bits. */
	uint64_t rescan_position;	/**< How far the rescan is, in bytes of the file system's address space. */
	uint64_t groups;		/**< Quota groups of the file system, of all levels. */
	uint64_t groups_stale;		/**< ... of which belong to subvolumes that are gone. */
	uint64_t records;		/**< Layers of the store with a recorded size. */
	uint64_t groups_removed;	/**< gc: groups removed. */
	uint64_t records_removed;	/**< gc: recorded sizes without a layer removed. */
	uint64_t failures;		/**< gc: what could not be removed; the first one is the result's failure. */
};

#define VARVE_QUOTA_INIT { sizeof(struct varve_quota), VARVE_QUOTA_OFF, 0, 0, 0, 0, 0, 0, 0, 0 }
/** As VARVE_QUOTA_INIT; SIZE is sizeof(*quota). */
void varve_quota_init(struct varve_quota *quota, size_t size);

/** varve_quota.flags: what the groups count is unreliable, and LIMITS ARE NOT ENFORCED, until varve_quota_rescan(). */
#define VARVE_QUOTA_INCONSISTENT VARVE_FLAG(51)
/** varve_quota.flags: a rescan is running. Without CAP_SYS_ADMIN that is not known, and the flag not set. */
#define VARVE_QUOTA_RESCAN_RUNNING VARVE_FLAG(52)
/** varve_quota.flags: groups and groups_stale are known, which takes CAP_SYS_ADMIN. */
#define VARVE_QUOTA_COUNTED VARVE_FLAG(53)

/** One line of varve_status(). */
struct varve_status_entry {
	const char *key;	/**< Lower case words, joined by '_': "kernel", "cleaner_backlog". */
	const char *value;	/**< Text for a person or a program. */
};

/** Something in a store that is not as it should be: see varve_check(). */
struct varve_finding {
	const char *kind;	/**< A word: "directory", "record", "limit", "staging", ... A constant of the library. */
	const char *path;	/**< What it is about, below the home; "" for the file system as a whole. Any bytes but NUL. */
	const char *detail;	/**< What is wrong, for a person. */
	const char *sweep;	/**< What varve_sweep() does about it, a constant; NULL: nothing. */
};

/** What became of a path; the values are the letters that commands print. */
enum varve_change_kind {
	VARVE_CHANGE_ADD = 'A',
	VARVE_CHANGE_DELETE = 'D',
	VARVE_CHANGE_MODIFY = 'M',
};

/** A path of a layer that is not as it was in its parent. */
struct varve_change {
	const char *path;		/**< Absolute within the layer: "/etc/passwd". Any bytes but NUL. */
	enum varve_change_kind kind;	/**< What became of it. */
};

/** How a request ended, as its callback sees it. Fields that the operation does not name are 0 or NULL. */
struct varve_result {
	size_t size;				/**< sizeof(struct varve_result) of the library: see VARVE_HAS(). */
	varve_request request;			/**< The request. */
	enum varve_operation operation;		/**< What it asked for. */
	int error;				/**< 0 or negative errno; of a batch the first error, in the order of the ids. */
	const struct varve_failure *failure;	/**< NULL when error is 0. */
	const struct varve_outcome *outcomes;	/**< create, remove: one for each id, in the order given. */
	size_t outcomes_count;			/**< How many: 1, or the size of the batch. */
	const char *path;			/**< get: the absolute path of the layer. */
	int descriptor;				/**< open_layer: the layer's directory; the callback's own, to be closed by it. */
	bool exists;				/**< exists. */
	const char *const *ids;			/**< list: the names, sorted bytewise. */
	size_t ids_count;			/**< list: how many. */
	const struct varve_layer_info *info;	/**< info. */
	const struct varve_sweep_report *sweep;	/**< sweep; also when error is not 0. */
	const struct varve_status_entry *status;/**< status. */
	size_t status_count;			/**< status: how many lines. */
	const struct varve_change *changes;	/**< changes: the paths, sorted bytewise, each once. */
	size_t changes_count;			/**< changes: how many. */
	const struct varve_layer_usage *usage;	/**< usage. */
	const struct varve_quota *quota;	/**< quota; of a gc also when error is not 0. */
	uint64_t bytes;				/**< diff: of the archive; diff_size: of the files; apply: the sizes that the entries
						     tell. Also of what was done before an error. */
	const struct varve_failure *skipped;	/**< The first entries that a diff left out, or that changed while it read them; that
						     an apply did not keep as they are; whose owner became the overflow id. */
	size_t skipped_count;			/**< How many of these records there are. */
	uint64_t skipped_total;			/**< How many such entries there were. */
	const struct varve_finding *findings;	/**< check: what was found, place by place. */
	size_t findings_count;			/**< check: how many of these records there are. */
	uint64_t findings_total;		/**< check: how many there were; records are kept of the first 10000 plain
						     directories, and of the first 10000 others. */
};

/**
 * A callback. Runs on the thread that called varve_dispatch(), varve_wait(), varve_wait_for() or varve_close(). It may
 * submit, cancel, and close the store; it may not dispatch or wait (-EBUSY).
 */
typedef void varve_callback(struct varve_store *store, const struct varve_result *result, void *user_data);

/** Called with how far REQUEST has come: see varve_progress_watch(). PROGRESS lives until it returns. */
typedef void varve_progress_callback(struct varve_store *store, varve_request request,
				     const struct varve_progress *progress, void *user_data);

/**
 * A sink: takes a chunk of an archive. BYTES are the library's and live until it returns; SIZE is 1 or more. Chunks come in
 * order, on the thread that called varve_dispatch(), varve_wait(), varve_wait_for() or a blocking twin, one at a time. May do
 * what a callback may do.
 *
 * Returns 0: it has the chunk, and may be called again at once. VARVE_PAUSE: it has the chunk, and is to be called again after
 * varve_stream_resume(). A negative errno: the request ends with that error, and the sink is not called again; any other value
 * stands for -EINVAL.
 */
typedef int varve_sink(struct varve_store *store, varve_request request, const void *bytes, size_t size, void *sink_data);

/**
 * Tells that varve_stream_write() will take SIZE bytes of REQUEST's archive. Called once after the request was accepted, and
 * once each time that varve_stream_write() took less than it was given, when half of VARVE_STREAM_BYTES is free again.
 * Threads, and what it may do: as a sink.
 */
typedef void varve_room(struct varve_store *store, varve_request request, size_t size, void *room_data);

/* ---- the store --------------------------------------------------------------------------------------------------- */

/** Do not use io_uring, even where the kernel has it. */
#define VARVE_OPEN_NO_URING VARVE_FLAG(32)
/** Requests are relaxed unless they say VARVE_DURABLE: see varve_durability(7). */
#define VARVE_OPEN_RELAXED VARVE_FLAG(33)
/** Do not sweep at open what crashed processes left behind. */
#define VARVE_OPEN_NO_SWEEP VARVE_FLAG(34)
/**
 * Bind-mount the home on itself, privately, unless it is a mount point; undone by varve_close(), unless something is mounted in it by
 * then. Needs CAP_SYS_ADMIN.
 */
#define VARVE_OPEN_PRIVATE_MOUNT VARVE_FLAG(35)
/** The store must exist: make nothing. Where there is none, varve_open() fails with -ENOENT. */
#define VARVE_OPEN_EXISTING VARVE_FLAG(36)
/**
 * Use a home even if it, a directory of the store in it, or one above it belongs to another user than root, the caller and
 * root_uid, or may be written by its group or others (above the home: and is not sticky). Such a user can exchange the home,
 * layers and what the store keeps beside them while the caller, as root perhaps, works on them.
 */
#define VARVE_OPEN_SHARED_HOME VARVE_FLAG(37)

/** How to open a store. Start from VARVE_CONFIG_INIT; every field that is 0 or NULL stands for its default. */
struct varve_config {
	size_t size;			/**< sizeof(struct varve_config): lets later versions add fields. */
	const char *home;		/**< The store's directory, made (0700) when missing. NULL: "/var/lib/varve". */
	const char *const *options;	/**< "KEY=VALUE" strings, NULL last; the keys of varve(7), case ignored. */
	uint64_t flags;			/**< VARVE_OPEN_* bits. */
	uint32_t requests_max;		/**< Requests in flight, 1..VARVE_REQUESTS_MAX. 0: 4096. */
	uint32_t ring_entries;		/**< Depth of the io_uring, 8..4096. 0: 256. */
	uint32_t fs_threads_max;	/**< Threads for short blocking calls, 1..64. 0: one for each CPU. */
	uint32_t commit_threads_max;	/**< Snapshots in flight, 1..512; their threads sleep mostly. 0: 128. No more than a
					     quarter of the descriptors that RLIMIT_NOFILE leaves (the limit is never
					     raised), since each keeps a directory open. */
	uint32_t backlog_max;		/**< Removed layers that may await the kernel's cleaner before creates wait,
					     1..1000000. 0: 4096. Under full quotas they wait sooner: varve_durability(7). */
	uint32_t root_uid;		/**< Owner of the home and of new base layers. */
	uint32_t root_gid;		/**< Group of the home and of new base layers. */
	const char *debug;		/**< What to trace, as in VARVE_DEBUG ("op,ring,lane,btrfs" or "all"). NULL: as the
					     environment says. */
	/** Takes each line of the trace, without a line end. Called on any thread, also of the library; must not call the
	    library. NULL: lines go to standard error. */
	void (*log)(void *log_data, const char *line);
	void *log_data;			/**< Handed to log. */
};

#define VARVE_CONFIG_INIT { sizeof(struct varve_config), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/** As VARVE_CONFIG_INIT; SIZE is sizeof(*config). */
void varve_config_init(struct varve_config *config, size_t size);

/**
 * Open the store in CONFIG->home, making the home and HOME/subvolumes when they are missing, and start its threads. What else
 * a store keeps (HOME/quotas, HOME/.varve) is made by the first request that puts something there, so that a store that is
 * there opens on a full file system, a read-only one, and one that may only be read.
 *
 * Blocks, for as long as a few file-system calls take, and a sweep of leftovers (see varve_sweep()); a sweep that fails
 * does not fail the open. Any number of processes may have the same home open, and one process several times.
 *
 * On success *RET_STORE is the store, to be ended by varve_close(). On failure it is untouched, and *RET_FAILURE (if not
 * NULL) tells why.
 *
 * Errors: -EINVAL (a number out of its range, an option that is not known or does not parse, an unknown flag),
 * -ENAMETOOLONG (the home's path leaves no room for an id), -ENOENT (VARVE_OPEN_EXISTING and no store), -ENOTSUP (the home
 * is not on btrfs; an option this version or kernel cannot serve), -ENOTDIR, -EACCES, -EROFS, -EMFILE, -ENOMEM,
 * -EPERM (VARVE_OPEN_PRIVATE_MOUNT without privilege; or, in the step "TRUST", the home can be changed by another
 * user: see VARVE_OPEN_SHARED_HOME). Privilege: none beyond
 * write access to the home, where something is to be made in it.
 * A crash leaves at most empty directories.
 */
int varve_open(const struct varve_config *config, struct varve_store **ret_store, struct varve_failure *ret_failure);

/**
 * Close STORE (NULL: nothing to do): refuse new requests, cancel those in flight, wait until each has ended or undone its
 * steps, run their callbacks, stop the threads and free the store. Returns 0.
 *
 * In a callback it returns at once, and the rest happens when the surrounding varve_dispatch() is about to return: the
 * store must not be touched after that. In a forked child it only frees memory and descriptors. Never touches quotas.
 * Blocks for as long as a commit of the file system takes.
 */
int varve_close(struct varve_store *store);

/** The version of the library that is loaded: "0.2.0". Any thread. */
const char *varve_version(void);

/**
 * Copy into *RET_FAILURE why the most recent request that the calling thread made of STORE was refused. Returns 0, or -ENOENT
 * when none was; the refusals of the last 64 threads are kept. Any thread.
 */
int varve_refusal(struct varve_store *store, struct varve_failure *ret_failure);

/**
 * Is ID one that a layer can have? 1..255 bytes, no '/', not "." or "..", not beginning with ".varve". Returns 0,
 * -EINVAL or -ENAMETOOLONG; then *RET_FAILURE (if not NULL) tells why. Any thread; touches no file.
 */
int varve_id_check(const char *id, struct varve_failure *ret_failure);

/* ---- the event loop ---------------------------------------------------------------------------------------------- */

/**
 * The descriptor to poll: readable while a callback is waiting to be run, and now and then once when none is any more:
 * varve_dispatch() then returns 0. The same one for the store's whole life; owned by the store. Do not read it. Any thread.
 */
int varve_fd(const struct varve_store *store);

/**
 * Run up to MAX callbacks (0: all that are ready, but no more than were ready when it began); a chunk for a sink counts as
 * one, and a dispatch runs a sink once at most. Returns how many ran.
 * Never blocks and makes no file-system call. Errors: -EBUSY (inside a callback, or while another thread dispatches),
 * -ECHILD; -ESHUTDOWN when a callback closed the store, which is then gone.
 */
int varve_dispatch(struct varve_store *store, unsigned max);

/**
 * Wait until at least one callback has been run, for at most TIMEOUT_MS milliseconds (negative: for ever; 0: as
 * varve_dispatch()). Where answers come within 50 us it looks for them that long before it sleeps. Returns how many ran; 0
 * after the time. Where nothing is in flight it waits as well, for what another thread submits: a loop that ends with its
 * requests asks varve_pending(). Errors: as varve_dispatch(), and -EINTR.
 */
int varve_wait(struct varve_store *store, int timeout_ms);

/** How many requests are in flight: accepted, and their callbacks have not returned. Or -ECHILD. Any thread; no system call. */
int varve_pending(struct varve_store *store);

/**
 * Wait until the callback of REQUEST has returned, running that callback (and its sink or room) and no other, for at most
 * TIMEOUT_MS milliseconds (negative: for ever). Any number of threads may wait, each for its own. Returns 0; at once when
 * REQUEST is not in flight any more. Errors: -ETIME, -EBUSY (inside a callback), -ECHILD; -ESHUTDOWN when the callback closed
 * the store, which is then gone. A signal does not cut it short.
 */
int varve_wait_for(struct varve_store *store, varve_request request, int timeout_ms);

/**
 * Ask for REQUEST to end early. Best effort: it either ends as if nothing had been asked, or undoes its steps and ends
 * with -ECANCELED. A sink is not called any more, once its callback, if it runs, has returned. Returns 0 when REQUEST was in
 * flight, -ENOENT when not. Any thread.
 */
int varve_cancel(struct varve_store *store, varve_request request);

/**
 * Copy into *RET_PROGRESS how far REQUEST has come; only requests that look at each file count. Returns 0, or -ENOENT
 * when it is not in flight. Any thread, also inside callbacks; makes no system call.
 */
int varve_progress(struct varve_store *store, varve_request request, struct varve_progress *ret_progress);

/**
 * Have CALLBACK (NULL: nothing any more) called with how far REQUEST has come, while it is under way and gets further, at
 * most once in VARVE_PROGRESS_INTERVAL_MS. It runs in varve_dispatch() and varve_wait(), which varve_fd() announces, on
 * their caller's thread; counts as one of the callbacks they run; may do what others may; and never runs after the
 * request's own has begun. varve_wait_for() and the blocking twins do not run it. A request has one; a new one takes the
 * place of the old. Only requests that look at each file call it. Returns 0, -ENOENT when REQUEST is not in flight, or
 * -ENOMEM; then USER_DATA is the caller's. Any thread; makes no system call. To take it back while another thread dispatches does not
 * wait for a call that has begun.
 */
int varve_progress_watch(struct varve_store *store, varve_request request, varve_progress_callback *callback,
			 void *user_data);

/**
 * Go the whole way (submit, reactor, completion, callback) and do nothing. Measures the machinery; wakes a loop up.
 */
int varve_noop(struct varve_store *store, varve_callback *callback, void *user_data, varve_request *ret_request);

/* ---- layers ------------------------------------------------------------------------------------------------------
 *
 * Requests on one id run in the order they were submitted, also when it is another's parent; on different ids they run
 * in parallel. So a layer may be created from one whose own creation has not ended yet.
 *
 * Every call that takes an id refuses a bad one, as varve_id_check().
 */

/** The callback means: it survives a power cut. The default, unless the store was opened with VARVE_OPEN_RELAXED. */
#define VARVE_DURABLE VARVE_FLAG(0)
/**
 * The callback means: it is done. After a power cut a created layer is there whole, content included, or absent; a removed one is
 * gone, or there whole; owners, labels, what was applied to a layer that was there, and limits may be so in part. Several times
 * faster. See varve_durability(7).
 */
#define VARVE_RELAXED VARVE_FLAG(1)
/**
 * apply, chown, diff, and create with either: an owner that is in none of the maps given becomes the overflow id 65534, which
 * result->skipped tells of. Without it such an owner is an error, -EOVERFLOW.
 */
#define VARVE_OVERFLOW_IDS VARVE_FLAG(12)
/** apply: leave out devices that the caller may not make, as in a user namespace: result->skipped. Without it they are -EPERM. */
#define VARVE_APPLY_SKIP_DEVICES VARVE_FLAG(13)
/**
 * apply: what has an owner that the caller may not give belongs to the caller: result->skipped. Without it that is -EPERM, or
 * -EINVAL where the id is in no map of a user namespace. As ignore_chown_errors of containers/storage.
 */
#define VARVE_APPLY_IGNORE_OWNERS VARVE_FLAG(14)
/** create: make the layer read-only. */
#define VARVE_CREATE_READ_ONLY VARVE_FLAG(2)
/** create: fail with -EAGAIN where the cleaner's backlog would make it wait. */
#define VARVE_CREATE_NOWAIT VARVE_FLAG(3)

/** How to unpack an archive into a layer. Start from VARVE_APPLY_OPTIONS_INIT. */
struct varve_apply_options {
	size_t size;				/**< sizeof(struct varve_apply_options). */
	uint64_t flags;				/**< VARVE_OVERFLOW_IDS, VARVE_APPLY_*; VARVE_DURABLE or VARVE_RELAXED, but not within a
						     create. */
	const struct varve_id_map *uids;	/**< How users are mapped: the archive has the container's. NULL: not at all. */
	size_t uids_count;			/**< Entries, up to VARVE_ID_MAPS_MAX. */
	const struct varve_id_map *gids;	/**< How groups are mapped. NULL: not at all. */
	size_t gids_count;			/**< Entries, up to VARVE_ID_MAPS_MAX. */
	varve_room *room;			/**< With VARVE_STREAM: tells of room for varve_stream_write(). NULL: nothing does. */
	void *room_data;			/**< Handed to room. */
	uint64_t force_mode;			/**< Permission bits, up to 07777, that all is given instead of its own, but symbolic
						     links. Files and directories keep their owner and mode in the attribute
						     user.containers.override_stat: as force_mask of containers/storage. 0: none. */
	struct varve_skipped *ret_skipped;	/**< For the blocking twins: see varve_skipped. NULL: nobody wants to know. */
};

#define VARVE_APPLY_OPTIONS_INIT { sizeof(struct varve_apply_options), 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/** As VARVE_APPLY_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_apply_options_init(struct varve_apply_options *options, size_t size);

/** How to create a layer. Start from VARVE_CREATE_OPTIONS_INIT. */
struct varve_create_options {
	size_t size;				/**< sizeof(struct varve_create_options). */
	const char *parent;			/**< The layer to start from; NULL or "": an empty base layer. */
	const char *template_id;		/**< Start from this layer instead of from the parent; NULL: none. */
	const char *const *storage_options;	/**< "KEY=VALUE" strings, NULL last: "size=SIZE", "group=NAME" or
						     "group=NAME:SIZE" (up to 8): see the section about quota. */
	uint64_t flags;				/**< VARVE_DURABLE, VARVE_RELAXED, VARVE_CREATE_*. */
	uint32_t mode;				/**< Permission bits of a base layer's root, 0..07777. 0: 0755. */
	int apply_fd;				/**< What apply's archive is read from, or VARVE_STREAM. */
	const struct varve_chown_options *chown;/**< Shift the ownership of all in it, before it is seen; NULL: not. */
	const char *label;			/**< Give all in it this SELinux label, before it is seen; NULL or "": not. */
	const struct varve_apply_options *apply;/**< Unpack an archive into the layer before it appears; one layer only, and a
						     writable one. NULL: none. See varve_layer_apply(). */
};

#define VARVE_CREATE_OPTIONS_INIT { sizeof(struct varve_create_options), 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/** As VARVE_CREATE_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_create_options_init(struct varve_create_options *options, size_t size);

/**
 * Create layer ID: an empty one, or a writable (or read-only) snapshot of another layer. OPTIONS may be NULL.
 *
 * The layer is made out of sight and appears whole, by one rename; or straight in its place when nothing else is in
 * flight. Creates that are in flight together share a commit of the file system.
 *
 * Errors in the callback: -EEXIST (the id exists), -ENOENT (no such parent), -ENOTDIR (the parent is not a directory),
 * -EINVAL (the parent is not a subvolume of this store), -EXDEV (it is on another file system), -ETXTBSY (it has an active swap
 * file), -ENOSPC, -EDQUOT, -EROFS, -EMFILE, -EAGAIN (VARVE_CREATE_NOWAIT), -ECANCELED, -EIO; with a shift or a label those of
 * varve_layer_chown() and varve_layer_relabel(). A create that fails leaves nothing; where what it has made cannot be destroyed
 * (an owner without the mount option user_subvol_rm_allowed), that lies in the trash for varve_sweep(), and the detail says so.
 * Refused with -EINVAL: a storage option that is not known or does not parse ("size" below btrfs.min_space); with -ENOTSUP: a
 * size in a store that was opened with quota=off. A layer with a size or a group can fail, before anything is made, with -EPERM
 * (quota has to be turned on, a group be made, or a limit be set after a snapshot as in full mode, and the caller lacks
 * CAP_SYS_ADMIN), -ENOTCONN (quota is off, and
 * the store was opened with quota=keep), -EBUSY (quota runs in another mode than the store was opened for) and -ENOTSUP (a
 * snapshot, full quotas, and a group that it or its parent is in: see the section about quota). Privilege: write access to the
 * home; for a snapshot, to own the parent or CAP_FOWNER. A crash leaves the layer whole or a leftover that varve_sweep()
 * removes, never a half-made layer in sight.
 */
int varve_layer_create(struct varve_store *store, const char *id, const struct varve_create_options *options,
		       varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Create COUNT layers (1..VARVE_BATCH_MAX), all with the same OPTIONS. One callback tells how each ended, in
 * result->outcomes; one that fails does not keep the others from being made. Cancelling it undoes those that are not yet
 * in place. A batch counts as one request. A bad id refuses the whole batch.
 */
int varve_layer_create_batch(struct varve_store *store, const char *const *ids, size_t count,
			     const struct varve_create_options *options, varve_callback *callback, void *user_data,
			     varve_request *ret_request);

/**
 * Remove layer ID, with the subvolumes that are nested in it. FLAGS: VARVE_DURABLE or VARVE_RELAXED, or 0.
 *
 * Takes the same time whatever the number of files. The space comes back when the kernel's cleaner has run: see
 * varve_sync(). Open files and bind mounts do not keep a layer from being removed (nor do they break: they see the old
 * content until they are closed). What is mounted in the layer is unmounted with the name, by the kernel, in all mount
 * namespaces; its content stays.
 *
 * Flags (chattr +i, +a) on the roots of the layer and of what is nested in it, and on directories that subvolumes lie in, are
 * cleared, which takes CAP_LINUX_IMMUTABLE; an owner's missing permissions are given. A layer that stays has its root's back.
 *
 * Errors in the callback: -ENOENT (no such layer), -ENOTDIR or -EINVAL (what lies there is not a layer), -EPERM (it is
 * the file system's default subvolume, is being sent, holds an active swap file, has a flag that may not be cleared, or the
 * caller lacks privilege), -EACCES, -EROFS, -ENOSPC, -EBUSY (entry by entry: something is mounted in it; or subvolumes are made in it as
 * fast as they are destroyed, and it is given up after some thousands), -ECANCELED, -EIO. A
 * layer that could not be removed is whole, unless something was destroyed in it: then it is out of sight, and varve_sweep()
 * removes what is left; or, where there was no room to move it (-ENOSPC, -EDQUOT of the file system), it is in sight without
 * what is gone, and to be removed again. The failure's detail says which. Privilege: CAP_SYS_ADMIN, or the mount option
 * user_subvol_rm_allowed and ownership. An owner with neither, or of what is read-only, is served, too, but entry by entry: the
 * layer is moved out of sight, made writable, emptied and removed, which takes time with the number of files (see
 * varve_progress()) and can be cancelled; what is left then is for varve_sweep(). A crash leaves the layer whole, or gone from
 * sight; or, where there was no room to move it, in sight without some of what was nested in it, or of its files.
 */
int varve_layer_remove(struct varve_store *store, const char *id, uint64_t flags, varve_callback *callback,
		       void *user_data, varve_request *ret_request);

/** Remove COUNT layers (1..VARVE_BATCH_MAX): as varve_layer_create_batch() is to varve_layer_create(). */
int varve_layer_remove_batch(struct varve_store *store, const char *const *ids, size_t count, uint64_t flags,
			     varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Find the directory of layer ID: result->path, absolute and through no symbolic link. No mount, no reference: the path stays
 * valid until the layer is removed or the home, or a directory above it, is renamed; a get after that tells the new one.
 * OPTIONS: mount options, NULL last, or NULL; "ro" is accepted and ignored, any other is refused with -EINVAL.
 * Where a size is recorded for the layer, of at least btrfs.min_space, and another limit is in force, it is applied again.
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume); -EPERM, -EBUSY as varve_layer_create() with a
 * size.
 */
int varve_layer_get(struct varve_store *store, const char *id, const char *const *options, varve_callback *callback,
		    void *user_data, varve_request *ret_request);

/** The counterpart of varve_layer_get(), for callers that pair them: does nothing. Refuses a bad id. Any thread. */
int varve_layer_put(struct varve_store *store, const char *id);

/**
 * Open layer ID as a directory: result->descriptor, close-on-exec and open for reading, belongs to the callback, which closes it.
 * FLAGS: 0. It is the layer that had the id when it was opened, whatever becomes of the id; a removal does not wait for it, but the
 * kernel's cleaner does. What is in the layer is not to be trusted: resolve paths by openat2() with RESOLVE_IN_ROOT or
 * RESOLVE_BENEATH. Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume of this store), -EACCES, -EMFILE. Nothing is
 * changed.
 */
int varve_layer_open(struct varve_store *store, const char *id, uint64_t flags, varve_callback *callback, void *user_data,
		     varve_request *ret_request);

/** Is there a layer ID? The answer is result->exists. What is not a subvolume is not a layer. */
int varve_layer_exists(struct varve_store *store, const char *id, varve_callback *callback, void *user_data,
		       varve_request *ret_request);

/** Name all layers: result->ids. One tree search where privileged; otherwise a look at each entry. */
int varve_layer_list(struct varve_store *store, varve_callback *callback, void *user_data,
		     varve_request *ret_request);

/**
 * Tell about layer ID: result->info. Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume). Without
 * CAP_SYS_ADMIN the parent's name is found by asking each layer of the store, which takes time in a large one.
 */
int varve_layer_info(struct varve_store *store, const char *id, varve_callback *callback, void *user_data,
		     varve_request *ret_request);

/* ---- what is in a layer ------------------------------------------------------------------------------------------
 *
 * Calls that look into a layer compare it with a parent: another layer; or, where that is NULL, the layer that it is a
 * snapshot of (none: nothing; -ESTALE: this store does not have it, or not any more); or, where that is "", nothing, so that
 * everything is new.
 */

/** Walk both layers even where their trees could be searched for what is newer. Slow; the result is the same. */
#define VARVE_CHANGES_WALK VARVE_FLAG(4)

/** What a layer is compared with, and how. Start from VARVE_CHANGES_OPTIONS_INIT. */
struct varve_changes_options {
	size_t size;				/**< sizeof(struct varve_changes_options). */
	const char *parent;			/**< Another layer; NULL: the one that it is a snapshot of; "": nothing. */
	uint64_t flags;				/**< VARVE_CHANGES_WALK or 0. */
	const struct varve_id_map *uids;	/**< The map of users that the layer is in. NULL: none. */
	size_t uids_count;			/**< Its entries, up to VARVE_ID_MAPS_MAX. */
	const struct varve_id_map *gids;	/**< ... and of groups. */
	size_t gids_count;			/**< Its entries. */
	const struct varve_id_map *parent_uids;	/**< The map of users that the parent is in. NULL: none. */
	size_t parent_uids_count;		/**< Its entries. */
	const struct varve_id_map *parent_gids;	/**< ... and of groups. */
	size_t parent_gids_count;		/**< Its entries. */
};

#define VARVE_CHANGES_OPTIONS_INIT { sizeof(struct varve_changes_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/** As VARVE_CHANGES_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_changes_options_init(struct varve_changes_options *options, size_t size);

/**
 * Tell which paths of layer ID differ from those of its parent: result->changes. The directories above a changed path are
 * told as modified; a deleted directory is told without what was in it; the root itself is not told. A path is modified
 * when its type, mode, owner, group, device, modification time (one without nanoseconds is equal to all of its second),
 * size (but of directories), link target, content, security.capability or user.* attributes differ. OPTIONS may be NULL.
 *
 * Owners are those that the containers see: a layer that was made with a shift of ownership (varve_create_options.chown) is
 * compared with its parent by the maps of both, and what the shift alone has changed is not told. root:root outside of a map
 * stands for the container's, as varve_layer_chown() has it; other owners outside of a map are as the host has them. After a
 * shift every inode was written, and all of them are looked at.
 *
 * Content is compared where it may differ and nothing else does: where an inode was changed since the layers were one, as its
 * ctime or btrfs tells. What lies in the same place on disk is not read. A file that was changed so, and cannot be opened (for
 * want of privilege, or because a process keeps a lease on it), is told as modified.
 *
 * Where one layer descends from the other, or both from a third, in any number of snapshots that are still there, btrfs
 * itself is asked what is newer than the snapshot: the time depends on the number of changes, not on that of files. What
 * is in memory alone is written out first, for the whole file system. This takes CAP_SYS_ADMIN; without it, and for
 * unrelated layers, both trees are walked.
 *
 * Files that are written to meanwhile are told as they were or as they are. The place of a subvolume that is nested in
 * the parent is an empty directory in the layer: what was in it is told as deleted. Mounts are not entered: with
 * CAP_SYS_ADMIN what the layers themselves hold beneath is compared, else nothing is told of such an entry that both have.
 *
 * Errors in the callback: -ENOENT (no such layer or parent), -ESTALE (no parent was named, and the layer that this is a snapshot
 * of is gone), -ENOTDIR, -EINVAL (not a layer of this store), -EACCES, -ENOMEM, -ECANCELED, -EIO. Nothing is changed.
 */
int varve_layer_changes(struct varve_store *store, const char *id, const struct varve_changes_options *options,
			varve_callback *callback, void *user_data, varve_request *ret_request);

/** usage: look at each file, also where the trees could be searched. Result: this was done. */
#define VARVE_USAGE_WALK VARVE_FLAG(5)
/** usage: search the file system's trees; takes CAP_SYS_ADMIN. Result: this was done. */
#define VARVE_USAGE_SEARCH VARVE_FLAG(6)
/** usage, result: referenced_bytes, exclusive_bytes and limit_bytes are known. */
#define VARVE_USAGE_QUOTA VARVE_FLAG(50)
/** usage, result: something is mounted in the layer, and what lies beneath it could not be counted. */
#define VARVE_USAGE_MOUNTS VARVE_FLAG(54)

/**
 * Measure layer ID: result->usage. FLAGS: 0, VARVE_USAGE_WALK or VARVE_USAGE_SEARCH; both give the same numbers.
 *
 * With 0 a privileged caller's layer is searched. Before a search the file system is flushed, so that what was just
 * written counts. What is mounted in the layer is never entered nor counted, but what lies beneath it is; without
 * CAP_SYS_ADMIN that cannot be seen, and is left out (VARVE_USAGE_MOUNTS). Files that vanish meanwhile are passed over.
 * varve_progress() tells how far it is.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume), -EPERM (VARVE_USAGE_SEARCH without privilege),
 * -EACCES (a directory that the caller may not read; the rest is walked, but there is no result), -ENOBUFS (hard links
 * over more than 134 million inode numbers, or directories nested tens of thousands deep, beyond the memory of a walk),
 * -ECANCELED, -EIO. Quota numbers are given where sysfs is mounted, else to privileged callers. A crash leaves nothing.
 */
int varve_layer_usage(struct varve_store *store, const char *id, uint64_t flags, varve_callback *callback,
		      void *user_data, varve_request *ret_request);

/**
 * Shift the ownership of everything in layer ID: an owner is first led back into the container by the `from` maps, then
 * out again by the `to` maps. An owner that a `from` map does not know is an error, but for root:root, as is one that a `to` map
 * does not know, without VARVE_OVERFLOW_IDS. Setuid, setgid and security.capability are kept, and ids in POSIX access control
 * lists are shifted, too; an inode is shifted once, whatever its names. Symbolic links are shifted themselves; what is mounted in
 * the layer is not entered, and what lies beneath it is
 * shifted. Goes on after a failure and reports the first.
 *
 * In a layer that is in use, names that move meanwhile hide no file: the file system's trees are searched for what was
 * missed until nothing is found. Without CAP_SYS_ADMIN it is walked again instead, which a file that moves all the time may
 * escape. Files that are made all the time end it after eight rounds: -EBUSY, and the failure's detail tells how many.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume), -EBUSY, -EXDEV (without CAP_SYS_ADMIN: what lies
 * beneath a mount was left out), -EOVERFLOW (an owner that a map does not know, or that has no id in the caller's user
 * namespace), -EPERM, -EACCES, -EROFS (the layer, or one nested in it, is read-only), -ENOSPC, -ENOBUFS as in
 * varve_layer_usage(), -ECANCELED, -EIO. Refused with -EINVAL: an entry that is empty or exceeds 32 bits, too many entries.
 * Privilege: CAP_CHOWN, CAP_FOWNER; CAP_SETFCAP where there are capabilities. After a failure, a cancel or a crash the layer is
 * shifted in part: a shift cannot be told from none, so it should be removed, and made anew with
 * varve_create_options.chown, which shows it only when it is whole.
 */
int varve_layer_chown(struct varve_store *store, const char *id, const struct varve_chown_options *options,
		      varve_callback *callback, void *user_data, varve_request *ret_request);

/** freeze: make the layer writable again. */
#define VARVE_FREEZE_THAW VARVE_FLAG(15)

/**
 * Make layer ID read-only, or with VARVE_FREEZE_THAW in FLAGS writable; nothing happens where it is so already. It commits, and
 * is durable whatever FLAGS say: VARVE_DURABLE or VARVE_RELAXED. What is nested in the layer keeps its own flag. A file that is
 * open for writing can be written further: the kernel asks for the flag when a file is opened.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume of the store), -EPERM (not the owner; thaw: it is being
 * sent), -EROFS, -ENOSPC, -ECANCELED, -EIO. Privilege: to own the layer or CAP_FOWNER. A crash leaves it as before or as asked.
 */
int varve_layer_freeze(struct varve_store *store, const char *id, uint64_t flags, varve_callback *callback, void *user_data,
		       varve_request *ret_request);

/**
 * Give layer ID the name NEW_ID. Its recorded size goes with the name; its limit, its groups and the layers made of it stay as
 * they are. What is mounted in it, and who has files open in it, goes on. FLAGS: VARVE_DURABLE or VARVE_RELAXED.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume of the store), -EEXIST (NEW_ID is taken), -EBUSY (something
 * is mounted on the layer itself), -EPERM (its root directory has the flag +i or +a), -ESTALE (another process has replaced the
 * layer meanwhile; what it made stays as it is), -EACCES, -EROFS, -ENOSPC, -ECANCELED, -EIO. Refused: -EINVAL where the names are
 * the same. Privilege: write access to the home. A crash leaves the layer under one of the names, whole, with its record.
 */
int varve_layer_rename(struct varve_store *store, const char *id, const char *new_id, uint64_t flags, varve_callback *callback,
		       void *user_data, varve_request *ret_request);

/**
 * Make a layer of the plain directory ID, which has a layer's place (varve_check() finds such). Its files, their content shared and
 * not read, and all that they are, +C (chattr) included, come into a new subvolume, which then takes the place; the directory is
 * removed. A size that is recorded for ID is put in force. Nobody may write into it meanwhile: what is changed while it is copied
 * fails the request, and what is changed while the last step takes the place is lost. FLAGS: VARVE_DURABLE or VARVE_RELAXED.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EEXIST (it is a subvolume), -EBUSY (a subvolume is nested in it, something is
 * mounted on it or in it, it was changed or moved meanwhile, or a process has locked it by flock(2), as this does), -EPERM (something
 * in it has the flag +i or +a), -EXDEV (HOME/.varve and HOME/subvolumes are in two subvolumes), -EACCES, -EROFS, -ENOSPC, -EDQUOT,
 * -ENOBUFS (the paths of its directories, and of its files of several names, have more than 256 MiB), -ECANCELED, -ENOMEM, -EIO; at
 * the step CLEAR the layer is there, and what is left of the directory is a leftover. Privilege: to read all of it, and to make files
 * of its owners. A crash leaves the directory or the layer, whole; the other is a leftover that the sweep removes.
 */
int varve_layer_adopt(struct varve_store *store, const char *id, uint64_t flags, varve_callback *callback, void *user_data,
		      varve_request *ret_request);

/** relabel: shared by containers: the label's level becomes "s0". */
#define VARVE_RELABEL_SHARED VARVE_FLAG(7)

/**
 * Give everything in layer ID the SELinux LABEL ("user:role:type:level"), links themselves included; the root last. Where
 * the root has it already, only what differs is written. Does nothing where SELinux is off or LABEL is "". FLAGS:
 * VARVE_DURABLE or VARVE_RELAXED, VARVE_RELABEL_SHARED. What is mounted in the layer is not entered, and what lies beneath
 * it is labelled. What is made meanwhile has the label of its directory; what is renamed meanwhile may be passed over. Goes
 * on after a failure and reports the first.
 *
 * Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume; a label that the policy does not know), -EXDEV
 * (without CAP_SYS_ADMIN: what lies beneath a mount was left out), -EPERM (the
 * layer is the home directory of the user), -EACCES (the policy forbids it), -EROFS, -ENOSPC, -ECANCELED, -EIO. Refused:
 * -EINVAL (a label with fewer than three ':'), -ENAMETOOLONG. Privilege: CAP_SYS_ADMIN or what the policy says. A failure, a
 * cancel or a crash leaves the layer labelled in part; the same request again does the rest.
 */
int varve_layer_relabel(struct varve_store *store, const char *id, const char *label, uint64_t flags,
			varve_callback *callback, void *user_data, varve_request *ret_request);

/** What to write an archive of. Start from VARVE_DIFF_OPTIONS_INIT. */
struct varve_diff_options {
	size_t size;				/**< sizeof(struct varve_diff_options). */
	const char *parent;			/**< As in varve_changes_options. */
	uint64_t flags;				/**< VARVE_CHANGES_WALK, VARVE_OVERFLOW_IDS. */
	const struct varve_id_map *uids;	/**< How users are mapped: the archive has the container's. NULL: not at all. */
	size_t uids_count;			/**< How many ranges. */
	const struct varve_id_map *gids;	/**< How groups are mapped. NULL: not at all. */
	size_t gids_count;			/**< How many ranges. */
	varve_sink *sink;			/**< With VARVE_STREAM: takes the archive. */
	void *sink_data;			/**< Handed to sink. */
	size_t chunk_bytes;			/**< Most bytes of one call of sink, up to VARVE_STREAM_BYTES. 0: so many. */
	uint64_t file_size_max;			/**< A file of more bytes, holes counted, fails the request. 0: any. */
	const struct varve_id_map *parent_uids;	/**< As in varve_changes_options: uids and gids are the layer's own. */
	size_t parent_uids_count;		/**< Its entries. */
	const struct varve_id_map *parent_gids;	/**< ... and of groups. */
	size_t parent_gids_count;		/**< Its entries. */
	struct varve_skipped *ret_skipped;	/**< For the blocking twins: see varve_skipped. NULL: nobody wants to know. */
};

#define VARVE_DIFF_OPTIONS_INIT { sizeof(struct varve_diff_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/** As VARVE_DIFF_OPTIONS_INIT; SIZE is sizeof(*options). */
void varve_diff_options_init(struct varve_diff_options *options, size_t size);

/**
 * Write what differs between layer ID and its parent to FD, as a tar archive (PAX). OPTIONS may be NULL.
 *
 * The archive is sorted bytewise by path and holds nothing but what is in the layer: the same layer gives the same bytes.
 * Entries are whole (mode, owner, time in seconds, attributes but for labels of security modules and properties of btrfs, content with its
 * holes), further names of a file are links to the first; what was deleted is an empty file ".wh.NAME". Sockets are left
 * out. Nothing but regular files and directories is opened.
 *
 * Left out, and told in result->skipped without failing the request: an entry that vanishes; one that a caller without
 * privilege may not read, or on which something is mounted (with CAP_SYS_ADMIN what the layer itself holds there is
 * archived); a file that has data behind holes of more than 4 PiB (-EFBIG); one with more than 1 MiB of attributes, or 64 KiB
 * of their names, which readers of archives do not take (-E2BIG). Told, but
 * archived: a file that was changed while it was read. A lease on a file (fcntl) is waited for. Everything else that keeps an
 * entry from being read, as too few descriptors or a disk that fails, fails the request.
 *
 * Holes are not read, and take no room in the archive: `truncate -s 1P` in a container makes a file of 1 PiB in an archive of
 * some KiB. GNU tar and varve_layer_apply() make it sparse again; readers that do not know sparse files (those written in Go
 * expand them; OCI says that they should not be used) fill a disk with it. For those set file_size_max: the request fails
 * with -EFBIG and the path. A map has at most a million pieces: with more, holes of up to 1 MiB are archived as zeros.
 *
 * FD may be a file, a pipe or a socket, blocking or not; it is duplicated, and may be closed at once. It is written by a
 * thread that may wait for the reader: the request stays in flight until the reader has taken all of it, has gone (-EPIPE),
 * or the request is cancelled. A file is written from where FD stands. After an error the archive is cut off
 * within a block.
 *
 * With VARVE_STREAM in the place of FD the archive goes to options->sink, in chunks, on the thread that dispatches: see
 * varve_sink. At most VARVE_STREAM_BYTES await it, and as long as the sink pauses nothing more is made. The callback comes
 * after the last chunk.
 *
 * Errors in the callback: as varve_layer_changes(), -EFBIG (file_size_max), -EINVAL (a name that begins with ".wh.", which
 * would mean a deletion), -EOVERFLOW (an owner that is in no map: see VARVE_OVERFLOW_IDS), and what write() gives, or the sink.
 * Refused with -EBADF: FD cannot be written. -EINVAL: more than VARVE_ID_MAPS_MAX ranges, a sink and a descriptor, or neither, chunk_bytes
 * out of its range.
 */
int varve_layer_diff(struct varve_store *store, const char *id, const struct varve_diff_options *options, int fd,
		     varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Tell how many bytes the files have that differ between layer ID and its parent: result->bytes. A file with several names
 * counts once; holes count, a sum beyond 2^63 - 1 is told as that. What vanishes meanwhile does not count. OPTIONS and errors as
 * in varve_layer_changes().
 */
int varve_layer_diff_size(struct varve_store *store, const char *id, const struct varve_changes_options *options,
			  varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Unpack the tar archive that FD gives into layer ID, which is there already. To have a layer that is either whole or
 * absent, unpack into a new one: varve_create_options.apply. OPTIONS may be NULL. result->bytes is the sum of the sizes that
 * the entries tell.
 *
 * An entry replaces what is there; where both are directories, owner, mode, time and attributes are replaced and the content stays.
 * Missing directories above it are made (0755). A file whose owner VARVE_OVERFLOW_IDS makes 65534 is given no setuid and setgid. An
 * entry of which libarchive would hold more than 256 MiB in memory is -ENOBUFS. A file
 * ".wh.NAME" deletes NAME, ".wh..wh..opq" empties its directory, other ".wh..wh.*" are passed over (files in ".wh..wh.plnk" serve
 * as targets of links), and so is what lies in a directory ".wh..wh.*" at the root. Anything else in a directory whose name begins
 * with ".wh." is -EINVAL: no archive could hold the layer afterwards.
 * Both take away what was there before the archive and nothing that it brings, wherever in it they stand.
 * A deletion of what the archive itself brings is in result->skipped.
 * Times and modes of directories are set last. Holes stay holes. Attributes are kept, those that take privilege with privilege,
 * and access control lists with their ids mapped; labels of security modules and properties of btrfs are not. What is not kept
 * is in result->skipped.
 *
 * Names begin at the layer's root, "/" and "./" at their beginning or not, as do the targets of hard links; symbolic links are
 * made as they are written.
 *
 * The archive is not trusted. Each entry is checked before anything is done about it, links in the layer are followed as if
 * its root was the root of all, and nothing outside of the layer is touched, whatever a user of the layer exchanges meanwhile
 * (-ESTALE where that is noticed). What is mounted in the layer is not touched, nor unmounted: with CAP_SYS_ADMIN an entry
 * means the layer's own content beneath, and a mount point cannot be replaced or deleted (-EBUSY); without, anything at a
 * mount or below it is -EBUSY. An end of one block of zeros or of none
 * is taken, and no bytes at all for an archive without entries; where there is none, result->skipped says so, with -ENODATA. What
 * follows an end is passed over. FD is duplicated, and read by
 * a thread that may wait, as in varve_layer_diff(). With VARVE_STREAM in its place the archive is what varve_stream_write()
 * is given.
 *
 * An archive compressed by gzip, zstd, xz or bzip2 is known by its first bytes and decompressed meanwhile, by a thread of its own;
 * gzip members, zstd frames and xz and bzip2 streams may follow each other, with zeros between and behind them. It is read to its
 * end, also behind the end of the archive in it, as its checksum is there. The libraries (libz.so.1, or libisal.so.2, which is
 * faster; libzstd.so.1; liblzma.so.5; libbz2.so.1) are loaded when they are first needed. A request holds at most a window of zstd of
 * 128 MiB or a dictionary of xz of 64 MiB, however much comes out of an archive.
 *
 * Errors in the callback: -EINVAL (a name, or the target of a hard link, that leads out by "..", a whiteout of "..", something
 * in a directory ".wh.*"),
 * -ENAMETOOLONG, -ENODATA (cut off, or what is compressed is), -EBADMSG (corrupt, sizes that lie, an entry without a name, a lone
 * block of zeros that entries follow), -ENOTSUP (compressed twice, or otherwise than above, or the library is missing; the detail
 * tells), -EPERM (a device without CAP_MKNOD, an owner without CAP_CHOWN: see VARVE_APPLY_*), -EOVERFLOW (an owner that is in no
 * map: see VARVE_OVERFLOW_IDS; or has no id in the caller's user namespace: see VARVE_APPLY_IGNORE_OWNERS), -ENOENT (no such
 * layer; a link to nothing), -E2BIG (an
 * attribute that no node of the file system holds; the detail tells the limit), -EBUSY and -ESTALE (see above), -EROFS,
 * -ENOSPC, -EDQUOT, -ENOBUFS (too many directories, or a larger window or dictionary), -ENOMEM, -ECANCELED, -EIO (also, durable
 * or within a create: data of any file of the file system was lost meanwhile). After an error, a cancel or a crash the archive is unpacked
 * in part. Refused with -EBADF: FD cannot be read. -EINVAL: room and a descriptor, a force_mode that is none.
 */
int varve_layer_apply(struct varve_store *store, const char *id, const struct varve_apply_options *options, int fd,
		      varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Hand the next SIZE bytes of the archive to REQUEST, a varve_layer_apply() or varve_layer_create() from VARVE_STREAM. May
 * begin as soon as the request was accepted. The bytes are copied; *RET_TAKEN is how many were taken, 1 or more (of 0 bytes
 * 0): the library holds VARVE_STREAM_BYTES at most. When it took fewer, options->room tells when there is room again. What
 * follows the end of the archive is taken and passed over.
 *
 * Never waits. Any thread, also inside callbacks; one at a time for each request. Errors: -EAGAIN (no room: nothing was
 * taken), -EPIPE (nothing more is wanted: it was ended, or the request has failed or was cancelled, and its callback is yet to
 * come), -ENOENT (REQUEST is not in flight), -EINVAL (it reads no stream), -EBUSY (another thread writes), -ECHILD.
 */
int varve_stream_write(struct varve_store *store, varve_request request, const void *bytes, size_t size,
		       size_t *ret_taken);

/**
 * Tell REQUEST that its archive has ended, with ERROR 0; without this it does not end. A negative errno instead breaks it off:
 * what was written and not unpacked is dropped, and the request ends with that error (a create has then left nothing).
 * Threads and errors: as varve_stream_write(), but -EAGAIN; -EINVAL, too: ERROR is positive.
 */
int varve_stream_end(struct varve_store *store, varve_request request, int error);

/**
 * As varve_stream_end() with ERROR, a negative errno, and say why: DETAIL (NULL: nothing) is what a person should know, and becomes
 * the failure's detail, up to VARVE_FAILURE_DETAIL_SIZE bytes of it. Refused with -EINVAL: ERROR is not negative.
 */
int varve_stream_fail(struct varve_store *store, varve_request request, int error, const char *detail);

/**
 * Let the sink of REQUEST, which has returned VARVE_PAUSE, be called again. Does nothing where it was not paused; when it runs
 * just now, on another thread, what it returns is not taken for a pause. Any thread, also inside callbacks; never waits.
 * Errors: -ENOENT (REQUEST is not in flight), -EINVAL (it has no sink), -ECHILD.
 */
int varve_stream_resume(struct varve_store *store, varve_request request);

/* ---- the store's upkeep ------------------------------------------------------------------------------------------ */

/** varve_sync: wait, too, until the kernel has dropped every removed subvolume of the file system. */
#define VARVE_SYNC_CLEAN VARVE_FLAG(8)

/**
 * Make all that ended before this call durable, what was written into layers included: flush and commit the file system.
 * With VARVE_SYNC_CLEAN in FLAGS wait until the space of all removed layers is free, too; on Linux before 6.13 that takes
 * CAP_SYS_ADMIN (-EPERM).
 */
int varve_sync(struct varve_store *store, uint64_t flags, varve_callback *callback, void *user_data,
	       varve_request *ret_request);

/**
 * Remove what crashed processes left in the store: half-made layers (staging), half-destroyed ones (trash), quotas/ID
 * files without a layer, and quota groups of the file system without a subvolume (as varve_quota_gc()). What living
 * processes are working on is not touched, nor is a leftover in which something is mounted in this mount namespace (-EBUSY; the
 * detail names the mount point): a sweep unmounts nothing here. A leftover whose owner's directory cannot be opened, so that it cannot
 * be told whether that lives, stays, and is a failure. Goes on after a failure; result->sweep counts, result->error is
 * the first failure. A second sweep finds nothing. While another process holds the lock of the records (varve_status() tells which) it
 * waits, and can be cancelled; the sweep of varve_open() leaves what needs the lock.
 */
int varve_sweep(struct varve_store *store, varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Look whether all in the store is as it should be, and change nothing: plain directories and files in the places of layers,
 * stand-ins of a store that is within a snapshot, recorded sizes that no layer has, that do not parse or are not in force, quota
 * groups of subvolumes that are gone, and what processes that are gone have left in staging and in the trash. result->findings
 * tells what was found, and what varve_sweep() does about each. No finding is an error. What living processes work on is passed
 * over. While another process holds the lock of the records it waits, and can be cancelled. Without CAP_SYS_ADMIN groups are
 * not looked at. Takes time with the number of layers, not with that of their files.
 */
int varve_check(struct varve_store *store, varve_callback *callback, void *user_data, varve_request *ret_request);

/** Tell versions, kernel, io_uring features, privileges, limits and backlog: result->status, in a fixed order. */
int varve_status(struct varve_store *store, varve_callback *callback, void *user_data, varve_request *ret_request);

/* ---- quota -------------------------------------------------------------------------------------------------------
 *
 * A layer can have a size: a limit of the bytes that btrfs's quota counts for it (its "referenced" ones). A write past it
 * gives EDQUOT. The size is recorded in HOME/quotas/ID and is in force from the moment the layer is there.
 *
 * Layers can share a limit, too: those that are made with the storage option "group=NAME:SIZE" are in one group, whose
 * members together may hold SIZE. A layer can be in several. A group is made with its first layer, and with its last one it
 * is gone; "group=NAME" joins it whatever its limit, a new SIZE replaces the old one.
 *
 * Under full quotas btrfs cannot let a snapshot join a group and keep its counts right without a rescan, but for one case (Linux
 * 6.9): parent and snapshot are in the same group and in no other, and no layer outside of it shares data with its members. So
 * a job makes its first layer with the group and all others from that one. Anything else, and a snapshot of a layer in a group
 * that joins none, is -ENOTSUP before anything is made. Under simple quotas there is no such bound.
 *
 * Quota belongs to the file system, not to the store, and closing a store never changes it. It runs in one of two modes:
 *
 * - Simple (Linux 6.7): each byte counts for the layer that first wrote it; a snapshot begins at 0. Costs little. Once
 *   turned on, kernels before 6.7 do not mount the file system any more.
 * - Full: each byte counts for every layer that has it; a snapshot begins with all that it inherits. Each create and each
 *   removal then costs the kernel work that grows with the sharing: where layers come and go, rates fall to some ten a
 *   second. A large removal can make it INCONSISTENT: then limits are not enforced until a rescan is done.
 *
 * The option "quota" of varve_config says what a store does: "simple" or "full" (it must run in that mode: turned on at
 * open, -EBUSY when it runs in the other), "keep" (use it as it is, never turn it on), "off" (no sizes). Without the option
 * it is turned on when a size is first asked for, simple where the kernel has it, else full; at open, where
 * "btrfs.min_space" or "btrfs.size" (the size of writable layers that are given none) is given.
 */

/**
 * Tell about quota: result->quota. Without CAP_SYS_ADMIN a part is not known: see varve_quota.flags. Time grows with the
 * number of groups: some milliseconds for 10000.
 */
int varve_quota_status(struct varve_store *store, varve_callback *callback, void *user_data, varve_request *ret_request);

/**
 * Turn quota on in MODE, for the whole file system; nothing happens where it runs in that mode. Errors in the callback:
 * -EBUSY (it runs in the other mode), -ENOTSUP (the kernel has no such mode), -EPERM. Refused with -EINVAL: a MODE that is
 * neither full nor simple. Full mode begins with a rescan: limits are enforced when it is done. CAP_SYS_ADMIN.
 */
int varve_quota_enable(struct varve_store *store, enum varve_quota_mode mode, varve_callback *callback, void *user_data,
		       varve_request *ret_request);

/**
 * Turn quota off, for the whole file system: all groups and limits are gone, also those of others. Recorded sizes stay, and
 * varve_layer_get() applies them again. CAP_SYS_ADMIN.
 */
int varve_quota_disable(struct varve_store *store, varve_callback *callback, void *user_data,
			varve_request *ret_request);

/**
 * Limit layer ID to BYTES, or let it have no limit (0), and record that. Below what it holds already, writes fail until
 * there is less. Errors in the callback: -ENOENT, -ENOTDIR, -EINVAL (not a subvolume), and as varve_layer_create() with a
 * size. Refused with -EINVAL: less than btrfs.min_space. CAP_SYS_ADMIN. The callback means that it survives a power cut, unless
 * the store was opened with VARVE_OPEN_RELAXED. A crash before that leaves the old or the new limit; where the record is ahead of
 * what is in force, varve_layer_get() mends it.
 */
int varve_quota_limit(struct varve_store *store, const char *id, uint64_t bytes, varve_callback *callback,
		      void *user_data, varve_request *ret_request);

/**
 * Limit the group of layers NAME (storage option "group=NAME") to BYTES, or let it have no limit (0), and record that. Errors in
 * the callback: -ENOENT (the store has no such group), -ENOTCONN (quota is off), -EPERM. Refused with -EINVAL: a NAME that is
 * not one. CAP_SYS_ADMIN. Durable as varve_quota_limit(). A crash before leaves the old or the new limit; where the record is
 * ahead of what is in force, the next layer that joins the group with a size, or another call, mends it.
 */
int varve_quota_limit_group(struct varve_store *store, const char *name, uint64_t bytes, varve_callback *callback,
			    void *user_data, varve_request *ret_request);

/** varve_quota_rescan: wait until it is done. */
#define VARVE_QUOTA_WAIT VARVE_FLAG(9)

/**
 * Set off a rescan, which counts everything anew and ends INCONSISTENT; one that runs already will do. With VARVE_QUOTA_WAIT
 * in FLAGS the callback comes when it is done: nothing cuts that short. Errors in the callback: -ENOTCONN (quota is off),
 * -EPERM; in simple mode, which needs none, nothing happens. CAP_SYS_ADMIN.
 */
int varve_quota_rescan(struct varve_store *store, uint64_t flags, varve_callback *callback, void *user_data,
		       varve_request *ret_request);

/**
 * Remove the quota groups of subvolumes that are gone, the whole file system's, and recorded sizes without a layer. A group
 * that still holds space (simple quotas: until the last snapshot that shares it is gone) is left alone. Kernels since 6.12
 * remove most groups by themselves. varve_sweep() does it, too, and so does a privileged store of its own accord, some seconds
 * after what it removed was dropped. Goes on after a failure. CAP_SYS_ADMIN.
 */
int varve_quota_gc(struct varve_store *store, varve_callback *callback, void *user_data, varve_request *ret_request);

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/** Buckets of a latency histogram: see varve_histogram. */
#define VARVE_HISTOGRAM_BUCKETS 592

/**
 * Latencies. Log-linear: 16 buckets for each power of two, so a value read back is at most 1/16 too large. Values below
 * 16 ns are exact; those of 2^40 ns (18 minutes) and more share the last bucket.
 */
struct varve_histogram {
	uint64_t count;		/**< Values recorded. */
	uint64_t sum_ns;	/**< Their sum. */
	uint64_t min_ns;	/**< The smallest; 0 when there is none. */
	uint64_t max_ns;	/**< The largest. */
	uint64_t buckets[VARVE_HISTOGRAM_BUCKETS];
};

/** The smallest latency that at least PERCENT (0..100) of the values do not exceed, in nanoseconds; 0 of none. */
uint64_t varve_histogram_percentile(const struct varve_histogram *histogram, double percent);

/** How the requests for one operation ended, and how long they took from submission to completion. */
struct varve_operation_statistics {
	size_t size;		/**< sizeof(struct varve_operation_statistics). */
	uint64_t submitted;	/**< Accepted. */
	uint64_t refused;	/**< Refused at submission. */
	uint64_t succeeded;	/**< Ended with 0. A batch counts each id. */
	uint64_t failed;	/**< Ended with an error other than -ECANCELED. */
	uint64_t cancelled;	/**< Ended with -ECANCELED. */
	struct varve_histogram latency;
};

#define VARVE_OPERATION_STATISTICS_INIT { sizeof(struct varve_operation_statistics), 0, 0, 0, 0, 0, { 0, 0, 0, 0, { 0 } } }
/** As VARVE_OPERATION_STATISTICS_INIT; SIZE is sizeof(*stats). */
void varve_operation_statistics_init(struct varve_operation_statistics *stats, size_t size);

/** Counters since the store was opened, by this store alone. */
struct varve_statistics {
	size_t size;			/**< sizeof(struct varve_statistics). */
	uint64_t beats;			/**< Rounds of the commit clock: groups of snapshots made together. */
	uint64_t commits;		/**< Transactions of the file system that these rounds and syncs spanned. */
	uint64_t snapshots;		/**< Snapshots made. */
	uint64_t snapshots_direct;	/**< ... of which straight in their place. */
	uint64_t syncs;			/**< Commits asked for because a durable request waited and no snapshot did, and flushes. */
	uint64_t group_max;		/**< Most snapshots in one round. */
	uint32_t requests;		/**< In flight now. */
	uint32_t requests_peak;		/**< Most in flight. */
	uint32_t ring_depth_peak;	/**< Most calls in the io_uring at once. */
	uint32_t fs_threads_peak;	/**< Most threads of the fs lane. */
	uint32_t commit_threads_peak;	/**< Most threads of the commit lane. */
	uint64_t ring_calls;		/**< Calls made through io_uring. */
	uint64_t lane_calls;		/**< Calls made by lane threads. */
	uint64_t cleaner_backlog;	/**< Removed subvolumes that await the cleaner, when last looked. */
	uint64_t quota_turned_on;	/**< The mode (enum varve_quota_mode) that the store has turned quota on in, because a size or
					     a group was asked for, or by its options; 0: it did not. */
};

#define VARVE_STATISTICS_INIT { sizeof(struct varve_statistics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
/** As VARVE_STATISTICS_INIT; SIZE is sizeof(*statistics). */
void varve_statistics_init(struct varve_statistics *statistics, size_t size);

/** Copy the counters into *RET_STATISTICS. No system call; any thread. Returns 0, -EINVAL or -ECHILD. */
int varve_statistics(struct varve_store *store, struct varve_statistics *ret_statistics);

/** Copy the counters of OPERATION into *RET_STATISTICS. No system call; any thread. -EINVAL: no such operation. */
int varve_operation_statistics(struct varve_store *store, enum varve_operation operation,
			       struct varve_operation_statistics *ret_statistics);

/* ---- pools -------------------------------------------------------------------------------------------------------
 *
 * A pool is a btrfs file system in an image file, mounted through a loop device: for machines without a btrfs disk, for
 * tests and benchmarks. These calls block, need CAP_SYS_ADMIN, and need no store.
 */

/**
 * Make FILE (which must not exist) a sparse image of SIZE_BYTES (at least 114294784, the least that mkfs.btrfs takes),
 * make a file system in it with mkfs.btrfs, and mount it on MOUNT_DIR (made when missing). On failure nothing is left
 * but, perhaps, MOUNT_DIR. Errors: -EEXIST, -EINVAL (too small), -ENOENT (no mkfs.btrfs), -EIO (mkfs.btrfs failed: see
 * the detail), -EPERM, -EBUSY (no loop device is free). A crash can leave FILE, or a loop device that detaches itself.
 * Nobody mounts FILE by varve_pool_mount() while it is made.
 */
int varve_pool_create(const char *file, uint64_t size_bytes, const char *mount_dir,
		      struct varve_failure *ret_failure);

/**
 * Mount the pool in FILE on MOUNT_DIR, with user_subvol_rm_allowed. The loop device detaches itself when unmounted. An image is
 * on one loop device at most, as two make two file systems of it that destroy each other: one that is mounted or attached
 * already, under whatever name and in whichever mount namespace, is refused with -EBUSY, and the detail tells where it is. An
 * image that is on its way from or to a loop device is waited for, for ten seconds at most. Programs that do not heed the lock
 * (flock) on the image, such as losetup, can still attach it a second time thereafter. -EINVAL: not a regular file, no btrfs.
 */
int varve_pool_mount(const char *file, const char *mount_dir, struct varve_failure *ret_failure);

/**
 * Unmount the pool on MOUNT_DIR, or the one whose image that is; -EBUSY while it is in use, -EINVAL when no pool is mounted there.
 * On success the image is free, or the failure, whose error is 0, has a detail that tells what holds it still.
 */
int varve_pool_umount(const char *mount_dir, struct varve_failure *ret_failure);

/**
 * Parse TEXT as a size: digits, an optional fraction, an optional unit (k m g t p, also kb or kib; all are powers of
 * 1024; case ignored). Sets *RET_BYTES. -EINVAL when it does not parse, -ERANGE when it does not fit. Any thread.
 */
int varve_size_parse(const char *text, uint64_t *ret_bytes);

/* ---- futures -----------------------------------------------------------------------------------------------------
 *
 * A future keeps what a request came to, for programs and bindings that wait for one request and want all that its callback is
 * given, or want another thread to be able to cancel it:
 *
 *	varve_future_create(&future);
 *	varve_layer_diff(store, id, &options, fd, varve_future_callback, future, &request);
 *	varve_wait_for(store, request, -1);		while another thread may varve_cancel(store, request)
 *	result = varve_future_result(future);
 *	...
 *	varve_future_destroy(future);
 */

/** What a request came to. */
struct varve_future;

/** Make a future: *RET_FUTURE, to be ended by varve_future_destroy(). 0, -EINVAL or -ENOMEM. */
int varve_future_create(struct varve_future **ret_future);

/**
 * The callback of a request whose user data is a future: keeps a copy of RESULT there. A future is for one request; without memory
 * for the copy its result says -ENOMEM, also where the request succeeded.
 */
void varve_future_callback(struct varve_store *store, const struct varve_result *result, void *future);

/**
 * What the request of FUTURE came to, the future's until it is destroyed; NULL as long as its callback has not returned. A
 * descriptor in it belongs to the future, unless varve_future_take() takes it. Any thread.
 */
const struct varve_result *varve_future_result(const struct varve_future *future);

/** Take the descriptor of FUTURE's result, which the caller then closes; -EBADF: there is none, or it was taken. */
int varve_future_take(struct varve_future *future);

/** Free FUTURE, whose request was refused or has ended, and close its descriptor. NULL is fine. */
void varve_future_destroy(struct varve_future *future);

/* ---- blocking twins ----------------------------------------------------------------------------------------------
 *
 * Each submits its request, waits for that one, and runs no other callback than its sink or room: they may be used from any
 * number of threads at once, but not inside a callback (-EBUSY). They return the request's error, or the refusal; *RET_FAILURE (if not
 * NULL) then tells why. Other outputs are set on success only, and may be NULL. Signals do not cut them short; a future is for what
 * another thread is to cancel.
 */

/** Blocking varve_noop(). */
int varve_noop_wait(struct varve_store *store, struct varve_failure *ret_failure);

/** Blocking varve_layer_create(). */
int varve_layer_create_wait(struct varve_store *store, const char *id, const struct varve_create_options *options,
			    struct varve_failure *ret_failure);

/** The same with an archive, options->apply. *RET_BYTES and *RET_SKIPPED, if not NULL, are set on success, as in
 *  varve_layer_apply_wait(). */
int varve_layer_create_apply_wait(struct varve_store *store, const char *id, const struct varve_create_options *options,
				  uint64_t *ret_bytes, uint64_t *ret_skipped, struct varve_failure *ret_failure);

/**
 * Blocking varve_layer_create_batch(). RET_ERRORS, if not NULL, takes COUNT errors (0 or negative errno), once the batch
 * was accepted. The failure is that of the first id that failed.
 */
int varve_layer_create_batch_wait(struct varve_store *store, const char *const *ids, size_t count,
				  const struct varve_create_options *options, int *ret_errors,
				  struct varve_failure *ret_failure);

/** Blocking varve_layer_remove(). */
int varve_layer_remove_wait(struct varve_store *store, const char *id, uint64_t flags,
			    struct varve_failure *ret_failure);

/** Blocking varve_layer_remove_batch(); RET_ERRORS as in varve_layer_create_batch_wait(). */
int varve_layer_remove_batch_wait(struct varve_store *store, const char *const *ids, size_t count, uint64_t flags,
				  int *ret_errors, struct varve_failure *ret_failure);

/** Blocking varve_layer_get(). *RET_PATH is to be freed with free(). */
int varve_layer_get_wait(struct varve_store *store, const char *id, const char *const *options, char **ret_path,
			 struct varve_failure *ret_failure);

/** Blocking varve_layer_open(). *RET_DESCRIPTOR is to be closed with close(). */
int varve_layer_open_wait(struct varve_store *store, const char *id, uint64_t flags, int *ret_descriptor,
			  struct varve_failure *ret_failure);

/** Blocking varve_layer_exists(). Sets *RET_EXISTS. */
int varve_layer_exists_wait(struct varve_store *store, const char *id, bool *ret_exists,
			    struct varve_failure *ret_failure);

/** Blocking varve_layer_list(). *RET_IDS, of *RET_COUNT strings, is to be freed with one free(). */
int varve_layer_list_wait(struct varve_store *store, char ***ret_ids, size_t *ret_count,
			  struct varve_failure *ret_failure);

/** Blocking varve_layer_info(). */
int varve_layer_info_wait(struct varve_store *store, const char *id, struct varve_layer_info *ret_info,
			  struct varve_failure *ret_failure);

/** Blocking varve_layer_changes(). *RET_CHANGES, of *RET_COUNT changes, is to be freed with one free(). */
int varve_layer_changes_wait(struct varve_store *store, const char *id, const struct varve_changes_options *options,
			     struct varve_change **ret_changes, size_t *ret_count, struct varve_failure *ret_failure);

/** Blocking varve_layer_usage(). */
int varve_layer_usage_wait(struct varve_store *store, const char *id, uint64_t flags,
			   struct varve_layer_usage *ret_usage, struct varve_failure *ret_failure);

/** Blocking varve_layer_chown(). */
int varve_layer_chown_wait(struct varve_store *store, const char *id, const struct varve_chown_options *options,
			   struct varve_failure *ret_failure);

/** Blocking varve_layer_freeze(). */
int varve_layer_freeze_wait(struct varve_store *store, const char *id, uint64_t flags, struct varve_failure *ret_failure);

/** Blocking varve_layer_rename(). */
int varve_layer_rename_wait(struct varve_store *store, const char *id, const char *new_id, uint64_t flags,
			    struct varve_failure *ret_failure);

/** Blocking varve_layer_adopt(). */
int varve_layer_adopt_wait(struct varve_store *store, const char *id, uint64_t flags, struct varve_failure *ret_failure);

/** Blocking varve_layer_relabel(). */
int varve_layer_relabel_wait(struct varve_store *store, const char *id, const char *label, uint64_t flags,
			     struct varve_failure *ret_failure);

/** Blocking varve_layer_diff(). *RET_BYTES and *RET_SKIPPED (how many entries), if not NULL, are set on success. */
int varve_layer_diff_wait(struct varve_store *store, const char *id, const struct varve_diff_options *options, int fd,
			  uint64_t *ret_bytes, uint64_t *ret_skipped, struct varve_failure *ret_failure);

/** Blocking varve_layer_apply(). *RET_BYTES and *RET_SKIPPED, if not NULL, are set on success. */
int varve_layer_apply_wait(struct varve_store *store, const char *id, const struct varve_apply_options *options, int fd,
			   uint64_t *ret_bytes, uint64_t *ret_skipped, struct varve_failure *ret_failure);

/** Blocking varve_layer_diff_size(). Sets *RET_BYTES. */
int varve_layer_diff_size_wait(struct varve_store *store, const char *id, const struct varve_changes_options *options,
			       uint64_t *ret_bytes, struct varve_failure *ret_failure);

/** Blocking varve_sync(). */
int varve_sync_wait(struct varve_store *store, uint64_t flags, struct varve_failure *ret_failure);

/** Blocking varve_sweep(). *RET_REPORT (if not NULL) is set whenever the request was accepted. */
int varve_sweep_wait(struct varve_store *store, struct varve_sweep_report *ret_report,
		     struct varve_failure *ret_failure);

/** Blocking varve_check(). *RET_FINDINGS, of *RET_COUNT findings, is to be freed with one free(). */
int varve_check_wait(struct varve_store *store, struct varve_finding **ret_findings, size_t *ret_count,
		     struct varve_failure *ret_failure);

/** Blocking varve_status(). *RET_ENTRIES, of *RET_COUNT entries, is to be freed with one free(). */
int varve_status_wait(struct varve_store *store, struct varve_status_entry **ret_entries, size_t *ret_count,
		      struct varve_failure *ret_failure);

/** Blocking varve_quota_status(). */
int varve_quota_status_wait(struct varve_store *store, struct varve_quota *ret_quota, struct varve_failure *ret_failure);

/** Blocking varve_quota_enable(). */
int varve_quota_enable_wait(struct varve_store *store, enum varve_quota_mode mode, struct varve_failure *ret_failure);

/** Blocking varve_quota_disable(). */
int varve_quota_disable_wait(struct varve_store *store, struct varve_failure *ret_failure);

/** Blocking varve_quota_limit(). */
int varve_quota_limit_wait(struct varve_store *store, const char *id, uint64_t bytes, struct varve_failure *ret_failure);

/** Blocking varve_quota_limit_group(). */
int varve_quota_limit_group_wait(struct varve_store *store, const char *name, uint64_t bytes,
				 struct varve_failure *ret_failure);

/** Blocking varve_quota_rescan(). */
int varve_quota_rescan_wait(struct varve_store *store, uint64_t flags, struct varve_failure *ret_failure);

/** Blocking varve_quota_gc(). *RET_QUOTA (if not NULL) is set whenever the request was accepted. */
int varve_quota_gc_wait(struct varve_store *store, struct varve_quota *ret_quota, struct varve_failure *ret_failure);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
