/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake.h: the snapshots service on a store, and calls without a client. A request to the store ends
 * in node_wait() alone, since its callback runs nowhere else: so a test chooses what is under way.
 */
#ifndef TESTS_SNAPSHOTS_FAKE_H
#define TESTS_SNAPSHOTS_FAKE_H

#include "test.h"

#include "api/serve/snapshots.pb-c.h"
#include "grpc.h"
#include "service.h"

/* A call. */
struct grpc_call {
	struct grpc_call *next;
	const struct grpc_method *method;
	ProtobufCMessage *message;
	void (*cancelled)(struct grpc_call *call, void *data);
	void *cancelled_data;
	void (*room)(struct grpc_call *call, void *data);
	void *room_data;
	bool cancel, ended, due;
	enum grpc_status status;
	/* Of the status; "" for none. */
	char *text;
	/* The messages of the answer, packed. */
	struct {
		uint8_t *bytes;
		size_t count;
	} answers[512];
	size_t answers_count;
};

/* A daemon without its sockets. */
struct node {
	char *home;
	struct varve_store *store;
	struct snapshots *snapshots;
	struct grpc_call *calls;
	/* What it said about the home. */
	char *said;
};

/* "KEY=VALUE" strings. */
#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* While not 0: changes of records are made, and then fail with this error. */
extern int node_label_fault;
/* How many have failed so. */
extern unsigned node_label_failures;

/* NULL, or what is called each time that the records of a home have been read. */
extern void (*node_after_find)(void);
/* The layer that is not found then, as if it were made or removed meanwhile; NULL: none. */
extern const char *node_hidden;

/* Open HOME. */
struct node *node_open(char *home);

/* Open HOME with OPTIONS of the service and those of the STORE ("KEY=VALUE", or NULL). */
struct node *node_open_with(char *home, const struct snapshots_options *options,
			    const char *const *store);

/* Close NODE, as the daemon does, with calls under way; each has ended then. */
void node_close(struct node *node);

/* Close and open. */
struct node *node_again(struct node *node);

/* Begin METHOD ("Stat") with MESSAGE. */
struct grpc_call *node_call(struct node *node, const char *method, const ProtobufCMessage *message);

/* Begin Prepare or View of KEY; PARENT and LABELS may be NULL. */
struct grpc_call *node_create(struct node *node, const char *method, const char *key,
			      const char *parent, const char *const *labels);

/* Begin a Commit. */
struct grpc_call *node_commit(struct node *node, const char *name, const char *key,
			      const char *const *labels);

/* Begin METHOD, which has a key alone. */
struct grpc_call *node_key(struct node *node, const char *method, const char *key);

/* Begin an Update of the FIELDS (NULL: none named) to LABELS. */
struct grpc_call *node_update(struct node *node, const char *key, const char *const *fields,
			      const char *const *labels);

/* Begin a List by FILTERS. */
struct grpc_call *node_list(struct node *node, const char *const *filters);

/* Let CALL's client go. */
void node_cancel(struct grpc_call *call);

/* Give room once to each call that asks for it: a turn of the loop. Return to how many. */
unsigned node_turn(struct node *node);

/*
 * Run until CALL has ended, and return its status. Others have room only where it waits for them.
 */
enum grpc_status node_wait(struct node *node, struct grpc_call *call);

/* Run until all calls have ended. */
void node_wait_all(struct node *node);

/* Wait until a callback of the store is ready, and run none. */
void node_await_ready(struct node *node);

/* Run CALL, and fail the test unless its status is STATUS. */
#define node_expect(node, call, status_)                                                   \
	do {                                                                               \
		struct grpc_call *call_ = (call);                                          \
		enum grpc_status got_ = node_wait((node), call_);                          \
		ck_assert_msg(got_ == (status_), "%s: status %d, not %s: %s", #call, got_, \
			      #status_, call_->text);                                      \
	} while (0)

/* The information about KEY, as text: "KEY kind PARENT {label=value,...}"; or NULL. */
char *node_stat(struct node *node, const char *key);

/* The keys that a List by FILTERS gives, sorted, joined by blanks. */
char *node_keys(struct node *node, const char *const *filters);

/* The only mount of CALL, as text: "TYPE SOURCE OPTION,OPTION"; the source without the home. */
char *node_mount(struct node *node, const struct grpc_call *call);

/* Unpack a message of DESCRIPTOR, which lives as long as the process. */
void *node_unpack(const ProtobufCMessageDescriptor *descriptor, const void *bytes, size_t count);

/* The answer of CALL as a message of DESCRIPTOR, never freed. */
const void *node_answer(const struct grpc_call *call, size_t number,
			const ProtobufCMessageDescriptor *descriptor);

/* Prepare a child of PARENT (may be NULL), and commit it as NAME. */
void node_make(struct node *node, const char *name, const char *parent);

#endif
