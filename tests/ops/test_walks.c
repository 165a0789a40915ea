/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all walks share: progress is reported, a cancel is seen after a few entries, several walks
 * get equal shares, and memory stays flat in the largest directory; and which inodes hold an
 * attribute is found without asking them.
 *
 * varve-test: size=4G
 */
#include <fcntl.h>
#include <semaphore.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "engine/btrfs/subvol.h"
#include "engine/store/store.h"
#include "engine/walk/rm_tree.h"
#include "engine/walk/walk.h"
#include "engine/walk/workers.h"
#include "engine/walk/xattr_search.h"
#include "test.h"

/* Directories and files in each of a layer that takes many slices. */
#define LARGE_DIRS 20
#define LARGE_FILES 500
#define LARGE_ENTRIES (LARGE_DIRS * (LARGE_FILES + 1))
/* Jobs in a race; how many turns each takes; all turns, with that of a small one. */
#define RACERS 4
#define RACER_TURNS 200
#define TURNS_MAX (RACERS * RACER_TURNS + 1)
/*
 * Entries that a cancelled walk may still handle: what every thread does between two looks, and
 * what the ring has.
 */
#define CANCEL_ENTRIES_MAX (WALK_THREADS_MAX * WALK_PROBE + WALK_BATCHES_MAX * WALK_BATCH)

static _Atomic bool never;

/* A store with a layer ID of LARGE_ENTRIES. */
static struct varve_store *open_large(char *home, const char *id)
{
	struct varve_store *store = test_open(home);
	test_create(store, id, NULL);
	test_make_tree(test_layer(home, id), LARGE_DIRS, LARGE_FILES, 0);
	return store;
}

/* ---- progress -------------------------------------------------------------------------------- */

/* What the progress callbacks of one request got. */
struct watched {
	varve_request request;
	unsigned told;
	int64_t told_ms;
	uint64_t entries;
	bool over;
};

static void watched_progress(struct varve_store *store, varve_request request,
			     const struct varve_progress *progress, void *user_data)
{
	struct watched *watched = user_data;
	int64_t now = test_now_ms();
	ck_assert_uint_eq(request, watched->request);
	ck_assert_msg(!watched->over, "told after the end");
	ck_assert_uint_ge(progress->entries, watched->entries);
	/*
	 * It may have been due for long at the last report, but is not due again before the
	 * interval is over.
	 */
	if (watched->told > 1)
		ck_assert_int_ge(now - watched->told_ms, 0);
	watched->entries = progress->entries;
	watched->told_ms = now;
	watched->told++;
	/* Neither waits nor dispatches in a callback. */
	test_error(varve_dispatch(store, 0), -EBUSY);
}

static void watched_end(struct varve_store *store, const struct varve_result *result,
			void *user_data)
{
	struct watched *watched = user_data;
	test_error(result->error, 0);
	watched->over = true;
}

/*
 * Progress comes in dispatch, announced by the descriptor, no more often than it may, and never
 * after the end.
 */
START_TEST(test_progress)
{
	enum { WALKS = 24 };
	char *home = test_home();
	struct varve_store *store = open_large(home, "large");
	struct watched watched[WALKS] = { 0 };
	unsigned told = 0, over;
	workers_set_slow(store, 0);
	/* Until one has been reported: when, depends on the machine. */
	while (!told) {
		int64_t begin = test_now_ms();
		memset(watched, 0, sizeof(watched));
		for (unsigned i = 0; i < WALKS; i++) {
			test_error(varve_layer_usage(store, "large", VARVE_USAGE_WALK, watched_end,
						     &watched[i], &watched[i].request),
				   0);
			test_error(varve_progress_watch(store, watched[i].request, watched_progress,
							&watched[i]),
				   0);
		}
		/* Nobody cares for the first one any more. */
		test_error(varve_progress_watch(store, watched[0].request, NULL, NULL), 0);
		for (over = 0; over < WALKS;) {
			ck_assert_msg(test_readable(varve_fd(store), TEST_WAIT_MS),
				      "neither progress nor an end");
			ck_assert_int_ge(varve_dispatch(store, 0), 0);
			for (unsigned i = over = 0; i < WALKS; i++)
				over += watched[i].over;
		}
		int64_t took = test_now_ms() - begin;
		for (unsigned i = 0; i < WALKS; i++) {
			told += watched[i].told;
			/* However slow the machine, it is not reported more often than that. */
			ck_assert_uint_le(watched[i].told, took / VARVE_PROGRESS_INTERVAL_MS);
			test_error(varve_progress_watch(store, watched[i].request, watched_progress,
							NULL),
				   -ENOENT);
		}
		ck_assert_uint_eq(watched[0].told, 0);
	}
	test_error(varve_progress_watch(NULL, 1, watched_progress, NULL), -EINVAL);
	test_close(store);
}
END_TEST

