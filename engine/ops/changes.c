/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes, diff_size and diff: which paths of a layer differ from those of its parent, how many
 * bytes they are, and an archive of them.
 *
 *	state     what it does
 *	OPEN      opens the layer, through the ring
 *	PREPARE   proves it, finds and opens the parent; flushes, and compares generations: has either changed? With privilege searches
 *	          the trees for what changed. Begins to compare, which mostly is all that there is to compare
 *	COMPARE   compares the rest: a job of the workers
 *	SORT      puts the result in order
 *	MEASURE   diff_size: adds up the sizes
 *	STREAM    diff: writes the archive, while some threads read ahead
 *
 * Nothing is changed, so there is nothing to undo, and nothing for a crash to leave.
 */
#include "engine/archive/pack.h"
#include "engine/base/limits.h"
#include "engine/btrfs/fs.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/fds.h"
#include "engine/core/request.h"
#include "engine/diff/compare.h"
#include "engine/diff/delta.h"
#include "engine/dir/mounts.h"
#include "engine/ops/ops.h"
#include "engine/store/layer.h"
#include "engine/store/parent.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CHANGES_TOO_LONG "no archive takes a path of more than 16384 bytes"
static_assert(ARCHIVE_PATH_BYTES_MAX == 16384, "as it says");

enum changes_state {
	CHANGES_OPEN,
	CHANGES_PREPARE,
	CHANGES_COMPARE,
	CHANGES_SORT,
	CHANGES_MEASURE,
	CHANGES_STREAM,
	CHANGES_STATES
};

/* One thread's part of the archive: the first one writes it, the others read ahead. */
struct changes_part {
	struct call call;
	struct changes_op *op;
};

struct changes_op {
	struct op op;
	/* The layer to compare with: "" none, NULL the one that it is a snapshot of. */
	const char *parent;
	/* Name of the parent that was found; `parent` points to it. */
	char found[VARVE_ID_MAX + 1];
	/* Root directories of parent and layer; what keeps their clones (mounts_clone()). */
	int fds[2], trees[2];
	uint64_t flags;
	/* The number of the layer's subvolume. */
	uint64_t number;
	/* The callback takes the list of changes. */
	bool keep;
	struct delta delta;
	/* The delta has what may differ; the generations show that nothing does. */
	bool searched, untouched;
	struct compare compare;
	/* compare_begin() was called, compare_end() is due; the job was started. */
	bool comparing, started;
	/* All is compared and sorted. */
	bool compared;
	/* It failed for want of descriptors, and goes on with one thread. */
	bool alone;
	struct changes_part parts[1 + PACK_THREADS_MAX];
	/* How many parts run; the first error of one. */
	unsigned working;
	int error;
	/* What an error is about, on the heap. */
	char *subject;
	/* diff, diff_size: NULL until it is needed. */
	struct pack *pack;
	/* diff: a larger file is an error; digests are wanted. */
	uint64_t file_size_max;
	bool digests;
	/* How the archive is compressed; NULL: not at all. */
	const struct encoding *encoding;
	int level;
	unsigned threads;
	struct stream stream;
	/* The maps of ids of the parent and the layer; `ranges` holds the entries of all. */
	struct idrange_maps maps[2];
	struct varve_id_map *ranges;
};

static struct changes_op *changes_of(struct op *op)
{
	return container_of(op, struct changes_op, op);
}

/* ---- OPEN, PREPARE --------------------------------------------------------------------------- */

static int changes_opened(struct op *op, int result)
{
	if (result < 0)
		return layer_open_error(result);
	changes_of(op)->fds[1] = result;
	return CHANGES_PREPARE;
}

/* Open and prove the parent, if there is one. Lane thread. */
static int changes_open_parent(struct changes_op *changes, const uint8_t *uuid)
{
	struct op *op = &changes->op;
	struct varve_store *store = op_store(op);
	int r;

	if (!changes->parent) {
		bool child = subvol_is_snapshot(uuid);

		r = child ? parent_name(store, uuid, changes->found) : 0;
		if (!r && child && !*changes->found) {
			op->detail =
				"the layer that it is a snapshot of is not in the store any more: name a parent, or \"\" for all";
			r = -ESTALE;
		}
		if (r)
			return r;
		changes->parent = changes->found;
	}
	if (!*changes->parent)
		return 0;
	op->call.name = "openat2";
	op->subject = changes->parent;
	/* The step may have begun anew. */
	fd_close(TAKE_FD(changes->fds[0]));
	fd_close(TAKE_FD(changes->trees[0]));
	r = layer_open(store, changes->parent);
	if (r < 0)
		return r;
	changes->fds[0] = r;
	r = layer_prove(store, r, changes->parent, NULL);
	op->subject = op->id;
	return r;
}

