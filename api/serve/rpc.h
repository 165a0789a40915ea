/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc.h: what the files of the service share: a call under way, and its failures.
 *
 *	start ── begin: checks, looks up, claims ── request to the store ── callback ── ... ── rpc_end
 *	             │                                                                          │
 *	             └─ waits for the call that has the snapshot ── begin anew <────────────────┘
 *
 * A call that changes a snapshot claims it: until the call ends, others that would change it, or
 * make a child of one that is being removed, wait. Then they begin anew, in their order, and find
 * things as they are then. Two changes of one snapshot thus come one after the other, and none is
 * lost.
 *
 * A call that is cancelled cancels its request to the store and goes on with the callback; one that
 * waits ends at once.
 */
#ifndef VARVE_SERVE_RPC_H
#define VARVE_SERVE_RPC_H

#include <varve.h>

#include "api/serve/snapshots.pb-c.h"
#include "grpc.h"
#include "index.h"

/* The label that limits the size of a snapshot. */
#define RPC_LABEL_SIZE "containerd.io/snapshot/max-size"

/* Behind a failure to set a limit: what a person can do. */
#define RPC_QUOTA_HINT                                                                         \
	"; the label " RPC_LABEL_SIZE " needs quota: run `varve quota enable simple`, or let " \
	"the daemon run with --quota=simple"

struct snapshots {
	struct varve_store *store;
	struct index index;
	/* The directory of the layers. */
	char *subvolumes;
	/* Of the next layer. */
	uint64_t next_number;
	bool commit_relaxed, usage_exact;
	/* The calls under way. */
	struct link rpcs;
	/* The Lists that wait for their turn: the first of them has it next. */
	struct link lists;
};

/* A call under way; the first member of the struct of its method. Begins zeroed. */
struct rpc {
	/* Among the calls of the service. */
	struct link link;
	/* Among those that wait for another call; else alone. */
	struct link waiting;
	/* The calls that wait for this one. */
	struct link waiters;
	struct snapshots *service;
	struct grpc_call *call;
	/* The request of the client. */
	const ProtobufCMessage *message;
	/* Begin, also anew after a wait. */
	void (*begin)(struct rpc *rpc);
	/* Free what the call has; NULL: nothing. */
	void (*destroy)(struct rpc *rpc);
	/* The request in flight; 0: none. */
	varve_request request;
	/* The snapshot that this call has claimed, or NULL. */
	struct snapshot *claimed;
};

/* Start a call whose struct has SIZE bytes. */
void rpc_start(struct grpc_call *call, const ProtobufCMessage *message, void *service, size_t size,
	       void (*begin)(struct rpc *rpc), void (*destroy)(struct rpc *rpc));

/* Claim SNAPSHOT, which no other call has, for STATE. */
void rpc_claim(struct rpc *rpc, struct snapshot *snapshot, enum snapshot_state state);

/* Give the claim up; the snapshot is ready again. */
void rpc_release(struct rpc *rpc);

/* Begin anew when the call that has claimed SNAPSHOT has ended. */
void rpc_wait(struct rpc *rpc, struct snapshot *snapshot);

/* End the call, and free it. */
void rpc_end(struct rpc *rpc, enum grpc_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* End the call with MESSAGE as its only answer. */
void rpc_answer(struct rpc *rpc, const ProtobufCMessage *message);

/* End the call because memory ran out. */
void rpc_no_memory(struct rpc *rpc);

/* End the call because of FAILURE; HINT (NULL: none) follows in the text. */
void rpc_fail(struct rpc *rpc, const struct varve_failure *failure, const char *hint);

/* End the call because the store has refused its request with ERROR. */
void rpc_refused(struct rpc *rpc, int error, const char *hint);

/* End the call with STATUS, and WHAT about KEY in quotes: `snapshot "k": does not exist`. */
void rpc_end_key(struct rpc *rpc, enum grpc_status status, struct text key, const char *what);

/*
 * Has the client cancelled the call? Then it is ended. For use in callbacks, before the next step.
 */
bool rpc_gave_up(struct rpc *rpc);

/* Is KEY, which the request calls NAME, one that a snapshot can have? If not the call is ended. */
bool rpc_check_key(struct rpc *rpc, const char *name, struct text key);

/*
 * Append the LABELS of a request, COUNT of them, to *LIST, which has *LIST_COUNT and room. If one
 * cannot be, the call is ended, and the result is false.
 */
bool rpc_take_labels(struct rpc *rpc, Snapshots__Label *const *labels, size_t count,
		     struct label *list, size_t *list_count);

/* Read the LABELS of a request into *RET_LABELS. If they cannot be, the call is ended: false. */
bool rpc_read_labels(struct rpc *rpc, Snapshots__Label *const *labels, size_t count,
		     struct labels *ret_labels);

/* The size that LABELS ask for: *RET_BYTES; 0: none. 0 or -EINVAL, -ERANGE. */
int labels_size(const struct labels *labels, uint64_t *ret_bytes);

/* The same; if it is no size, the call is ended, and the result is false. */
bool rpc_read_size(struct rpc *rpc, const struct labels *labels, uint64_t *ret_bytes);

/* End the call because record_encode() gave ERROR, and BYTES. */
void rpc_record_failed(struct rpc *rpc, int error, size_t bytes);

/* The visible snapshot KEY; or the call is ended, and the result is NULL. */
struct snapshot *rpc_find(struct rpc *rpc, struct text key);

/* Nanoseconds since the epoch. */
int64_t rpc_now(void);

/* The methods. */
void prepare_start(struct grpc_call *call, const ProtobufCMessage *message, void *service);
void view_start(struct grpc_call *call, const ProtobufCMessage *message, void *service);
void mounts_start(struct grpc_call *call, const ProtobufCMessage *message, void *service);
void commit_start(struct grpc_call *call, const ProtobufCMessage *message, void *service);
void remove_start(struct grpc_call *call, const ProtobufCMessage *message, void *service);
void update_start(struct grpc_call *call, const ProtobufCMessage *message, void *service);
void cleanup_start(struct grpc_call *call, const ProtobufCMessage *message, void *service);
void stat_start(struct grpc_call *call, const ProtobufCMessage *message, void *service);
void list_start(struct grpc_call *call, const ProtobufCMessage *message, void *service);
void usage_start(struct grpc_call *call, const ProtobufCMessage *message, void *service);

/* End RPC with SNAPSHOT as an InfoResponse. */
void info_answer(struct rpc *rpc, const struct snapshot *snapshot);

#endif
