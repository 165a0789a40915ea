/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/group_commit.h"
#include "engine/core/core.h"
#include "engine/core/request.h"

#include <assert.h>

/* What commits for OP. */
static struct group_commit *commits_of(const struct op *op)
{
	return op->request->core->commits;
}

void commit_init(struct group_commit *commits, struct core *core, const struct commit_hooks *hooks,
		 unsigned slots)
{
	*commits = (struct group_commit){ .core = core, .hooks = hooks };
	core->commits = commits;
	list_init(&commits->gather);
	list_init(&commits->alone);
	list_init(&commits->publish);
	list_init(&commits->destroy);
	list_init(&commits->durable);
	list_init(&commits->unflushed);
	list_init(&commits->carried);
	list_init(&commits->serial_ops);
	list_init(&commits->jobs);
	list_init(&commits->tidies);
	list_init(&commits->serial_tidies);
	commits->commit.commits = commits->flush.commits = commits;
	list_init(&commits->commit.ops);
	list_init(&commits->flush.ops);
	while (commits->slots_free < slots) {
		commits->slots[commits->slots_free] = slots - 1 - commits->slots_free;
		commits->slots_free++;
	}
}

/* Look which transaction the file system is in; count those since the last look. Lane thread. */
static void commit_look(struct group_commit *commits)
{
	uint64_t generation = commits->hooks->generation(commits->core->store);

	pthread_mutex_lock(&commits->core->counting);
	if (commits->generation && generation > commits->generation)
		commits->core->statistics.commits += generation - commits->generation;
	commits->generation = MAX(commits->generation, generation);
	pthread_mutex_unlock(&commits->core->counting);
}

/* Let every operation on LIST go on with RESULT. */
static void commit_release(struct list *list, int result)
{
	struct list ops = LIST_INIT(ops), *link;

	list_splice(&ops, list);
	while ((link = list_pop(&ops)))
		op_done(list_entry(link, struct op, link), result);
}

/* ---- the group ------------------------------------------------------------------------------- */

int commit_stage(struct op *op)
{
	struct group_commit *commits = commits_of(op);

	list_append(op->alone ? &commits->alone : &commits->gather, &op->link);
	op->withdraw = op_unlink;
	commits->awaited = true;
	return OP_WAIT;
}

/* Run the work of a member, on a thread of the commit lane. */
static int commit_stage_run(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	int r = op->work(op);

	if (op->direct)
		commit_look(commits_of(op));
	return r;
}

/*
 * An operation had no room although nothing else was under way: fail those, too, that wait for a
 * group of their own.
 */
static void commit_no_room(struct group_commit *commits)
{
	list_for_each(link, &commits->alone)
		list_entry(link, struct op, link)->withdraw = NULL;
	commit_release(&commits->alone, -ENOSPC);
}

/* The group is over: count it by its snapshots, of which there may be none. */
static void commit_count_group(struct group_commit *commits)
{
	struct group_sizes *sizes = &commits->core->counters.group_sizes;
	unsigned bucket = 0;

	if (!commits->made)
		return;
	while (bucket < GROUP_SIZE_BUCKETS - 1 && commits->made > 1u << bucket)
		bucket++;
	sizes->buckets[bucket]++;
	sizes->snapshots += commits->made;
}

/* A member that worked in SLOT leaves the group; MADE: it made a snapshot, and so committed. */
static void commit_member_left(struct group_commit *commits, unsigned slot, bool made)
{
	commits->slots[commits->slots_free++] = slot;
	commits->staging--;
	commits->open = false;
	if (made) {
		commits->made++;
		commits->core->counters.snapshots++;
		commit_release(&commits->carried, 0);
	}
	/*
	 * No member of the group committed: an operation that counted on it waits for another
	 * group.
	 */
	if (!commits->staging) {
		list_splice(&commits->durable, &commits->carried);
		commits->barren = !commits->made && !list_empty(&commits->durable);
		commit_count_group(commits);
	}
}

