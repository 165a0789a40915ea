/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage. What a committed snapshot uses is measured once, and kept. An active one is measured each
 * time; containerd asks for all of them, one after another, every few seconds. Alone, each question
 * wakes four threads in turn. So a client that asks for one after another has the next ones
 * measured along with the one that it asks for:
 *
 *	usages	asked longest ago ... asked last	all active ones that were asked for
 *		[next ones, measured ahead ->	]
 *
 * They are those that were asked for longest ago, since a client asks in the same order again. None
 * is measured ahead that was asked for in this run already. What was measured ahead answers one
 * question, within USAGE_AHEAD_NS; a question that comes while it is measured waits for that. More
 * are measured ahead where the last ones were asked for, else fewer.
 */
#include "rpc.h"

#include "limits.h"
#include "loop.h"

#include <stdlib.h>

/* A Usage under way. */
struct usage {
	struct rpc rpc;
	/* The layer that is measured. */
	uint64_t number;
	/* It has waited for what was measured ahead. */
	bool waited;
};

/* A snapshot is measured ahead. */
struct usage_ahead {
	struct snapshots *snapshots;
	/* NULL: it is gone. */
	struct snapshot *snapshot;
	/* The calls that wait for it. */
	struct link waiters;
	/* When it began. */
	uint64_t begun_ns;
};

/* End RPC with BYTES and INODES. */
static void usage_answer(struct rpc *rpc, uint64_t bytes, uint64_t inodes)
{
	Snapshots__UsageResponse response = SNAPSHOTS__USAGE_RESPONSE__INIT;

	response.size = bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
	response.inodes = inodes > INT64_MAX ? INT64_MAX : (int64_t)inodes;
	rpc_answer(rpc, &response.base);
}

/* ---- measured ahead -------------------------------------------------------------------------- */

/* It was measured, or not: then those that wait ask themselves. */
static void usage_ahead_measured(struct varve_store *store, const struct varve_result *result,
				 void *user_data)
{
	struct usage_ahead *ahead = user_data;
	struct snapshot *snapshot = ahead->snapshot;
	struct link waiters;

	if (snapshot) {
		snapshot->ahead = NULL;
		snapshot->ahead_ns = result->error ? 0 : ahead->begun_ns;
		if (!result->error) {
			snapshot->ahead_bytes = result->usage->disk_bytes;
			snapshot->ahead_inodes = result->usage->inodes;
		}
	}
	/* The list moves to here. */
	link_init(&waiters);
	link_append(&ahead->waiters, &waiters);
	link_remove(&ahead->waiters);
	free(ahead);
	while (!link_alone(&waiters)) {
		struct rpc *waiter = link_entry(waiters.next, struct rpc, waiting);

		link_remove(&waiter->waiting);
		waiter->begin(waiter);
	}
}

/* Measure SNAPSHOT ahead, at NOW_NS: false when the store takes no more. */
static bool usage_ahead_start(struct snapshots *snapshots, struct snapshot *snapshot,
			      uint64_t now_ns)
{
	struct usage_ahead *ahead = malloc(sizeof(*ahead));
	char layer[SNAPSHOT_LAYER_SIZE];

	if (!ahead)
		return false;
	*ahead = (struct usage_ahead){ .snapshots = snapshots,
				       .snapshot = snapshot,
				       .begun_ns = now_ns };
	link_init(&ahead->waiters);
	if (varve_layer_usage(snapshots->store, snapshot_layer(snapshot->number, layer),
			      VARVE_USAGE_DELTA | VARVE_USAGE_NO_FLUSH, usage_ahead_measured, ahead,
			      NULL)) {
		free(ahead);
		return false;
	}
	snapshot->ahead_ns = 0;
	snapshot->ahead = &ahead->snapshot;
	return true;
}

/* A client that asks for one after another had to wait at NOW_NS: measure the next ones. */
static void usage_ahead(struct snapshots *snapshots, uint64_t now_ns)
{
	struct usage_run *run = &snapshots->usage_run;
	struct link *link = snapshots->usages.next;
	unsigned most;

	most = run->used * 2 >= run->made ? run->most * 2 : run->most / 2;
	run->most = most < 1 ? 1 : most > USAGE_AHEAD_MAX ? USAGE_AHEAD_MAX : most;
	run->made = run->used = 0;
	for (; link != &snapshots->usages && run->made < run->most; link = link->next) {
		struct snapshot *snapshot = link_entry(link, struct snapshot, usages);

		if (snapshot->asked_ns >= run->begun_ns)
			return;
		if (snapshot->ahead || snapshot->worker)
			continue;
		if (!usage_ahead_start(snapshots, snapshot, now_ns))
			return;
		run->made++;
	}
}

