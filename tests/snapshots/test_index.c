/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index, labels, records and names of layers.
 *
 * varve-test: backend=any mount=no root=no
 */
#include "test.h"

#include "api/serve/record.pb-c.h"
#include "limits.h"
#include "record.h"

/* The snapshot "kNUMBER". */
static struct text key_of(unsigned number)
{
	return text_of_string(test_path("k%u", number));
}

START_TEST(test_find)
{
	enum { MANY = 5000 };
	struct snapshot *snapshots[MANY];
	struct index index;

	test_error(index_init(&index), 0);
	for (unsigned i = 0; i < MANY; i++) {
		snapshots[i] = snapshot_new(key_of(i), text_of_string(""));
		snapshots[i]->state = SNAPSHOT_READY;
		if (i % 3 == 2)
			snapshot_set_parent(snapshots[i], snapshots[i - 1]);
		index_add(&index, snapshots[i]);
	}
	for (unsigned i = 0; i < MANY; i += 2) {
		index_remove(&index, snapshots[i]);
		snapshot_free(snapshots[i]);
	}
	ck_assert_uint_eq(index.count, MANY / 2);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_ptr_eq(index_find(&index, key_of(i)), i % 2 ? snapshots[i] : NULL);
	/* k1's child k2 is gone, k7's k8; k4 is gone itself. */
	ck_assert_uint_eq(snapshots[1]->children, 0);
	ck_assert_uint_eq(snapshots[7]->children, 0);
	index_destroy(&index);
}
END_TEST

/* Labels with the ref NUMBER; or, where it is 0, without one. */
static struct labels labels_of_ref(unsigned number)
{
	struct label list[] = { { text_of_string("a"), text_of_string("b"), 0 },
				{ text_of_string(LABEL_REF),
				  text_of_string(test_path("ref%u", number)), 0 } };
	struct labels labels;

	test_error(labels_make(list, number ? 2 : 1, &labels), 0);
	return labels;
}

START_TEST(test_refs)
{
	enum { MANY = 1000, REFS = 200 };
	struct snapshot *snapshots[MANY];
	unsigned refs[MANY], expected;
	uint64_t random = test_seed();
	struct index index;

	test_error(index_init(&index), 0);
	for (unsigned i = 0; i < MANY; i++) {
		snapshots[i] = snapshot_new(key_of(i), text_of_string(""));
		refs[i] = (unsigned)(test_random(&random) % REFS);
		snapshots[i]->labels = labels_of_ref(refs[i]);
		index_add(&index, snapshots[i]);
	}
	/* Some get other labels, some are removed. */
	for (unsigned i = 0; i < MANY; i += 2) {
		struct labels labels;

		refs[i] = (unsigned)(test_random(&random) % REFS);
		labels = labels_of_ref(refs[i]);
		index_relabel(&index, snapshots[i], &labels);
		if (i % 3)
			continue;
		index_remove(&index, snapshots[i]);
		snapshot_free(snapshots[i]);
		refs[i] = 0;
	}
	for (unsigned ref = 1; ref <= REFS; ref++) {
		const struct snapshot *found = NULL;

		expected = 0;
		for (unsigned i = 0; i < MANY; i++)
			expected += refs[i] == ref;
		while ((found = index_next_ref(&index, text_of_string(test_path("ref%u", ref)),
					       found))) {
			ck_assert_uint_gt(expected--, 0);
			ck_assert_uint_eq(refs[atoi(found->key + 1)], ref);
		}
		ck_assert_uint_eq(expected, 0);
	}
	ck_assert_ptr_null(index_next_ref(&index, text_of_string("b"), NULL));
	index_destroy(&index);
}
END_TEST

START_TEST(test_cursor)
{
	struct snapshot *snapshots[6];
	struct index_cursor cursor;
	struct index index;

	test_error(index_init(&index), 0);
	for (unsigned i = 0; i < 6; i++) {
		snapshots[i] = snapshot_new(key_of(i), text_of_string(""));
		snapshots[i]->state = i == 1 ? SNAPSHOT_MAKING : SNAPSHOT_READY;
		if (i < 5)
			index_add(&index, snapshots[i]);
	}
	index_cursor_open(&index, &cursor);
	/* 0, not 1, which is being made; 2 goes while it is the next, 5 comes. */
	ck_assert_ptr_eq(index_cursor_next(&index, &cursor), snapshots[0]);
	ck_assert_ptr_eq(cursor.at, &snapshots[1]->link);
	index_remove(&index, snapshots[1]);
	snapshot_free(snapshots[1]);
	ck_assert_ptr_eq(cursor.at, &snapshots[2]->link);
	index_remove(&index, snapshots[2]);
	snapshot_free(snapshots[2]);
	ck_assert_ptr_eq(index_cursor_next(&index, &cursor), snapshots[3]);
	ck_assert_ptr_eq(index_cursor_next(&index, &cursor), snapshots[4]);
	index_add(&index, snapshots[5]);
	ck_assert_ptr_null(index_cursor_next(&index, &cursor));
	index_cursor_close(&cursor);
	index_destroy(&index);
}
END_TEST