/* A member's work is done. */
static void commit_staged(struct call *call)
{
	struct op *op = container_of(call, struct op, call);
	struct group_commit *commits = commits_of(op);
	bool made = op->commits && call->result >= 0;

	commits->core->counters.snapshots_direct += made && op->direct;
	commit_member_left(commits, op->slot, made);
	if (call->result == -ENOSPC && op->alone)
		commit_no_room(commits);
	op_done(op, call->result);
}

/* Let OP join the group. */
static void commit_launch(struct group_commit *commits, struct op *op)
{
	op->withdraw = NULL;
	op->slot = commits->slots[--commits->slots_free];
	commits->staging++;
	commits->group++;
	call_function(&op->call, LANE_COMMIT, op->call.name, commit_stage_run);
	op->call.done = commit_staged;
	io_submit(&commits->core->io, &op->call);
}

/* Run the work of a job, on a thread of the commit lane. */
static int commit_job_run(struct call *call)
{
	struct commit_job *job = container_of(call, struct commit_job, call);

	return job->work(job);
}

/* A job's work as a member is done. */
static void commit_job_staged(struct call *call)
{
	struct commit_job *job = container_of(call, struct commit_job, call);

	commit_member_left(job->commits, job->slot, call->result >= 0);
	job->done(job, call->result);
}

void commit_join(struct group_commit *commits, struct commit_job *job)
{
	job->commits = commits;
	list_append(&commits->jobs, &job->link);
}

/* Let GUEST join the group. */
static void commit_launch_job(struct group_commit *commits, struct commit_job *job)
{
	job->slot = commits->slots[--commits->slots_free];
	commits->staging++;
	commits->group++;
	call_function(&job->call, LANE_COMMIT, job->call.name, commit_job_run);
	job->call.done = commit_job_staged;
	io_submit(&commits->core->io, &job->call);
}

/* Let those that wait join, as far as there are slots. */
static void commit_admit(struct group_commit *commits)
{
	struct list *link;

	while (commits->slots_free && (link = list_pop(&commits->gather)))
		commit_launch(commits, list_entry(link, struct op, link));
	while (commits->slots_free && (link = list_pop(&commits->jobs)))
		commit_launch_job(commits, list_entry(link, struct commit_job, link));
	commits->core->counters.group_max = MAX(commits->core->counters.group_max, commits->group);
}

/* Begin a group. */
static void commit_begin(struct group_commit *commits)
{
	struct op *first = NULL;

	commits->commit_made = false;
	commits->passed = 0;
	commits->group = commits->made = 0;
	commits->destroyed = 0;
	commits->destroyed_ns = 0;
	commits->core->counters.groups++;
	list_splice(&commits->carried, &commits->durable);
	commits->open = list_empty(&commits->alone);
	/* A group of one that no other joins. */
	if (!commits->open) {
		commit_launch(commits, list_entry(list_pop(&commits->alone), struct op, link));
		return;
	}
	/* Alone in the store: straight into place, for the price of the bare ioctl. */
	if (!list_empty(&commits->gather)) {
		first = list_entry(commits->gather.next, struct op, link);
		first->direct |= first->direct_allowed &&
				 commits->core->counters.running[VARVE_CREATE] == 1;
	}
	trace(&commits->core->io.trace, TRACE_OP, "commit: a group begins%s",
	      first && first->direct ? ", direct" : "");
	commit_admit(commits);
}

/* Does any operation wait for a group? */
static bool commit_gathered(const struct group_commit *commits)
{
	return !list_empty(&commits->gather) || !list_empty(&commits->alone);
}

/* ---- the boundary ---------------------------------------------------------------------------- */

/* Take OP out of the queue of those that wait to destroy. */
static void commit_undestroy(struct op *op)
{
	list_remove(&op->link);
	commits_of(op)->destroys--;
}

int commit_publish(struct op *op)
{
	op->withdraw = NULL;
	list_append(&commits_of(op)->publish, &op->link);
	commits_of(op)->awaited = true;
	return OP_WAIT;
}

