/* SPDX-License-Identifier: Apache-2.0 */
/* What the examples share; open_store() is the example of varve_open(3). */
#include "example.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void example_die(const struct varve_failure *failure)
{
	char line[2048];

	fprintf(stderr, "%s\n", varve_strerror(failure, line, sizeof(line)));
	exit(1);
}

void example_refused(struct varve_store *store)
{
	struct varve_failure failure;

	if (varve_refusal(store, &failure) < 0) {
		fprintf(stderr, "refused, and no reason is known\n");
		exit(1);
	}
	example_die(&failure);
}

/* example: begin */
struct varve_store *open_store(const char *home, uint64_t flags)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	struct varve_failure failure;
	struct varve_store *store;
	char line[2048];

	config.home = home;
	config.flags = flags;
	config.requests_max = EXAMPLE_REQUESTS_MAX;
	if (varve_open(&config, &store, &failure) < 0) {
		varve_strerror(&failure, line, sizeof(line));
		fprintf(stderr, "%s\n", line);
		exit(1);
	}
	return store;
}
/* example: end */

struct varve_store *example_open(int argc, char **argv)
{
	const char *backend = argc > 2 ? argv[2] : "uring";

	if (argc < 2 || (strcmp(backend, "uring") != 0 && strcmp(backend, "threads") != 0)) {
		fprintf(stderr, "usage: %s HOME [uring|threads]\n", argv[0]);
		exit(2);
	}
	return open_store(argv[1], strcmp(backend, "threads") == 0 ? VARVE_OPEN_NO_URING : 0);
}
