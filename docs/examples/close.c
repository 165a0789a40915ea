/* SPDX-License-Identifier: Apache-2.0 */
/* Close a store from a callback: an example of varve_embedding(7). */
#include "example.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

/* Requests that are submitted before the store is closed. */
#define REQUESTS 32

/* example: begin */
/* Count a callback in *USER_DATA; the first one closes the store. */
static void close_on_first(struct varve_store *store,
			   const struct varve_result *result, void *user_data)
{
	int *callbacks = user_data;

	if (++*callbacks == 1)
		varve_close(store);
}

/* Dispatch until the store is gone; every request still has its callback. */
static int run_until_closed(struct varve_store *store)
{
	struct pollfd poll_fd = { .fd = varve_fd(store), .events = POLLIN };
	int ret;

	do {
		ret = poll(&poll_fd, 1, -1) < 0 ? -errno : 0;
		if (ret == 0)
			ret = varve_dispatch(store, 1);
	} while (ret >= 0 || ret == -EINTR);
	/* The store is freed: do not touch it. */
	return ret == -ESHUTDOWN ? 0 : ret;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	int callbacks = 0, i, ret;

	for (i = 0; i < REQUESTS; i++) {
		if (varve_noop(store, close_on_first, &callbacks, NULL) < 0)
			example_refused(store);
	}
	ret = run_until_closed(store);
	printf("closed in a callback; %d of %d callbacks ran\n", callbacks, REQUESTS);
	return ret == 0 && callbacks == REQUESTS ? 0 : 1;
}
