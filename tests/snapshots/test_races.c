/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls under way at the same time. A request to the store ends in node_wait() alone, so that each
 * test says what is under way when the next call begins. After each test the index is what a new
 * daemon reads from the layers, and no layer is left over.
 *
 * varve-test: timeout=120 options=nobarrier
 */
#include "fake.h"

/* All snapshots, as text. */
static char *state(struct node *node)
{
	char *keys = node_keys(node, NULL), *text = test_strdup(""), *at = NULL;

	for (char *key = strtok_r(keys, " ", &at); key; key = strtok_r(NULL, " ", &at))
		text = test_path("%s%s\n", text, node_stat(node, key));
	return text;
}

/* Close NODE, and see that another daemon finds what this one had. */
static void finish(struct node *node, const char *expected)
{
	char *before;

	node_wait_all(node);
	before = state(node);
	ck_assert_str_eq(before, expected);
	ck_assert_int_eq(test_layers(node->home), (int)snapshots_count(node->snapshots));
	node = node_again(node);
	ck_assert_str_eq(state(node), before);
	ck_assert_str_eq(node->said, "");
	node_close(node);
}

/* A node with the committed snapshot "base" and the active ones "a" and "b" of it. */
static struct node *start(void)
{
	struct node *node = node_open(test_home());

	node_make(node, "base", NULL);
	node_expect(node, node_create(node, "Prepare", "a", "base", NULL), GRPC_OK);
	node_expect(node, node_create(node, "Prepare", "b", "base", NULL), GRPC_OK);
	return node;
}

#define BASE "base committed  {}\n"

START_TEST(test_prepare_is_seen)
{
	struct node *node = node_open(test_home());
	struct grpc_call *prepare, *view, *commit;

	node_make(node, "base", NULL);
	prepare = node_create(node, "Prepare", "a", "base", NULL);
	/* Its key is taken, and it is a child; but it is not there, nor said to be. */
	view = node_create(node, "View", "a", NULL, NULL);
	commit = node_commit(node, "a", "base", NULL);
	node_expect(node, node_key(node, "Remove", "base"), GRPC_FAILED_PRECONDITION);
	node_expect(node, node_key(node, "Stat", "a"), GRPC_NOT_FOUND);
	node_expect(node, node_key(node, "Mounts", "a"), GRPC_NOT_FOUND);
	node_expect(node, node_key(node, "Usage", "a"), GRPC_NOT_FOUND);
	node_expect(node, node_key(node, "Remove", "a"), GRPC_NOT_FOUND);
	node_expect(node, node_commit(node, "n", "a", NULL), GRPC_NOT_FOUND);
	ck_assert_str_eq(node_keys(node, NULL), "base");
	ck_assert(!prepare->ended && !view->ended && !commit->ended);
	node_expect(node, prepare, GRPC_OK);
	node_expect(node, view, GRPC_ALREADY_EXISTS);
	node_expect(node, commit, GRPC_ALREADY_EXISTS);
	finish(node, "a active base {}\n" BASE);
}
END_TEST

START_TEST(test_parent_goes)
{
	struct node *node = node_open(test_home());
	struct grpc_call *removal, *children[3], *other;

	node_make(node, "base", NULL);
	removal = node_key(node, "Remove", "base");
	/* They wait, and find no parent. */
	for (unsigned i = 0; i < 3; i++) {
		children[i] = node_create(node, i == 1 ? "View" : "Prepare", test_path("%u", i),
					  "base", NULL);
		ck_assert(!children[i]->ended);
	}
	/* One that goes meanwhile ends at once. */
	node_cancel(children[2]);
	ck_assert(children[2]->ended);
	other = node_create(node, "Prepare", "other", NULL, NULL);
	/* The key is not free before the layer is gone. */
	node_expect(node, node_create(node, "Prepare", "base", NULL, NULL), GRPC_ALREADY_EXISTS);
	ck_assert_str_eq(node_stat(node, "base"), "base committed  {}");
	node_expect(node, removal, GRPC_OK);
	node_expect(node, children[0], GRPC_NOT_FOUND);
	node_expect(node, children[1], GRPC_NOT_FOUND);
	node_expect(node, other, GRPC_OK);
	finish(node, "other active  {}\n");
}
END_TEST

