/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine/btrfs/name_hash: the hash of btrfs, and batches that make their layers in that order: ids
 * of one hash, and the same ids in several batches.
 */
#include <dirent.h>
#include <sys/mman.h>

#include "test.h"

#include "engine/btrfs/name_hash.h"

START_TEST(test_known)
{
	/* The entry of each file system's default subvolume, as btrfs inspect-internal shows it. */
	ck_assert_uint_eq(name_hash("default"), 2378154706u);
	ck_assert_uint_eq(name_hash(""), 0xfffffffeu);
}
END_TEST

/* Layers of the batch; how many are made at once. */
#define LAYERS 256
#define THREADS 4

START_TEST(test_batch_in_order)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	char *home = test_home(), names[LAYERS][16];
	struct varve_config config = test_config(home);
	struct varve_failure failure = { 0 };
	const char *ids[LAYERS];
	struct dirent *entry;
	uint32_t before = 0;
	unsigned seen = 0, back = 0;

	config.commit_threads_max = THREADS;
	struct varve_store *store = test_open_config(&config);
	for (unsigned i = 0; i < LAYERS; i++) {
		snprintf(names[i], sizeof(names[i]), "layer-%u", i);
		ids[i] = names[i];
	}
	test_ok(varve_layer_create_batch_wait(store, ids, LAYERS, &options, NULL, &failure),
		&failure);
	/* btrfs lists a directory in the order in which the entries were made. */
	DIR *dir = opendir(test_path("%s/subvolumes", home));
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		back += name_hash(entry->d_name) < before;
		before = name_hash(entry->d_name);
		seen++;
	}
	closedir(dir);
	test_close(store);
	ck_assert_uint_eq(seen, LAYERS);
	/* Once around, and what ends in another order of those that are made at once. */
	ck_assert_uint_le(back, LAYERS / 3);
}
END_TEST

/* Names of one hash, more than a directory takes; digits by which the hash is chosen. */
#define SAME 300
#define SAME_HASH 0x12345678u
#define DIGITS 36

/*
 * Make NAME (SAME_BYTES) the NUMBER-th of hash SAME_HASH. The hash is linear: each digit that is 1
 * in place of 0 flips the same bits of it, whatever the others are, so which ones have to be 1 is a
 * system of 32 equations.
 */
#define SAME_BYTES (DIGITS + 16)
static void same_name(char *name, unsigned number)
{
	uint32_t rows[32] = { 0 }, zeros, left;
	uint64_t digits[32] = { 0 }, ones = 0;
	size_t head;

	head = (size_t)snprintf(name, SAME_BYTES, "%x-", number);
	memset(name + head, '0', DIGITS);
	name[head + DIGITS] = '\0';
	zeros = name_hash(name);
	for (unsigned i = 0; i < DIGITS; i++) {
		uint64_t of = UINT64_C(1) << i;
		uint32_t row;

		name[head + i] = '1';
		row = name_hash(name) ^ zeros;
		name[head + i] = '0';
		for (unsigned bit = 32; row && bit-- > 0;) {
			if (!(row >> bit & 1))
				continue;
			if (!rows[bit]) {
				rows[bit] = row;
				digits[bit] = of;
				break;
			}
			row ^= rows[bit];
			of ^= digits[bit];
		}
	}
	left = zeros ^ SAME_HASH;
	for (unsigned bit = 32; bit-- > 0;)
		if (left >> bit & 1) {
			left ^= rows[bit];
			ones ^= digits[bit];
		}
	for (unsigned i = 0; i < DIGITS; i++)
		name[head + i] += ones >> i & 1;
	ck_assert_uint_eq(name_hash(name), SAME_HASH);
}

/*
 * A batch of ids of one hash: as many as the directory takes are made, the others fail, each in its
 * own place; nothing else suffers, and removal makes room.
 */
