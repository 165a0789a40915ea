/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The methods of the service, one after the other: what they answer, and each of their errors.
 *
 * varve-test: timeout=120 options=nobarrier
 */
#include "fake.h"

#include "limits.h"

#include <fcntl.h>
#include <unistd.h>

/* Write BYTES bytes to FILE of the snapshot that CALL has prepared. */
static void fill(struct node *node, const struct grpc_call *call, const char *file, size_t bytes)
{
	const Snapshots__MountsResponse *response =
		node_answer(call, 0, &snapshots__mounts_response__descriptor);
	char *content = test_alloc(bytes + 1);

	memset(content, 'x', bytes);
	test_write(test_path("%s/%s", response->mounts[0]->source, file), content);
}

START_TEST(test_path_of_a_layer)
{
	struct node *node = node_open(test_home());
	struct grpc_call *call = node_create(node, "Prepare", "ns/1/base key", NULL,
					     LABELS("b=2", "a=1", "none="));

	node_expect(node, call, GRPC_OK);
	ck_assert_str_eq(node_mount(node, call), "bind /subvolumes/s0 rw,rbind");
	ck_assert_str_eq(node_stat(node, "ns/1/base key"), "ns/1/base key active  {a=1,b=2}");
	fill(node, call, "file", 3);
	node_expect(node, node_commit(node, "base", "ns/1/base key", LABELS("c=3")), GRPC_OK);
	ck_assert_ptr_null(node_stat(node, "ns/1/base key"));
	ck_assert_str_eq(node_stat(node, "base"), "base committed  {c=3}");
	call = node_create(node, "Prepare", "active", "base", NULL);
	node_expect(node, call, GRPC_OK);
	ck_assert_str_eq(node_mount(node, call), "bind /subvolumes/s1 rw,rbind");
	ck_assert_str_eq(test_read(test_path("%s/file", test_layer(node->home, "s1"))), "xxx");
	call = node_create(node, "View", "view", "base", NULL);
	node_expect(node, call, GRPC_OK);
	ck_assert_str_eq(node_mount(node, call), "bind /subvolumes/s2 ro,rbind");
	ck_assert_str_eq(node_stat(node, "view"), "view view base {}");
	call = node_key(node, "Mounts", "active");
	node_expect(node, call, GRPC_OK);
	ck_assert_str_eq(node_mount(node, call), "bind /subvolumes/s1 rw,rbind");
	node_expect(node, node_create(node, "View", "empty", NULL, NULL), GRPC_OK);
	ck_assert_str_eq(node_keys(node, NULL), "active base empty view");
	/* All of it is in the layers. */
	node = node_again(node);
	ck_assert_str_eq(node->said, "");
	ck_assert_str_eq(node_keys(node, NULL), "active base empty view");
	ck_assert_str_eq(node_stat(node, "view"), "view view base {}");
	ck_assert_str_eq(node_stat(node, "base"), "base committed  {c=3}");
	/* The parent goes last; the next layer has a new name. */
	node_expect(node, node_key(node, "Remove", "view"), GRPC_OK);
	node_expect(node, node_key(node, "Remove", "base"), GRPC_FAILED_PRECONDITION);
	node_expect(node, node_key(node, "Remove", "active"), GRPC_OK);
	node_expect(node, node_key(node, "Remove", "base"), GRPC_OK);
	call = node_create(node, "Prepare", "active", NULL, NULL);
	node_expect(node, call, GRPC_OK);
	ck_assert_str_eq(node_mount(node, call), "bind /subvolumes/s4 rw,rbind");
	ck_assert_int_eq(test_layers(node->home), 2);
	node_expect(node, node_key(node, "Cleanup", ""), GRPC_OK);
	node_close(node);
}
END_TEST

