/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim: run schedules in a simulated kernel.
 *
 *	sim --seed N [--count N] [--step N] [--bug NAME] [--trace]
 *	sim --bugs
 *
 * Runs the schedules of seed N, N + 1, ... (--step 3: N, N + 3, ...; of multiples of 3 four in nine
 * have spare copies, of others none) and ends with 1 at the first that fails, which it prints
 * with its trace; with 0 when none has failed; with 77 in a sanitized build, where a stack has to
 * be one of the kernel's. --bugs prints the names of the bugs that can be put into the engine.
 */
#include "schedule.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const bug_names[SEEDED_BUGS] = {
	[SEEDED_NONE] = "none",
	[SEEDED_RECORD_FIRST] = "record-first",
	[SEEDED_DATA_LATER] = "data-later",
	[SEEDED_FLUSH_LATER] = "flush-later",
	[SEEDED_LIMIT_LATER] = "limit-later",
	[SEEDED_COMMIT_IGNORED] = "commit-ignored",
	[SEEDED_LOSS_IGNORED] = "loss-ignored",
	[SEEDED_SPARE_STALE] = "spare-stale",
	[SEEDED_SPARE_BUFFERED] = "spare-buffered",
	[SEEDED_SPARE_FOREIGN] = "spare-foreign",
	[SEEDED_SPARE_KEPT] = "spare-kept",
	[SEEDED_CANCEL_LOST] = "cancel-lost",
};

static const struct option options[] = { { "seed", required_argument, NULL, 's' },
					 { "bugs", no_argument, NULL, 'B' },
					 { "count", required_argument, NULL, 'c' },
					 { "bug", required_argument, NULL, 'b' },
					 { "trace", no_argument, NULL, 't' },
					 { "step", required_argument, NULL, 'S' },
					 { NULL, 0, NULL, 0 } };

/* The bug NAME; SEEDED_BUGS: there is none. */
static enum seeded_bug bug_by_name(const char *name)
{
	enum seeded_bug bug = SEEDED_NONE;

	while (bug < SEEDED_BUGS && strcmp(bug_names[bug], name))
		bug++;
	return bug;
}

/* Print the names of all bugs. */
static int print_bugs(void)
{
	for (int bug = SEEDED_NONE + 1; bug < SEEDED_BUGS; bug++)
		puts(bug_names[bug]);
	return 0;
}

/* Tell what has failed, and how it came to it. */
static int fail(uint64_t seed, const char *failure, bool traced)
{
	printf("seed %" PRIu64 ": %s\n", seed, failure);
	fflush(stdout);
	if (!traced)
		schedule_run(seed, true);
	return 1;
}

int main(int argc, char **argv)
{
	const struct schedule_statistics *did = &schedule_statistics;
	uint64_t seed = 1, count = 1, step = 1;
	bool trace = false;

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (option == 'c')
			count = strtoull(optarg, NULL, 0);
		else if (option == 'S')
			step = strtoull(optarg, NULL, 0);
		else if (option == 'b')
			seeded_bug = bug_by_name(optarg);
		else if (option == 't')
			trace = true;
		else if (option == 'B')
			return print_bugs();
		if (option == '?' || seeded_bug == SEEDED_BUGS)
			return 2;
	}
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	puts("a sanitized build knows the stacks of real threads only");
	return 77;
#endif
	for (uint64_t i = 0; i < count; i++) {
		const char *failure = schedule_run(seed + i * step, trace);

		if (failure)
			return fail(seed + i * step, failure, trace);
	}
	printf("%" PRIu64 " schedules, %" PRIu64 " power cuts, %" PRIu64 " kills, %" PRIu64
	       " errors on purpose, %" PRIu64 " requests, %" PRIu64 " calls, %" PRIu64
	       " commits, %" PRIu64 " with spare copies, %" PRIu64 " taken, %" PRIu64
	       " overwrites: nothing found\n",
	       did->schedules, did->cuts, did->kills, did->errors, did->requests, did->calls,
	       did->commits, did->with_spares, did->spares, did->overwrites);
	return 0;
}