static void close_store(struct varve_store *store, varve_request request,
			const struct varve_progress *progress, void *user_data)
{
	*(bool *)user_data = true;
	varve_close(store);
}

/* A callback of progress may close the store: all else ends first. */
START_TEST(test_progress_closes)
{
	enum { WALKS = 24 };
	char *home = test_home();
	struct varve_store *store = open_large(home, "large");
	struct test_record records[WALKS] = { 0 };
	bool closed = false;
	unsigned ended = 0;
	varve_request request;
	int r = 0;
	workers_set_slow(store, 0);
	for (unsigned i = 0; i < WALKS; i++) {
		test_error(varve_layer_usage(store, "large", VARVE_USAGE_WALK, test_record,
					     &records[i], &request),
			   0);
		varve_progress_watch(store, request, close_store, &closed);
	}
	while (!closed && ended < WALKS) {
		r = varve_wait(store, TEST_WAIT_MS);
		for (unsigned i = ended = 0; i < WALKS; i++)
			ended += records[i].calls;
	}
	for (unsigned i = 0; i < WALKS; i++)
		ck_assert_uint_eq(records[i].calls, 1);
	if (closed)
		test_error(r, -ESHUTDOWN);
	else
		test_close(store);
}
END_TEST

/* ---- cancel ---------------------------------------------------------------------------------- */

/* A walk that is cancelled at an entry. */
struct stopper {
	_Atomic bool cancelled;
	unsigned visits, cancel_at;
};

static int stopper_visit(struct walk *walk, struct walk_entry *entry)
{
	struct stopper *stopper = walk->data;
	if (++stopper->visits == stopper->cancel_at)
		stopper->cancelled = true;
	return 0;
}

static const struct walk_class stopper_class = { .call = "none", .visit = stopper_visit };