START_TEST(test_errors)
{
	struct node *node = node_open(test_home());

	node_make(node, "base", NULL);
	node_expect(node, node_create(node, "Prepare", "active", "base", NULL), GRPC_OK);
	node_expect(node, node_create(node, "View", "view", "base", NULL), GRPC_OK);
	node_expect(node, node_create(node, "Prepare", "other", NULL, NULL), GRPC_OK);
	for (unsigned i = 0; i < 2; i++) {
		const char *method = i ? "View" : "Prepare";

		node_expect(node, node_create(node, method, "", NULL, NULL), GRPC_INVALID_ARGUMENT);
		node_expect(node, node_create(node, method, "k", "no", NULL), GRPC_NOT_FOUND);
		node_expect(node, node_create(node, method, "k", "active", NULL),
			    GRPC_INVALID_ARGUMENT);
		node_expect(node, node_create(node, method, "k", "view", NULL),
			    GRPC_INVALID_ARGUMENT);
		node_expect(node, node_create(node, method, "active", "base", NULL),
			    GRPC_ALREADY_EXISTS);
		node_expect(node, node_create(node, method, "view", NULL, NULL),
			    GRPC_ALREADY_EXISTS);
		node_expect(node, node_create(node, method, "base", NULL, NULL),
			    GRPC_ALREADY_EXISTS);
		/* The parent is looked at first. */
		node_expect(node, node_create(node, method, "active", "no", NULL), GRPC_NOT_FOUND);
	}
	node_expect(node, node_key(node, "Mounts", "no"), GRPC_NOT_FOUND);
	node_expect(node, node_key(node, "Mounts", "base"), GRPC_FAILED_PRECONDITION);
	node_expect(node, node_commit(node, "", "active", NULL), GRPC_INVALID_ARGUMENT);
	node_expect(node, node_commit(node, "n", "no", NULL), GRPC_NOT_FOUND);
	node_expect(node, node_commit(node, "n", "view", NULL), GRPC_FAILED_PRECONDITION);
	node_expect(node, node_commit(node, "n", "base", NULL), GRPC_FAILED_PRECONDITION);
	node_expect(node, node_commit(node, "base", "active", NULL), GRPC_ALREADY_EXISTS);
	node_expect(node, node_commit(node, "active", "active", NULL), GRPC_ALREADY_EXISTS);
	node_expect(node, node_commit(node, "base", "no", NULL), GRPC_NOT_FOUND);
	node_expect(node, node_key(node, "Remove", "no"), GRPC_NOT_FOUND);
	node_expect(node, node_key(node, "Remove", "base"), GRPC_FAILED_PRECONDITION);
	node_expect(node, node_key(node, "Stat", "no"), GRPC_NOT_FOUND);
	node_expect(node, node_key(node, "Usage", "no"), GRPC_NOT_FOUND);
	node_expect(node, node_update(node, "no", NULL, NULL), GRPC_NOT_FOUND);
	node_expect(node, node_update(node, "no", LABELS("parent"), NULL), GRPC_NOT_FOUND);
	node_expect(node, node_update(node, "base", LABELS("parent"), NULL), GRPC_INVALID_ARGUMENT);
	node_expect(node, node_list(node, LABELS("name==")), GRPC_INVALID_ARGUMENT);
	ck_assert_str_eq(node_keys(node, NULL), "active base other view");
	ck_assert_int_eq(test_layers(node->home), 4);
	node_close(node);
}
END_TEST

START_TEST(test_parent_of_commit)
{
	Snapshots__CommitRequest request = SNAPSHOTS__COMMIT_REQUEST__INIT;
	struct node *node = node_open(test_home());

	node_make(node, "base", NULL);
	node_expect(node, node_create(node, "Prepare", "k", "base", NULL), GRPC_OK);
	request.name.data = (uint8_t *)"n";
	request.key.data = (uint8_t *)"k";
	request.name.len = request.key.len = 1;
	request.parent = (ProtobufCBinaryData){ 5, (uint8_t *)"other" };
	node_expect(node, node_call(node, "Commit", &request.base), GRPC_INVALID_ARGUMENT);
	ck_assert_str_eq(node_stat(node, "k"), "k active base {}");
	request.parent = (ProtobufCBinaryData){ 4, (uint8_t *)"base" };
	node_expect(node, node_call(node, "Commit", &request.base), GRPC_OK);
	ck_assert_str_eq(node_stat(node, "n"), "n committed base {}");
	node_close(node);
}
END_TEST

