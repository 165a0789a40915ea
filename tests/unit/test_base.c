/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of engine/base: histograms, the inbox, lists, traces, faults, failures, arenas. */
#include "test.h"

#include "engine/base/arena.h"
#include "engine/base/failure.h"
#include "engine/base/fault.h"
#include "engine/base/histogram.h"
#include "engine/base/inbox.h"
#include "engine/base/limits.h"
#include "engine/base/list.h"
#include "engine/base/trace.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>

/* ---- histogram ------------------------------------------------------------------------------- */

/* Record VALUE alone and read it back. */
static uint64_t read_back(uint64_t value)
{
	struct varve_histogram *histogram = test_alloc(sizeof(*histogram));

	histogram_record(histogram, value);
	/* One value is its own maximum: a second, larger one lets the bucket's end be seen. */
	histogram_record(histogram, UINT64_MAX);
	return varve_histogram_percentile(histogram, 50);
}

START_TEST(test_histogram_bound)
{
	/*
	 * Every power of two, its neighbours, and what lies between: never too small, at most 1/16
	 * too large.
	 */
	for (unsigned power = 0; power < 40; power++)
		for (int step = -1; step < 16; step++) {
			uint64_t value = (1ull << power) +
					 (step < 0 ? -1ull
						   : ((1ull << power) * (unsigned)step) / 16),
				 got;

			/* The last bucket also takes all that is too large. */
			if (value >= 31ull << 35)
				continue;
			got = read_back(value);
			ck_assert_msg(got >= value && got - value <= value / 16,
				      "%llu came back as %llu", (unsigned long long)value,
				      (unsigned long long)got);
			if (value < 16)
				ck_assert_uint_eq(got, value);
		}
}
END_TEST

START_TEST(test_histogram_percentiles)
{
	struct varve_histogram *histogram = test_alloc(sizeof(*histogram));

	ck_assert_uint_eq(varve_histogram_percentile(histogram, 50), 0);
	for (uint64_t i = 1; i <= 10; i++)
		histogram_record(histogram, i);
	ck_assert_uint_eq(histogram->count, 10);
	ck_assert_uint_eq(histogram->sum_ns, 55);
	ck_assert_uint_eq(histogram->min_ns, 1);
	ck_assert_uint_eq(histogram->max_ns, 10);
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 0), 1);
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 50), 5);
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 51), 6);
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 100), 10);
}
END_TEST

START_TEST(test_histogram_large)
{
	struct varve_histogram *histogram = test_alloc(sizeof(*histogram));

	histogram_record(histogram, 1ull << 40);
	histogram_record(histogram, UINT64_MAX);
	ck_assert_uint_eq(histogram->buckets[VARVE_HISTOGRAM_BUCKETS - 1], 2);
	ck_assert_uint_eq(varve_histogram_percentile(histogram, 99), UINT64_MAX);
}
END_TEST

/* ---- inbox ----------------------------------------------------------------------------------- */

#define POSTERS 4
#define POSTS 20000

/* A post that knows its thread and its number. */
struct post {
	struct inbox_node node;
	int poster, number;
};

/* A thread that posts. */
struct poster {
	struct inbox *inbox;
	struct post *posts;
	int number;
};

static void *post_all(void *data)
{
	struct poster *poster = data;

	for (int i = 0; i < POSTS; i++) {
		poster->posts[i] = (struct post){ .poster = poster->number, .number = i };
		inbox_post(poster->inbox, &poster->posts[i].node);
	}
	return NULL;
}

START_TEST(test_inbox_order)
{
	struct inbox inbox = { 0 };
	struct poster posters[POSTERS];
	pthread_t threads[POSTERS];
	int next[POSTERS] = { 0 }, taken = 0;

	ck_assert(inbox_empty(&inbox));
	for (int i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){ &inbox, test_alloc(POSTS * sizeof(struct post)), i };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
	}
	while (taken < POSTERS * POSTS) {
		struct inbox_node *node = inbox_take(&inbox);

		for (; node; node = node->next, taken++) {
			struct post *post = container_of(node, struct post, node);

			/* Nothing lost, nothing twice, and each poster's own in order. */
			ck_assert_int_eq(post->number, next[post->poster]++);
		}
	}
	for (int i = 0; i < POSTERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert(inbox_empty(&inbox));
	ck_assert_ptr_null(inbox_take(&inbox));
}
END_TEST