/*
 * Is the layer a snapshot of its parent, and has neither been written to since? 1, 0 or -errno;
 * takes no privilege. A nested subvolume has a generation of its own: 0 where there is one.
 */
static int changes_untouched(const struct changes_op *changes)
{
	struct btrfs_ioctl_get_subvol_info_args infos[2];

	for (unsigned i = 0; i < 2; i++) {
		struct btrfs_ioctl_get_subvol_rootref_args nested = { 0 };

		if (ioctl(changes->fds[i], BTRFS_IOC_GET_SUBVOL_INFO, &infos[i]) < 0)
			return negative_errno();
		if (ioctl(changes->fds[i], BTRFS_IOC_GET_SUBVOL_ROOTREF, &nested) < 0 ||
		    nested.num_items)
			return 0;
	}
	return !memcmp(infos[1].parent_uuid, infos[0].uuid, BTRFS_UUID_SIZE) &&
	       infos[0].generation <= infos[1].otransid && infos[1].generation <= infos[1].otransid;
}

/*
 * Find until when the layer and its parent were the same, if one is a snapshot of the other, or
 * both of a third: what was changed later in either has a later ctime. Takes no privilege. 0 or
 * -errno. Lane thread.
 */
static int changes_settle(struct changes_op *changes)
{
	struct btrfs_ioctl_get_subvol_info_args infos[2];
	struct timespec made[2];
	bool child[2], siblings;
	int r = 0;

	changes->op.call.name = "BTRFS_IOC_GET_SUBVOL_INFO";
	for (unsigned i = 0; !r && i < 2; i++) {
		r = subvol_info(changes->fds[i], &infos[i]);
		if (!r)
			made[i] = (struct timespec){ .tv_sec = (time_t)infos[i].otime.sec,
						     .tv_nsec = infos[i].otime.nsec };
	}
	if (r)
		return r;
	for (unsigned i = 0; i < 2; i++)
		child[i] = !memcmp(infos[i].parent_uuid, infos[!i].uuid, BTRFS_UUID_SIZE);
	siblings = subvol_is_snapshot(infos[0].parent_uuid) &&
		   !memcmp(infos[0].parent_uuid, infos[1].parent_uuid, BTRFS_UUID_SIZE);
	if (child[0] || (siblings && time_before(made[0].tv_sec, made[0].tv_nsec, &made[1])))
		changes->compare.settled = made[0];
	else if (child[1] || siblings)
		changes->compare.settled = made[1];
	return 0;
}

/* Find what may differ by generations, and with privilege by tree search. Lane thread. */
static int changes_search(struct changes_op *changes)
{
	struct op *op = &changes->op;
	struct varve_store *store = op_store(op);
	const char *way = "walk";
	int r;

	if (changes->fds[0] < 0)
		return 0;
	r = changes_settle(changes);
	if (r || changes->flags & VARVE_CHANGES_WALK)
		return r;
	/* Buffered data whose extent is not allocated yet has not changed its inode item either. */
	op->call.name = "BTRFS_IOC_SYNC";
	r = fs_flush(changes->fds[1]);
	if (r)
		return r;
	op->call.name = "BTRFS_IOC_GET_SUBVOL_INFO";
	r = changes_untouched(changes);
	changes->untouched = r > 0;
	if (r > 0)
		way = "generation";
	if (!r && store->layout.privileged) {
		op->call.name = "BTRFS_IOC_TREE_SEARCH_V2";
		changes->delta.limits = store->settings.delta;
		changes->delta.fault = &store->core.io.fault;
		changes->delta.cancelled = &op->request->cancelled;
		changes->delta.yield.wakes = &store->core.io.wakes;
		r = delta_collect(&changes->delta, changes->fds);
		changes->searched = r > 0;
		if (r > 0) {
			changes->compare.settled = changes->delta.common.time;
			way = "search";
		}
	}
	trace(&store->core.io.trace, TRACE_OP, "changes %s: %s, %zu inodes", op->id, way,
	      changes->delta.inodes_found);
	return MIN(r, 0);
}