START_TEST(test_update)
{
	struct node *node = node_open(test_home());

	node_expect(node, node_create(node, "Prepare", "k", NULL, LABELS("a=1", "b.c=2")), GRPC_OK);
	node_expect(node,
		    node_update(node, "k", LABELS("labels.b.c", "labels.d"), LABELS("d=4", "e=5")),
		    GRPC_OK);
	ck_assert_str_eq(node_stat(node, "k"), "k active  {a=1,d=4}");
	node_expect(node, node_update(node, "k", LABELS("labels.d"), LABELS("d=")), GRPC_OK);
	ck_assert_str_eq(node_stat(node, "k"), "k active  {a=1}");
	node_expect(node, node_update(node, "k", NULL, LABELS("x=1", "y=2")), GRPC_OK);
	ck_assert_str_eq(node_stat(node, "k"), "k active  {x=1,y=2}");
	node_expect(node, node_update(node, "k", LABELS("labels.x", "labels"), LABELS("z=3")),
		    GRPC_OK);
	ck_assert_str_eq(node_stat(node, "k"), "k active  {z=3}");
	/* A field that cannot be changed leaves the others, too. */
	node_expect(node, node_update(node, "k", LABELS("labels", "name"), LABELS("q=1")),
		    GRPC_INVALID_ARGUMENT);
	node = node_again(node);
	ck_assert_str_eq(node_stat(node, "k"), "k active  {z=3}");
	node_expect(node, node_update(node, "k", NULL, NULL), GRPC_OK);
	node = node_again(node);
	ck_assert_str_eq(node_stat(node, "k"), "k active  {}");
	node_close(node);
}
END_TEST

START_TEST(test_list)
{
	struct node *node = node_open(test_home());
	struct grpc_call *call;
	const Snapshots__ListResponse *response;
	size_t left = 250;

	for (unsigned i = 0; i < 250; i++)
		node_create(node, "Prepare", test_path("k%03u", i), NULL,
			    i % 50 ? NULL : LABELS("fifty=1"));
	node_wait_all(node);
	/* Blocks of 100, each when there is room. */
	call = node_list(node, NULL);
	ck_assert(call->room && !call->ended);
	node_expect(node, call, GRPC_OK);
	ck_assert_uint_eq(call->answers_count, 3);
	for (size_t i = 0; i < 3; i++) {
		response = node_answer(call, i, &snapshots__list_response__descriptor);
		ck_assert_uint_eq(response->n_info, left < 100 ? left : 100);
		left -= response->n_info;
	}
	ck_assert_str_eq(node_keys(node, LABELS("labels.fifty")), "k000 k050 k100 k150 k200");
	ck_assert_str_eq(node_keys(node, LABELS("name==k001", "name~=/^k24[67]/")),
			 "k001 k246 k247");
	ck_assert_str_eq(node_keys(node, LABELS("name==none")), "");
	/* What is removed while a List goes on: the next ones are listed all the same. */
	call = node_list(node, NULL);
	node_turn(node);
	node_turn(node);
	ck_assert_uint_eq(call->answers_count, 1);
	node_expect(node, node_key(node, "Remove", "k100"), GRPC_OK);
	node_expect(node, node_key(node, "Remove", "k101"), GRPC_OK);
	node_expect(node, call, GRPC_OK);
	response = node_answer(call, 1, &snapshots__list_response__descriptor);
	ck_assert_mem_eq(response->info[0]->name.data, "k102", 4);
	/* A client that goes while it has room. */
	call = node_list(node, NULL);
	node_cancel(call);
	ck_assert(call->ended);
	node_close(node);
}
END_TEST

/* The size that Usage of KEY gives; *RET_INODES. */
static int64_t usage_of(struct node *node, const char *key, int64_t *ret_inodes)
{
	struct grpc_call *call = node_key(node, "Usage", key);
	const Snapshots__UsageResponse *response;

	node_expect(node, call, GRPC_OK);
	response = node_answer(call, 0, &snapshots__usage_response__descriptor);
	*ret_inodes = response->inodes;
	return response->size;
}

/* COUNT conditions, each a regular expression that all names meet, behind FIRST. */
static char *costly(const char *first, unsigned count)
{
	char *text = test_strdup(first);

	while (count--)
		text = test_path("%s,name~=^", text);
	return text;
}