int commit_destroy(struct op *op)
{
	struct group_commit *commits = commits_of(op);

	commits->destroys++;
	op->withdraw = commit_undestroy;
	list_append(&commits->destroy, &op->link);
	return OP_WAIT;
}

void commit_tidy(struct group_commit *commits, struct commit_job *job)
{
	job->commits = commits;
	list_append(&commits->tidies, &job->link);
}

/*
 * Does OP, which is to destroy, have to wait for the next boundary? When others wait, or it is
 * cancelled, those that began at BEGIN have their time and no more.
 */
static bool commit_slice_over(const struct group_commit *commits, const struct op *op,
			      uint64_t begin)
{
	return (commits->awaited || atomic_load(&op->request->cancelled)) &&
	       now_ns() - begin >= DESTROY_SLICE_NS;
}

/*
 * Run the work of all that publish, and of those that destroy until their time is over, one after
 * the other: in parallel they would only fight over locks.
 */
static int commit_serial_run(struct call *call)
{
	struct group_commit *commits = container_of(call, struct group_commit, serial);
	unsigned publishes = commits->publishes, left = commits->destroying;
	uint64_t begin = 0;

	list_for_each(link, &commits->serial_ops) {
		struct op *op = list_entry(link, struct op, link);

		if (!op->recorded)
			commits->hooks->records_end(commits->core->store);
		if (publishes)
			publishes--;
		else if (!begin) {
			begin = now_ns();
			commits->hooks->destroys_begin(commits->core->store);
			left--;
		} else if (!commit_slice_over(commits, op, begin))
			left--;
		else
			break;
		op->call.result = fault_hit(&commits->core->io.fault, FAULT_LANE);
		if (!op->call.result)
			op->call.result = op->work(op);
		op->renamed |= op->call.result >= 0;
	}
	commits->hooks->records_end(commits->core->store);
	commits->left = left;
	commits->destroyed_ns += begin ? now_ns() - begin : 0;
	list_for_each(link, &commits->serial_tidies) {
		struct commit_job *job = list_entry(link, struct commit_job, link);

		job->call.result = job->work(job);
	}
	commit_look(commits);
	return 0;
}

/* Put LEFT, whose turn to destroy did not come, first in the queue for the next boundary. */
static void commit_return(struct group_commit *commits, struct list *left)
{
	list_for_each_safe(link, left) {
		struct op *op = list_entry(link, struct op, link);

		op->withdraw = commit_undestroy;
		commits->destroys++;
		commits->destroyed--;
		/* While it was with the lane thread a cancel could not withdraw it. */
		if (atomic_load(&op->request->cancelled))
			op_cancel(op);
	}
	list_splice(left, &commits->destroy);
	list_splice(&commits->destroy, left);
}

/* The boundary's work is done, or could not be begun. */
static void commit_serial_done(struct call *call)
{
	struct group_commit *commits = container_of(call, struct group_commit, serial);
	unsigned run = commits->publishes + commits->destroying - commits->left;
	struct list ops = LIST_INIT(ops), left = LIST_INIT(left), tidies = LIST_INIT(tidies);
	struct list *link;

	list_splice(&tidies, &commits->serial_tidies);
	while (run--)
		list_append(&ops, list_pop(&commits->serial_ops));
	list_splice(&left, &commits->serial_ops);
	commits->serial_running = false;
	commit_return(commits, &left);
	while ((link = list_pop(&ops))) {
		struct op *op = list_entry(link, struct op, link);
		int r = call->result < 0 ? call->result : op->call.result;

		if (r == -ENOSPC)
			commit_no_room(commits);
		op_done(op, r);
	}
	while ((link = list_pop(&tidies))) {
		struct commit_job *job = list_entry(link, struct commit_job, link);

		job->done(job, call->result < 0 ? call->result : job->call.result);
	}
}