/* Free the comparison, and reset it. */
static void changes_forget(struct changes_op *changes)
{
	const struct timespec settled = changes->compare.settled;

	if (changes->comparing)
		compare_end(&changes->compare);
	else
		change_list_free(&changes->compare.changes);
	changes->comparing = false;
	changes->compare = (struct compare){ .settled = settled };
}

/* Continue the operation: the comparison is over. */
static void changes_compare_over(struct compare *compare, int result)
{
	op_done(&container_of(compare, struct changes_op, compare)->op, result);
}

/* Prepare to compare. 0 or -errno. */
static int changes_begin(struct changes_op *changes)
{
	struct compare *compare = &changes->compare;
	struct request *request = changes->op.request;

	changes_forget(changes);
	compare->collapse = request->class->operation != VARVE_CHANGES;
	memcpy(compare->fds, changes->fds, sizeof(compare->fds));
	memcpy(compare->maps, changes->maps, sizeof(compare->maps));
	compare->delta = changes->searched ? &changes->delta : NULL;
	compare->fault = &request->core->io.fault;
	compare->job.store = request_store(request);
	compare->job.cancelled = &request->cancelled;
	compare->done = changes_compare_over;
	changes->comparing = true;
	changes->op.call.name = "statx";
	return compare_begin(compare);
}

/*
 * Free the delta, and sort: a million paths take long, and much memory. 0 or -ENOMEM. Lane thread.
 */
static int changes_arrange(struct changes_op *changes)
{
	struct yield yield = { .wakes = &op_store(&changes->op)->core.io.wakes };
	int r;

	changes->op.call.name = "sort";
	changes->compare.delta = NULL;
	delta_free(&changes->delta);
	r = change_list_sort(&changes->compare.changes, &yield);
	/* What mounts cover is known only where something was compared. */
	if (!r && changes->comparing)
		r = change_list_sort(&changes->compare.covered, &yield);
	changes->compared = !r;
	return r;
}

/* Prepare the comparison, and do it, too, if it is short. Lane thread. */
static int changes_prepare_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct changes_op *changes = changes_of(op);
	struct btrfs_ioctl_get_subvol_info_args info;
	int r;

	/* The step may have begun anew. */
	changes_forget(changes);
	delta_free(&changes->delta);
	r = layer_prove(op_store(op), changes->fds[1], op->id, &info);
	if (!r) {
		changes->number = info.treeid;
		r = changes_open_parent(changes, info.parent_uuid);
	}
	if (r)
		return MIN(r, 0);
	/* With privilege, clone the mounts: that shows what lies beneath mounts in the layers. */
	call->name = "open_tree";
	for (unsigned i = 0; r >= 0 && i < 2; i++)
		if (changes->fds[i] >= 0 && changes->trees[i] < 0)
			r = mounts_clone_look(&changes->fds[i], &changes->trees[i]);
	if (r >= 0)
		r = changes_search(changes);
	if (!r && !changes->untouched) {
		r = changes_begin(changes);
		if (!r)
			r = compare_try(&changes->compare);
	}
	return r ? MIN(r, 0) : changes_arrange(changes);
}

