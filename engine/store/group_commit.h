/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group commit. A snapshot costs a transaction commit, and snapshots that are in flight together
 * share one. A rename or a destroy among them would split the group, or wait for the whole commit.
 * So the work on the tree of subvolumes is done in groups (measurements: docs/measurements.md):
 *
 *	 boundary        |            group                       | boundary
 *	 publish, destroy|  first snapshot commits  | the rest share| publish, destroy ...
 *	 one thread      |  others may still join   | one commit    |
 *	                 |<----- gate open -------->|<-- closed --->|
 *
 * The first snapshot of a group begins a commit at once. While that is written the kernel lets
 * other snapshots join the next transaction, so the gate stays open until it is done: no snapshot
 * waits for a timer, and a lone one does not wait at all. Later ones wait for the next group. The
 * first commit also makes durable what the boundary before it did, so it serves the durable
 * requests that wait. Where those wait and no snapshot comes, a commit is started instead.
 *
 * A commit is also started where many snapshots wait for one and no more have gathered. A
 * program that keeps a number of creates in flight would else fall into two groups that take turns;
 * now what it makes next joins those that have gathered. There is one such commit between two
 * groups, so that those that have gathered wait no longer than for that.
 *
 * A group without a snapshot commits nothing: its creates have failed or have made empty layers.
 * Then a commit for the durable requests begins beside the next group. After COMMIT_BOUNDARIES_MAX
 * boundaries in a row a group begins, and a commit beside them, where others wait for those.
 *
 * Three things can be waited for, each named for what it covers:
 *
 *	commit_names()	what this operation made, renamed or destroyed in `subvolumes` at a boundary
 *	commit_metadata()	all metadata: owners, modes, attributes, limits, and entries anywhere
 *	commit_flush()		all metadata, and the data of all files
 *
 * The first two are served by the same commits; they differ in what is called when no snapshot
 * comes. A flush takes as long as there is data to write, also of other programs, so it has a call
 * of its own, and only other flushes wait for it.
 */
#ifndef VARVE_STORE_GROUP_COMMIT_H
#define VARVE_STORE_GROUP_COMMIT_H

#include "engine/base/limits.h"
#include "engine/core/op.h"

/* What a commit has to cover; each one covers those before it. */
enum commit_cover { COMMIT_NAMES, COMMIT_METADATA, COMMIT_DATA, COMMIT_COVERS };

/* A call that commits, for operations that wait. */
struct commit_sync {
	struct group_commit *commits;
	struct call call;
	enum commit_cover cover;
	/* Operations that it serves; whether it is under way. */
	struct list ops;
	bool running;
};

/* Work of the store, not of an operation: a member of a group, or a part of a boundary. */
struct commit_job {
	/* In a queue of COMMITS. */
	struct list link;
	struct group_commit *commits;
	struct call call;
	/* The work, on a lane thread: 0 or -errno. */
	int (*work)(struct commit_job *job);
	/* Take the result. Reactor. */
	void (*done)(struct commit_job *job, int result);
	/* Its worker slot as a member. */
	unsigned slot;
};

/* The functions that the store provides to its group commit. Lane threads. */
struct commit_hooks {
	/* Make durable what was done so far, as far as HOW covers it. 0 or -errno. */
	int (*commit)(struct varve_store *store, enum commit_cover how);
	/* The name of the call that commit() makes, by cover, for the error record. */
	const char *calls[COMMIT_COVERS];
	/* The number of the transaction committed last, 0 when it is not known. */
	uint64_t (*generation)(struct varve_store *store);
	/* Release the lock of the records, if it is held: what follows does not need it. */
	void (*records_end)(struct varve_store *store);
	/* Destroys are about to run at a boundary: look up what all of them depend on. */
	void (*destroys_begin)(struct varve_store *store);
};

struct group_commit {
	struct core *core;
	const struct commit_hooks *hooks;
	/*
	 * Operations that wait: to join a group, to be one alone, to publish, to destroy, for a
	 * commit that begins from now on.
	 */
	struct list gather, alone, publish, destroy, durable;
	/* Jobs that wait to join a group; that wait for a boundary; whose boundary this is. */
	struct list jobs, tidies, serial_tidies;
	/* Destroys that wait; run since the last group began, and how long they took. */
	unsigned destroys, destroyed;
	uint64_t destroyed_ns;
	/* Operations that wait for a flush that begins from now on. */
	struct list unflushed;
	/* Operations that the first commit of this group makes durable. */
	struct list carried;
	/* Members of the group that are at work; the gate is open to more. */
	unsigned staging;
	bool open;
	/* Members of this group so far; the snapshots that they have made. */
	unsigned group, made;
	/* Free worker slots: a stack. */
	unsigned slots[COMMIT_THREADS_MAX], slots_free;
	/*
	 * The call that publishes and destroys, the operations it works on, whether it is under
	 * way.
	 */
	struct call serial;
	struct list serial_ops;
	bool serial_running;
	/*
	 * Of those operations: how many publish, how many destroy, and how many destroys were left
	 * for later; other operations wait for the call to end.
	 */
	unsigned publishes, destroying, left;
	_Atomic bool awaited;
	/* The commit for durable requests when no snapshot commits; the flush. */
	struct commit_sync commit, flush;
	/* Those that gather wait for the commit that runs; there was one since the last group. */
	bool commit_first, commit_made;
	/* The last group made no snapshot, and some waited for one. */
	bool barren;
	/* Boundaries in a row that began while others waited for a group or a commit. */
	unsigned passed;
	/* Flushes that have failed: data may have been lost with each. */
	unsigned flushes_failed;
	/*
	 * The transaction committed last, as seen by a lane thread; written by `serial` and
	 * `commit`, under store->core.lock.
	 */
	uint64_t generation;
};

/* Prepare COMMITS, for the operations of CORE, for groups of up to SLOTS. */
void commit_init(struct group_commit *commits, struct core *core, const struct commit_hooks *hooks,
		 unsigned slots);

/*
 * Let op->work run as a member of a group, or as a group of its own where op->alone says so.
 * op->commits says whether it commits; op->slot and op->direct are set for it. When there was no
 * room for one that was alone, or for what was published, those that wait to be alone get -ENOSPC.
 */
int commit_stage(struct op *op);

/* Let op->work run at the next boundary, after the group. */
int commit_publish(struct op *op);

/* Let op->work run at a boundary, behind those that publish. */
int commit_destroy(struct op *op);

/*
 * Let the work of JOB, which makes a snapshot, run as a member of a group, behind operations; it
 * begins a group where no operation waits.
 */
void commit_join(struct group_commit *commits, struct commit_job *job);

/* Let the work of JOB run at the next boundary, behind operations. JOB bounds its own time. */
void commit_tidy(struct group_commit *commits, struct commit_job *job);

/*
 * Wait until what OP has made, renamed or destroyed in `subvolumes` is durable. Asserts that it
 * has, at a boundary: for an operation that has not, nothing would be written.
 */
int commit_names(struct op *op);

/* Wait until all metadata that was changed before now is durable. */
int commit_metadata(struct op *op);

/*
 * OP is about to write data that it will flush: an error that loses data of the file system from
 * now on fails its flush.
 */
void commit_write_begin(struct op *op);

/*
 * Wait until all data of the file system, and all metadata that was changed before now, is durable.
 */
int commit_flush(struct op *op);

/* Do what can be done now. Reactor, once a turn. */
void commit_turn(struct group_commit *commits);

/* Is a call under way that belongs to no operation? */
bool commit_busy(const struct group_commit *commits);

#endif
