/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.c: see daemon.h.
 *
 *	starting   the store is opened, the home locked, the services load; then the sockets are made
 *	serving	   READY=1
 *	draining   a signal came: no new connections and calls, those in flight go on, for SERVE_DRAIN_MS
 *	cutting	   a second one that is no SIGHUP came, or the time is over: all calls are cancelled, for
 *		   SERVE_CUT_MS
 *
 * The store is closed before the services: its last callbacks end their last calls.
 */
#include "daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <varve.h>

#include "complain.h"
#include "connection.h"
#include "health.h"
#include "listener.h"
#include "lock.h"
#include "metrics.h"
#include "notify.h"
#include "scrape.h"
#include "service.h"

/* The name of a socket of systemd's that is for metrics. */
#define SERVE_METRICS_NAME "metrics"

/* The daemon. */
struct serve {
	const struct serve_options *options;
	struct loop *loop;
	struct varve_store *store;
	struct loop_source store_source;
	struct loop_source signals;
	/* The locks of the home. */
	struct lock lock;
	struct grpc_server *server;
	struct access *access;
	struct health *health;
	struct snapshots *snapshots;
	struct metrics *metrics;
	struct scraper *scraper;
	/* Where clients connect, and where metrics are read. */
	struct listener listeners[LISTENER_PASSED_MAX + 2];
	unsigned listeners_count;
	/* Due when draining, or cutting, has taken too long. */
	struct loop_timer patience;
	bool draining, cutting, over;
};

/* ---- connections ----------------------------------------------------------------------------- */

/* A client connects. */
static void serve_accepted(void *data, int fd)
{
	struct serve *serve = data;
	pid_t pid = 0;

	if (listener_peer(fd, &pid) < 0) {
		complain("a client that is not root was refused");
		close(fd);
		return;
	}
	connection_accept(serve->server, fd, pid);
}

/* A reader of metrics connects. */
static void serve_scraped(void *data, int fd)
{
	struct serve *serve = data;

	scraper_accept(serve->scraper, fd);
}

/* A connection has ended: its descriptor is free. */
static void serve_ended(void *data)
{
	struct serve *serve = data;

	for (unsigned i = 0; i < serve->listeners_count; i++)
		listener_resume(&serve->listeners[i]);
}

/* A call has ended. */
static void serve_recorded(void *data, const struct server_record *record)
{
	struct serve *serve = data;

	access_record(serve->access, record);
	metrics_record(serve->metrics, record);
}

/* Accept on the socket that was added last, as ACCEPTED: 0, or -errno after a message. */
static int serve_start(struct serve *serve, void (*accepted)(void *data, int fd))
{
	int r = listener_start(&serve->listeners[serve->listeners_count - 1], serve->loop, accepted,
			       serve);

	if (r < 0)
		complain("a socket cannot be served: %s", strerror(-r));
	return r;
}

