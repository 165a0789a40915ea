/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/op.h"
#include "engine/core/channel.h"
#include "engine/core/fds.h"
#include "engine/core/id_lock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The record of a failure that there was no memory to record. */
static const struct varve_failure op_failure_unrecorded = {
	.error = -ENOMEM,
	.operation = "varve",
	.step = "RECORD",
	.detail = "no memory to record the failure: see the result's error",
};

static const char *const operation_names[OPERATION_COUNT] = {
	[VARVE_NOOP] = "noop",
	[VARVE_CREATE] = "create",
	[VARVE_REMOVE] = "remove",
	[VARVE_GET] = "get",
	[VARVE_EXISTS] = "exists",
	[VARVE_LIST] = "list",
	[VARVE_INFO] = "info",
	[VARVE_SYNC] = "sync",
	[VARVE_SWEEP] = "sweep",
	[VARVE_STATUS] = "status",
	[VARVE_CHANGES] = "changes",
	[VARVE_USAGE] = "usage",
	[VARVE_QUOTA] = "quota",
	[VARVE_CHOWN] = "chown",
	[VARVE_RELABEL] = "relabel",
	[VARVE_DIFF] = "diff",
	[VARVE_DIFF_SIZE] = "diff_size",
	[VARVE_APPLY] = "apply",
	[VARVE_OPEN_LAYER] = "open_layer",
	[VARVE_CHECK] = "check",
	[VARVE_FREEZE] = "freeze",
	[VARVE_RENAME] = "rename",
	[VARVE_ADOPT] = "adopt",
	[VARVE_LABEL] = "label",
	[VARVE_RECORD] = "record",
	[VARVE_FLUSH] = "flush",
};

const char *operation_name(enum varve_operation operation)
{
	return (unsigned)operation < OPERATION_COUNT ? operation_names[operation] : NULL;
}

/* The name of the current step. */
static const char *op_step_name(const struct op *op)
{
	return op->state < op->request->class->steps_count
		       ? op->request->class->steps[op->state].name
		       : "END";
}

/* Trace something about OP. */
#define op_trace(op, format, ...)                                                               \
	trace(&(op)->request->core->io.trace, TRACE_OP, "op%" PRIu64 " %s %s: " format,         \
	      (op)->request->handle, operation_name((op)->request->class->operation), (op)->id, \
	      __VA_ARGS__)

/* Set FAILURE to the current place and subject of OP. */
static void op_failure_path(struct op *op, struct varve_failure *failure)
{
	struct core *core = op->request->core;
	char home[HOME_PATH_MAX + 1], place[HOME_PATH_MAX + 64];

	core->hooks->home(core, home);
	if (op->place)
		snprintf(place, sizeof(place), "%s/%s", home, op->place);
	failure_path(failure, op->place ? place : home, op->subject);
}

/* Record ERROR of the current step, the first one only. */
static void op_record(struct op *op, int error)
{
	struct core *core = op->request->core;
	char detail[VARVE_FAILURE_DETAIL_SIZE];
	struct varve_failure *failure;

	op->error = error;
	op->failure = &op_failure_unrecorded;
	failure = fault_calloc(&core->io.fault, 1, sizeof(*failure));
	if (!failure)
		return;
	failure_set(failure, error, operation_name(op->request->class->operation), op_step_name(op),
		    error == -ECANCELED ? NULL : op->call.name, op->id);
	op_failure_path(op, failure);
	if (error == -EMFILE)
		failure_detail(
			failure, "%s",
			"too few file descriptors for one operation alone: raise the limit (ulimit -n, "
			"RLIMIT_NOFILE), or close what the program has open");
	else if (error == -ENFILE)
		failure_detail(
			failure, "%s",
			"the system is out of open files: see /proc/sys/fs/file-nr, and raise fs.file-max");
	else if (op->detail)
		failure_detail(failure, "%s", op->detail);
	else if (op->request->channel && channel_broken(op->request->channel, error, detail))
		failure_detail(failure, "%s", detail);
	else if (error == -EXDEV)
		failure_detail(failure, "%s", "something is mounted over it: unmount that first");
	op->failure = failure;
}

void op_amend(struct op *op, bool path, const char *format, ...)
{
	/* It belongs to OP, and no callback has seen it yet. */
	struct varve_failure *failure = (struct varve_failure *)op->failure;
	va_list arguments;

	if (!failure || op->failure == &op_failure_unrecorded)
		return;
	if (path)
		op_failure_path(op, failure);
	va_start(arguments, format);
	vsnprintf(failure->detail, sizeof(failure->detail), format, arguments);
	va_end(arguments);
}

/* End OP, and with the last one its request. */
static void op_end(struct op *op)
{
	struct request *request = op->request;

	assert(!op->ended && request->remaining);
	op->ended = true;
	op->request->core->counters.running[op->request->class->operation] -= op->started;
	op->state = op->request->class->steps_count;
	op_trace(op, "end %d", op->error);
	if (op->request->class->close)
		op->request->class->close(op);
	for (size_t i = 0; i < op->request->class->holds; i++)
		id_lock_release(&op->request->core->holds, &op_holds(op)[i]);
	fds_leave(op);
	if (--request->remaining)
		return;
	list_remove(&request->link);
	list_append(&request->core->finished, &request->link);
}

