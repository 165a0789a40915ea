/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a daemon makes of a home at its start: parents that are gone, keys that are there twice,
 * records that are damaged or of a later version. Nothing that is not understood is removed or
 * changed, and the rest is served.
 *
 * varve-test: timeout=120 options=nobarrier
 */
#include "fake.h"

#include "api/serve/record.pb-c.h"
#include "record.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Replace the record of layer ID by BYTES. */
static void set_record(struct varve_store *store, const char *id, const void *bytes, size_t count)
{
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	struct varve_failure failure;

	options.flags = VARVE_LABEL_RECORD;
	options.record = bytes;
	options.record_bytes = count;
	options.labels = LABELS("varve.snapshot=active");
	test_ok(varve_layer_label_wait(store, id, &options, NULL, &failure), &failure);
}

/* The record of layer ID as a message. */
static Record__Snapshot *get_record(struct varve_store *store, const char *id)
{
	struct varve_layer_record *record;
	struct varve_failure failure;
	Record__Snapshot *message;

	test_ok(varve_layer_record_wait(store, id, &record, &failure), &failure);
	message = node_unpack(&record__snapshot__descriptor, record->bytes, record->bytes_count);
	free(record);
	return message;
}

/* Replace the record of layer ID by MESSAGE. */
static void set_message(struct varve_store *store, const char *id, const Record__Snapshot *message)
{
	size_t count = record__snapshot__get_packed_size(message);
	uint8_t *bytes = test_alloc(count + 1);

	record__snapshot__pack(message, bytes);
	set_record(store, id, bytes, count);
}

/* A home with "base" (s0), its child "mid" (s1), whose children are "a" (s2) and "b" (s3). */
static struct node *start(void)
{
	struct node *node = node_open(test_home());

	node_make(node, "base", NULL);
	node_make(node, "mid", "base");
	node_expect(node, node_create(node, "Prepare", "a", "mid", LABELS("x=1")), GRPC_OK);
	node_expect(node, node_create(node, "View", "b", "mid", NULL), GRPC_OK);
	return node;
}

START_TEST(test_orphans)
{
	struct node *node = start();

	test_remove_layer(node->store, "s1");
	node = node_again(node);
	ck_assert_msg(strstr(node->said, "2 snapshots have lost their parent"), "%s", node->said);
	/* They have none, so that containerd's garbage collection finds them, and can be used. */
	ck_assert_str_eq(node_stat(node, "a"), "a active  {x=1}");
	ck_assert_str_eq(node_keys(node, LABELS("parent==mid")), "");
	ck_assert_mem_eq(get_record(node->store, "s2")->parent_key.data, "mid", 3);
	ck_assert_ptr_null(node_stat(node, "mid"));
	node_expect(node, node_key(node, "Usage", "a"), GRPC_OK);
	node_expect(node, node_update(node, "a", NULL, LABELS("y=2")), GRPC_OK);
	node_expect(node, node_commit(node, "n", "a", NULL), GRPC_OK);
	node_expect(node, node_create(node, "Prepare", "c", "n", NULL), GRPC_OK);
	/* A new "mid" is another one. */
	node_make(node, "mid", "base");
	node = node_again(node);
	ck_assert_str_eq(node_stat(node, "n"), "n committed  {}");
	ck_assert_mem_eq(get_record(node->store, "s2")->parent_key.data, "mid", 3);
	node_expect(node, node_key(node, "Remove", "mid"), GRPC_OK);
	node_expect(node, node_key(node, "Remove", "b"), GRPC_OK);
	node_expect(node, node_key(node, "Remove", "base"), GRPC_OK);
	node_close(node);
}
END_TEST

