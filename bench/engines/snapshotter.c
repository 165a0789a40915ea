/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any snapshotter of containerd, over its socket: `varve serve`, or one of containerd's own behind
 * a small server. A layer is a snapshot:
 *
 *	create, snapshot	Prepare without a parent, and from one; nothing is mounted
 *	remove			Remove
 *	commit			Commit under the name with ".committed" behind it
 *	usage, get, info	Usage, Mounts, Stat
 *
 * All requests are on one connection. At open the parent layer and the existing layers are copied
 * into snapshots, so that all servers have the same content in files that they wrote themselves.
 *
 * socket= names the socket of a server that runs. server= is a command that starts one, in words:
 * {root} stands for its directory, {socket} for its socket, {bin} for the directory of this
 * program; it reports by sd_notify(3) that it is ready. The server decides how durable an answer
 * is.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engines.h"
#include "grpc_client.h"
#include "load/clock.h"
#include "server.h"

#define METHOD(name) "/containerd.services.snapshots.v1.Snapshots/" name
/* The end of the name of a committed snapshot. */
#define COMMITTED ".committed"
/* Most words of a command. */
#define WORDS_MAX 32
#define KEY_SIZE 512
#define OPTIONS_SIZE 8192
#define NS_PER_MS_ROUND(ns) (((ns) + NS_PER_MS - 1) / NS_PER_MS)

/* A context. */
struct snapshotter {
	const struct bench_env *env; /* What the harness said. */
	struct grpc_client *client;  /* The connection. */
	unsigned completed;          /* Ended since wait() began. */
	struct server server;        /* The server, and a directory for its socket and mounts. */
	char prefix[64];             /* How all keys begin. */
	void *keys;        /* A tree of the existing keys, in a server that was running. */
	char *error;       /* Where open() writes its explanation. */
	size_t error_size; /* Bytes there. */
};

/* ---- requests -------------------------------------------------------------------------------- */

/* Compare two keys. */
static int key_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/*
 * Note that NAME exists, or no longer. A server that was started needs none: all it has is removed.
 */
static void key_note(struct snapshotter *snapshotter, const char *name, bool there)
{
	char **node;
	char *key;

	if (snapshotter->server.pid)
		return;
	node = tfind(name, &snapshotter->keys, key_compare);
	if (there == !!node)
		return;
	key = there ? strdup(name) : *node;
	if (there && key)
		tsearch(key, &snapshotter->keys, key_compare);
	if (!there) {
		tdelete(key, &snapshotter->keys, key_compare);
		free(key);
	}
}

/* Append the field NUMBER with the key that NAME and SUFFIX make. */
static int put_key(const struct snapshotter *snapshotter, struct grpc_client_call *call,
		   unsigned number, const char *name, const char *suffix)
{
	char key[KEY_SIZE];

	if (snprintf(key, sizeof(key), "%s%s%s", snapshotter->prefix, name, suffix) >=
	    (int)sizeof(key))
		return -ENAMETOOLONG;
	return grpc_put(call, number, key);
}

/*
 * Write the request of KIND on NAME to CALL; PARENT: a committed snapshot to start from, or NULL.
 * Returns the method.
 */
static const char *request(const struct snapshotter *snapshotter, struct grpc_client_call *call,
			   enum bench_kind kind, const char *name, const char *parent)
{
	grpc_begin(call);
	if (kind == BENCH_COMMIT) {
		put_key(snapshotter, call, 2, name, COMMITTED);
		put_key(snapshotter, call, 3, name, "");
		return METHOD("Commit");
	}
	put_key(snapshotter, call, 2, name, "");
	switch (kind) {
	case BENCH_REMOVE:
		return METHOD("Remove");
	case BENCH_USAGE:
		return METHOD("Usage");
	case BENCH_GET:
		return METHOD("Mounts");
	case BENCH_INFO:
		return METHOD("Stat");
	default:
		if (parent)
			put_key(snapshotter, call, 3, parent, COMMITTED);
		return METHOD("Prepare");
	}
}