START_TEST(test_parent_stays)
{
	struct node *node = node_open(test_home());
	struct grpc_call *removal, *child;

	node_make(node, "base", NULL);
	removal = node_key(node, "Remove", "base");
	child = node_create(node, "Prepare", "child", "base", NULL);
	/* The client of the removal goes: the child finds a parent, or none. */
	node_cancel(removal);
	node_wait_all(node);
	if (removal->status == GRPC_OK) {
		ck_assert_int_eq(child->status, GRPC_NOT_FOUND);
		finish(node, "");
	} else {
		ck_assert_int_eq(removal->status, GRPC_CANCELLED);
		ck_assert_int_eq(child->status, GRPC_OK);
		finish(node, BASE "child active base {}\n");
	}
}
END_TEST

START_TEST(test_removals)
{
	struct node *node = start();
	struct grpc_call *first = node_key(node, "Remove", "a");
	struct grpc_call *second = node_key(node, "Remove", "a");
	struct grpc_call *base = node_key(node, "Remove", "base");

	/* Children count until they are gone. */
	node_expect(node, base, GRPC_FAILED_PRECONDITION);
	node_expect(node, first, GRPC_OK);
	node_expect(node, second, GRPC_NOT_FOUND);
	finish(node, "b active base {}\n" BASE);
}
END_TEST

START_TEST(test_commits_to_one_name)
{
	struct node *node = start();
	struct grpc_call *first = node_commit(node, "n", "a", LABELS("x=1"));
	struct grpc_call *second = node_commit(node, "n", "b", NULL);
	struct grpc_call *again = node_commit(node, "m", "a", NULL);
	struct grpc_call *prepare = node_create(node, "Prepare", "n", NULL, NULL);

	/* A client that is told that the name exists goes on with it as a parent. */
	ck_assert(!second->ended && !prepare->ended);
	/* No parent before it is committed. */
	node_expect(node, node_create(node, "Prepare", "c", "n", NULL), GRPC_NOT_FOUND);
	node_expect(node, node_create(node, "Prepare", "c", "a", NULL), GRPC_INVALID_ARGUMENT);
	/* The second one of the same snapshot waits, and the snapshot is gone then. */
	ck_assert(!again->ended);
	node_expect(node, first, GRPC_OK);
	node_expect(node, second, GRPC_ALREADY_EXISTS);
	node_expect(node, prepare, GRPC_ALREADY_EXISTS);
	node_expect(node, again, GRPC_NOT_FOUND);
	finish(node, "b active base {}\n" BASE "n committed base {x=1}\n");
}
END_TEST

/* Of those that wait for a name which its call gave up, the first one has it. */
START_TEST(test_name_becomes_free)
{
	enum { CALLS = 32 };
	struct node *node = start();
	struct grpc_call *first = node_commit(node, "n", "a", NULL), *calls[CALLS];

	calls[0] = node_commit(node, "n", "b", LABELS("x=1"));
	for (unsigned i = 1; i < CALLS; i++)
		calls[i] = node_create(node, i % 2 ? "Prepare" : "View", "n", "base", NULL);
	node_cancel(calls[CALLS - 1]);
	ck_assert(calls[CALLS - 1]->ended);
	node_cancel(first);
	node_expect(node, first, GRPC_CANCELLED);
	node_expect(node, calls[0], GRPC_OK);
	for (unsigned i = 1; i < CALLS - 1; i++)
		node_expect(node, calls[i], GRPC_ALREADY_EXISTS);
	finish(node, "a active base {}\n" BASE "n committed base {x=1}\n");
}
END_TEST