START_TEST(test_strays)
{
	struct node *node = start();
	Record__Snapshot *message;
	struct varve_failure failure;

	for (unsigned i = 0; i < 6; i++)
		node_expect(node, node_create(node, "Prepare", test_path("k%u", i), "base", NULL),
			    GRPC_OK);
	/* k0 is s4, and so on. */
	set_record(node->store, "s4", "garbage", 7);
	set_record(node->store, "s5", "", 0);
	message = get_record(node->store, "s6");
	message->version = RECORD_VERSION + 1;
	set_message(node->store, "s6", message);
	message = get_record(node->store, "s7");
	message->kind = 77;
	set_message(node->store, "s7", message);
	test_ok(varve_layer_rename_wait(node->store, "s8", "mine", 0, &failure), &failure);
	/* A layer of somebody else. */
	test_create(node->store, "theirs", NULL);
	node = node_again(node);
	ck_assert_msg(strstr(node->said, "5 layers of snapshots are not served"), "%s", node->said);
	ck_assert_str_eq(node_keys(node, NULL), "a b base k5 mid");
	/* Their keys are free; they stay as they are. */
	node_expect(node, node_create(node, "Prepare", "k0", "base", NULL), GRPC_OK);
	node_expect(node, node_key(node, "Remove", "k0"), GRPC_OK);
	node_expect(node, node_key(node, "Cleanup", ""), GRPC_OK);
	for (unsigned i = 4; i < 10; i++)
		ck_assert(i == 8 || test_layer_exists(node->home, test_path("s%u", i)));
	ck_assert(test_layer_exists(node->home, "mine"));
	ck_assert(test_layer_exists(node->home, "theirs"));
	ck_assert_int_eq(get_record(node->store, "s6")->version, RECORD_VERSION + 1);
	node_close(node);
}
END_TEST

/* Change a bit of the record of layer ID of HOME, as it is stored. */
static void damage_record(const char *home, const char *id)
{
	const char *path = test_path("%s/.varve/layers/%s", home, id), *name = "user.vrec.0";
	uint8_t bytes[4096];
	ssize_t count = getxattr(path, name, bytes, sizeof(bytes));

	ck_assert_int_gt(count, 0);
	bytes[count - 1] ^= 1;
	ck_assert_int_eq(setxattr(path, name, bytes, (size_t)count, XATTR_REPLACE), 0);
}

/* Without its record a layer is in no search for snapshots; a person is told of it all the same. */
START_TEST(test_damaged)
{
	struct node *node = start();

	damage_record(node->home, "s1");
	test_create(node->store, "szz", NULL);
	for (unsigned i = 0; i < 2; i++) {
		node = node_again(node);
		ck_assert_msg(strstr(node->said, "2 layers of snapshots are not served"), "%s",
			      node->said);
		ck_assert_msg(strstr(node->said, "2 snapshots have lost their parent"), "%s",
			      node->said);
		ck_assert_str_eq(node_keys(node, NULL), "a b base");
		/* The sweep takes the damaged record, and leaves the layers. */
		node_expect(node, node_key(node, "Cleanup", ""), GRPC_OK);
		ck_assert_int_eq(test_layers(node->home), 5);
	}
	node_expect(node, node_create(node, "Prepare", "c", "mid", NULL), GRPC_NOT_FOUND);
	node_expect(node, node_key(node, "Mounts", "a"), GRPC_OK);
	/* The way out: the image anew, and the layers by hand. */
	node_make(node, "mid", "base");
	node_expect(node, node_create(node, "Prepare", "c", "mid", NULL), GRPC_OK);
	test_remove_layer(node->store, "s1");
	test_remove_layer(node->store, "szz");
	node = node_again(node);
	ck_assert_msg(!strstr(node->said, "not served"), "%s", node->said);
	ck_assert_str_eq(node_keys(node, NULL), "a b base c mid");
	node_close(node);
}
END_TEST