static int changes_ordered(struct op *op, int result)
{
	struct changes_op *changes = changes_of(op);
	struct request *request = op->request;
	struct pack *pack;

	if (result < 0)
		return result;
	if (request->class->operation == VARVE_CHANGES)
		return OP_END;
	pack = fault_calloc(&request->core->io.fault, 1, sizeof(*pack));
	if (!pack)
		return -ENOMEM;
	pack->prefetch.feed.root_fd = changes->fds[1];
	pack->small_max = request_store(request)->settings.archive_small_max;
	pack->prefetch.feed.changes = &changes->compare.changes;
	pack->prefetch.feed.fault = &request->core->io.fault;
	pack->prefetch.search = request_store(request)->layout.privileged &&
				!(changes->flags & VARVE_CHANGES_WALK);
	pack->prefetch.numbers.subvolume = pack->prefetch.search ? changes->number : 0;
	pack->uids = changes->maps[1].uids;
	pack->uids_count = changes->maps[1].uids_count;
	pack->gids = changes->maps[1].gids;
	pack->gids_count = changes->maps[1].gids_count;
	pack->overflow = changes->flags & VARVE_OVERFLOW_IDS;
	pack->stream = &changes->stream;
	pack->file_size_max = changes->file_size_max;
	pack->digests.wanted = changes->digests;
	pack->compress = (struct compress){ .stream = &changes->stream,
					    .fault = &request->core->io.fault,
					    .digests = &pack->digests,
					    .encoding = changes->encoding,
					    .level = changes->level,
					    .threads_max = changes->threads };
	pack->covered = &changes->compare.covered;
	pack->fault = &request->core->io.fault;
	pack->cancelled = &request->cancelled;
	pack->yield.wakes = pack->prefetch.wakes = &request->core->io.wakes;
	pack_begin(pack);
	changes->pack = pack;
	return request->class->operation == VARVE_DIFF ? CHANGES_STREAM : CHANGES_MEASURE;
}

static int changes_prepare(struct op *op)
{
	call_function(&op->call, LANE_LONG, "BTRFS_IOC_GET_SUBVOL_INFO", changes_prepare_run);
	return op_call(op);
}

/* Name PATH in the layer in the failure. */
static void changes_blame(struct changes_op *changes, const char *path)
{
	char *subject;

	if (asprintf(&subject, "%s%s", changes->op.id, path) < 0)
		return;
	free(changes->subject);
	changes->op.subject = changes->subject = subject;
}

/* Name in the failure what the comparison failed at, with RESULT. */
static void changes_explain(struct changes_op *changes, int result)
{
	if (result == -ENAMETOOLONG)
		changes->op.detail = CHANGES_TOO_LONG;
	if (changes->compare.failed)
		changes_blame(changes, changes->compare.failed);
	if (changes->compare.failed_call)
		changes->op.call.name = changes->compare.failed_call;
}

static int changes_prepared(struct op *op, int result)
{
	struct changes_op *changes = changes_of(op);

	if (result == -EINVAL && !changes->comparing)
		op->detail = "not a subvolume of this store";
	if (result < 0) {
		changes_explain(changes, result);
		return result;
	}
	return changes->compared ? changes_ordered(op, 0) : CHANGES_COMPARE;
}

/* ---- COMPARE, SORT --------------------------------------------------------------------------- */

static int changes_compare(struct op *op)
{
	struct changes_op *changes = changes_of(op);
	/* Each thread may need FDS_COMPARE_THREAD descriptors; two layers are open. */
	unsigned threads_max = MAX(op->request->core->fds.free / FDS_COMPARE_THREAD, 2u) - 1;

	op->call.name = "statx";
	/* The second time: with the descriptors of one thread. */
	if (TAKE(changes->started, true)) {
		int r = changes_begin(changes);

		changes->alone = true;
		if (r)
			return r;
	}
	changes->compare.job.width_max = changes->alone
						 ? 1
						 : MIN(threads_max, (unsigned)COMPARE_THREADS_MAX);
	job_start(&changes->compare.job);
	return OP_WAIT;
}

static int changes_compared(struct op *op, int result)
{
	struct changes_op *changes = changes_of(op);

	if (fds_missing(result) && !changes->alone)
		return CHANGES_COMPARE;
	if (result < 0)
		changes_explain(changes, result);
	return result < 0 ? result : CHANGES_SORT;
}

/* Lane thread. */
static int changes_sort_run(struct call *call)
{
	return changes_arrange(changes_of(container_of(call, struct op, call)));
}

static int changes_order(struct op *op)
{
	call_function(&op->call, LANE_LONG, "sort", changes_sort_run);
	return op_call(op);
}

/* ---- MEASURE, STREAM ------------------------------------------------------------------------- */

/* Add up the sizes. Lane thread. */
static int changes_measure_run(struct call *call)
{
	return pack_measure(changes_of(container_of(call, struct op, call))->pack);
}

static int changes_measure(struct op *op)
{
	call_function(&op->call, LANE_LONG, "statx", changes_measure_run);
	return op_call(op);
}

/* Name in the failure what the feed failed at, with RESULT. */
static void changes_explain_feed(struct changes_op *changes, int result)
{
	const struct feed *feed = &changes->pack->prefetch.feed;

	if (result == -ENAMETOOLONG)
		changes->op.detail = CHANGES_TOO_LONG;
	changes_blame(changes, feed->path);
}