START_TEST(test_inbox_was_empty)
{
	struct inbox inbox = { 0 };
	struct inbox_node a, b;

	ck_assert(inbox_post(&inbox, &a));
	ck_assert(!inbox_post(&inbox, &b));
	ck_assert_ptr_eq(inbox_take(&inbox), &a);
	ck_assert_ptr_eq(a.next, &b);
	ck_assert_ptr_null(b.next);
}
END_TEST

/* ---- list ------------------------------------------------------------------------------------ */

START_TEST(test_list)
{
	struct list head = LIST_INIT(head), other = LIST_INIT(other), links[4];
	int n = 0;

	ck_assert(list_empty(&head));
	ck_assert_ptr_null(list_pop(&head));
	for (int i = 0; i < 4; i++)
		list_append(i < 2 ? &head : &other, &links[i]);
	list_splice(&head, &other);
	ck_assert(list_empty(&other));
	list_splice(&head, &other);
	list_for_each(link, &head)
		ck_assert_ptr_eq(link, &links[n++]);
	ck_assert_int_eq(n, 4);
	list_for_each_safe(link, &head)
		if (link == &links[1] || link == &links[2])
			list_remove(link);
	/* A second removal is harmless. */
	list_remove(&links[1]);
	ck_assert_ptr_eq(list_pop(&head), &links[0]);
	ck_assert_ptr_eq(list_pop(&head), &links[3]);
	ck_assert(list_empty(&head));
}
END_TEST

/* ---- trace ----------------------------------------------------------------------------------- */

static void keep_line(void *data, const char *line)
{
	*(char **)data = test_strdup(line);
	errno = EIO;
}