/* Return the errno of the status of CALL. */
static int call_error(const struct grpc_client_call *call)
{
	return call->status <= 0 ? call->status : -EREMOTEIO;
}

/* What a slot keeps. */
struct slot_call {
	struct snapshotter *snapshotter; /* The context. */
	struct grpc_client_call call;    /* Its call. */
};

/* End an operation. */
static void op_ended(struct grpc_client_call *call)
{
	struct bench_op *op = call->data;
	const struct slot_call *slot = op->engine_data;
	struct snapshotter *snapshotter = slot->snapshotter;
	char committed[KEY_SIZE];

	op->error = call_error(call);
	if (op->error)
		snapshotter->env->explain(snapshotter->env->thread, call->text);
	else if (op->kind == BENCH_CREATE || op->kind == BENCH_SNAPSHOT)
		key_note(snapshotter, op->ids[0], true);
	else if (op->kind == BENCH_REMOVE || op->kind == BENCH_COMMIT)
		key_note(snapshotter, op->ids[0], false);
	if (!op->error && op->kind == BENCH_COMMIT) {
		snprintf(committed, sizeof(committed), "%.255s" COMMITTED, op->ids[0]);
		key_note(snapshotter, committed, true);
	}
	snapshotter->completed++;
	snapshotter->env->complete(snapshotter->env->thread, op);
}

static int snapshotter_queue(void *context, struct bench_op *op)
{
	struct snapshotter *snapshotter = context;
	struct slot_call *slot = op->engine_data;
	const char *method;
	int r;

	if (!slot) {
		slot = op->engine_data = malloc(sizeof(*slot));
		if (!slot)
			return -ENOMEM;
		slot->snapshotter = snapshotter;
		slot->call.ended = op_ended;
	}
	slot->call.data = op;
	method = request(snapshotter, &slot->call, op->kind, op->ids[0],
			 op->kind == BENCH_SNAPSHOT ? op->parent : NULL);
	r = grpc_client_start(snapshotter->client, method, &slot->call);
	return r < 0 ? r : BENCH_QUEUED;
}

static int snapshotter_wait(void *context, unsigned min, uint64_t timeout_ns)
{
	struct snapshotter *snapshotter = context;
	uint64_t end = timeout_ns == UINT64_MAX ? 0 : clock_ns() + timeout_ns;
	int r = 0;

	snapshotter->completed = 0;
	while (r == 0 && snapshotter->completed < min) {
		uint64_t now = end ? clock_ns() : 0;

		if (end && now >= end)
			break;
		r = grpc_client_wait(snapshotter->client,
				     end ? (int)NS_PER_MS_ROUND(end - now) : -1);
	}
	return r;
}

static void snapshotter_forget(void *context, struct bench_op *op)
{
	free(op->engine_data);
	op->engine_data = NULL;
}

/* ---- open: one request after the other ------------------------------------------------------- */

/* Note that a call of open() has ended. */
static void call_ended(struct grpc_client_call *call)
{
	*(bool *)call->data = true;
}

/* Make a request of KIND on NAME, and wait for its end. */
static int ask(struct snapshotter *snapshotter, struct grpc_client_call *call, enum bench_kind kind,
	       const char *name, const char *parent)
{
	bool ended = false;
	const char *method = request(snapshotter, call, kind, name, parent);
	int r;

	call->ended = call_ended;
	call->data = &ended;
	r = grpc_client_start(snapshotter->client, method, call);
	while ((r == 0 || r == -EINTR) && !ended)
		r = grpc_client_wait(snapshotter->client, -1);
	if (r == 0)
		r = call_error(call);
	if (r < 0 && snapshotter->error)
		snprintf(snapshotter->error, snapshotter->error_size, "%s of %s: %s",
			 strrchr(method, '/') + 1, name, *call->text ? call->text : strerror(-r));
	return r;
}