START_TEST(test_looks_during_commit)
{
	struct node *node = start();
	struct grpc_call *usage = node_key(node, "Usage", "a");
	struct grpc_call *commit = node_commit(node, "n", "a", NULL);
	struct grpc_call *more = node_key(node, "Usage", "a");
	struct grpc_call *mounts = node_key(node, "Mounts", "a");

	ck_assert(mounts->ended && mounts->status == GRPC_OK);
	ck_assert_str_eq(node_stat(node, "a"), "a active base {}");
	ck_assert_ptr_null(node_stat(node, "n"));
	ck_assert_str_eq(node_keys(node, NULL), "a b base");
	ck_assert(!commit->ended);
	node_expect(node, commit, GRPC_OK);
	/* A look does not fail because of a change. */
	node_expect(node, usage, GRPC_OK);
	node_expect(node, more, GRPC_OK);
	finish(node, "b active base {}\n" BASE "n committed base {}\n");
}
END_TEST

START_TEST(test_updates)
{
	struct node *node = start();
	struct grpc_call *calls[4];

	/* None loses what another one changed. */
	for (unsigned i = 0; i < 4; i++)
		calls[i] = node_update(node, "a", LABELS(test_path("labels.l%u", i)),
				       LABELS(test_path("l%u=%u", i, i)));
	for (unsigned i = 4; i-- > 0;)
		node_expect(node, calls[i], GRPC_OK);
	/* A Commit comes after an Update that began before, and replaces all labels. */
	calls[0] = node_update(node, "a", LABELS("labels.m"), LABELS("m=1"));
	calls[1] = node_commit(node, "n", "a", LABELS("c=1"));
	/* The snapshot has another key then. */
	calls[2] = node_update(node, "a", LABELS("labels.n"), LABELS("n=1"));
	ck_assert_str_eq(node_stat(node, "a"), "a active base {l0=0,l1=1,l2=2,l3=3}");
	node_expect(node, calls[2], GRPC_NOT_FOUND);
	node_expect(node, calls[1], GRPC_OK);
	node_expect(node, calls[0], GRPC_OK);
	/* And a Remove after an Update. */
	calls[0] = node_update(node, "b", NULL, LABELS("m=1"));
	calls[1] = node_key(node, "Remove", "b");
	node_expect(node, calls[1], GRPC_OK);
	node_expect(node, calls[0], GRPC_OK);
	finish(node, BASE "n committed base {c=1}\n");
}
END_TEST

START_TEST(test_cancelled_prepare)
{
	struct node *node = start();
	struct grpc_call *call = node_create(node, "Prepare", "k", "base", NULL), *next;

	/* While the layer is made. */
	node_cancel(call);
	node_wait_all(node);
	ck_assert_ptr_null(node_stat(node, "k"));
	/* The layer is there, and the callback has not run: it is removed again. */
	call = node_create(node, "Prepare", "k", "base", NULL);
	node_await_ready(node);
	node_cancel(call);
	ck_assert(!call->ended);
	/* The next one waits until the key is free again. */
	next = node_create(node, "Prepare", "k", NULL, NULL);
	ck_assert(!next->ended);
	node_expect(node, next, GRPC_OK);
	ck_assert(call->ended && call->status == GRPC_CANCELLED);
	finish(node, "a active base {}\nb active base {}\n" BASE "k active  {}\n");
}
END_TEST

START_TEST(test_cancelled_prepares_at_all_times)
{
	enum { ROUNDS = 40 };
	struct node *node = start();
	uint64_t seed = test_seed();

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct grpc_call *calls[4];

		for (unsigned j = 0; j < 4; j++)
			calls[j] = node_create(node, j % 2 ? "View" : "Prepare",
					       test_path("k%u", j), "base", NULL);
		for (unsigned turns = (unsigned)(test_random(&seed) % 4); turns; turns--)
			varve_wait(node->store, 1);
		for (unsigned j = 0; j < 4; j++)
			if (!calls[j]->ended)
				node_cancel(calls[j]);
		node_wait_all(node);
		for (unsigned j = 0; j < 4; j++)
			if (calls[j]->status == GRPC_OK)
				node_expect(node, node_key(node, "Remove", test_path("k%u", j)),
					    GRPC_OK);
	}
	finish(node, "a active base {}\nb active base {}\n" BASE);
}
END_TEST