START_TEST(test_trace)
{
	static const struct {
		const char *list;
		int error;
		unsigned mask;
	} cases[] = {
		{ "", 0, 0 },
		{ "op", 0, TRACE_OP },
		{ "ring,lane", 0, TRACE_RING | TRACE_LANE },
		{ "btrfs,op,btrfs", 0, TRACE_BTRFS | TRACE_OP },
		{ "all", 0, TRACE_OP | TRACE_RING | TRACE_LANE | TRACE_BTRFS },
		{ "ops", -EINVAL, 0 },
		{ "op,x", -EINVAL, 0 },
		{ "OP", -EINVAL, 0 },
	};
	char *line = NULL;
	struct trace trace = { .mask = TRACE_OP, .log = keep_line, .log_data = &line };

	for (size_t i = 0; i < TEST_COUNT(cases); i++) {
		unsigned mask = 0;

		test_error(trace_parse(cases[i].list, &mask), cases[i].error);
		ck_assert_uint_eq(mask, cases[i].mask);
	}
	errno = ENOENT;
	trace(&trace, TRACE_RING, "not this");
	ck_assert_ptr_null(line);
	trace(&trace, TRACE_OP, "state %d", 7);
	ck_assert_ptr_nonnull(strstr(line, "state 7"));
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

/* ---- fault ----------------------------------------------------------------------------------- */

START_TEST(test_fault)
{
	struct fault fault = { 0 };

	test_error(fault_hit(NULL, FAULT_LANE), 0);
	test_error(fault_hit(&fault, FAULT_LANE), 0);
	fault_arm(&fault, FAULT_LANE, 2, -EIO, false);
	test_error(fault_hit(&fault, FAULT_LANE), 0);
	test_error(fault_hit(&fault, FAULT_ALLOCATION), 0);
	test_error(fault_hit(&fault, FAULT_LANE), -EIO);
	test_error(fault_hit(&fault, FAULT_LANE), 0);
	ck_assert_int_eq(atomic_load(&fault.hits), 1);
	fault_arm(&fault, FAULT_ALLOCATION, 1, -ENOMEM, true);
	ck_assert_ptr_null(fault_calloc(&fault, 1, 1));
	ck_assert_ptr_null(fault_realloc(&fault, NULL, 1));
	ck_assert_int_eq(atomic_load(&fault.hits), 2);
}
END_TEST

/* ---- failure --------------------------------------------------------------------------------- */

START_TEST(test_failure_path)
{
	struct varve_failure failure;
	char dir[3 * VARVE_FAILURE_PATH_SIZE];

	failure_set(&failure, -EIO, "create", "STAGE", "openat", "id");
	failure_path(&failure, "/home", "name");
	ck_assert_str_eq(failure.path, "/home/name");
	failure_path(&failure, "/home", NULL);
	ck_assert_str_eq(failure.path, "/home");
	failure_path(&failure, NULL, "name");
	ck_assert_str_eq(failure.path, "name");
	/* Of a path that is too long the end is kept. */
	memset(dir, 'd', sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = '\0';
	failure_path(&failure, dir, "name");
	ck_assert_uint_eq(strlen(failure.path), VARVE_FAILURE_PATH_SIZE - 1);
	ck_assert_str_eq(failure.path + VARVE_FAILURE_PATH_SIZE - 1 - strlen("ddd/name"),
			 "ddd/name");
}
END_TEST

/* ---- arena ----------------------------------------------------------------------------------- */

START_TEST(test_arena)
{
	enum { COUNT = 12000 };
	unsigned char **taken = test_alloc(COUNT * sizeof(*taken));
	struct arena arena = { 0 };
	struct fault fault = { 0 };

	arena_free(&arena);
	/* Each has its bytes to itself, aligned; also those that are larger than any block. */
	for (size_t i = 0; i < COUNT; i++) {
		size_t size = i == 5000 ? ARENA_BLOCK_MAX + 1 : i % 700;

		taken[i] = arena_take(&arena, &fault, size);
		ck_assert_ptr_nonnull(taken[i]);
		ck_assert_uint_eq((uintptr_t)taken[i] % _Alignof(max_align_t), 0);
		memset(taken[i], (int)(i % 251), size);
	}
	for (size_t i = 0; i < COUNT; i++) {
		size_t size = i % 700, right = 0;

		while (right < size && taken[i][right] == i % 251)
			right++;
		ck_assert_uint_eq(right, size);
	}
	/* What was taken last is given back, and nothing else. */
	unsigned char *last = arena_take(&arena, &fault, 100);

	arena_undo(&arena, taken[COUNT - 1]);
	ck_assert_ptr_ne(arena_take(&arena, &fault, 0), last);
	last = arena_take(&arena, &fault, 100);
	arena_undo(&arena, last);
	ck_assert_ptr_eq(arena_take(&arena, &fault, 50), last);
	/* Without memory nothing changes. */
	fault_arm(&fault, FAULT_ALLOCATION, 1, -ENOMEM, false);
	ck_assert_ptr_null(arena_take(&arena, &fault, 2 * ARENA_BLOCK_MAX));
	ck_assert_ptr_nonnull(arena_take(&arena, &fault, 2 * ARENA_BLOCK_MAX));
	arena_free(&arena);
	arena_undo(&arena, NULL);
}
END_TEST

/* Is the page at ADDRESS to be a huge one (the flag hg of /proc/self/smaps)? */
static bool advised_huge(const void *address)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	uintptr_t begin, end;
	bool here = false, huge = false;
	char line[512];

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2)
			here = (uintptr_t)address >= begin && (uintptr_t)address < end;
		else if (here && !strncmp(line, "VmFlags:", 8))
			huge = strstr(line, " hg");
	}
	fclose(file);
	return huge;
}

START_TEST(test_arena_huge)
{
	enum { PIECE = 64 * 1024, COUNT = 8 * ARENA_HUGE_BYTES / PIECE };
	bool kernel_has = !access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK);
	struct fault fault = { 0 };

	/* Where the process has no huge pages the memory is there all the same. */
	for (unsigned long off = 0; off < 2; off++) {
		struct arena arena = { 0 };
		unsigned advised = 0;
		char *small = arena_take(&arena, &fault, 100);

		ck_assert_int_eq(prctl(PR_SET_THP_DISABLE, off, 0, 0, 0), 0);
		ck_assert(!advised_huge(small));
		for (unsigned i = 0; i < COUNT; i++) {
			char *piece = arena_take(&arena, &fault, PIECE);

			ck_assert_ptr_nonnull(piece);
			memset(piece, 1, PIECE);
			advised += advised_huge(piece);
		}
		/* All but what is taken before the blocks are as large as that. */
		if (kernel_has)
			ck_assert_uint_ge(advised, COUNT - ARENA_HUGE_BYTES / PIECE);
		arena_free(&arena);
	}
}
END_TEST

TEST_MAIN_UNIT("base", test_histogram_bound, test_histogram_percentiles, test_histogram_large,
	       test_inbox_order, test_inbox_was_empty, test_list, test_trace, test_fault,
	       test_failure_path, test_arena, test_arena_huge)