/* One thread looks for a cancel every few entries, wherever in a directory it is. */
START_TEST(test_cancel_entries)
{
	char *home = test_home();
	struct varve_store *store = open_large(home, "large");
	for (unsigned at = 1; at < LARGE_DIRS * LARGE_FILES; at += 977) {
		int descriptor = open(test_layer(home, "large"),
				      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct stopper stopper = { .cancel_at = at };
		struct walk walk;
		ck_assert_int_eq(walk_init(&walk, store, &stopper_class, descriptor, "large",
					   &stopper.cancelled),
				 0);
		walk.data = &stopper;
		test_error(walk_run_here(&walk), -ECANCELED);
		ck_assert_uint_lt(stopper.visits, at + WALK_PROBE);
		close(descriptor);
	}
	test_close(store);
}
END_TEST

/* A request, and how far it was at its end. */
struct racer {
	varve_request request;
	int error;
	bool over;
	uint64_t entries;
};

static void racer_end(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	struct racer *racer = user_data;
	struct varve_progress progress = VARVE_PROGRESS_INIT;
	test_error(varve_progress(store, result->request, &progress), 0);
	racer->entries = progress.entries;
	racer->error = result->error;
	racer->over = true;
}

static void racer_start(struct varve_store *store, const char *id, struct racer *racer)
{
	*racer = (struct racer){ 0 };
	test_error(varve_layer_usage(store, id, VARVE_USAGE_WALK, racer_end, racer,
				     &racer->request),
		   0);
}

/* So do all threads together, and the ring. */
START_TEST(test_cancel_threads)
{
	char *home = test_home();
	struct varve_store *store = open_large(home, "large");
	unsigned cancelled = 0;
	for (int i = 0; i < 40; i++) {
		struct racer racer;
		struct varve_progress progress = VARVE_PROGRESS_INIT;
		workers_set_slow(store, i % 2 ? 0 : WALK_SLOW_NS);
		racer_start(store, "large", &racer);
		while (!progress.entries && varve_progress(store, racer.request, &progress) == 0 &&
		       !racer.over)
			varve_dispatch(store, 0);
		int r = varve_cancel(store, racer.request);
		uint64_t at = varve_progress(store, racer.request, &progress) == 0
				      ? progress.entries
				      : LARGE_ENTRIES;
		while (!racer.over)
			ck_assert_int_ge(varve_wait(store, TEST_WAIT_MS), 0);
		if (r == 0 && racer.error == -ECANCELED) {
			cancelled++;
			ck_assert_uint_le(racer.entries, at + CANCEL_ENTRIES_MAX);
		}
	}
	ck_assert_uint_gt(cancelled, 0);
	test_close(store);
}
END_TEST

/* ---- shares ---------------------------------------------------------------------------------- */

/* A job of so many pieces, of which a turn does one. */
struct contender {
	struct job job;
	_Atomic unsigned left;
	unsigned turns, over_at;
};

/*
 * The order of turns: one thread has them all, so that they run in the order in which they were
 * given.
 */
static struct {
	struct contender *turns[TURNS_MAX];
	_Atomic unsigned count;
	unsigned over;
	/* The first turn waits for it: all are there. */
	sem_t begun;
} turns;

static int contender_slice(struct job *job, struct slice *slice)
{
	struct contender *contender = container_of(job, struct contender, job);
	if (!turns.count)
		while (sem_wait(&turns.begun) < 0)
			ck_assert_int_eq(errno, EINTR);
	turns.turns[turns.count++] = contender;
	contender->left--;
	return 0;
}

static unsigned contender_wanted(struct job *job)
{
	return container_of(job, struct contender, job)->left;
}

static void contender_done(struct job *job, int result)
{
	struct contender *contender = container_of(job, struct contender, job);
	test_error(result, 0);
	contender->over_at = turns.count;
	turns.over++;
}

static const struct job_class contender_class = {
	.name = "contender",
	.slice = contender_slice,
	.wanted = contender_wanted,
	.done = contender_done,
};

/*
 * Of several equal jobs none gets two turns more than another; and a small one that comes last does
 * not wait for them.
 */
START_TEST(test_fair_shares)
{
	struct varve_store *store = store_new(&(const char *){ NULL });
	const struct io_config config = { .no_uring = true, .threads_max = { 1, 1, 1, 1 } };
	struct contender contenders[RACERS] = { 0 }, small = { .left = 1 };
	_Atomic bool cancelled = false;
	ck_assert_ptr_nonnull(store);
	ck_assert_int_eq(sem_init(&turns.begun, 0, 0), 0);
	store->settings.io.threads_max[LANE_FS] = 1;
	test_error(io_start(&store->core.io, &config), 0);
	test_error(workers_init(store), 0);
	for (unsigned i = 0; i <= RACERS; i++) {
		struct contender *contender = i < RACERS ? &contenders[i] : &small;
		if (i < RACERS)
			contender->left = RACER_TURNS;
		/* One turn of each at a time, so that there is nothing but the order. */
		contender->job = (struct job){ .class = &contender_class,
					       .store = store,
					       .cancelled = &cancelled,
					       .width_max = 1 };
		job_start(&contender->job);
	}
	sem_post(&turns.begun);
	while (turns.over <= RACERS)
		io_turn(&store->core.io, -1);
	ck_assert_uint_eq(turns.count, TURNS_MAX);
	for (unsigned at = 0; at < TURNS_MAX; at++) {
		unsigned least = RACER_TURNS, most = 0;
		turns.turns[at]->turns++;
		for (unsigned i = 0; i < RACERS; i++) {
			least = contenders[i].turns < least ? contenders[i].turns : least;
			most = contenders[i].turns > most ? contenders[i].turns : most;
		}
		ck_assert_msg(most <= least + 2, "after %u turns one has had %u, another %u",
			      at + 1, most, least);
		if (turns.turns[at] == &small)
			ck_assert_msg(at <= RACERS + 1, "the small one had its turn after %u", at);
	}
	io_stop(&store->core.io);
	store_free(store);
}
END_TEST

/* Work on stacks. */
struct piece {
	struct list link;
	unsigned number;
};

static void expect_piece(struct deque *deque, struct stack *stack, unsigned number)
{
	struct list *link = deque_pop(deque, stack);
	ck_assert_ptr_nonnull(link);
	ck_assert_uint_eq(list_entry(link, struct piece, link)->number, number);
}

/*
 * A thread takes what it put down last; one that has nothing gets the older half of the longest
 * stack; nothing is lost.
 */
START_TEST(test_stacks)
{
	struct piece pieces[7];
	struct deque deque;
	deque_init(&deque);
	struct stack *first = deque_join(&deque), *second = deque_join(&deque);
	ck_assert_ptr_ne(first, second);
	ck_assert_ptr_null(deque_pop(&deque, second));
	for (unsigned i = 0; i < TEST_COUNT(pieces); i++) {
		pieces[i].number = i;
		stack_push(first, &pieces[i].link);
	}
	expect_piece(&deque, first, 6);
	expect_piece(&deque, second, 2);
	expect_piece(&deque, first, 5);
	expect_piece(&deque, first, 4);
	stack_push(second, &pieces[6].link);
	/* What a thread leaves behind is the next one's. */
	deque_leave(second);
	ck_assert_ptr_eq(deque_join(&deque), second);
	expect_piece(&deque, second, 6);
	expect_piece(&deque, second, 1);
	expect_piece(&deque, first, 3);
	expect_piece(&deque, first, 0);
	ck_assert_ptr_null(deque_pop(&deque, first));
	/* With more threads than stacks they share. */
	for (unsigned i = 2; i < WALK_STACKS; i++)
		ck_assert_uint_eq(deque_join(&deque)->threads, 1);
	ck_assert_uint_eq(deque_join(&deque)->threads, 2);
}
END_TEST

/* ---- memory ---------------------------------------------------------------------------------- */

/* KiB of memory that this process has had at most since peak_reset(). */
static long peak_kib(void)
{
	char *status = test_read("/proc/self/status"), *at = strstr(status, "VmHWM:");
	ck_assert_ptr_nonnull(at);
	return strtol(at + strlen("VmHWM:"), NULL, 10);
}

static void peak_reset(void)
{
	int descriptor = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(write(descriptor, "5", 1), 1);
	close(descriptor);
}

/* One directory with more files than anybody has: a million in the soak. */
START_TEST(test_one_directory)
{
	enum { MEMORY_KIB_MAX = 32 * 1024 };
	unsigned files = getenv("VARVE_TEST_SOAK") ? 1000000 : 30000;
	char *home = test_home();
	struct varve_store *store = test_open(home);
	static const struct varve_id_map map = { 0, 1000, 65536 };
	struct varve_chown_options shift = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	struct stat stat_;
	char failed[VARVE_FAILURE_PATH_SIZE];
	shift.uid_to = &map, shift.uid_to_count = 1;
	test_create(store, "one", NULL);
	int at = open(test_layer(home, "one"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < files; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%u", i);
		ck_assert_int_eq(mknodat(at, name, S_IFREG | 0644, 0), 0);
	}
	close(at);
	peak_reset();
	long before = peak_kib();
	test_error(varve_layer_usage_wait(store, "one", VARVE_USAGE_WALK, &usage, NULL), 0);
	ck_assert_uint_eq(usage.inodes, files + 1);
	workers_set_slow(store, 0);
	test_error(varve_layer_usage_wait(store, "one", VARVE_USAGE_WALK, &usage, NULL), 0);
	ck_assert_uint_eq(usage.inodes, files + 1);
	test_error(varve_layer_usage_wait(store, "one", VARVE_USAGE_SEARCH, &usage, NULL), 0);
	ck_assert_uint_eq(usage.inodes, files + 1);
	workers_set_slow(store, WALK_SLOW_NS);
	test_error(varve_layer_chown_wait(store, "one", &shift, NULL), 0);
	ck_assert_int_eq(stat(test_path("%s/%u", test_layer(home, "one"), files - 1), &stat_), 0);
	ck_assert_uint_eq(stat_.st_uid, 1000);
	/* As one is removed that may not be destroyed. */
	at = open(test_path("%s/subvolumes", home), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_error(rm_tree_remove(store, at, "one", -EBADF, &never, failed,
				  &(const char *){ NULL }),
		   0);
	close(at);
	ck_assert(!test_layer_exists(home, "one"));
	/* The sanitizers keep what is freed. */
	if (!TEST_SANITIZED)
		ck_assert_int_lt(peak_kib() - before, MEMORY_KIB_MAX);
	test_close(store);
}
END_TEST

/* What a walk held at most. */
struct held {
	size_t records;
	unsigned pending, fds, dirs;
};

static int held_enter(struct walk *walk, struct walk_dir *dir, const struct statx *stat)
{
	struct held *held = walk->data;
	held->records = walk->records > held->records ? walk->records : held->records;
	held->pending = walk->pending > held->pending ? walk->pending : held->pending;
	held->fds = walk->fds > held->fds ? walk->fds : held->fds;
	held->dirs++;
	return 0;
}

static int held_visit(struct walk *walk, struct walk_entry *entry)
{
	return 0;
}

/* Walk the layer ID on this thread; *RET_HELD is what that held. */
static void held_walk(struct varve_store *store, const char *home, const char *id,
		      struct held *ret_held)
{
	static const struct walk_class class = { .call = "none",
						 .enter = held_enter,
						 .visit = held_visit };
	int descriptor = open(test_layer(home, id), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct walk walk;
	*ret_held = (struct held){ 0 };
	ck_assert_int_eq(walk_init(&walk, store, &class, descriptor, id, &never), 0);
	walk.data = ret_held;
	test_error(walk_run_here(&walk), 0);
	close(descriptor);
}

/* Make COUNT directories in PATH, called 0 and on. */
static void make_dirs(const char *path, unsigned count)
{
	int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < count; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%u", i);
		ck_assert_int_eq(mkdirat(at, name, 0755), 0);
	}
	close(at);
}

/*
 * Records, descriptors and what waits are bounded, in a directory of very many and where each one
 * on the way down has many.
 */
START_TEST(test_bounds)
{
	enum {
		WIDE = 4 * WALK_CHILDREN_MAX,
		EACH = WALK_CHILDREN_MAX - 1,
		LEVELS = WALK_PENDING_MAX / EACH + 4
	};
	const size_t record = sizeof(struct walk_dir) + sizeof("4294967295");
	char *home = test_home(), *path = test_layer(home, "deep");
	struct varve_store *store = test_open(home);
	struct held held;
	test_create(store, "wide", NULL);
	make_dirs(test_layer(home, "wide"), WIDE);
	held_walk(store, home, "wide", &held);
	ck_assert_uint_eq(held.dirs, WIDE + 1);
	/* Those of one round, and the directory itself. */
	ck_assert_uint_le(held.records, (WALK_CHILDREN_MAX + 2) * record);
	test_create(store, "deep", NULL);
	for (unsigned i = 0; i < LEVELS; i++, path = test_path("%s/0", path))
		make_dirs(path, EACH);
	held_walk(store, home, "deep", &held);
	ck_assert_uint_eq(held.dirs, LEVELS * EACH + 1);
	/* Beyond the bound each directory on the way down adds one. */
	ck_assert_uint_le(held.pending, WALK_PENDING_MAX + EACH + LEVELS);
	ck_assert_uint_le(held.records, (WALK_PENDING_MAX + EACH + 2 * LEVELS) * record);
	ck_assert_uint_le(held.fds, WALK_FDS_MAX + 2);
	test_close(store);
}
END_TEST

/* ---- holders --------------------------------------------------------------------------------- */

static uint64_t inode_of(const char *path)
{
	struct stat stat;
	ck_assert_int_eq(lstat(path, &stat), 0);
	return stat.st_ino;
}

/*
 * After some questions the tree is searched, and tells of each inode; with a value, only of those
 * that have that one.
 */
START_TEST(test_holders)
{
	enum { FILES = 100 };
	/* No file has the first one. */
	static const char *const names[] = { "user.none", "user.held", NULL };
	char *home = test_home(), *path = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	struct xattr_search any, one;
	test_create(store, "layer", NULL);
	for (unsigned i = 0; i < FILES; i++) {
		char *file = test_path("%s/%u", path, i);
		test_write(file, "");
		if (i % 3 == 1)
			ck_assert_int_eq(setxattr(file, "user.held", i % 2 ? "one" : "other",
						  i % 2 ? 3 : 5, 0),
					 0);
		ck_assert_int_eq(setxattr(file, "user.holds", "one", 3, 0), 0);
	}
	/* What lies behind the attributes of a file is passed over. */
	int descriptor = open(test_path("%s/1", path), O_WRONLY | O_CLOEXEC);
	for (unsigned i = 0; i < 4000; i++)
		ck_assert_int_eq(pwrite(descriptor, "x", 1, (off_t)i * 8192), 1);
	ck_assert_int_eq(fsync(descriptor), 0);
	close(descriptor);
	descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	xattr_search_init(&any, store, descriptor, names, NULL, 0, &never);
	xattr_search_init(&one, store, descriptor, names, "one", 3, &never);
	uint64_t subvolume = 0;
	ck_assert_int_eq(subvol_number(descriptor, &subvolume), 0);
	for (unsigned round = 0; round < 2; round++) {
		unsigned unknown = 0;
		for (unsigned i = 0; i < FILES; i++) {
			uint64_t inode = inode_of(test_path("%s/%u", path, i));
			enum xattr_search_answer holds = xattr_search_lookup(&any, subvolume,
									     inode);
			enum xattr_search_answer holds_one = xattr_search_lookup(&one, subvolume,
										 inode);
			ck_assert_int_eq(holds == XATTR_SEARCH_UNKNOWN,
					 holds_one == XATTR_SEARCH_UNKNOWN);
			unknown += holds == XATTR_SEARCH_UNKNOWN;
			if (holds == XATTR_SEARCH_UNKNOWN)
				continue;
			ck_assert_int_eq(holds == XATTR_SEARCH_YES, i % 3 == 1);
			ck_assert_int_eq(holds_one == XATTR_SEARCH_YES, i % 3 == 1 && i % 2);
		}
		ck_assert_uint_eq(unknown, round ? 0 : XATTR_SEARCH_LOOKUPS);
	}
	xattr_search_free(&any);
	xattr_search_free(&one);
	close(descriptor);
	test_close(store);
}
END_TEST

TEST_MAIN("walks", test_progress, test_progress_closes, test_cancel_entries, test_cancel_threads,
	  test_fair_shares, test_stacks, test_one_directory, test_bounds, test_holders)