/* Filters that are costly are worked on for a turn, one List at a time. */
START_TEST(test_costly_lists)
{
	struct node *node = node_open(test_home());
	struct grpc_call *calls[3], *stat;
	unsigned turns = 0;

	for (const char *key = "abc"; *key; key++)
		node_expect(node,
			    node_create(node, "Prepare", test_path("%c", *key), NULL,
					LABELS("x=1")),
			    GRPC_OK);
	for (size_t i = 0; i < TEST_COUNT(calls); i++)
		calls[i] = node_list(node, LABELS(costly("name!=b", FILTER_SELECTORS_MAX - 1)));
	node_turn(node);
	while (!calls[0]->ended || !calls[1]->ended || !calls[2]->ended) {
		/* At most one has work in a turn; others are not kept waiting by it. */
		unsigned asking = 0;

		for (size_t i = 0; i < TEST_COUNT(calls); i++)
			asking += calls[i]->room != NULL;
		ck_assert_uint_ge(asking, 1);
		ck_assert_uint_le(asking, 2);
		stat = node_key(node, "Stat", "a");
		ck_assert(stat->ended);
		ck_assert_uint_gt(node_turn(node), 0);
		turns++;
	}
	/* Two of three snapshots are matched to the end. */
	ck_assert_uint_ge(turns, 3 * 2 * (FILTER_SELECTORS_MAX - 1) * FILTER_WORK_MATCH /
					 SNAPSHOT_WORK_MAX);
	for (size_t i = 0; i < TEST_COUNT(calls); i++)
		ck_assert_int_eq(calls[i]->status, GRPC_OK);
	ck_assert_str_eq(node_keys(node, LABELS(costly("name!=b", 100))), "a c");
	node_close(node);
}
END_TEST

/* What a List is about to match changes, or goes; and Lists go, at their turn and before it. */
START_TEST(test_changes_during_lists)
{
	struct node *node = node_open(test_home());
	struct grpc_call *call, *first, *second;
	const Snapshots__ListResponse *response;

	for (const char *key = "abc"; *key; key++)
		node_expect(node,
			    node_create(node, "Prepare", test_path("%c", *key), NULL,
					LABELS("x=1")),
			    GRPC_OK);
	call = node_list(node, LABELS(costly("labels.x==1", 40)));
	/* One to ask for the turn, one that ends amid the first snapshot. */
	node_turn(node);
	node_turn(node);
	node_expect(node, node_update(node, "a", NULL, LABELS("x=2")), GRPC_OK);
	node_turn(node);
	node_turn(node);
	ck_assert(!call->ended);
	ck_assert_uint_eq(call->answers_count, 0);
	node_expect(node, node_key(node, "Remove", "b"), GRPC_OK);
	node_expect(node, call, GRPC_OK);
	ck_assert_uint_eq(call->answers_count, 1);
	response = node_answer(call, 0, &snapshots__list_response__descriptor);
	ck_assert_uint_eq(response->n_info, 1);
	ck_assert_int_eq(*response->info[0]->name.data, 'c');
	first = node_list(node, LABELS(costly("name", 100)));
	second = node_list(node, LABELS(costly("name", 100)));
	call = node_list(node, LABELS(costly("name", 100)));
	node_turn(node);
	node_cancel(second);
	ck_assert_int_eq(second->status, GRPC_CANCELLED);
	node_cancel(first);
	ck_assert_int_eq(first->status, GRPC_CANCELLED);
	node_expect(node, call, GRPC_OK);
	node_close(node);
}
END_TEST

START_TEST(test_usage)
{
	for (unsigned relaxed = 0; relaxed < 2; relaxed++) {
		struct snapshots_options options = { .commit_relaxed = relaxed,
						     .usage_exact = true };
		struct node *node = node_open_with(test_home(), &options, NULL);
		struct grpc_call *call = node_create(node, "Prepare", "k", NULL, NULL);
		int64_t inodes;

		node_expect(node, call, GRPC_OK);
		fill(node, call, "file", 1 << 20);
		ck_assert_int_eq(usage_of(node, "k", &inodes), 1 << 20);
		ck_assert_int_eq(inodes, 2);
		node_expect(node, node_commit(node, "base", "k", NULL), GRPC_OK);
		call = node_create(node, "Prepare", "k", "base", NULL);
		node_expect(node, call, GRPC_OK);
		ck_assert_int_eq(usage_of(node, "k", &inodes), 0);
		fill(node, call, "more", 1 << 18);
		ck_assert_int_eq(usage_of(node, "k", &inodes), 1 << 18);
		ck_assert_int_eq(inodes, 1);
		ck_assert_int_eq(usage_of(node, "base", &inodes), 1 << 20);
		node_expect(node, node_create(node, "View", "v", "base", NULL), GRPC_OK);
		ck_assert_int_eq(usage_of(node, "v", &inodes), 0);
		ck_assert_int_eq(inodes, 0);
		node = node_again(node);
		/* A committed one does not ask the store. */
		call = node_key(node, "Usage", "base");
		ck_assert(relaxed || call->ended);
		ck_assert_int_eq(usage_of(node, "base", &inodes), 1 << 20);
		call = node_key(node, "Usage", "base");
		ck_assert(call->ended);
		node_close(node);
	}
}
END_TEST

