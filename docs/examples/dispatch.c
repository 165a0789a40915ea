/* SPDX-License-Identifier: Apache-2.0 */
/* A loop of one's own around poll(2): the example of varve_dispatch(3). */
#include "example.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

/* Requests that main() submits. */
#define REQUESTS 10

/* What the callbacks count. */
struct progress {
	int pending;	/* Requests whose callback has not run. */
	int cancelled;	/* Those that ended early. */
	int failed;	/* Those that ended with another error. */
};

/* Count one request as ended. */
static void ended(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	struct progress *progress = user_data;

	progress->pending--;
	if (result->error == -ECANCELED)
		progress->cancelled++;
	else if (result->error != 0)
		progress->failed++;
}

/* example: begin */
/* Run callbacks until none of PROGRESS is pending. */
static int run(struct varve_store *store, struct progress *progress)
{
	struct pollfd poll_fd = { .fd = varve_fd(store), .events = POLLIN };
	int ret;

	while (progress->pending > 0) {
		ret = poll(&poll_fd, 1, 1000);
		if (ret < 0 && errno != EINTR)
			return -errno;
		if (ret == 0)
			fprintf(stderr, "%d pending\n", progress->pending);
		if (ret > 0) {
			ret = varve_dispatch(store, 16);
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	struct progress progress = { 0 };
	varve_request requests[REQUESTS];
	int i, ret;

	for (i = 0; i < REQUESTS; i++) {
		if (varve_noop(store, ended, &progress, &requests[i]) < 0)
			example_refused(store);
		progress.pending++;
	}
	ret = varve_cancel(store, requests[REQUESTS - 1]);
	if (ret < 0 && ret != -ENOENT)
		return 1;
	ret = run(store, &progress);
	printf("%d requests ended, %d of them cancelled\n", REQUESTS, progress.cancelled);
	if (varve_wait_for(store, requests[0], -1) != 0 || varve_pending(store) != 0)
		return 1;
	varve_close(store);
	return ret == 0 && progress.failed == 0 && progress.cancelled <= 1 ? 0 : 1;
}
