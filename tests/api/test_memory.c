/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: timeout=120 */
/* What a process is with many requests in flight: resident memory, its peak. */
#include "test.h"

#define REQUESTS 10000
/* With requests that do nothing, and with creates: those have names, and the kernel's answers, beside. */
#define NOOPS_MAX_KIB (8 * 1024)
#define CREATES_MAX_KIB (12 * 1024)

/* Tell the peak of this process's resident memory, in KiB. */
static unsigned long resident_peak_kib(void) {
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	unsigned long kib = 0;
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmHWM: %lu kB", &kib) == 1)
			break;
	fclose(file);
	return kib;
}

/* Count. */
static void ended(struct varve_store *store, const struct varve_result *result, void *user_data) {
	unsigned *count = user_data;
	test_error(result->error, 0);
	++*count;
}

/* Submit REQUESTS of the kind told by CREATES, await them; the process stays below MAX_KIB. */
static void in_flight(bool creates, unsigned long max_kib) {
	struct varve_config config = test_config(test_home());
	config.requests_max = REQUESTS;
	struct varve_store *store = test_open_config(&config);
	char id[32];
	unsigned count = 0;
	for (int i = 0; i < REQUESTS; i++) {
		snprintf(id, sizeof(id), "layer-%d", i);
		if (creates)
			test_error(varve_layer_create(store, id, NULL, ended, &count, NULL), 0);
		else
			test_error(varve_noop(store, ended, &count, NULL), 0);
	}
	/* Each counts until its callback has run. */
	test_error(varve_noop(store, ended, &count, NULL), -EAGAIN);
	while (count < REQUESTS)
		ck_assert_int_ge(varve_wait(store, TEST_WAIT_MS), 0);
	test_close(store);
	/* A sanitizer's shadow is not ours. */
	if (!TEST_SANITIZED)
		ck_assert_uint_le(resident_peak_kib(), max_kib);
}

START_TEST(test_noops) {
	in_flight(false, NOOPS_MAX_KIB);
}
END_TEST

START_TEST(test_creates) {
	in_flight(true, CREATES_MAX_KIB);
}
END_TEST

TEST_MAIN("memory", test_noops, test_creates)