/* How many may be destroyed in one call: few while creates wait, and at length none. */
static unsigned commit_destroys_max(const struct group_commit *commits)
{
	if (!commit_gathered(commits))
		return DESTROYS_PER_CALL_MAX;
	if (commits->destroyed_ns >= DESTROY_SLICE_NS)
		return 0;
	return DESTROYS_PER_GROUP_MAX - MIN(commits->destroyed, DESTROYS_PER_GROUP_MAX);
}

/* Hand what waits for the boundary to a lane thread. */
static void commit_serial_begin(struct group_commit *commits)
{
	unsigned destroys_max = commit_destroys_max(commits);
	struct list *link;

	commits->publishes = commits->destroying = commits->left = 0;
	while ((link = list_pop(&commits->publish))) {
		commits->publishes++;
		list_append(&commits->serial_ops, link);
	}
	while (destroys_max-- && (link = list_pop(&commits->destroy))) {
		list_entry(link, struct op, link)->withdraw = NULL;
		commits->destroys--;
		commits->destroyed++;
		commits->destroying++;
		list_append(&commits->serial_ops, link);
	}
	/* What is published waits for the end of the call, too. */
	list_splice(&commits->serial_tidies, &commits->tidies);
	if (commit_gathered(commits) || !list_empty(&commits->durable))
		commits->passed++;
	else
		commits->passed = 0;
	commits->awaited = commits->publishes || commit_gathered(commits) ||
			   !list_empty(&commits->jobs) || !list_empty(&commits->durable);
	commits->serial_running = true;
	call_function(&commits->serial, LANE_COMMIT, "boundary", commit_serial_run);
	commits->serial.done = commit_serial_done;
	io_submit(&commits->core->io, &commits->serial);
}

/* ---- durability ------------------------------------------------------------------------------ */

/* Let OP wait for a commit that begins from now on and covers at least COVER. */
static int commit_wait(struct op *op, enum commit_cover cover)
{
	op->call.name = commits_of(op)->hooks->calls[cover];
	op->withdraw = NULL;
	op->cover = cover;
	list_append(&commits_of(op)->durable, &op->link);
	commits_of(op)->awaited = true;
	return OP_WAIT;
}

int commit_names(struct op *op)
{
	assert(op->renamed);
	return commit_wait(op, op->renamed ? COMMIT_NAMES : COMMIT_METADATA);
}

int commit_metadata(struct op *op)
{
	return commit_wait(op, COMMIT_METADATA);
}

void commit_write_begin(struct op *op)
{
	op->writes = true;
	op->flushes_failed = commits_of(op)->flushes_failed;
}

int commit_flush(struct op *op)
{
	op->call.name = commits_of(op)->hooks->calls[COMMIT_DATA];
	op->withdraw = op->state <= op->request->class->cancel_last ? op_unlink : NULL;
	list_append(&commits_of(op)->unflushed, &op->link);
	return OP_WAIT;
}

/* Commit or flush, on a lane thread. */
static int commit_sync_run(struct call *call)
{
	struct commit_sync *sync = container_of(call, struct commit_sync, call);
	struct group_commit *commits = sync->commits;
	int r = commits->hooks->commit(commits->core->store, sync->cover);

	commit_look(commits);
	return r;
}

/* The commit is done. */
static void commit_done(struct call *call)
{
	struct commit_sync *sync = container_of(call, struct commit_sync, call);

	sync->running = sync->commits->commit_first = false;
	commit_release(&sync->ops, call->result);
}

/*
 * The flush is done. The kernel reports each loss of data once; so one that came with another's
 * flush counts, too.
 */
static void commit_flushed(struct call *call)
{
	struct commit_sync *sync = container_of(call, struct commit_sync, call);
	struct group_commit *commits = sync->commits;
	struct list ops = LIST_INIT(ops), *link;

	sync->running = false;
	commits->flushes_failed += call->result < 0;
	list_splice(&ops, &sync->ops);
	while ((link = list_pop(&ops))) {
		struct op *op = list_entry(link, struct op, link);
		bool lost = op->writes && op->flushes_failed != commits->flushes_failed;

		op_done(op, call->result >= 0 && lost ? -EIO : call->result);
	}
}