static int changes_measured(struct op *op, int result)
{
	if (result == -ENAMETOOLONG)
		changes_explain_feed(changes_of(op), result);
	return result < 0 ? result : OP_END;
}

/* Finish a part; the last one ends the step. */
static void changes_part_done(struct call *call)
{
	struct changes_part *part = container_of(call, struct changes_part, call);
	struct changes_op *changes = TAKE_PTR(part->op);

	if (call->result < 0 && !changes->error)
		changes->error = call->result;
	if (!--changes->working)
		op_done(&changes->op, changes->error);
}

/* Write the archive. Lane thread. */
static int changes_write_run(struct call *call)
{
	struct changes_op *changes = container_of(call, struct changes_part, call)->op;
	struct pack *pack = changes->pack;
	int r;

	if (libarchive_load(&pack->lib) < 0) {
		changes->op.call.name = "dlopen";
		changes->op.detail = LIBARCHIVE_MISSING;
		return -ENOTSUP;
	}
	r = digests_begin(&pack->digests, pack->fault);
	if (r == -ENOTSUP)
		changes->op.detail = DIGEST_MISSING;
	if (!r) {
		r = compress_begin(&pack->compress);
		if (r == -ENOTSUP)
			changes->op.detail = pack->compress.encoding->missing;
	}
	if (r == -ENOTSUP)
		changes->op.call.name = "dlopen";
	if (!r)
		r = pack_write(pack);
	if (!r)
		digests_finish(&pack->digests, !pack->compress.encoding);
	compress_end(&pack->compress);
	digests_end(&pack->digests);
	return r ? r : stream_finish(&changes->stream, true);
}

/* Read ahead. Lane thread. */
static int changes_read_run(struct call *call)
{
	prefetch_work(&container_of(call, struct changes_part, call)->op->pack->prefetch);
	return 0;
}

/* After the writer has ended: stop the threads that read ahead, withdraw those not begun. */
static void changes_written(struct call *call)
{
	struct changes_op *changes = container_of(call, struct changes_part, call)->op;

	prefetch_stop(&changes->pack->prefetch);
	for (unsigned i = 1; i <= PACK_THREADS_MAX; i++)
		if (changes->parts[i].op &&
		    io_withdraw(&changes->op.request->core->io, &changes->parts[i].call)) {
			changes->parts[i].op = NULL;
			changes->working--;
		}
	changes->op.interrupt = NULL;
	changes_part_done(call);
}

/* Finish a part that read ahead; its errors do not count, as the writer reads what it did not. */
static void changes_read(struct call *call)
{
	call->result = 0;
	changes_part_done(call);
}

/* Submit part INDEX. */
static void changes_part(struct changes_op *changes, unsigned index,
			 int (*function)(struct call *call), void (*done)(struct call *call))
{
	struct changes_part *part = &changes->parts[index];

	part->op = changes;
	part->call.done = done;
	changes->working++;
	call_function(&part->call, LANE_STREAM, "write", function);
	io_submit(&changes->op.request->core->io, &part->call);
}

/* Stop waiting for the reader of the archive. */
static void changes_interrupt(struct op *op)
{
	struct changes_op *changes = changes_of(op);
	struct call *call = &changes->parts[0].call;

	stream_interrupt(&changes->stream);
	/* A writer that still waits for a thread of the lane ends without one. */
	if (!io_withdraw(&op->request->core->io, call))
		return;
	call->result = -ECANCELED;
	changes_written(call);
}

static int changes_stream(struct op *op)
{
	struct changes_op *changes = changes_of(op);
	size_t count = changes->compare.changes.count;
	bool many = changes->compare.changes.inside;

	memset(changes->parts, 0, sizeof(changes->parts));
	op->interrupt = changes_interrupt;
	op->call.name = changes->stream.kind == STREAM_CHANNEL ? NULL : "write";
	op->place = op->subject = NULL;
	changes_part(changes, 0, changes_write_run, changes_written);
	for (unsigned i = 1; i <= PACK_THREADS_MAX && (many || count > i * PREFETCH_CLAIM); i++)
		changes_part(changes, i, changes_read_run, changes_read);
	return OP_WAIT;
}