/* Run PROGRAM with up to six more words, NULL last. */
static int run_words(struct snapshotter *snapshotter, const char *program, const char *const *words)
{
	char path[PATH_MAX], why[PROGRAM_WHY_SIZE] = "the command is not there";
	const char *arguments[WORDS_MAX] = { path };
	int r = program_find(program, path, sizeof(path));

	for (size_t i = 0; words[i]; i++)
		arguments[i + 1] = words[i];
	if (r == 0)
		r = program_run((char *const *)arguments, why);
	if (r < 0)
		snprintf(snapshotter->error, snapshotter->error_size, "%s: %s", program, why);
	return r;
}

/* Copy a field of a message to RET (SIZE bytes). Returns 0 or -EPROTO. */
static int field_copy(const uint8_t *message, size_t message_size, unsigned number, char *ret,
		      size_t size)
{
	size_t at = 0, length;
	const uint8_t *text = grpc_get(message, message_size, number, &at, &length);

	if (!text || length >= size)
		return -EPROTO;
	memcpy(ret, text, length);
	ret[length] = '\0';
	return 0;
}

/* Mount on TARGET as the answer of CALL says. */
static int mount_answer(struct snapshotter *snapshotter, const struct grpc_client_call *call,
			const char *target)
{
	char type[64], source[PATH_MAX], options[OPTIONS_SIZE] = "rw";
	size_t size, length, at = 0;
	const uint8_t *message = grpc_answer(call, &size);
	const uint8_t *mount = grpc_get(message, size, 1, &at, &length);
	const uint8_t *option;
	size_t option_length, end = strlen(options);
	int r = mount ? 0 : -EPROTO;

	if (r == 0)
		r = field_copy(mount, length, 1, type, sizeof(type));
	if (r == 0)
		r = field_copy(mount, length, 2, source, sizeof(source));
	for (at = 0; r == 0 && (option = grpc_get(mount, length, 4, &at, &option_length));) {
		if (end + option_length + 2 > sizeof(options))
			return -EMSGSIZE;
		end += (size_t)sprintf(options + end, ",%.*s", (int)option_length,
				       (const char *)option);
	}
	if (r < 0)
		return r;
	return run_words(snapshotter, "mount",
			 (const char *const[]){ "-t", strcmp(type, "bind") ? type : "none", "-o",
						options, source, target, NULL });
}

/*
 * Make the snapshot NAME from PARENT (NULL: from nothing), and copy into it what is newer in the
 * layer of that name.
 */
static int take_over(struct snapshotter *snapshotter, struct grpc_client_call *call,
		     const char *name, const char *parent)
{
	char target[PATH_MAX], source[PATH_MAX];
	int r = ask(snapshotter, call, BENCH_CREATE, name, parent), r2;

	if (r < 0)
		return r;
	key_note(snapshotter, name, true);
	if (snprintf(source, sizeof(source), "%s/%s/.", snapshotter->env->subvolumes, name) >=
	    (int)sizeof(source))
		return -ENAMETOOLONG;
	snprintf(target, sizeof(target), "%s/mount", snapshotter->server.directory);
	r = mount_answer(snapshotter, call, target);
	if (r < 0)
		return r;
	/* A clone would have no data to write. */
	r = run_words(snapshotter, "cp",
		      (const char *const[]){ "-a", "-u", "--reflink=never", source, target, NULL });
	r2 = run_words(snapshotter, "umount", (const char *const[]){ target, NULL });
	return r < 0 ? r : r2;
}

/* Take over the layers that are there: the parent, committed, first. */
static int take_over_all(struct snapshotter *snapshotter)
{
	const char *parent = snapshotter->env->parent;
	struct grpc_client_call *call = malloc(sizeof(*call));
	struct dirent **names = NULL;
	int count = 0, r;

	if (!call)
		return -ENOMEM;
	r = take_over(snapshotter, call, parent, NULL);
	if (r == 0)
		r = ask(snapshotter, call, BENCH_COMMIT, parent, NULL);
	if (r == 0)
		key_note(snapshotter, parent, false);
	if (r == 0)
		count = scandir(snapshotter->env->subvolumes, &names, NULL, alphasort);
	if (count < 0)
		r = -errno;
	for (int i = 0; i < count; i++) {
		if (r == 0 && names[i]->d_name[0] != '.' && strcmp(names[i]->d_name, parent))
			r = take_over(snapshotter, call, names[i]->d_name, parent);
		free(names[i]);
	}
	free(names);
	free(call);
	return r;
}