/* A field that a later version adds stays in the record, whatever this one changes there. */
START_TEST(test_unknown_fields)
{
	static const uint8_t added[] = { 0xa2, 6, 3, 'n', 'e', 'w', 0xa8, 6, 7 };
	struct node *node = start();
	struct varve_layer_record *record;
	struct varve_failure failure;
	Record__Snapshot *message;
	uint8_t bytes[4096];

	test_ok(varve_layer_record_wait(node->store, "s2", &record, &failure), &failure);
	memcpy(bytes, record->bytes, record->bytes_count);
	memcpy(bytes + record->bytes_count, added, sizeof(added));
	set_record(node->store, "s2", bytes, record->bytes_count + sizeof(added));
	free(record);
	node = node_again(node);
	for (unsigned i = 0; i < 3; i++) {
		if (i == 1)
			node_expect(node, node_update(node, "a", NULL, LABELS("x=2")), GRPC_OK);
		if (i == 2)
			node_expect(node, node_commit(node, "n", "a", LABELS("x=3")), GRPC_OK);
		message = get_record(node->store, "s2");
		ck_assert_int_eq(*message->labels[0]->value.data, '1' + (int)i);
		ck_assert_uint_eq(message->base.n_unknown_fields, 2);
		ck_assert_uint_eq(message->base.unknown_fields[0].tag, 100);
		ck_assert_mem_eq(message->base.unknown_fields[0].data, "\3new", 4);
		ck_assert_uint_eq(message->base.unknown_fields[1].tag, 101);
		/* As often as it is read. */
		node = node_again(node);
	}
	/* What is new has none. */
	node_expect(node, node_create(node, "Prepare", "c", "n", NULL), GRPC_OK);
	ck_assert_uint_eq(get_record(node->store, "s4")->base.n_unknown_fields, 0);
	node_close(node);
}
END_TEST

START_TEST(test_twice)
{
	struct node *node = start();
	Record__Snapshot *message;

	/* Another layer says that it is "mid", with a child; the one that is committed wins. */
	node_expect(node, node_create(node, "Prepare", "other", "base", NULL), GRPC_OK);
	message = get_record(node->store, "s4");
	message->key = text_field(text_of_string("mid"));
	set_message(node->store, "s4", message);
	/* And s5 says that it is "a": the older one wins. */
	node_expect(node, node_create(node, "Prepare", "more", "base", NULL), GRPC_OK);
	message = get_record(node->store, "s5");
	message->key = text_field(text_of_string("a"));
	set_message(node->store, "s5", message);
	/* s6 says that it is "b", and committed: it wins over the view. */
	node_make(node, "new", "base");
	message = get_record(node->store, "s6");
	message->key = text_field(text_of_string("b"));
	set_message(node->store, "s6", message);
	for (unsigned i = 0; i < 2; i++) {
		node = node_again(node);
		ck_assert_msg(strstr(node->said, "3 layers"), "%s", node->said);
		ck_assert_str_eq(node_keys(node, NULL), "a b base mid");
		ck_assert_str_eq(node_stat(node, "mid"), "mid committed base {}");
		ck_assert_str_eq(node_stat(node, "a"), "a active mid {x=1}");
		ck_assert_str_eq(node_stat(node, "b"), "b committed base {}");
	}
	ck_assert_int_eq(test_layers(node->home), 7);
	node_close(node);
}
END_TEST

START_TEST(test_circles)
{
	struct node *node = start();
	Record__Snapshot *message = get_record(node->store, "s0");

	/* base is the child of mid, which is its own. */
	message->parent_number = 2;
	message->parent_key = text_field(text_of_string("mid"));
	set_message(node->store, "s0", message);
	message = get_record(node->store, "s1");
	message->parent_number = 2;
	set_message(node->store, "s1", message);
	node = node_again(node);
	ck_assert_str_eq(node_keys(node, NULL), "a b base mid");
	node_expect(node, node_key(node, "Remove", "base"), GRPC_OK);
	node_expect(node, node_key(node, "Remove", "a"), GRPC_OK);
	node_expect(node, node_key(node, "Remove", "b"), GRPC_OK);
	node_expect(node, node_key(node, "Remove", "mid"), GRPC_OK);
	ck_assert_int_eq(test_layers(node->home), 0);
	node_close(node);
}
END_TEST

/* A home, and a pipe on which a child tells of what it makes there. */
struct churned {
	char *home;
	int pipe[2];
};

