/* SPDX-License-Identifier: Apache-2.0 */
/* backlog_max: how many removed layers may await the kernel's cleaner before creates wait for it. */
#include "test.h"

START_TEST(test_backlog) {
	/* However small the backlog that is allowed: creates wait and go on, or say so at once; none is lost. */
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
			test_error(varve_layer_create(store, test_path("%d", i), &options, test_record, &creates[i], NULL), 0);
			test_error(varve_layer_remove(store, test_path("%d", i), 0, test_record, &removes[i], NULL), 0);
		}
		test_await_all(store, creates, LAYERS);
		test_await_all(store, removes, LAYERS);
		for (int i = 0; i < LAYERS; i++) {
			bool may_refuse = i % 3 == 0 && creates[i].error == -EAGAIN;
			ck_assert_msg(creates[i].error == 0 || may_refuse, "create: %s", test_errno_name(creates[i].error));
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

TEST_MAIN("backlog", test_backlog)