static int changes_streamed(struct op *op, int result)
{
	struct changes_op *changes = changes_of(op);
	const struct prefetch *prefetch = &changes->pack->prefetch;

	if (result < 0 && changes->pack->failed) {
		op->call.name = changes->pack->failed_call;
		op->detail = changes->pack->failed_detail;
		op->place = LAYER_PLACE;
		changes_blame(changes, changes->pack->failed);
		if (result == -EFBIG)
			op->detail = "the file has more bytes than file_size_max";
	} else if (result < 0 && prefetch->error == result && prefetch->feed.path) {
		/* A directory cannot be listed; the archive's descriptor is not to blame. */
		op->call.name = "getdents64";
		changes_explain_feed(changes, result);
	}
	return result < 0 ? result : OP_END;
}

static const struct op_step changes_steps[CHANGES_STATES] = {
	[CHANGES_OPEN] = { "OPEN", layer_open_start, changes_opened, true },
	[CHANGES_PREPARE] = { "PREPARE", changes_prepare, changes_prepared, true },
	[CHANGES_COMPARE] = { "COMPARE", changes_compare, changes_compared, true },
	[CHANGES_SORT] = { "SORT", changes_order, changes_ordered },
	[CHANGES_MEASURE] = { "MEASURE", changes_measure, changes_measured },
	[CHANGES_STREAM] = { "STREAM", changes_stream, changes_streamed },
};

static void changes_result(struct request *request, struct varve_result *result)
{
	const struct changes_op *changes = changes_of(request->ops);

	if (request->class->operation == VARVE_CHANGES && !request->ops->error) {
		result->changes = changes->compare.changes.list;
		result->changes_count = changes->compare.changes.count;
	}
	if (!changes->pack)
		return;
	result->bytes = request->class->operation == VARVE_DIFF ? changes->stream.bytes
								: changes->pack->size;
	result->digests = digests_result(&changes->pack->digests);
	skipped_report(&changes->pack->report, result);
}

static void changes_close(struct op *op)
{
	struct changes_op *changes = changes_of(op);

	if (changes->comparing)
		compare_close(&changes->compare);
	for (unsigned i = 0; i < 2; i++) {
		fd_close(TAKE_FD(changes->fds[i]));
		fd_close(TAKE_FD(changes->trees[i]));
	}
	stream_close(&changes->stream);
}

static void changes_release(struct op *op)
{
	struct changes_op *changes = changes_of(op);

	delta_free(&changes->delta);
	if (changes->keep && !op->error)
		changes->compare.changes.list = NULL;
	if (changes->pack)
		pack_end(changes->pack);
	free(changes->pack);
	changes_forget(changes);
	free(changes->subject);
	/* close() is not called for a request that was never submitted. */
	stream_close(&changes->stream);
	free(changes->ranges);
}

#define CHANGES_CLASS(kind)                                                                        \
	{                                                                                          \
		.operation = kind, .size = sizeof(struct changes_op), .holds = 2,                  \
		.fds = FDS_CHANGES, .steps = changes_steps, .steps_count = CHANGES_STATES,         \
		.unwind = CHANGES_STATES, .cancel_last = CHANGES_STREAM, .result = changes_result, \
		.close = changes_close, .release = changes_release,                                \
	}

static const struct op_class changes_class = CHANGES_CLASS(VARVE_CHANGES);
static const struct op_class diff_class = CHANGES_CLASS(VARVE_DIFF);
static const struct op_class diff_size_class = CHANGES_CLASS(VARVE_DIFF_SIZE);

/* Copy COUNT RANGES to *AT, advance that, and return the copy. */
static const struct varve_id_map *changes_ranges(struct varve_id_map **at,
						 const struct varve_id_map *ranges, size_t count)
{
	struct varve_id_map *copy = *at;

	/* RANGES may be NULL if there are none. */
	if (count)
		memcpy(copy, ranges, count * sizeof(*copy));
	*at += count;
	return copy;
}