/* Make, commit, update and remove snapshots of a home until killed; write a byte for each one. */
static int churn(void *data)
{
	const struct churned *churned = data;
	struct node *node = node_open(churned->home);

	for (unsigned i = 0;; i++) {
		node_create(node, "Prepare", test_path("k%u", i), NULL, NULL);
		if (i >= 8)
			node_commit(node, test_path("n%u", i - 8), test_path("k%u", i - 8), NULL);
		if (i >= 12)
			node_key(node, "Remove", test_path("n%u", i - 12));
		/* The calls that it has are forgotten; each has ended but the last ones. */
		while (varve_pending(node->store) > 8)
			varve_wait(node->store, -1);
		ck_assert_int_eq(write(churned->pipe[1], "", 1), 1);
	}
	return 0;
}

START_TEST(test_killed)
{
	enum { ROUNDS = 8 };
	char *home = test_home();
	uint64_t seed = test_seed();

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct churned churned = { .home = home };
		/* Calls of the first ones are still under way. */
		unsigned snapshots = 12 + (unsigned)(test_random(&seed) % 20);
		struct node *node;
		char told;
		int child;

		ck_assert_int_eq(pipe2(churned.pipe, O_CLOEXEC), 0);
		child = test_child_endless(churn, &churned);
		close(churned.pipe[1]);
		while (snapshots--)
			ck_assert_int_eq(read(churned.pipe[0], &told, 1), 1);
		test_child_kill(child);
		close(churned.pipe[0]);
		node = node_open(home);
		/* Each layer has its record; and the other way round. */
		ck_assert_str_eq(node->said, "");
		node_expect(node, node_key(node, "Cleanup", ""), GRPC_OK);
		ck_assert_int_eq(test_layers(home), (int)snapshots_count(node->snapshots));
		ck_assert_uint_eq(test_leftovers(home), 0);
		node_close(node);
	}
}
END_TEST

/* Bytes of memory that are in use. */
static size_t heap(void)
{
	return mallinfo2().uordblks;
}

/* Print LINE_NAME of this process's status. */
static void print_status(const char *name)
{
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			printf("%s", line);
	if (file)
		fclose(file);
}

START_TEST(test_many)
{
	/* As containerd has them. */
	const char *const labels[] = {
		"containerd.io/gc.root=2026-11-27T19:41:55Z",
		"containerd.io/snapshot/cri.layer-digest=sha256:"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		NULL,
	};
	size_t many = getenv("VARVE_TEST_SOAK") ? 20000 : 500, before;
	struct node *node = node_open(test_home());
	struct varve_config config = test_config(node->home);
	struct snapshots_options options = { .home = node->home };
	struct snapshots *snapshots;
	struct varve_store *store;
	struct varve_failure failure;
	int64_t began_ms;

	node_make(node, "base", NULL);
	for (size_t i = 0; i < many; i++) {
		node_create(node, "Prepare", test_path("k8s.io/%zu/%064zx", i, i), "base", labels);
		while (varve_pending(node->store) > 512)
			varve_wait(node->store, -1);
	}
	while (varve_pending(node->store))
		varve_wait(node->store, -1);
	node_close(node);
	store = test_open_config(&config);
	before = heap();
	began_ms = test_now_ms();
	test_ok(snapshots_open(store, &options, &snapshots, &failure), &failure);
	printf("%zu snapshots were read in %" PRId64 " ms, and take %zu bytes each\n", many,
	       test_now_ms() - began_ms, (heap() - before) / many);
	print_status("VmRSS");
	print_status("VmHWM");
	ck_assert_uint_eq(snapshots_count(snapshots), many + 1);
	/* 16 MiB for 20,000, of which the library and its threads take four. */
	ck_assert_uint_le(heap() - before, many * 600 + (64 << 10));
	test_close(store);
	snapshots_close(snapshots);
}
END_TEST

TEST_MAIN("recover", test_orphans, test_strays, test_damaged, test_unknown_fields, test_twice,
	  test_circles, test_killed, test_many)