/* Make the sockets, or take those of systemd: 0, or -errno after a message. */
static int serve_listen(struct serve *serve, const struct listener_passed *passed)
{
	const struct serve_options *options = serve->options;
	unsigned metrics = 0;
	int r = 0;

	for (unsigned i = 0; !r && i < passed->count; i++) {
		bool is_metrics = !strcmp(passed->names[i], SERVE_METRICS_NAME);

		metrics += is_metrics;
		serve->listeners[serve->listeners_count++].source.fd = passed->first + (int)i;
		r = serve_start(serve, is_metrics ? serve_scraped : serve_accepted);
	}
	if (!r && (passed->count == metrics || options->socket_named)) {
		r = listener_bind(&serve->listeners[serve->listeners_count++], options->socket,
				  false);
		if (!r)
			r = serve_start(serve, serve_accepted);
	}
	if (!r && options->metrics) {
		r = listener_bind(&serve->listeners[serve->listeners_count++], options->metrics,
				  true);
		if (!r)
			r = serve_start(serve, serve_scraped);
	}
	return r;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Cancel what is in flight. */
static void serve_cut(struct serve *serve)
{
	serve->cutting = true;
	connection_cut_all(serve->server);
	loop_timer_after(serve->loop, &serve->patience, SERVE_CUT_MS);
}

/* Draining, or cutting, has taken too long. */
static void serve_impatient(void *data)
{
	struct serve *serve = data;

	if (serve->cutting)
		serve->over = true;
	else
		serve_cut(serve);
}

/* Take no more, and let what is in flight end. */
static void serve_drain(struct serve *serve)
{
	serve->draining = true;
	notify("STOPPING=1");
	for (unsigned i = 0; i < serve->listeners_count; i++)
		listener_stop(&serve->listeners[i]);
	health_drain(serve->health);
	connection_drain_all(serve->server);
	loop_timer_after(serve->loop, &serve->patience, SERVE_DRAIN_MS);
}

/* A signal came. */
static void serve_signalled(void *data, uint32_t events)
{
	struct serve *serve = data;
	struct signalfd_siginfo info;

	if (read(serve->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (!serve->draining)
		serve_drain(serve);
	/* A terminal that goes sends SIGHUP, and so does its shell: that is not impatience. */
	else if (!serve->cutting && info.ssi_signo != SIGHUP)
		serve_cut(serve);
}

/* ---- the start ------------------------------------------------------------------------------- */

/* Take signals as events: 0 or -errno. */
static int serve_catch(struct serve *serve)
{
	struct sigaction hangup;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	/* Unless nohup has it ignored: one that is blocked would come all the same. */
	if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
		sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	serve->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (serve->signals.fd < 0)
		return -errno;
	serve->signals.ready = serve_signalled;
	serve->signals.data = serve;
	return loop_add(serve->loop, &serve->signals, EPOLLIN);
}

/* Connections and requests of the store need descriptors: take all that the limits leave. */
static void serve_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Callbacks of the store are ready. */
static void serve_dispatch(void *data, uint32_t events)
{
	struct serve *serve = data;

	varve_dispatch(serve->store, SERVE_DISPATCH_MAX);
}

/* What a killed daemon has left behind is swept: complain where that has failed. */
static void serve_swept(struct varve_store *store, const struct varve_result *result,
			void *user_data)
{
	char text[SERVE_FAILURE_BYTES];

	if (result->error < 0 && result->error != -ECANCELED)
		complain("leftovers stay: %s", varve_strerror(result->failure, text, sizeof(text)));
}

/* Something about the snapshots of the home. */
static void serve_say(void *data, const char *line)
{
	complain("%s", line);
}

/* Read the snapshots: 0, or -errno after a message. */
static int serve_load(struct serve *serve)
{
	struct snapshots_options options = {
		.home = serve->options->home,
		.commit_relaxed = serve->options->commit_relaxed,
		.usage_exact = serve->options->usage_exact,
		.say = serve_say,
	};
	struct varve_failure failure;
	char text[SERVE_FAILURE_BYTES];
	int r = snapshots_open(serve->store, &options, &serve->snapshots, &failure);

	if (r < 0)
		complain("the snapshots cannot be read: %s",
			 varve_strerror(&failure, text, sizeof(text)));
	return r;
}

/* Open the store, lock the home: 0, or -errno after a message. */
static int serve_open(struct serve *serve)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	struct varve_failure failure = { 0 };
	char text[SERVE_FAILURE_BYTES];
	int r;

	config.home = serve->options->home;
	config.options = serve->options->store_options;
	config.debug = serve->options->debug;
	/* It sweeps when it serves: a second daemon fails at once. */
	config.flags = serve->options->store_flags | VARVE_OPEN_NO_SWEEP;
	r = varve_open(&config, &serve->store, &failure);
	if (r < 0) {
		complain("%s", varve_strerror(&failure, text, sizeof(text)));
		return r;
	}
	r = lock_home(&serve->lock, serve->options->home);
	if (r < 0)
		return r;
	serve->store_source = (struct loop_source){ varve_fd(serve->store), serve_dispatch, serve };
	r = loop_add(serve->loop, &serve->store_source, EPOLLIN);
	if (r < 0) {
		complain("the store cannot be watched: %s", strerror(-r));
		return r;
	}
	return 0;
}

/* Make the server and its services: 0, or -errno after a message. */
static int serve_create(struct serve *serve)
{
	int r = grpc_server_create(serve->loop, NULL, &serve->server);

	if (!r)
		r = access_create(serve->loop, STDERR_FILENO, serve->options->access,
				  &serve->access);
	if (!r)
		r = health_create(serve->server, &serve->health);
	if (!r)
		r = grpc_server_add(serve->server, snapshots_methods, serve->snapshots);
	if (!r)
		r = metrics_create(serve->server, serve->store, &serve->metrics);
	if (!r)
		r = scraper_create(serve->loop, serve->metrics, &serve->scraper);
	if (r < 0) {
		complain("no memory");
		return r;
	}
	serve->server->recorded = serve_recorded;
	serve->server->recorded_data = serve;
	serve->server->ended = serve_ended;
	serve->server->ended_data = serve;
	return 0;
}

/* Run until all is over: 0, or -errno after a message. */
static int serve_loop(struct serve *serve)
{
	int r;

	notify("READY=1");
	/* Not before: it takes as long as reading all snapshots does. */
	varve_sweep(serve->store, serve_swept, serve, NULL);
	while (!serve->over && !(serve->draining && server_idle(serve->server))) {
		r = loop_turn(serve->loop, -1);
		if (r < 0) {
			complain("epoll_wait: %s", strerror(-r));
			return r;
		}
	}
	return 0;
}

/* Undo what was done. */
static void serve_destroy(struct serve *serve)
{
	for (unsigned i = 0; i < serve->listeners_count; i++)
		listener_stop(&serve->listeners[i]);
	if (serve->server) {
		serve->server->ended = NULL;
		connection_cut_all(serve->server);
		/* Calls that wait for room are ended by tasks. */
		for (unsigned i = 0; i < SERVE_LAST_TURNS && loop_turn(serve->loop, 0) > 0; i++)
			;
	}
	scraper_destroy(serve->scraper);
	/* What is stuck in the kernel would hold up the end, too: a death at any time is safe. */
	if (serve->over) {
		complain("work in flight does not end; it is left as by a crash");
		_exit(EXIT_FAILURE);
	}
	if (serve->store_source.data)
		loop_remove(serve->loop, &serve->store_source);
	varve_close(serve->store);
	snapshots_close(serve->snapshots);
	health_destroy(serve->health);
	grpc_server_destroy(serve->server);
	access_destroy(serve->access);
	metrics_destroy(serve->metrics);
	if (serve->loop)
		loop_timer_stop(serve->loop, &serve->patience);
	loop_destroy(serve->loop);
	if (serve->signals.fd >= 0)
		close(serve->signals.fd);
	lock_release(&serve->lock);
}

int daemon_run(const struct serve_options *options)
{
	struct serve serve = { .options = options, .signals.fd = -1, .lock = { -1, -1 } };
	struct listener_passed passed = { 0 };
	int r;

	for (size_t i = 0; i < sizeof(serve.listeners) / sizeof(serve.listeners[0]); i++)
		serve.listeners[i].source.fd = -1;
	serve.patience.due = serve_impatient;
	serve.patience.data = &serve;
	serve_raise_descriptors();
	r = listener_take_passed(&passed);
	if (r < 0)
		return EXIT_FAILURE;
	r = loop_create(&serve.loop);
	if (!r)
		r = serve_catch(&serve);
	if (r < 0)
		complain("%s", strerror(-r));
	if (!r)
		r = serve_open(&serve);
	if (!r)
		r = serve_load(&serve);
	if (!r)
		r = serve_create(&serve);
	if (!r)
		r = serve_listen(&serve, &passed);
	if (!r)
		r = serve_loop(&serve);
	serve_destroy(&serve);
	free(passed.text);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
