/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request is submitted by the caller: it has a handle and a callback, and consists of operations
 * (op.h). It is made or refused on the caller's thread, finished on the reactor, and delivered on
 * the caller's thread.
 */
#ifndef VARVE_CORE_REQUEST_H
#define VARVE_CORE_REQUEST_H

#include "engine/core/op.h"
#include "engine/core/progress.h"

struct channel;

/* A callback that is due: a dispatching thread runs it. */
struct event {
	/* In core->ready: guarded by core->lock. */
	struct list link;
	/*
	 * The channel that has bytes or room; NULL: the request that contains the event has ended.
	 */
	struct channel *channel;
};

/* A request, with its handle and its callback. */
struct request {
	union {
		/* To the reactor. */
		struct inbox_node node;
		/* Then among those in flight, then among those finished in this turn (reactor). */
		struct list link;
		/*
		 * Then, after it came back by its node, that it has ended (core->lock); neither of
		 * the others reaches to its channel, which is NULL.
		 */
		struct event event;
	};
	/* The channel of its archive; NULL: none. */
	struct channel *channel;
	struct core *core;
	const struct op_class *class;
	varve_request handle;
	varve_callback *callback;
	void *user_data;
	union {
		/* Where request_string() puts the next string of the arguments. */
		char *strings;
		/* Then when it was submitted. */
		uint64_t submitted_ns;
	};
	/* Ends early where it can; any thread sets it. */
	_Atomic bool cancelled;
	/* Done, and in core->ready: guarded by core->lock. */
	bool ready;
	/* The callback has to survive a power cut. */
	bool durable;
	/* VARVE_* flags. */
	uint64_t flags;
	/* Operations, and how many have not ended. */
	uint32_t count, remaining;
	/* See varve_progress(). */
	struct progress progress;
	/*
	 * The first of `count` operations of class->size bytes each; then all their holds,
	 * outcomes, strings.
	 */
	struct op ops[];
};

static_assert(sizeof(struct inbox_node) <= offsetof(struct event, channel),
	      "a request's event is no channel's");

/* The operation of REQUEST at INDEX. */
static inline struct op *request_op(struct request *request, size_t index)
{
	return (struct op *)((char *)request->ops + index * request->class->size);
}

/* The holds of all operations of REQUEST. */
static inline struct id_lock *request_holds(struct request *request)
{
	return (struct id_lock *)request_op(request, request->count);
}

/* The outcome of each operation of REQUEST, filled when it is done; only with class->outcomes. */
static inline struct varve_outcome *request_outcomes(struct request *request)
{
	return (struct varve_outcome *)(request_holds(request) +
					(size_t)request->count * request->class->holds);
}

/*
 * A request of CLASS with COUNT operations and room for STRINGS bytes of strings. 0 and
 * *RET_REQUEST, or -ENOMEM. Its operations are zero but for what every operation has.
 */
int request_new(struct core *core, const struct op_class *class, size_t count, size_t strings,
		uint64_t flags, struct request **ret_request);

/* Copy TEXT (NULL gives NULL) into the request's strings. */
const char *request_string(struct request *request, const char *text);

/* Free a request that was not submitted, or whose callback has returned. NULL is fine. */
void request_free(struct request *request);

/*
 * Give REQUEST a handle and hand it to the reactor. 0, or -EAGAIN, -ESHUTDOWN, -ECHILD: then it is
 * freed, and the refusal is recorded.
 */
int request_submit(struct request *request, varve_callback *callback, void *user_data,
		   varve_request *ret_request);

/*
 * Record that a request for OPERATION was refused with ERROR, about ID (may be NULL), for REASON.
 * Returns ERROR.
 */
int request_refuse(struct core *core, enum varve_operation operation, int error, const char *id,
		   const char *reason);

/* Copy the reason of this thread's latest refusal: 0, or -ENOENT when there is none. */
int request_refusal(struct core *core, struct varve_failure *ret_failure);

/* Post the requests that finished in this turn to the caller's threads. Reactor. */
void requests_flush(struct core *core);

/* Look for cancelled requests and end them. Reactor. */
void requests_cancel(struct core *core);

/* Start the operations whose holds have been granted. Reactor. */
void requests_run(struct core *core);

#endif