START_TEST(test_same_hash)
{
	char *home = test_home(), names[SAME][SAME_BYTES];
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure = { 0 };
	const char *ids[SAME], *made[SAME];
	int errors[SAME], first = -1;
	size_t count = 0;

	for (unsigned i = 0; i < SAME; i++) {
		same_name(names[i], i);
		ids[i] = names[i];
	}
	test_error(varve_layer_create_batch_wait(store, ids, SAME, NULL, errors, &failure),
		   -EOVERFLOW);
	for (int i = 0; i < SAME; i++) {
		ck_assert(errors[i] == 0 || errors[i] == -EOVERFLOW);
		ck_assert(test_layer_exists(home, ids[i]) == !errors[i]);
		first = first < 0 && errors[i] ? i : first;
		if (!errors[i])
			made[count++] = ids[i];
	}
	ck_assert_uint_gt(count, 100);
	ck_assert_str_eq(failure.id, ids[first]);
	ck_assert_msg(strstr(failure.detail, "same hash"), "%s", failure.detail);
	ck_assert_uint_eq(test_leftovers(home), 0);
	/* Alone, a snapshot is made in its place. */
	test_create(store, "other", NULL);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = "other";
	test_error(varve_layer_create_wait(store, ids[first], &options, &failure), -EOVERFLOW);
	ck_assert_msg(strstr(failure.detail, "same hash"), "%s", failure.detail);
	test_error(varve_layer_rename_wait(store, "other", ids[first], 0, &failure), -EOVERFLOW);
	ck_assert_msg(strstr(failure.detail, "same hash"), "%s", failure.detail);
	test_ok(varve_layer_remove_batch_wait(store, made, count, 0, errors, &failure), &failure);
	test_ok(varve_layer_rename_wait(store, "other", ids[first], 0, &failure), &failure);
	ck_assert_int_eq(test_layers(home), 1);
	test_close(store);
}
END_TEST

/* ---- two batches of the same ids ------------------------------------------------------------- */

/* Ids that each batch has; how many batches, in this process and in another. */
#define SHARED 500
#define BATCHES 4

/* Submit batches of the same ids to STORE, each second one backwards; MADE counts each id made. */
static void share(struct varve_store *store, const char *const *forward,
		  const char *const *backward, unsigned *made)
{
	struct test_record *records = test_alloc(BATCHES * sizeof(*records));

	for (unsigned i = 0; i < BATCHES; i++)
		test_error(varve_layer_create_batch(store, i % 2 ? backward : forward, SHARED, NULL,
						    test_record, &records[i], NULL),
			   0);
	test_await_all(store, records, BATCHES);
	for (unsigned i = 0; i < BATCHES; i++)
		for (unsigned j = 0; j < SHARED; j++) {
			unsigned id = i % 2 ? SHARED - 1 - j : j;

			ck_assert_str_eq(records[i].outcome_ids[j], forward[id]);
			ck_assert(records[i].outcome_errors[j] == 0 ||
				  records[i].outcome_errors[j] == -EEXIST);
			made[id] += !records[i].outcome_errors[j];
		}
}

/* What two processes share. */
struct shared {
	char *home;
	const char **forward, **backward;
	/* How often each id was made, by each process. */
	unsigned (*made)[SHARED];
};

static int share_in_child(void *data)
{
	struct shared *shared = data;
	struct varve_store *store = test_open_relaxed(shared->home);

	share(store, shared->backward, shared->forward, shared->made[1]);
	test_close(store);
	return 0;
}

/* Batches of the same ids, forwards and backwards, in two processes: each layer is made once. */
START_TEST(test_shared)
{
	struct shared shared = { .home = test_home() };
	struct varve_store *store;
	int pid;

	shared.forward = test_alloc(SHARED * sizeof(*shared.forward));
	shared.backward = test_alloc(SHARED * sizeof(*shared.backward));
	for (unsigned i = 0; i < SHARED; i++)
		shared.forward[i] = shared.backward[SHARED - 1 - i] = test_path("layer-%u", i);
	shared.made = mmap(NULL, 2 * sizeof(*shared.made), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared.made, MAP_FAILED);
	test_close(test_open_relaxed(shared.home));
	pid = test_child_start(share_in_child, &shared);
	store = test_open_relaxed(shared.home);
	share(store, shared.forward, shared.backward, shared.made[0]);
	ck_assert_int_eq(test_child_end(pid), 0);
	/* The child's arrays are the other way around. */
	for (unsigned i = 0; i < SHARED; i++)
		ck_assert_uint_eq(shared.made[0][i] + shared.made[1][SHARED - 1 - i], 1);
	ck_assert_int_eq(test_layers(shared.home), SHARED);
	ck_assert_uint_eq(test_leftovers(shared.home), 0);
	test_close(store);
}
END_TEST

TEST_MAIN("name_hash", test_known, test_batch_in_order, test_same_hash, test_shared)
