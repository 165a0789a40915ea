/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two threads that share the digests of an archive, in thousands of schedules: digests.h says
 * what is checked. VARVE_TEST_SEED runs the schedule of that seed alone, with a trace.
 * VARVE_TEST_SOAK: many more, others in each run.
 * varve-test: backend=any mount=no root=no
 */
#include "digests.h"
#include "test.h"

#define SCHEDULES 100000
#define SCHEDULES_SOAK 2000000

START_TEST(test_schedules)
{
	const struct digests_statistics *did = &digests_statistics;
	bool soak = getenv("VARVE_TEST_SOAK"), alone = getenv("VARVE_TEST_SEED") && !soak;
	uint64_t first = soak || alone ? test_seed() : 1, count = soak ? SCHEDULES_SOAK : SCHEDULES;

	if (TEST_SANITIZED || TEST_SANITIZED_THREADS)
		return test_skip("a sanitized build knows the stacks of real threads only");
	for (uint64_t i = 0; i < (alone ? 1 : count); i++) {
		const char *failure = digests_run(first + i, alone);

		ck_assert_msg(!failure, "VARVE_TEST_SEED=%llu: %s", (unsigned long long)(first + i),
			      failure);
	}
	if (alone)
		return;
	/* Each thing that a schedule may meet was met often. */
	ck_assert_uint_gt(did->starved, count / 10);
	ck_assert_uint_gt(did->full, count / 10);
	ck_assert_uint_gt(did->hashed_here, count);
	ck_assert_uint_gt(did->hashed_there, count);
	ck_assert_uint_gt(did->failed, count / 10);
	ck_assert_uint_gt(did->cancelled, count / 20);
	ck_assert_uint_gt(did->left, count / 40);
	ck_assert_uint_gt(did->digests_failed, count / 20);
}
END_TEST

TEST_MAIN_UNIT("digests", test_schedules)