/* Begin SYNC, for the operations it has been given. */
static void commit_sync_begin(struct commit_sync *sync, const char *name,
			      void (*done)(struct call *call))
{
	struct group_commit *commits = sync->commits;

	sync->running = true;
	commits->core->counters.syncs++;
	trace(&commits->core->io.trace, TRACE_OP, "commit: %s", name);
	call_function(&sync->call, LANE_COMMIT, name, commit_sync_run);
	sync->call.done = done;
	io_submit(&commits->core->io, &sync->call);
}

/* Commit for those that wait for a commit. */
static void commit_start(struct group_commit *commits)
{
	struct commit_sync *sync = &commits->commit;

	commits->barren = false;
	/* Those that gather have not had their turn. */
	if (!commit_gathered(commits))
		commits->passed = 0;
	list_splice(&sync->ops, &commits->durable);
	sync->cover = COMMIT_NAMES;
	list_for_each(link, &sync->ops)
		sync->cover = MAX(sync->cover, list_entry(link, struct op, link)->cover);
	commit_sync_begin(sync, "commit", commit_done);
}

/* Flush for those that wait for that. */
static void commit_flush_begin(struct group_commit *commits)
{
	struct commit_sync *sync = &commits->flush;

	list_splice(&sync->ops, &commits->unflushed);
	list_for_each(link, &sync->ops)
		list_entry(link, struct op, link)->withdraw = NULL;
	sync->cover = COMMIT_DATA;
	commit_sync_begin(sync, "flush", commit_flushed);
}

/* Has this boundary anything left to do before the next group may begin? */
static bool commit_boundary(const struct group_commit *commits)
{
	return !list_empty(&commits->publish) || !list_empty(&commits->tidies) ||
	       (!list_empty(&commits->destroy) && commit_destroys_max(commits) > 0);
}

/*
 * Is a commit to be made for those that wait for one, before the next group (group_commit.h)? Only
 * snapshots count: what follows other operations joins no group.
 */
static bool commit_many(const struct group_commit *commits)
{
	unsigned made = 0, gathered = 0;

	if (commits->commit.running || commits->commit_made)
		return false;
	list_for_each(link, &commits->durable)
		made += list_entry(link, struct op, link)->commits;
	list_for_each(link, &commits->gather)
		if (++gathered > made)
			return false;
	return gathered && made >= COMMIT_FIRST_MIN;
}

/*
 * Is a commit to be made for those that wait for one, beside what comes next? That is a group like
 * the last one, which has made no snapshot, or one more boundary of many.
 */
static bool commit_beside(const struct group_commit *commits)
{
	return !list_empty(&commits->durable) && !commits->commit.running &&
	       (commits->barren || commits->passed >= COMMIT_BOUNDARIES_MAX);
}

/* Do boundaries follow each other for so long that a group has to begin, if any wait for one? */
static bool commit_overdue(const struct group_commit *commits)
{
	return commits->passed >= COMMIT_BOUNDARIES_MAX && commit_gathered(commits) &&
	       !commits->commit_first;
}

void commit_turn(struct group_commit *commits)
{
	if (!list_empty(&commits->unflushed) && !commits->flush.running)
		commit_flush_begin(commits);
	if (commits->serial_running)
		return;
	if (commits->staging) {
		if (commits->open)
			commit_admit(commits);
		return;
	}
	if (commit_beside(commits))
		commit_start(commits);
	if (commit_boundary(commits) && !commit_overdue(commits))
		commit_serial_begin(commits);
	else if (commits->commit_first)
		return;
	else if (commit_many(commits)) {
		commits->commit_first = commits->commit_made = true;
		commit_start(commits);
	} else if (commit_gathered(commits) || !list_empty(&commits->jobs))
		commit_begin(commits);
	else if (!list_empty(&commits->durable) && !commits->commit.running)
		commit_start(commits);
}

bool commit_busy(const struct group_commit *commits)
{
	return commits->serial_running || commits->commit.running || commits->flush.running;
}