START_TEST(test_labels)
{
	struct label list[] = {
		{ .key = text_of_string("b"), .value = text_of_string("1") },
		{ .key = text_of_string("a"), .value = text_of_string("2") },
		{ .key = text_of_string("b"), .value = text_of_string("3") },
		{ .key = text_of_string("c"), .value = text_of_string("") },
		{ .key = text_of_string("ab"), .value = text_of_string("4") },
		{ .key = text_of_string("d"), .value = text_of_string("5") },
		{ .key = text_of_string("d"), .value = text_of_string("") },
	};
	struct label label = { 0 };
	struct labels labels;
	struct text value;
	char *text = test_strdup("");

	test_error(labels_make(list, TEST_COUNT(list), &labels), 0);
	while (labels_next(&labels, &label))
		text = test_path("%s%s=%s ", text, label.key.bytes, label.value.bytes);
	/* Sorted; the later one counts; an empty one is none. */
	ck_assert_str_eq(text, "a=2 ab=4 b=3 ");
	ck_assert_uint_eq(labels.count, 3);
	ck_assert(labels_find(&labels, text_of_string("ab"), &value));
	ck_assert_str_eq(value.bytes, "4");
	ck_assert(!labels_find(&labels, text_of_string("d"), &value));
	labels_destroy(&labels);
	test_error(labels_make(list, 0, &labels), 0);
	ck_assert_ptr_null(labels.pairs);
}
END_TEST

START_TEST(test_numbers)
{
	static const char *const not [] = { "",
					    "s",
					    "x1",
					    "sA",
					    "s01",
					    "s 1",
					    "s-1",
					    "s1 ",
					    "s1\n",
					    "szzzzzzzzzzzzzzzzzz",
					    "szzzzzzzzzzzzz" };
	char layer[SNAPSHOT_LAYER_SIZE];
	uint64_t number;

	ck_assert_str_eq(snapshot_layer(0, layer), "s0");
	ck_assert_str_eq(snapshot_layer(35, layer), "sz");
	ck_assert_str_eq(snapshot_layer(36, layer), "s10");
	for (unsigned i = 0; i < 64; i++) {
		ck_assert(snapshot_number(snapshot_layer(UINT64_MAX >> i, layer), &number));
		ck_assert_uint_eq(number, UINT64_MAX >> i);
	}
	for (size_t i = 0; i < TEST_COUNT(not ); i++)
		ck_assert_msg(!snapshot_number(not [i], &number), "%s", not [i]);
}
END_TEST

/* A committed snapshot with a parent, labels and usage. */
static struct snapshot *full_snapshot(void)
{
	struct label list[] = {
		{ .key = text_of_string("a"), .value = text_of_string("1") },
		{ .key = text_of_string("b"), .value = text_of_string("\xc3\xa4") },
	};
	struct snapshot *snapshot = snapshot_new(text_of_string("ns/1/key"),
						 text_of_string("gone"));

	test_error(labels_make(list, 2, &snapshot->labels), 0);
	snapshot->kind = SNAPSHOT_COMMITTED;
	snapshot->created_ns = 1234567890123456789;
	snapshot->updated_ns = -1;
	snapshot->usage_known = true;
	snapshot->usage_bytes = UINT64_MAX;
	snapshot->usage_inodes = 3;
	return snapshot;
}

START_TEST(test_written)
{
	struct snapshot *snapshot = full_snapshot(), *parent, *read;
	uint8_t *bytes;
	size_t count;
	uint64_t number;

	test_error(record_encode(snapshot, &bytes, &count), 0);
	test_error(record_decode(bytes, count, true, &read, &number), 0);
	ck_assert_uint_eq(number, RECORD_PARENT_LOST);
	ck_assert_str_eq(read->key, "ns/1/key");
	ck_assert_str_eq(snapshot_parent_key(read).bytes, "gone");
	ck_assert_int_eq(read->kind, SNAPSHOT_COMMITTED);
	ck_assert_int_eq(read->created_ns, snapshot->created_ns);
	ck_assert_int_eq(read->updated_ns, -1);
	ck_assert(read->usage_known);
	ck_assert_uint_eq(read->usage_bytes, UINT64_MAX);
	ck_assert_uint_eq(read->usage_inodes, 3);
	ck_assert_uint_eq(read->labels.bytes, snapshot->labels.bytes);
	ck_assert_mem_eq(read->labels.pairs, snapshot->labels.pairs, snapshot->labels.bytes);
	snapshot_free(read);
	free(bytes);
	/* A parent that is there is known by its number. */
	parent = snapshot_new(text_of_string("p"), text_of_string(""));
	parent->number = 41;
	snapshot_set_parent(snapshot, parent);
	test_error(record_encode(snapshot, &bytes, &count), 0);
	test_error(record_decode(bytes, count, false, &read, &number), 0);
	ck_assert_uint_eq(number, 42);
	ck_assert_str_eq(snapshot_parent_key(read).bytes, "");
	snapshot_free(read);
	free(bytes);
	snapshot_free(snapshot);
	snapshot_free(parent);
}
END_TEST

