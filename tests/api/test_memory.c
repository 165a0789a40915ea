/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: timeout=120 size=4G */
/*
 * What a process is with many requests in flight, and with many changes: resident memory, its peak.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

/* Memory is looked at without a sanitizer only; with one some are enough. */
#define REQUESTS (TEST_SANITIZED ? 1000 : 10000)
/*
 * With requests that do nothing, and with creates: those have names, and the kernel's answers,
 * beside.
 */
#define NOOPS_MAX_KIB (7 * 1024)
#define CREATES_MAX_KIB (12 * 1024)
/*
 * Entries of the layer whose changes are asked for; bytes for each, so that a million are less than
 * 64 MiB.
 */
#define ENTRIES (TEST_SANITIZED ? 10000 : 100000)
#define ENTRIES_SOAK 1000000
#define ENTRY_MAX_BYTES 64

/* Tell the peak of this process's resident memory, in KiB. */
static unsigned long resident_peak_kib(void)
{
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
static void ended(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	unsigned *count = user_data;
	test_error(result->error, 0);
	++*count;
}

/* Submit REQUESTS of the kind that CREATES says, await them; the process stays below MAX_KIB. */
static void in_flight(bool creates, unsigned long max_kib)
{
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

START_TEST(test_noops)
{
	in_flight(false, NOOPS_MAX_KIB);
}
END_TEST

START_TEST(test_creates)
{
	in_flight(true, CREATES_MAX_KIB);
}
END_TEST

/*
 * Ask for the changes of ID, COUNT in a tree of ENTRIES: the first that this process needs so much
 * memory for.
 */
static void changes_of(struct varve_store *store, const char *id, size_t count, unsigned entries)
{
	struct varve_failure failure = { 0 };
	struct varve_change *changes = NULL;
	size_t actual = 0;
	unsigned long before = resident_peak_kib();
	test_ok(varve_layer_changes_wait(store, id, NULL, &changes, &actual, &failure), &failure);
	ck_assert_uint_eq(actual, count);
	free(changes);
	if (!TEST_SANITIZED)
		ck_assert_uint_le(resident_peak_kib() - before,
				  (unsigned long)entries * ENTRY_MAX_BYTES / 1024);
}

/*
 * Make a store with "base", a directory of ENTRIES files, and "top", where one in three has another
 * mode.
 */
static struct varve_store *make_changes(unsigned entries)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	test_mkdir(test_path("%s/directory", test_layer(home, "base")));
	int at = open(test_path("%s/directory", test_layer(home, "base")),
		      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[32];
	for (unsigned i = 0; i < entries; i++) {
		snprintf(name, sizeof(name), "%07u", i);
		ck_assert_int_eq(mknodat(at, name, S_IFREG | 0644, 0), 0);
	}
	close(at);
	test_create(store, "top", "base");
	at = open(test_path("%s/directory", test_layer(home, "top")),
		  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < entries; i += 3) {
		snprintf(name, sizeof(name), "%07u", i);
		ck_assert_int_eq(fchmodat(at, name, 0600, 0), 0);
	}
	close(at);
	return store;
}

START_TEST(test_changes_all)
{
	unsigned entries = getenv("VARVE_TEST_SOAK") ? ENTRIES_SOAK : ENTRIES;
	struct varve_store *store = make_changes(entries);
	changes_of(store, "base", entries + 1, entries);
	test_close(store);
}
END_TEST

START_TEST(test_changes_some)
{
	unsigned entries = getenv("VARVE_TEST_SOAK") ? ENTRIES_SOAK : ENTRIES;
	struct varve_store *store = make_changes(entries);
	changes_of(store, "top", (entries + 2) / 3 + 1, entries);
	test_close(store);
}
END_TEST

TEST_MAIN("memory", test_noops, test_creates, test_changes_all, test_changes_some)
