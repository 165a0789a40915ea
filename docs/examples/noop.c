/* SPDX-License-Identifier: Apache-2.0 */
/* What a round trip through the library costs: the example of varve_noop(3). */
#include "example.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* Round trips to take the mean of. */
#define ROUNDS 1000

/* example: begin */
/* Return the mean time of a round trip, in nanoseconds, or a negative errno. */
static int64_t round_trip_ns(struct varve_store *store, int rounds)
{
	struct timespec from, to;
	int i, ret;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (i = 0; i < rounds; i++) {
		ret = varve_noop_wait(store, NULL);
		if (ret < 0)
			return ret;
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	return ((to.tv_sec - from.tv_sec) * INT64_C(1000000000) +
		to.tv_nsec - from.tv_nsec) / rounds;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	int64_t ns = round_trip_ns(store, ROUNDS);

	printf("a round trip takes %" PRId64 " ns\n", ns);
	varve_close(store);
	return ns > 0 ? 0 : 1;
}