/* ---- the call -------------------------------------------------------------------------------- */

/* The layer was measured, or not. */
static void usage_measured(struct varve_store *store, const struct varve_result *result,
			   void *user_data)
{
	struct usage *usage = user_data;
	struct rpc *rpc = &usage->rpc;
	const Snapshots__KeyRequest *request = (const Snapshots__KeyRequest *)rpc->message;
	struct snapshot *snapshot;

	rpc->request = 0;
	if (result->error) {
		rpc_fail(rpc, result->failure, NULL);
		return;
	}
	/* A committed one does not change any more; meanwhile it may have been removed. */
	snapshot = index_find(&rpc->service->index, text_of_field(&request->key));
	if (snapshot && snapshot->kind == SNAPSHOT_COMMITTED && snapshot->number == usage->number) {
		snapshot->usage_known = true;
		snapshot->usage_bytes = result->usage->disk_bytes;
		snapshot->usage_inodes = result->usage->inodes;
	}
	usage_answer(rpc, result->usage->disk_bytes, result->usage->inodes);
}

/*
 * SNAPSHOT, an active one, is asked for at NOW_NS. Does the client ask for one after another?
 */
static bool usage_follows(struct snapshots *snapshots, struct snapshot *snapshot, uint64_t now_ns)
{
	struct usage_run *run = &snapshots->usage_run;
	bool follows = run->asked_ns && now_ns - run->asked_ns < USAGE_AHEAD_NS;

	/* The same one again begins the next run. */
	if (!follows || snapshot->asked_ns >= run->begun_ns)
		run->begun_ns = now_ns;
	run->asked_ns = snapshot->asked_ns = now_ns;
	link_remove(&snapshot->usages);
	link_append(&snapshots->usages, &snapshot->usages);
	return follows;
}

/*
 * Is SNAPSHOT answered at NOW_NS by what is measured ahead? Then the call is ended, or waits.
 */
static bool usage_from_ahead(struct usage *usage, struct snapshot *snapshot, uint64_t now_ns)
{
	struct rpc *rpc = &usage->rpc;
	bool known = snapshot->ahead_ns && now_ns - snapshot->ahead_ns < USAGE_AHEAD_NS;
	struct usage_ahead *ahead;

	snapshot->ahead_ns = 0;
	if (known) {
		rpc->service->usage_run.used++;
		usage_answer(rpc, snapshot->ahead_bytes, snapshot->ahead_inodes);
		return true;
	}
	if (!snapshot->ahead)
		return false;
	ahead = link_entry(snapshot->ahead, struct usage_ahead, snapshot);
	link_append(&ahead->waiters, &rpc->waiting);
	usage->waited = true;
	return true;
}

static void usage_begin(struct rpc *rpc)
{
	const Snapshots__KeyRequest *request = (const Snapshots__KeyRequest *)rpc->message;
	struct snapshot *snapshot = rpc_find(rpc, text_of_field(&request->key));
	struct usage *usage = (struct usage *)rpc;
	uint64_t flags = VARVE_USAGE_DELTA, now_ns;
	char layer[SNAPSHOT_LAYER_SIZE];
	bool follows = false;
	int r;

	if (!snapshot)
		return;
	if (snapshot->kind == SNAPSHOT_VIEW || snapshot->usage_known) {
		usage_answer(rpc, snapshot->usage_bytes, snapshot->usage_inodes);
		return;
	}
	now_ns = loop_now();
	/* What is measured of a committed one is kept, and has to be exact. */
	if (snapshot->kind == SNAPSHOT_ACTIVE && !rpc->service->usage_exact) {
		flags |= VARVE_USAGE_NO_FLUSH;
		follows = !usage->waited && usage_follows(rpc->service, snapshot, now_ns);
		if (usage_from_ahead(usage, snapshot, now_ns))
			return;
	}
	usage->number = snapshot->number;
	r = varve_layer_usage(rpc->service->store, snapshot_layer(snapshot->number, layer), flags,
			      usage_measured, usage, &rpc->request);
	if (r)
		rpc_refused(rpc, r, NULL);
	else if (follows)
		usage_ahead(rpc->service, now_ns);
}

void usage_start(struct grpc_call *call, const ProtobufCMessage *message, void *service)
{
	rpc_start(call, message, service, sizeof(struct usage), usage_begin, NULL);
}
