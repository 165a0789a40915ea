/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that is full, and a home that is read-only: each call has a status that says why, nothing
 * that was answered is lost, and all goes on when there is room again.
 *
 * varve-test: timeout=120 size=128M
 */
#include "fake.h"

#include <sys/mount.h>

START_TEST(test_no_room)
{
	struct node *node = node_open(test_home());
	char *fill = test_path("%s/fill", test_mount());
	struct grpc_call *call = NULL;
	unsigned made = 0;

	node_make(node, "base", NULL);
	node_expect(node, node_create(node, "Prepare", "a", "base", NULL), GRPC_OK);
	test_mkdir(fill);
	test_fill_metadata(fill);
	/* The kernel keeps some room for small things. */
	do {
		call = node_create(node, "Prepare", test_path("k%u", made), "base", NULL);
		node_wait(node, call);
	} while (call->status == GRPC_OK && ++made < 1000);
	ck_assert_msg(call->status == GRPC_RESOURCE_EXHAUSTED, "%d: %s", call->status, call->text);
	ck_assert_msg(strstr(call->text, "No space left"), "%s", call->text);
	ck_assert_ptr_null(node_stat(node, test_path("k%u", made)));
	/* What looks goes on; what was answered is there. */
	ck_assert_str_eq(node_stat(node, "a"), "a active base {}");
	node_expect(node, node_key(node, "Mounts", "a"), GRPC_OK);
	call = node_commit(node, "n", "a", NULL);
	node_wait(node, call);
	ck_assert_msg(call->status == GRPC_OK || call->status == GRPC_RESOURCE_EXHAUSTED, "%d: %s",
		      call->status, call->text);
	ck_assert_ptr_nonnull(node_stat(node, call->status == GRPC_OK ? "n" : "a"));
	test_remove(fill);
	node_expect(node, node_create(node, "Prepare", "after", "base", NULL), GRPC_OK);
	node = node_again(node);
	ck_assert_str_eq(node->said, "");
	ck_assert_uint_eq(snapshots_count(node->snapshots), made + 3);
	ck_assert_int_eq(test_layers(node->home), (int)made + 3);
	node_close(node);
}
END_TEST

/* Mount the file system of the test again, with FLAGS. */
static void remount(unsigned long flags)
{
	ck_assert_msg(!mount(NULL, test_mount(), NULL, MS_REMOUNT | flags, NULL), "remount: %s",
		      strerror(errno));
}

START_TEST(test_read_only)
{
	struct node *node = node_open(test_home());

	node_make(node, "base", NULL);
	node_expect(node, node_create(node, "Prepare", "a", "base", NULL), GRPC_OK);
	remount(MS_RDONLY);
	node_expect(node, node_create(node, "Prepare", "b", "base", NULL),
		    GRPC_FAILED_PRECONDITION);
	node_expect(node, node_commit(node, "n", "a", NULL), GRPC_FAILED_PRECONDITION);
	node_expect(node, node_update(node, "a", NULL, LABELS("x=1")), GRPC_FAILED_PRECONDITION);
	node_expect(node, node_key(node, "Remove", "a"), GRPC_FAILED_PRECONDITION);
	node_expect(node, node_key(node, "Mounts", "a"), GRPC_OK);
	ck_assert_str_eq(node_keys(node, NULL), "a base");
	/* Also from the start. */
	node = node_again(node);
	ck_assert_str_eq(node_stat(node, "a"), "a active base {}");
	node_expect(node, node_key(node, "Remove", "a"), GRPC_FAILED_PRECONDITION);
	remount(0);
	node_expect(node, node_commit(node, "n", "a", NULL), GRPC_OK);
	node_expect(node, node_key(node, "Remove", "n"), GRPC_OK);
	node_close(node);
}
END_TEST

TEST_MAIN("full", test_no_room, test_read_only)