/* Translate NEXT, as a step returned it, to the next state, OP_WAIT, or OP_END. */
static int op_next(struct op *op, int next)
{
	const struct op_class *class = op->request->class;

	if (next < 0) {
		op_trace(op, "%s failed: %d", op_step_name(op), next);
		if (!op->error)
			op_record(op, next);
		next = op->state < class->unwind ? (int)class->unwind : (int)op->state + 1;
	} else if (next != OP_WAIT && !op->error && (unsigned)next == class->unwind)
		next = OP_END;
	return next == OP_WAIT || (unsigned)next < class->steps_count ? next : OP_END;
}

/* Is OP cancelled, and may STATE not begin because of that? */
static bool op_stops(const struct op *op, unsigned state)
{
	return !op->error && op->request->cancelled && state <= op->request->class->cancel_last;
}

/* Run OP from NEXT until it waits or ends. The state only goes forward. */
static void op_run(struct op *op, int next)
{
	const struct op_class *class = op->request->class;

	for (;;) {
		next = op_next(op, next);
		if (next == OP_WAIT)
			return;
		if (next == OP_END) {
			op_end(op);
			return;
		}
		if (op_stops(op, (unsigned)next)) {
			next = -ECANCELED;
			continue;
		}
		assert((unsigned)next >= op->state && (unsigned)next < class->steps_count);
		op->state = (unsigned)next;
		op->detail = NULL;
		op->call.name = NULL;
		op_trace(op, "%s", op_step_name(op));
		next = class->steps[op->state].start(op);
	}
}

void op_start(struct op *op)
{
	op->withdraw = NULL;
	if (fds_resume(op)) {
		op_run(op, op->request->class->steps[op->state].start(op));
		return;
	}
	if (!op->start_error && op->background) {
		op->request->core->waits->wait(op);
		return;
	}
	if (!op->start_error && !fds_enter(op))
		return;
	op->request->core->counters.running[op->request->class->operation]++;
	op->started = true;
	op_run(op, op->start_error);
}

int64_t op_again(struct core *core)
{
	struct list ops = LIST_INIT(ops), *link;
	uint64_t now;

	if (list_empty(&core->later))
		return -1;
	now = now_ns();
	if (now < core->later_ns)
		return (int64_t)(core->later_ns - now);
	/* Each wait is longer than the one before: the other process may be stopped. */
	core->later_wait_ns = MIN(2 * core->later_wait_ns, LOCK_RETRY_MAX_NS);
	core->later_ns = now + core->later_wait_ns;
	list_splice(&ops, &core->later);
	while ((link = list_pop(&ops))) {
		struct op *op = list_entry(link, struct op, link);

		op->withdraw = NULL;
		op->detail = NULL;
		op_run(op, op->request->class->steps[op->state].start(op));
	}
	return 0;
}

void op_done(struct op *op, int result)
{
	const struct op_step *step = &op->request->class->steps[op->state];
	struct core *core = op->request->core;

	op->withdraw = NULL;
	/* A cancel that came during the call has passed it by: it begins no other wait. */
	if (fds_missing(result) && step->again && op_stops(op, op->state))
		result = -ECANCELED;
	if (result < 0 && step->again && fds_park(op, result)) {
		op_trace(op, "%s waits for descriptors", op_step_name(op));
		return;
	}
	if (result == OP_LATER && !op->error && !op->request->cancelled) {
		op_trace(op, "%s: another process holds the lock", op_step_name(op));
		/* The timer begins the step anew. */
		if (list_empty(&core->later)) {
			core->later_wait_ns = LOCK_RETRY_MIN_NS;
			core->later_ns = now_ns() + core->later_wait_ns;
		}
		/* A step that a cancel does not stop takes its turn, and sees it then. */
		op->withdraw = op->state <= op->request->class->cancel_last ? op_unlink : NULL;
		list_append(&core->later, &op->link);
		return;
	}
	if (result == OP_LATER)
		result = -ECANCELED;
	if (step->done)
		op_run(op, step->done(op, result));
	else
		op_run(op, result < 0 ? result : (int)op->state + 1);
}

/* Take the result of op->call. */
static void op_called(struct call *call)
{
	struct op *op = container_of(call, struct op, call);

	op_done(op, call->result);
}

int op_call(struct op *op)
{
	op->call.done = op_called;
	io_submit(&op->request->core->io, &op->call);
	return OP_WAIT;
}

void op_cancel(struct op *op)
{
	if (op->ended || op->error)
		return;
	if (op->withdraw) {
		op->withdraw(op);
		op->withdraw = NULL;
		op_run(op, -ECANCELED);
	} else if (op->interrupt)
		op->interrupt(op);
}

void op_unlink(struct op *op)
{
	list_remove(&op->link);
}
