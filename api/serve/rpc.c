/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc.h"

#include "limits.h"
#include "record.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Room for a key in the text of a status. */
#define QUOTE_SIZE 256

/* ---- calls ----------------------------------------------------------------------------------- */

/* The client of RPC has gone. */
static void rpc_cancelled(struct grpc_call *call, void *data)
{
	struct rpc *rpc = data;

	if (rpc->request)
		varve_cancel(rpc->service->store, rpc->request);
	else
		rpc_end(rpc, GRPC_CANCELLED, "cancelled");
}

void rpc_start(struct grpc_call *call, const ProtobufCMessage *message, void *service, size_t size,
	       void (*begin)(struct rpc *rpc), void (*destroy)(struct rpc *rpc))
{
	struct snapshots *snapshots = service;
	struct rpc *rpc = calloc(1, size);

	if (!rpc) {
		grpc_call_end(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	rpc->service = snapshots;
	rpc->call = call;
	rpc->message = message;
	rpc->begin = begin;
	rpc->destroy = destroy;
	link_init(&rpc->link);
	link_init(&rpc->waiting);
	link_init(&rpc->waiters);
	link_append(&snapshots->rpcs, &rpc->link);
	grpc_call_on_cancel(call, rpc_cancelled, rpc);
	begin(rpc);
}

void rpc_claim(struct rpc *rpc, struct snapshot *snapshot, enum snapshot_state state)
{
	snapshot->state = (uint8_t)state;
	snapshot->worker = rpc;
	rpc->claimed = snapshot;
}

void rpc_release(struct rpc *rpc)
{
	rpc->claimed->state = SNAPSHOT_READY;
	rpc->claimed->worker = NULL;
	rpc->claimed = NULL;
}

void rpc_wait(struct rpc *rpc, struct snapshot *snapshot)
{
	struct rpc *worker = snapshot->worker;

	link_append(&worker->waiters, &rpc->waiting);
}

/* Free RPC, whose call has ended, and let those that waited for it begin anew. */
static void rpc_finish(struct rpc *rpc)
{
	struct link waiters;

	if (rpc->claimed)
		rpc_release(rpc);
	if (rpc->destroy)
		rpc->destroy(rpc);
	/* The list moves to here. */
	link_init(&waiters);
	link_append(&rpc->waiters, &waiters);
	link_remove(&rpc->waiters);
	link_remove(&rpc->waiting);
	link_remove(&rpc->link);
	free(rpc);
	while (!link_alone(&waiters)) {
		struct rpc *waiter = link_entry(waiters.next, struct rpc, waiting);

		link_remove(&waiter->waiting);
		waiter->begin(waiter);
	}
}

void rpc_end(struct rpc *rpc, enum grpc_status status, const char *format, ...)
{
	va_list arguments;
	char *text = NULL;

	if (format) {
		va_start(arguments, format);
		if (vasprintf(&text, format, arguments) < 0)
			text = NULL;
		va_end(arguments);
	}
	grpc_call_on_cancel(rpc->call, NULL, NULL);
	/* The request of the client may be what `text` was made of, and is gone after this. */
	grpc_call_end(rpc->call, status, text ? "%s" : NULL, text);
	free(text);
	rpc_finish(rpc);
}

void rpc_answer(struct rpc *rpc, const ProtobufCMessage *message)
{
	if (grpc_call_send(rpc->call, message))
		rpc_no_memory(rpc);
	else
		rpc_end(rpc, GRPC_OK, NULL);
}

void rpc_no_memory(struct rpc *rpc)
{
	rpc_end(rpc, GRPC_RESOURCE_EXHAUSTED, "out of memory");
}

/* The status for ERROR. */
static enum grpc_status rpc_status(int error)
{
	switch (error) {
	case -ENOSPC:
	case -EDQUOT:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
		return GRPC_RESOURCE_EXHAUSTED;
	/* Quota is off, is not to be used, or runs in another mode. */
	case -ENOTCONN:
	case -ENOTSUP:
	case -EBUSY:
	case -EROFS:
	/* A swap file in use is in the layer; something is mounted over it. */
	case -ETXTBSY:
	case -EXDEV:
		return GRPC_FAILED_PRECONDITION;
	case -ENOENT:
		return GRPC_NOT_FOUND;
	case -EAGAIN:
	case -ESHUTDOWN:
		return GRPC_UNAVAILABLE;
	case -ECANCELED:
		return GRPC_CANCELLED;
	case -EPERM:
	case -EACCES:
		return GRPC_PERMISSION_DENIED;
	default:
		return GRPC_INTERNAL;
	}
}

void rpc_fail(struct rpc *rpc, const struct varve_failure *failure, const char *hint)
{
	char text[VARVE_FAILURE_PATH_SIZE + 2 * VARVE_FAILURE_DETAIL_SIZE];
	enum grpc_status status = rpc_status(failure->error);

	/* The client did not cancel: the daemon ends. */
	if (status == GRPC_CANCELLED && !grpc_call_cancelled(rpc->call))
		status = GRPC_UNAVAILABLE;
	rpc_end(rpc, status, "%s%s", varve_strerror(failure, text, sizeof(text)), hint ? hint : "");
}

void rpc_refused(struct rpc *rpc, int error, const char *hint)
{
	struct varve_failure failure;
	char text[VARVE_FAILURE_PATH_SIZE + 2 * VARVE_FAILURE_DETAIL_SIZE];

	if (varve_refusal(rpc->service->store, &failure) || failure.error != error)
		failure = (struct varve_failure){ .error = error, .operation = "request" };
	if (error == -EINVAL)
		rpc_end(rpc, GRPC_INVALID_ARGUMENT, "%s",
			varve_strerror(&failure, text, sizeof(text)));
	else
		rpc_fail(rpc, &failure, hint);
}

void rpc_end_key(struct rpc *rpc, enum grpc_status status, struct text key, const char *what)
{
	char quoted[QUOTE_SIZE];

	rpc_end(rpc, status, "snapshot %s: %s", text_quote(key, quoted, sizeof(quoted)), what);
}

bool rpc_gave_up(struct rpc *rpc)
{
	if (!grpc_call_cancelled(rpc->call))
		return false;
	rpc_end(rpc, GRPC_CANCELLED, "cancelled");
	return true;
}

/* ---- requests of clients --------------------------------------------------------------------- */

bool rpc_check_key(struct rpc *rpc, const char *name, struct text key)
{
	const char *fault = text_fault(key);

	if (!key.count)
		rpc_end(rpc, GRPC_INVALID_ARGUMENT, "the %s is empty", name);
	else if (key.count > SNAPSHOT_KEY_BYTES_MAX)
		rpc_end(rpc, GRPC_INVALID_ARGUMENT, "the %s has %zu bytes, more than %d", name,
			key.count, SNAPSHOT_KEY_BYTES_MAX);
	else if (fault)
		rpc_end(rpc, GRPC_INVALID_ARGUMENT, "the %s cannot be a key: %s", name, fault);
	else
		return true;
	return false;
}

bool rpc_take_labels(struct rpc *rpc, Snapshots__Label *const *labels, size_t count,
		     struct label *list, size_t *list_count)
{
	char quoted[QUOTE_SIZE];

	if (count > SNAPSHOT_LABELS_MAX) {
		rpc_end(rpc, GRPC_INVALID_ARGUMENT, "%zu labels, more than %d", count,
			SNAPSHOT_LABELS_MAX);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		struct label label = { .key = text_of_field(&labels[i]->key),
				       .value = text_of_field(&labels[i]->value) };
		size_t bytes = label.key.count + label.value.count;
		const char *fault = text_fault(label.key);

		if (!fault)
			fault = text_fault(label.value);
		text_quote(label.key, quoted, sizeof(quoted));
		if (bytes > SNAPSHOT_LABEL_BYTES_MAX) {
			rpc_end(rpc, GRPC_INVALID_ARGUMENT,
				"the label %s has %zu bytes, more than %d", quoted, bytes,
				SNAPSHOT_LABEL_BYTES_MAX);
			return false;
		}
		if (fault) {
			rpc_end(rpc, GRPC_INVALID_ARGUMENT, "the label %s cannot be one: %s",
				quoted, fault);
			return false;
		}
		list[(*list_count)++] = label;
	}
	return true;
}

bool rpc_read_labels(struct rpc *rpc, Snapshots__Label *const *labels, size_t count,
		     struct labels *ret_labels)
{
	struct label *list = calloc(count + 1, sizeof(*list));
	size_t list_count = 0;
	bool taken;

	if (!list) {
		rpc_no_memory(rpc);
		return false;
	}
	taken = rpc_take_labels(rpc, labels, count, list, &list_count);
	if (taken && labels_make(list, list_count, ret_labels)) {
		rpc_no_memory(rpc);
		taken = false;
	}
	free(list);
	return taken;
}

int labels_size(const struct labels *labels, uint64_t *ret_bytes)
{
	struct text size = labels_value(labels, RPC_LABEL_SIZE);

	*ret_bytes = 0;
	return size.count ? varve_size_parse(size.bytes, ret_bytes) : 0;
}

bool rpc_read_size(struct rpc *rpc, const struct labels *labels, uint64_t *ret_bytes)
{
	char quoted[QUOTE_SIZE];

	if (!labels_size(labels, ret_bytes))
		return true;
	rpc_end(rpc, GRPC_INVALID_ARGUMENT, "the label %s is no size: %s", RPC_LABEL_SIZE,
		text_quote(labels_value(labels, RPC_LABEL_SIZE), quoted, sizeof(quoted)));
	return false;
}

void rpc_record_failed(struct rpc *rpc, int error, size_t bytes)
{
	if (error == -E2BIG)
		rpc_end(rpc, GRPC_INVALID_ARGUMENT,
			"the keys and labels of the snapshot take %zu bytes, more than %d", bytes,
			VARVE_RECORD_BYTES_MAX);
	else
		rpc_no_memory(rpc);
}

struct snapshot *rpc_find(struct rpc *rpc, struct text key)
{
	struct snapshot *snapshot = index_find(&rpc->service->index, key);

	if (snapshot && snapshot_visible(snapshot))
		return snapshot;
	rpc_end_key(rpc, GRPC_NOT_FOUND, key, "does not exist");
	return NULL;
}

int64_t rpc_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}
