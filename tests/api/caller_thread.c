/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submits and dispatches all kinds of requests, between two marks in its system-call trace: see
 * test_no_fs_calls.sh.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <varve.h>

#define ROUNDS 20
#define REQUESTS 7

/* Count the end of a request. */
static void ended(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	++*(unsigned *)user_data;
}

/* Leave a mark in the trace: a write that fails. */
static void mark(const char *text)
{
	if (write(-1, text, strlen(text)) >= 0)
		abort();
}

/* Submit one of each kind; return how many. */
static unsigned submit(struct varve_store *store, unsigned *count, int round)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	char id[32];
	int error = 0;
	options.parent = "base";
	snprintf(id, sizeof(id), "layer-%d", round);
	error |= varve_layer_create(store, id, &options, ended, count, NULL);
	error |= varve_layer_exists(store, id, ended, count, NULL);
	error |= varve_layer_get(store, "base", NULL, ended, count, NULL);
	error |= varve_layer_info(store, id, ended, count, NULL);
	error |= varve_layer_list(store, ended, count, NULL);
	error |= varve_layer_remove(store, id, 0, ended, count, NULL);
	error |= varve_noop(store, ended, count, NULL);
	return error ? 0 : REQUESTS;
}

int main(int argc, char **argv)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	struct varve_store *store;
	unsigned submitted = 0, count = 0;
	if (argc != 3)
		return 2;
	config.home = argv[1];
	config.flags = strcmp(argv[2], "threads") ? 0 : VARVE_OPEN_NO_URING;
	if (varve_open(&config, &store, NULL) || varve_layer_create_wait(store, "base", NULL, NULL))
		return 3;
	printf("%d\n", gettid());
	fflush(stdout);
	mark("FROM HERE");
	for (int round = 0; round < ROUNDS; round++) {
		submitted += submit(store, &count, round);
		while (count < submitted) {
			struct pollfd pollfd = { .fd = varve_fd(store), .events = POLLIN };
			if (poll(&pollfd, 1, -1) < 0 || varve_dispatch(store, 0) < 0)
				return 4;
		}
	}
	mark("TO HERE");
	return varve_close(store) || count != ROUNDS * REQUESTS;
}