START_TEST(test_usage_written)
{
	/* Statistics do not flush: what is not on disk yet is not counted. */
	struct varve_statistics before = VARVE_STATISTICS_INIT, after = VARVE_STATISTICS_INIT;
	struct node *node = node_open(test_home());
	struct grpc_call *call = node_create(node, "Prepare", "k", NULL, NULL);
	int64_t inodes;

	node_expect(node, call, GRPC_OK);
	fill(node, call, "file", 1 << 20);
	ck_assert_int_eq(varve_statistics(node->store, &before), 0);
	ck_assert_int_le(usage_of(node, "k", &inodes), 1 << 20);
	ck_assert_int_eq(varve_statistics(node->store, &after), 0);
	ck_assert_uint_eq(after.syncs, before.syncs);
	test_error(varve_sync_wait(node->store, 0, NULL), 0);
	ck_assert_int_eq(usage_of(node, "k", &inodes), 1 << 20);
	ck_assert_int_eq(inodes, 2);
	node_close(node);
}
END_TEST

START_TEST(test_maps)
{
	static const char *const bad[] = { "0:1",  "0:1:2,", "0:1:2:3",  "a:b:c",
					   ":1:2", "0::2",   "0:1:2,ro", "" };
	struct node *node = node_open(test_home());
	struct grpc_call *call =
		node_create(node, "Prepare", "k", NULL,
			    LABELS("containerd.io/snapshot/uidmapping=0:1000:65536,70000:1:2",
				   "containerd.io/snapshot/gidmapping=0:2000:65536"));

	node_expect(node, call, GRPC_OK);
	ck_assert_str_eq(node_mount(node, call),
			 "bind /subvolumes/s0 rw,rbind,uidmap=0:1000:65536,70000:1:2,"
			 "gidmap=0:2000:65536");
	for (size_t i = 0; *bad[i]; i++)
		node_expect(node,
			    node_create(node, "Prepare", "bad", NULL,
					LABELS(test_path("containerd.io/snapshot/uidmapping=%s",
							 bad[i]))),
			    GRPC_INVALID_ARGUMENT);
	node_close(node);
}
END_TEST

#define REF "containerd.io/snapshot.ref="

START_TEST(test_ref)
{
	struct node *node = node_open(test_home());

	node_make(node, "base", NULL);
	node_make(node, "other", NULL);
	node_expect(node, node_create(node, "Prepare", "k1", "base", LABELS(REF "chain")), GRPC_OK);
	/* Not yet committed: another client may unpack it as well. */
	node_expect(node, node_create(node, "Prepare", "k2", "base", LABELS(REF "chain")), GRPC_OK);
	node_expect(node, node_commit(node, "chain-1", "k1", LABELS(REF "chain")), GRPC_OK);
	node_expect(node, node_create(node, "Prepare", "k3", "base", LABELS(REF "chain")),
		    GRPC_ALREADY_EXISTS);
	ck_assert_ptr_null(node_stat(node, "k3"));
	/* What containerd looks it up by. */
	ck_assert_str_eq(node_keys(node, LABELS("labels.\"containerd.io/snapshot.ref\"==chain,"
						"parent==\"base\"")),
			 "chain-1 k2");
	/* Another parent, another ref, a view. */
	node_expect(node, node_create(node, "Prepare", "k4", "other", LABELS(REF "chain")),
		    GRPC_OK);
	node_expect(node, node_create(node, "Prepare", "k5", NULL, LABELS(REF "chain")), GRPC_OK);
	node_expect(node, node_create(node, "Prepare", "k6", "base", LABELS(REF "more")), GRPC_OK);
	node_expect(node, node_create(node, "View", "k7", "base", LABELS(REF "chain")), GRPC_OK);
	node_expect(node, node_commit(node, "root", "k5", LABELS(REF "chain")), GRPC_OK);
	node_expect(node, node_create(node, "Prepare", "k8", NULL, LABELS(REF "chain")),
		    GRPC_ALREADY_EXISTS);
	node_close(node);
}
END_TEST