/* ---- open and close -------------------------------------------------------------------------- */

/* Remove what was made in a server that was running: children first. */
static void remove_all(struct snapshotter *snapshotter)
{
	struct grpc_client_call *call = malloc(sizeof(*call));
	char parent[KEY_SIZE];

	snapshotter->error = NULL;
	while (call && snapshotter->keys) {
		char *key = *(char **)snapshotter->keys;

		ask(snapshotter, call, BENCH_REMOVE, key, NULL);
		key_note(snapshotter, key, false);
	}
	if (call && snapshotter->env->parent) {
		snprintf(parent, sizeof(parent), "%.255s" COMMITTED, snapshotter->env->parent);
		ask(snapshotter, call, BENCH_REMOVE, parent, NULL);
	}
	free(call);
}

static void snapshotter_close(void *context)
{
	struct snapshotter *snapshotter = context;
	char path[PATH_MAX];

	if (snapshotter->client && !snapshotter->server.pid)
		remove_all(snapshotter);
	grpc_client_close(snapshotter->client);
	if (*snapshotter->server.directory) {
		snprintf(path, sizeof(path), "%s/mount", snapshotter->server.directory);
		rmdir(path);
	}
	server_end(&snapshotter->server);
	free(snapshotter);
}

/* Find or start the server of SNAPSHOTTER, connect, and take the layers over. */
static int snapshotter_begin(struct snapshotter *snapshotter)
{
	const struct bench_env *env = snapshotter->env;
	const char *server = env->text(env, "server"), *socket = env->text(env, "socket");
	char path[PATH_MAX];
	int r = 0;

	if (!server == !socket || env->option(env, "batch") > 1 ||
	    env->option(env, "numjobs") > 1) {
		snprintf(snapshotter->error, snapshotter->error_size,
			 "needs either server= or socket=, and no batch and no numjobs");
		return -EINVAL;
	}
	r = server_begin(&snapshotter->server);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/mount", snapshotter->server.directory);
	if (mkdir(path, 0700) < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/socket", snapshotter->server.directory);
	snprintf(snapshotter->prefix, sizeof(snapshotter->prefix), "varve-bench/%d/",
		 (int)getpid());
	if (server)
		r = server_start(&snapshotter->server, server);
	if (r < 0)
		return r;
	if (server)
		socket = path;
	r = grpc_client_open(socket, &snapshotter->client);
	if (r < 0)
		snprintf(snapshotter->error, snapshotter->error_size, "%s: %s", socket,
			 strerror(-r));
	return r < 0 ? r : take_over_all(snapshotter);
}

static int snapshotter_open(const struct bench_env *env, void **ret_context, char *error,
			    size_t size)
{
	struct snapshotter *snapshotter = calloc(1, sizeof(*snapshotter));
	int r;

	if (!snapshotter)
		return -ENOMEM;
	*snapshotter = (struct snapshotter){ .env = env, .error = error, .error_size = size };
	snapshotter->server = (struct server){ .env = env, .error = error, .error_size = size };
	r = snapshotter_begin(snapshotter);
	if (r < 0)
		snapshotter_close(snapshotter);
	else
		*ret_context = snapshotter;
	return r;
}

const struct bench_engine engine_snapshotter = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_CREATE) | BENCH_BIT(BENCH_SNAPSHOT) | BENCH_BIT(BENCH_REMOVE) |
		 BENCH_BIT(BENCH_COMMIT) | BENCH_BIT(BENCH_USAGE) | BENCH_BIT(BENCH_GET) |
		 BENCH_BIT(BENCH_INFO),
	.name = "snapshotter",
	.description = "a snapshotter of containerd over its socket",
	.open = snapshotter_open,
	.queue = snapshotter_queue,
	.wait = snapshotter_wait,
	.forget = snapshotter_forget,
	.close = snapshotter_close,
};
