/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main() of every Check program: one suite of one case list, forked tests, and an exit status
 * that tells skipped.
 */
#include "test.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

/* Seconds for one START_TEST; tests/run gives its own number. */
#define CASE_TIMEOUT_S "30"

#define EXIT_SKIPPED 77

/* Tests that have skipped themselves; in memory that the forked tests share. */
static atomic_uint *skipped;

void test_skip(const char *reason)
{
	printf("skipped: %s\n", reason);
	fflush(stdout);
	if (skipped)
		atomic_fetch_add(skipped, 1);
}

/* What test_seed() returns; the forked tests have the same one. */
static uint64_t seed;

uint64_t test_seed(void)
{
	static bool printed;
	if (!printed)
		printf("VARVE_TEST_SEED=%llu\n", (unsigned long long)seed);
	printed = true;
	return seed;
}

uint64_t test_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* Choose the seed. */
static void seed_init(void)
{
	const char *wanted = getenv("VARVE_TEST_SEED");
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	seed = wanted ? strtoull(wanted, NULL, 10)
		      : ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) %
				1000000000;
}

/* Run the suite; return the number of tests that failed. */
static int run(const char *name, const TTest *const *tests, size_t count)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(test_backend());
	suite_add_tcase(suite, tcase);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed;
}

int test_main(const char *name, const TTest *const *tests, size_t count, bool mount)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	setenv("CK_DEFAULT_TIMEOUT", CASE_TIMEOUT_S, 0);
	seed_init();
	skipped = mmap(NULL, sizeof(*skipped), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (skipped == MAP_FAILED)
		abort();
	if (mount)
		test_mount_setup();
#ifdef __SANITIZE_ADDRESS__
	/*
	 * Each forked test checks for leaks when it ends, which reads megabytes of the sanitizer's
	 * own memory. A check in this process maps those pages once for all of them.
	 */
	__lsan_do_recoverable_leak_check();
#endif
	int failed = run(name, tests, count);
	if (mount)
		test_mount_teardown();
	if (failed)
		return 1;
	if (atomic_load(skipped) == count) {
		printf("every test of it is skipped: see above\n");
		return EXIT_SKIPPED;
	}
	return 0;
}