#define SIZE_LABEL "containerd.io/snapshot/max-size"
#define SIZE SIZE_LABEL "="

START_TEST(test_size)
{
	struct node *node = node_open_with(test_home(), NULL,
					   LABELS("quota=keep", "btrfs.min_space=1m"));
	struct grpc_call *call = node_create(node, "Prepare", "k", NULL, LABELS(SIZE "8m"));
	struct varve_failure failure;
	char *path;
	int fd;

	/* Quota is off, and not to be turned on: the text says what to do. */
	node_expect(node, call, GRPC_FAILED_PRECONDITION);
	ck_assert_msg(strstr(call->text, "varve quota enable"), "%s", call->text);
	ck_assert_ptr_null(node_stat(node, "k"));
	node_expect(node, node_create(node, "Prepare", "k", NULL, LABELS(SIZE "much")),
		    GRPC_INVALID_ARGUMENT);
	node_expect(node, node_create(node, "Prepare", "k", NULL, LABELS(SIZE "1")),
		    GRPC_INVALID_ARGUMENT);
	/* A view is read-only. */
	node_expect(node, node_create(node, "View", "v", NULL, LABELS(SIZE "8m")), GRPC_OK);
	test_ok(varve_quota_enable_wait(node->store, test_quota_mode(), &failure), &failure);
	call = node_create(node, "Prepare", "k", NULL, LABELS(SIZE "8m"));
	node_expect(node, call, GRPC_OK);
	path = test_path("%s/file", ((const Snapshots__MountsResponse *)node_answer(
					     call, 0, &snapshots__mounts_response__descriptor))
					    ->mounts[0]
					    ->source);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_lt(posix_fallocate(fd, 0, 1 << 20), 1);
	ck_assert_int_eq(posix_fallocate(fd, 0, 16 << 20), EDQUOT);
	/* Another label is another limit. */
	node_expect(node, node_update(node, "k", LABELS("labels." SIZE_LABEL), LABELS(SIZE "x")),
		    GRPC_INVALID_ARGUMENT);
	node_expect(node, node_update(node, "k", LABELS("labels." SIZE_LABEL), LABELS(SIZE "32m")),
		    GRPC_OK);
	ck_assert_int_eq(posix_fallocate(fd, 0, 16 << 20), 0);
	ck_assert_int_eq(posix_fallocate(fd, 0, 64 << 20), EDQUOT);
	/* And none is none. */
	node_expect(node, node_update(node, "k", NULL, NULL), GRPC_OK);
	ck_assert_int_eq(posix_fallocate(fd, 0, 64 << 20), 0);
	close(fd);
	/* What limits nothing is a label as any other: it does not stand in the way of others. */
	node_expect(node, node_commit(node, "n", "k", LABELS(SIZE "much")), GRPC_OK);
	node_expect(node, node_update(node, "n", LABELS("labels.x"), LABELS("x=1")), GRPC_OK);
	node_expect(node, node_update(node, "v", NULL, LABELS(SIZE "much")), GRPC_OK);
	node_close(node);
}
END_TEST

/* COUNT bytes 'x' as a field. */
static ProtobufCBinaryData field(size_t count)
{
	char *bytes = test_alloc(count + 1);

	memset(bytes, 'x', count);
	return (ProtobufCBinaryData){ count, (uint8_t *)bytes };
}

