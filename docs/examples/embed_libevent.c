/* SPDX-License-Identifier: Apache-2.0 */
/* varve in a libevent loop. The work itself is in churn.c. */
#include "churn.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

/* Exit when POINTER, of WHAT, is NULL; else return it. */
static void *check(void *pointer, const char *what)
{
	if (pointer == NULL) {
		fprintf(stderr, "%s failed\n", what);
		exit(1);
	}
	return pointer;
}

/* Take a tick. */
static void on_tick(evutil_socket_t fd, short events, void *data)
{
	churn_tick(data);
}

/* example: begin */
/* Run callbacks: the store's descriptor is readable. */
static void on_readable(evutil_socket_t fd, short events, void *data)
{
	struct churn *churn = data;

	if (varve_dispatch(churn->store, CHURN_CALLBACKS_MAX) < 0)
		abort();
}

/* Watch the store; to be freed with event_free() before the store is closed. */
static struct event *watch(struct event_base *base, struct churn *churn)
{
	struct event *event;

	event = event_new(base, varve_fd(churn->store), EV_READ | EV_PERSIST,
			  on_readable, churn);
	check(event, "event_new");
	if (event_add(event, NULL) < 0)
		check(NULL, "event_add");
	return event;
}

/* End the loop, after the callbacks of this turn. */
static void stop(void *data)
{
	event_base_loopexit(data, NULL);
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	const struct timeval period = { .tv_usec = CHURN_TICK_MS * 1000 };
	struct event_base *base = check(event_base_new(), "event_base_new");
	struct event *readable, *timer;
	struct churn churn;

	churn_open(&churn, argc, argv);
	readable = watch(base, &churn);
	timer = check(event_new(base, -1, EV_PERSIST, on_tick, &churn), "event_new");
	if (event_add(timer, &period) < 0)
		check(NULL, "event_add");
	churn_start(&churn, stop, base);
	if (event_base_dispatch(base) != 0)
		check(NULL, "event_base_dispatch");
	event_free(timer);
	event_free(readable);
	event_base_free(base);
	return churn_finish(&churn, "libevent");
}