START_TEST(test_cancelled_commits)
{
	enum { ROUNDS = 30 };
	struct node *node = start();
	uint64_t seed = test_seed();
	unsigned committed = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		char *name = test_path("n%u", i);
		struct grpc_call *call, *waits;

		node_expect(node, node_create(node, "Prepare", "k", "base", NULL), GRPC_OK);
		call = node_commit(node, name, "k", NULL);
		waits = node_key(node, "Remove", "k");
		for (unsigned turns = (unsigned)(test_random(&seed) % 4); turns && !call->ended;
		     turns--)
			varve_wait(node->store, 1);
		if (!call->ended)
			node_cancel(call);
		node_wait_all(node);
		/* One or the other, never both or none. */
		if (waits->status == GRPC_NOT_FOUND) {
			committed++;
			ck_assert_ptr_nonnull(node_stat(node, name));
			node_expect(node, node_key(node, "Remove", name), GRPC_OK);
		} else {
			ck_assert_int_eq(waits->status, GRPC_OK);
			ck_assert_int_eq(call->status, GRPC_CANCELLED);
			ck_assert_ptr_null(node_stat(node, name));
		}
	}
	printf("%u of %u were committed all the same\n", committed, ROUNDS);
	finish(node, "a active base {}\nb active base {}\n" BASE);
}
END_TEST

/* A record that was written, and whose way to the disk failed: what is on disk is what counts. */
START_TEST(test_commit_fails_late)
{
	struct node *node = start();
	struct grpc_call *waits, *call;

	node_label_fault = -EIO;
	call = node_commit(node, "n", "a", LABELS("x=1"));
	waits = node_key(node, "Remove", "a");
	node_expect(node, call, GRPC_INTERNAL);
	node_expect(node, waits, GRPC_NOT_FOUND);
	node_label_fault = 0;
	finish(node, "b active base {}\n" BASE "n committed base {x=1}\n");
}
END_TEST

/* The same, and the client goes while the record is read. */
START_TEST(test_commit_fails_late_and_is_cancelled)
{
	struct node *node = start();
	struct grpc_call *call;

	node_label_fault = -EIO;
	call = node_commit(node, "n", "a", LABELS("x=1"));
	while (!node_label_failures) {
		node_await_ready(node);
		varve_dispatch(node->store, 1);
	}
	node_label_fault = 0;
	ck_assert(!call->ended);
	node_cancel(call);
	finish(node, "b active base {}\n" BASE "n committed base {x=1}\n");
}
END_TEST

/* The daemon ends while calls are under way: each ends, and what is on disk is what counts. */
START_TEST(test_end_of_daemon)
{
	struct node *node = start();
	char *keys;

	node_create(node, "Prepare", "c", "base", NULL);
	node_commit(node, "n", "a", NULL);
	node_update(node, "a", NULL, NULL);
	node_key(node, "Remove", "b");
	node_key(node, "Remove", "b");
	node_key(node, "Usage", "base");
	node_list(node, NULL);
	node = node_again(node);
	ck_assert_str_eq(node->said, "");
	keys = node_keys(node, NULL);
	ck_assert_msg(strstr(keys, "base") && (strstr(keys, "a ") || strstr(keys, "n")), "%s",
		      keys);
	ck_assert_int_eq(test_layers(node->home), (int)snapshots_count(node->snapshots));
	node_close(node);
}
END_TEST

TEST_MAIN("races", test_prepare_is_seen, test_parent_goes, test_parent_stays, test_removals,
	  test_commits_to_one_name, test_name_becomes_free, test_looks_during_commit, test_updates,
	  test_cancelled_prepare, test_cancelled_prepares_at_all_times, test_cancelled_commits,
	  test_commit_fails_late, test_commit_fails_late_and_is_cancelled, test_end_of_daemon)