START_TEST(test_hostile)
{
	Snapshots__CreateRequest request = SNAPSHOTS__CREATE_REQUEST__INIT;
	Snapshots__Label label = SNAPSHOTS__LABEL__INIT, **labels;
	struct node *node = node_open(test_home());
	static const struct {
		const char *bytes;
		size_t count;
		enum grpc_status status;
	} keys[] = {
		{ "a\0b", 3, GRPC_INVALID_ARGUMENT },
		{ "\0", 1, GRPC_INVALID_ARGUMENT },
		{ "\xff\xfe", 2, GRPC_INVALID_ARGUMENT },
		{ "../../etc", 9, GRPC_OK },
		{ "/../", 4, GRPC_OK },
		{ "a\nb\x1b[2J", 7, GRPC_OK },
		{ ".varve", 6, GRPC_OK },
		{ "s0", 2, GRPC_OK },
	};

	for (size_t i = 0; i < TEST_COUNT(keys); i++) {
		request.key.data = (uint8_t *)(uintptr_t)keys[i].bytes;
		request.key.len = keys[i].count;
		node_expect(node, node_call(node, "Prepare", &request.base), keys[i].status);
	}
	ck_assert_int_eq(test_layers(node->home), 5);
	request.key = field(65536);
	node_expect(node, node_call(node, "Prepare", &request.base), GRPC_INVALID_ARGUMENT);
	request.key = field(SNAPSHOT_KEY_BYTES_MAX);
	node_expect(node, node_call(node, "Prepare", &request.base), GRPC_OK);
	request.key = field(7);
	/* Labels: one too long, too many, too much together. */
	labels = test_alloc(10000 * sizeof(*labels));
	for (size_t i = 0; i < 10000; i++)
		labels[i] = &label;
	request.labels = labels;
	request.n_labels = 1;
	label.key = field(1);
	label.value = field(4095);
	node_expect(node, node_call(node, "Prepare", &request.base), GRPC_OK);
	request.key = field(8);
	label.value = field(4096);
	node_expect(node, node_call(node, "Prepare", &request.base), GRPC_INVALID_ARGUMENT);
	label.value = field(1);
	request.n_labels = 10000;
	node_expect(node, node_call(node, "Prepare", &request.base), GRPC_INVALID_ARGUMENT);
	for (size_t i = 0; i < 13; i++) {
		labels[i] = test_alloc(sizeof(label));
		*labels[i] = label;
		labels[i]->key = field(i + 1);
		labels[i]->value = field(4000);
	}
	request.n_labels = 13;
	node_expect(node, node_call(node, "Prepare", &request.base), GRPC_INVALID_ARGUMENT);
	request.n_labels = 12;
	node_expect(node, node_call(node, "Prepare", &request.base), GRPC_OK);
	node = node_again(node);
	ck_assert_str_eq(node->said, "");
	ck_assert_uint_eq(snapshots_count(node->snapshots), 8);
	node_close(node);
}
END_TEST

/* Names that other layers have are passed over. */
START_TEST(test_names_taken)
{
	struct node *node = node_open(test_home());
	struct grpc_call *call;

	for (unsigned i = 0; i < 10; i++)
		test_create(node->store, test_path("s%u", i), NULL);
	call = node_create(node, "Prepare", "k", NULL, NULL);
	node_expect(node, call, GRPC_OK);
	ck_assert_str_eq(node_mount(node, call), "bind /subvolumes/sa rw,rbind");
	node_close(node);
}
END_TEST

/* A layer that somebody else removes leaves no snapshot that cannot be removed. */
START_TEST(test_layer_gone)
{
	struct node *node = node_open(test_home());

	node_make(node, "base", NULL);
	node_expect(node, node_create(node, "Prepare", "k", NULL, NULL), GRPC_OK);
	test_remove_layer(node->store, "s0");
	test_remove_layer(node->store, "s1");
	node_expect(node, node_key(node, "Usage", "k"), GRPC_NOT_FOUND);
	node_expect(node, node_create(node, "Prepare", "k2", "base", NULL), GRPC_NOT_FOUND);
	node_expect(node, node_commit(node, "n", "k", NULL), GRPC_NOT_FOUND);
	node_expect(node, node_key(node, "Remove", "k"), GRPC_NOT_FOUND);
	ck_assert_str_eq(node_keys(node, NULL), "base");
	node_close(node);
}
END_TEST

TEST_MAIN("service", test_path_of_a_layer, test_errors, test_parent_of_commit, test_update,
	  test_list, test_costly_lists, test_changes_during_lists, test_usage, test_usage_written,
	  test_maps, test_ref, test_size, test_hostile, test_names_taken, test_layer_gone)
