/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A durable create whose commit fails is undone; but another process has removed the layer while it was in sight, and has made
 * one of the same name. That one stays.
 */
#include "test.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *home;

/* What the next fsync does before it fails: 0, it does not fail; 1, nothing; 2, what the other process does. */
static _Atomic int armed;

/* Stands for the C library's. */
__attribute__((visibility("default"))) int fsync(int fd) {
	char *layer = test_layer(home, "layer");
	int what = atomic_exchange(&armed, 0);
	if (!what)
		return (int)syscall(SYS_fsync, fd);
	if (what == 2) {
		test_subvolume_destroy(layer);
		test_subvolume_create(layer);
		test_write(test_path("%s/other", layer), "another's");
	}
	errno = EIO;
	return -1;
}

START_TEST(test_replaced) {
	home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	armed = 1;
	test_error(varve_layer_create_wait(store, "layer", NULL, &failure), -EIO);
	ck_assert(!test_layer_exists(home, "layer"));
	armed = 2;
	test_error(varve_layer_create_wait(store, "layer", NULL, &failure), -EIO);
	ck_assert_msg(strstr(failure.detail, "another process"), "%s", failure.detail);
	ck_assert(test_exists(test_path("%s/other", test_layer(home, "layer"))));
	test_close(store);
	ck_assert_uint_eq(test_leftovers(home), 0);
} END_TEST

TEST_MAIN("replaced", test_replaced)
