/* SPDX-License-Identifier: Apache-2.0 */
/* quota.h: what the tests of size limits share. */
#ifndef VARVE_TESTS_LIB_QUOTA_H
#define VARVE_TESTS_LIB_QUOTA_H

#include "test.h"

#define MIB (1024 * 1024)

/* Make two tests of the function NAME: one for each mode. */
#define TEST_BOTH(name)                           \
	START_TEST(test_##name##_simple)          \
	{                                         \
		if (have_simple())                \
			name(VARVE_QUOTA_SIMPLE); \
	}                                         \
	END_TEST                                  \
	START_TEST(test_##name##_full)            \
	{                                         \
		name(VARVE_QUOTA_FULL);           \
	}                                         \
	END_TEST

/*
 * Open HOME on a file system whose quota runs in MODE; what an earlier test has left is forgotten.
 */
struct varve_store *open_in_mode(const char *home, enum varve_quota_mode mode);

/*
 * Has this kernel simple quotas? Where it has not, they are refused, nothing is changed, and the
 * test is skipped.
 */
bool have_simple(void);

/*
 * Create ID from PARENT with the storage option OPTION (may be NULL) and FLAGS; returns the error.
 */
int create_with(struct varve_store *store, const char *id, const char *parent, const char *option,
		uint64_t flags);

/* Tell what is known of layer ID. */
struct varve_layer_info info_of(struct varve_store *store, const char *id);

/* Tell how quota runs. */
struct varve_quota quota_of(struct varve_store *store);

/*
 * Assert that the limit in force of ID is BYTES, and that it is recorded (or, 0, that nothing is).
 */
void assert_limit(struct varve_store *store, const char *home, const char *id, uint64_t bytes);

/* Record TEXT as the size of ID, as another program may have done. */
void record_size(const char *home, const char *id, const char *text);

/* Write into the new file PATH until SIZE bytes are there; returns 0 or what stopped it. */
int write_bytes(const char *path, size_t size);

/* Wait until all removed layers are dropped, and what they leave is gone. */
void clean(struct varve_store *store);

/* The directory of sysfs with the groups of the file system, one directory each. */
char *groups_directory(struct varve_store *store);

/* How many groups of level 1 the file system has, by its directory in sysfs. */
unsigned groups_of_level_1(struct varve_store *store);

#endif