/* Copy the maps of ids. 0 or -ENOMEM. */
static int changes_maps(struct changes_op *changes, const struct varve_changes_options *options)
{
	size_t count = options->uids_count + options->gids_count + options->parent_uids_count +
		       options->parent_gids_count;
	struct idrange_maps *parent = &changes->maps[0], *layer = &changes->maps[1];
	struct varve_id_map *at;

	if (!count)
		return 0;
	changes->ranges = at = fault_calloc(&changes->op.request->core->io.fault, count,
					    sizeof(*at));
	if (!at)
		return -ENOMEM;
	layer->uids = changes_ranges(&at, options->uids, options->uids_count);
	layer->uids_count = options->uids_count;
	layer->gids = changes_ranges(&at, options->gids, options->gids_count);
	layer->gids_count = options->gids_count;
	parent->uids = changes_ranges(&at, options->parent_uids, options->parent_uids_count);
	parent->uids_count = options->parent_uids_count;
	parent->gids = changes_ranges(&at, options->parent_gids, options->parent_gids_count);
	parent->gids_count = options->parent_gids_count;
	return 0;
}

/* Make a request of one of the three; 0 and *RET_REQUEST, or -ENOMEM. */
static int changes_new(struct varve_store *store, const struct op_class *class, const char *id,
		       const struct varve_changes_options *options, struct request **ret_request)
{
	const char *parent = options->parent;
	size_t strings = parent ? strlen(parent) + 1 : 0;
	struct changes_op *changes;
	struct request *request;
	int r = layer_request(store, class, id, false, strings, options->flags, &request);

	if (r)
		return r;
	changes = changes_of(request->ops);
	changes->fds[0] = changes->fds[1] = changes->trees[0] = changes->trees[1] =
		changes->stream.fd = changes->stream.wake_fd = -EBADF;
	changes->flags = options->flags;
	changes->parent = request_string(request, parent);
	if (parent && *parent && strcmp(parent, id))
		op_holds(&changes->op)[1] = (struct id_lock){ .id = changes->parent };
	r = changes_maps(changes, options);
	if (r)
		request_free(request);
	else
		*ret_request = request;
	return r;
}

int changes_submit(struct varve_store *store, const char *id,
		   const struct varve_changes_options *options, bool keep,
		   const struct submit *submit)
{
	struct request *request;
	int r = changes_new(store, &changes_class, id, options, &request);

	if (r)
		return r;
	changes_of(request->ops)->keep = keep;
	return request_submit(request, submit->callback, submit->user_data, submit->ret_request);
}

int diff_size_submit(struct varve_store *store, const char *id,
		     const struct varve_changes_options *options, const struct submit *submit)
{
	struct request *request;
	int r = changes_new(store, &diff_size_class, id, options, &request);

	return r ? r
		 : request_submit(request, submit->callback, submit->user_data,
				  submit->ret_request);
}

/* Set how the archive is compressed: by as many threads as there are CPUs, unless OPTIONS say. */
static void diff_compression(struct changes_op *changes, const struct varve_diff_options *options)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	changes->encoding = options->compress == VARVE_COMPRESS_GZIP   ? &encoding_gzip
			    : options->compress == VARVE_COMPRESS_ZSTD ? &encoding_zstd
								       : NULL;
	if (!changes->encoding)
		return;
	changes->level = options->compress_level ? (int)options->compress_level
						 : changes->encoding->level_default;
	changes->threads = options->compress_threads
				   ? (unsigned)options->compress_threads
				   : (unsigned)MIN(MAX(cpus, 1l), (long)COMPRESS_THREADS_MAX);
}

int diff_submit(struct varve_store *store, const char *id,
		const struct varve_changes_options *compared,
		const struct varve_diff_options *options, int fd, const struct submit *submit)
{
	const struct channel_ends ends = { .sink = options->sink,
					   .data = options->sink_data,
					   .chunk_bytes = options->chunk_bytes };
	struct changes_op *changes;
	struct request *request;
	int r = changes_new(store, &diff_class, id, compared, &request);

	if (r)
		return r;
	request->ops->fds_kind = FDS_WRITES;
	changes = changes_of(request->ops);
	changes->file_size_max = options->file_size_max;
	changes->digests = options->flags & VARVE_DIGESTS;
	diff_compression(changes, options);
	r = fd == VARVE_STREAM ? stream_init_channel(&changes->stream, request, &ends)
			       : stream_init(&changes->stream, store, fd, true);
	if (!r)
		return request_submit(request, submit->callback, submit->user_data,
				      submit->ret_request);
	request_free(request);
	return r;
}