/* Read MESSAGE as a record: the error. */
static int read_of(Record__Snapshot *message)
{
	size_t count = record__snapshot__get_packed_size(message);
	uint8_t *bytes = test_alloc(count + 1);
	struct snapshot *snapshot = NULL;
	uint64_t number;
	int r;

	record__snapshot__pack(message, bytes);
	r = record_decode(bytes, count, true, &snapshot, &number);
	if (!r)
		snapshot_free(snapshot);
	return r;
}

START_TEST(test_bad_records)
{
	Record__Snapshot good = RECORD__SNAPSHOT__INIT, message;
	Record__Label label = RECORD__LABEL__INIT, *labels = &label;
	uint64_t seed = test_seed(), number;
	struct snapshot *snapshot = full_snapshot(), *read;
	uint8_t *bytes;
	size_t count;

	good.version = RECORD_VERSION;
	good.kind = SNAPSHOT_ACTIVE;
	good.key = text_field(text_of_string("k"));
	good.written_by = "";
	test_error(read_of(&good), 0);
	message = good;
	message.version = RECORD_VERSION + 1;
	test_error(read_of(&message), -ENOTSUP);
	message.version = 0;
	test_error(read_of(&message), -EBADMSG);
	message = good;
	message.kind = 4;
	test_error(read_of(&message), -ENOTSUP);
	message = good;
	message.key = text_field(text_of_string(""));
	test_error(read_of(&message), -EBADMSG);
	message.key = text_field((struct text){ "a\0b", 3 });
	test_error(read_of(&message), -EBADMSG);
	message = good;
	message.parent_key = text_field(text_of_string("\xff"));
	test_error(read_of(&message), -EBADMSG);
	message = good;
	message.n_labels = 1;
	message.labels = &labels;
	label.value = text_field((struct text){ "\0", 1 });
	test_error(read_of(&message), -EBADMSG);
	/* Whatever the bytes: no fault, and a snapshot or an error. */
	test_error(record_encode(snapshot, &bytes, &count), 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t *damaged = test_alloc(count);

		memcpy(damaged, bytes, count);
		for (unsigned j = 0; j <= i % 4; j++)
			damaged[test_random(&seed) % count] = (uint8_t)test_random(&seed);
		if (!record_decode(damaged, test_random(&seed) % (count + 1), true, &read, &number))
			snapshot_free(read);
	}
	free(bytes);
	snapshot_free(snapshot);
}
END_TEST

START_TEST(test_quote)
{
	char buffer[16];

	ck_assert_str_eq(text_quote(text_of_string("ab"), buffer, sizeof(buffer)), "\"ab\"");
	ck_assert_str_eq(text_quote(text_of_string("a\"\n"), buffer, sizeof(buffer)),
			 "\"a\\x22\\x0a\"");
	for (size_t size = 0; size <= sizeof(buffer); size++) {
		memset(buffer, 'x', sizeof(buffer));
		text_quote(text_of_string("\n\n\n\n\n\n\n\n"), buffer, size);
		ck_assert(!size || memchr(buffer, 0, size));
		ck_assert(size == sizeof(buffer) || buffer[size] == 'x');
	}
	ck_assert_ptr_null(text_fault(text_of_string("\xf0\x9f\x90\xa7 \xc3\xa4")));
	ck_assert_ptr_nonnull(text_fault((struct text){ "a\0", 2 }));
	ck_assert_ptr_nonnull(text_fault(text_of_string("\xc0\x80")));
	ck_assert_ptr_nonnull(text_fault(text_of_string("\xf4\x90\x80\x80")));
	ck_assert_ptr_nonnull(text_fault(text_of_string("\xc3")));
}
END_TEST

TEST_MAIN_UNIT("index", test_find, test_refs, test_cursor, test_labels, test_numbers, test_written,
	       test_bad_records, test_quote)
