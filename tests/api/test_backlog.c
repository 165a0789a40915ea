/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backlog_max: how many removed layers may await the kernel's cleaner before creates wait for it;
 * and how few are made at a time while layers come and go under full quotas.
 */
#include "quota.h"

START_TEST(test_backlog)
{
	/*
	 * However small the backlog that is allowed: creates wait and go on, or say so at once;
	 * none is lost.
	 */
	enum { LAYERS = 60 };
	char *home = test_home();
	struct varve_config config = test_config(home);
	config.backlog_max = 1;
	config.flags |= VARVE_OPEN_RELAXED;
	struct varve_store *store = test_open_config(&config);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	unsigned refused = 0;
	test_create(store, "base", NULL);
	test_make_tree(test_layer(home, "base"), 2, 20, 100);
	options.parent = "base";
	for (int round = 0; round < 4; round++) {
		struct test_record creates[LAYERS] = { 0 }, removes[LAYERS] = { 0 };
		for (int i = 0; i < LAYERS; i++) {
			options.flags = i % 3 ? 0 : VARVE_CREATE_NOWAIT;
			test_error(varve_layer_create(store, test_path("%d", i), &options,
						      test_record, &creates[i], NULL),
				   0);
			test_error(varve_layer_remove(store, test_path("%d", i), 0, test_record,
						      &removes[i], NULL),
				   0);
		}
		test_await_all(store, creates, LAYERS);
		test_await_all(store, removes, LAYERS);
		for (int i = 0; i < LAYERS; i++) {
			bool may_refuse = i % 3 == 0 && creates[i].error == -EAGAIN;
			ck_assert_msg(creates[i].error == 0 || may_refuse, "create: %s",
				      test_errno_name(creates[i].error));
			test_error(removes[i].error, creates[i].error ? -ENOENT : 0);
			refused += creates[i].error != 0;
		}
	}
	ck_assert_int_eq(test_layers(home), 1);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_ok(varve_sync_wait(store, VARVE_SYNC_CLEAN, &failure), &failure);
	/* Nothing awaits the cleaner: no reason to refuse. */
	options.flags = VARVE_CREATE_NOWAIT;
	test_ok(varve_layer_create_wait(store, "last", &options, &failure), &failure);
	test_close(store);
}
END_TEST

/* One layer that comes and goes. */
struct passer {
	unsigned number, *left;
	int error;
};

static void gone(struct varve_store *store, const struct varve_result *result, void *data)
{
	struct passer *passer = data;
	passer->error = result->error;
	--*passer->left;
}

static void made(struct varve_store *store, const struct varve_result *result, void *data)
{
	struct passer *passer = data;
	passer->error = result->error ? result->error
				      : varve_layer_remove(store, test_path("%u", passer->number),
							   0, gone, passer, NULL);
	*passer->left -= passer->error != 0;
}

/* Let 64 layers come and go at once; the most that were made together, ever. */
static uint64_t pass(struct varve_store *store)
{
	enum { LAYERS = 64 };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct passer passers[LAYERS];
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;
	unsigned left = LAYERS;
	options.parent = "base";
	for (unsigned i = 0; i < LAYERS; i++) {
		passers[i] = (struct passer){ .number = i, .left = &left };
		test_error(varve_layer_create(store, test_path("%u", i), &options, made,
					      &passers[i], NULL),
			   0);
	}
	while (left)
		ck_assert_int_gt(varve_wait(store, TEST_WAIT_MS), 0);
	for (unsigned i = 0; i < LAYERS; i++)
		test_error(passers[i].error, 0);
	test_error(varve_statistics(store, &statistics), 0);
	return statistics.group_max;
}

START_TEST(test_full_quotas)
{
	/* BACKLOG_FULL_QUOTA in engine/base/limits.h. */
	enum { FEW = 8 };
	char *home = test_home();
	struct varve_store *store = test_open_relaxed(home);
	struct varve_failure failure;
	test_create(store, "base", NULL);
	test_make_tree(test_layer(home, "base"), 2, 20, 100);
	test_ok(varve_quota_enable_wait(store, VARVE_QUOTA_FULL, &failure), &failure);
	/* From now on it is known that quotas are full, and that layers are removed. */
	test_create(store, "first", "base");
	test_ok(varve_layer_remove_wait(store, "first", 0, &failure), &failure);
	ck_assert_uint_le(pass(store), FEW);
	/* Nobody makes less of a group than it could be elsewhere. */
	test_ok(varve_quota_disable_wait(store, &failure), &failure);
	test_create(store, "again", "base");
	ck_assert_uint_gt(pass(store), FEW);
	test_close(store);
}
END_TEST

TEST_MAIN("backlog", test_backlog, test_full_quotas)
