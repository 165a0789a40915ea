/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels and records: they come with the layer, change as a whole, go with it, and are found.
 *
 * varve-test: timeout=120
 */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Where the record of layer ID is. */
static char *record_path(const char *home, const char *id)
{
	return test_path("%s/.varve/layers/%s", home, id);
}

/* Create ID of PARENT (may be NULL) with LABELS, NULL last, and SIZE bytes at BYTES. */
static void create_labelled(struct varve_store *store, const char *id, const char *parent,
			    const char *const *labels, const void *bytes, size_t size)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	options.parent = parent;
	options.labels = labels;
	options.record = bytes;
	options.record_bytes = size;
	test_ok(varve_layer_create_wait(store, id, &options, &failure), &failure);
}

/* What ID has; lives as long as the process. */
static const struct varve_layer_record *record_of(struct varve_store *store, const char *id)
{
	struct varve_layer_record *record;
	struct varve_failure failure;
	test_ok(varve_layer_record_wait(store, id, &record, &failure), &failure);
	ck_assert_uint_ge(record->size, sizeof(*record));
	struct varve_layer_record *kept = test_alloc(sizeof(*kept));
	*kept = *record;
	char **labels = test_alloc((record->labels_count + 1) * sizeof(*labels));
	for (size_t i = 0; i < record->labels_count; i++)
		labels[i] = test_strdup(record->labels[i]);
	kept->labels = (const char *const *)labels;
	kept->bytes = memcpy(test_alloc(record->bytes_count + 1),
			     record->bytes ? record->bytes : "", record->bytes_count);
	free(record);
	return kept;
}

/* The labels of ID, joined by ';'. */
static char *labels_of(struct varve_store *store, const char *id)
{
	const struct varve_layer_record *record = record_of(store, id);
	char *text = test_strdup("");
	for (size_t i = 0; i < record->labels_count; i++)
		text = test_path("%s%s%s", text, i ? ";" : "", record->labels[i]);
	return text;
}

/* Set LABELS and delete the keys DELETED of ID, by FLAGS. Returns the error. */
static int label(struct varve_store *store, const char *id, uint64_t flags,
		 const char *const *labels, const char *const *deleted)
{
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	options.flags = flags;
	options.labels = labels;
	options.deleted = deleted;
	return varve_layer_label_wait(store, id, &options, NULL, NULL);
}

#define STRINGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Find the layers with LABELS: their ids, joined by ';'. */
static char *found(struct varve_store *store, const char *const *labels)
{
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	struct varve_failure failure;
	char **ids, *text = test_strdup("");
	size_t count;
	options.labels = labels;
	test_ok(varve_layer_find_wait(store, &options, &ids, NULL, &count, &failure), &failure);
	for (size_t i = 0; i < count; i++)
		text = test_path("%s%s%s", text, i ? ";" : "", ids[i]);
	free(ids);
	return text;
}

START_TEST(test_create_)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	/* Without labels nothing is stored. */
	ck_assert(!test_exists(test_path("%s/.varve/layers", home)));
	ck_assert_uint_eq(record_of(store, "base")->revision, 0);
	create_labelled(store, "empty", NULL, STRINGS("job=17", "a=", "z=a=b"), "bytes\0more", 10);
	create_labelled(store, "child", "base", STRINGS("job=18"), NULL, 0);
	create_labelled(store, "bytes", "base", NULL, "x", 1);
	ck_assert_str_eq(labels_of(store, "empty"), "a=;job=17;z=a=b");
	ck_assert_str_eq(labels_of(store, "child"), "job=18");
	ck_assert_str_eq(labels_of(store, "bytes"), "");
	const struct varve_layer_record *record = record_of(store, "empty");
	ck_assert_uint_eq(record->bytes_count, 10);
	ck_assert_mem_eq(record->bytes, "bytes\0more", 10);
	ck_assert_uint_ne(record->revision, 0);
	/* A snapshot inherits nothing. */
	test_create(store, "grandchild", "child");
	ck_assert_str_eq(labels_of(store, "grandchild"), "");
	/* Nor is anything left in staging. */
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
	/* The next one finds it. */
	store = test_open(home);
	ck_assert_str_eq(labels_of(store, "empty"), "a=;job=17;z=a=b");
	test_close(store);
}
END_TEST

START_TEST(test_create_kinds)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	const char *ids[40];
	int errors[TEST_COUNT(ids)];
	test_create(store, "base", NULL);
	options.labels = STRINGS("kind=read-only");
	options.flags = VARVE_CREATE_READ_ONLY;
	test_ok(varve_layer_create_wait(store, "empty", &options, &failure), &failure);
	options.parent = "base";
	test_ok(varve_layer_create_wait(store, "snapshot", &options, &failure), &failure);
	ck_assert_str_eq(labels_of(store, "empty"), "kind=read-only");
	ck_assert_str_eq(labels_of(store, "snapshot"), "kind=read-only");
	/* A read-only layer's labels can be changed. */
	test_error(label(store, "snapshot", 0, STRINGS("more=1"), NULL), 0);
	ck_assert_str_eq(labels_of(store, "snapshot"), "kind=read-only;more=1");
	/* A batch, of which one exists; that keeps what it has. */
	options.flags = 0;
	options.labels = STRINGS("kind=batch");
	for (size_t i = 0; i < TEST_COUNT(ids); i++)
		ids[i] = i == 7 ? "empty" : test_path("batch-%zu", i);
	test_error(varve_layer_create_batch_wait(store, ids, TEST_COUNT(ids), &options, errors,
						 NULL),
		   -EEXIST);
	for (size_t i = 0; i < TEST_COUNT(ids); i++) {
		test_error(errors[i], i == 7 ? -EEXIST : 0);
		ck_assert_str_eq(labels_of(store, ids[i]),
				 i == 7 ? "kind=read-only" : "kind=batch");
	}
	ck_assert_int_eq(test_entries(test_path("%s/.varve/layers", home)),
			 2 + TEST_COUNT(ids) - 1);
	test_close(store);
}
END_TEST

START_TEST(test_change)
{
	struct varve_store *store = test_open(test_home());
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	struct varve_layer_record *record;
	test_create(store, "layer", NULL);
	test_error(label(store, "layer", 0, STRINGS("b=1", "a=1", "c=1"), NULL), 0);
	ck_assert_str_eq(labels_of(store, "layer"), "a=1;b=1;c=1");
	test_error(label(store, "layer", 0, STRINGS("b=2"), STRINGS("c", "absent")), 0);
	ck_assert_str_eq(labels_of(store, "layer"), "a=1;b=2");
	/* A key that begins as another one is another one. */
	test_error(label(store, "layer", 0, STRINGS("aa=3", "a.b=4"), NULL), 0);
	ck_assert_str_eq(labels_of(store, "layer"), "a=1;a.b=4;aa=3;b=2");
	/* The record and the labels do not disturb each other, and the result tells both. */
	options.flags = VARVE_LABEL_RECORD;
	options.record = "record";
	options.record_bytes = 6;
	uint64_t before = record_of(store, "layer")->revision;
	test_error(varve_layer_label_wait(store, "layer", &options, &record, NULL), 0);
	ck_assert_uint_eq(record->labels_count, 4);
	ck_assert_mem_eq(record->bytes, "record", 6);
	ck_assert_uint_ne(record->revision, before);
	ck_assert_uint_eq(record->revision, record_of(store, "layer")->revision);
	free(record);
	test_error(label(store, "layer", VARVE_LABEL_ONLY, STRINGS("only=1"), NULL), 0);
	ck_assert_str_eq(labels_of(store, "layer"), "only=1");
	ck_assert_uint_eq(record_of(store, "layer")->bytes_count, 6);
	/* Without either, too, it is another revision. */
	before = record_of(store, "layer")->revision;
	test_error(label(store, "layer", VARVE_LABEL_ONLY | VARVE_LABEL_RECORD, NULL, NULL), 0);
	ck_assert_str_eq(labels_of(store, "layer"), "");
	ck_assert_uint_eq(record_of(store, "layer")->bytes_count, 0);
	ck_assert_uint_eq(record_of(store, "layer")->revision, before + 1);
	test_error(label(store, "none", 0, STRINGS("a=1"), NULL), -ENOENT);
	test_error(varve_layer_record_wait(store, "none", &record, NULL), -ENOENT);
	test_close(store);
}
END_TEST

START_TEST(test_compare)
{
	struct varve_store *store = test_open(test_home());
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	struct varve_failure failure;
	test_create(store, "layer", NULL);
	options.flags = VARVE_LABEL_COMPARE;
	options.labels = STRINGS("a=1");
	options.revision = 5;
	test_error(varve_layer_label_wait(store, "layer", &options, NULL, &failure), -ESTALE);
	ck_assert_str_eq(failure.step, "CHANGE");
	ck_assert(strstr(failure.detail, "read them again"));
	options.revision = 0;
	test_error(varve_layer_label_wait(store, "layer", &options, NULL, &failure), 0);
	uint64_t revision = record_of(store, "layer")->revision;
	test_error(varve_layer_label_wait(store, "layer", &options, NULL, &failure), -ESTALE);
	options.revision = revision;
	test_error(varve_layer_label_wait(store, "layer", &options, NULL, &failure), 0);
	test_error(varve_layer_label_wait(store, "layer", &options, NULL, &failure), -ESTALE);
	/* Another layer of that name does not know the revision. */
	options.revision = record_of(store, "layer")->revision;
	test_remove_layer(store, "layer");
	create_labelled(store, "layer", NULL, STRINGS("a=1"), NULL, 0);
	test_error(varve_layer_label_wait(store, "layer", &options, NULL, &failure), -ESTALE);
	test_close(store);
}
END_TEST

START_TEST(test_goes_with_it)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	create_labelled(store, "layer", NULL, STRINGS("a=1"), "x", 1);
	uint64_t revision = record_of(store, "layer")->revision;
	test_error(varve_layer_rename_wait(store, "layer", "renamed", 0, NULL), 0);
	ck_assert_str_eq(labels_of(store, "renamed"), "a=1");
	ck_assert_uint_eq(record_of(store, "renamed")->revision, revision);
	ck_assert(!test_exists(record_path(home, "layer")));
	/* One that takes the old name has none. */
	test_create(store, "layer", NULL);
	ck_assert_str_eq(labels_of(store, "layer"), "");
	/* A rename to a name that is taken changes neither. */
	test_error(label(store, "layer", 0, STRINGS("b=1"), NULL), 0);
	test_error(varve_layer_rename_wait(store, "layer", "renamed", 0, NULL), -EEXIST);
	ck_assert_str_eq(labels_of(store, "renamed"), "a=1");
	ck_assert_str_eq(labels_of(store, "layer"), "b=1");
	test_remove_layer(store, "renamed");
	ck_assert(!test_exists(record_path(home, "renamed")));
	/* What is removed by emptying it, or with what is nested, too. */
	test_subvolume_create(test_path("%s/nested", test_layer(home, "layer")));
	test_remove_layer(store, "layer");
	ck_assert_int_eq(test_entries(test_path("%s/.varve/layers", home)), 0);
	test_create(store, "layer", NULL);
	ck_assert_str_eq(labels_of(store, "layer"), "");
	test_close(store);
}
END_TEST

START_TEST(test_limits)
{
	struct varve_store *store = test_open(test_home());
	struct varve_create_options create = VARVE_CREATE_OPTIONS_INIT;
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	const char *labels[VARVE_LABELS_MAX + 2] = { NULL };
	char *bytes = test_alloc(VARVE_RECORD_BYTES_MAX + 1);
	char *value = test_alloc(VARVE_LABEL_BYTES_MAX + 2);
	memset(bytes, 'r', VARVE_RECORD_BYTES_MAX + 1);
	memset(value, 'v', VARVE_LABEL_BYTES_MAX);
	/* The largest of all. */
	for (int i = 0; i < VARVE_LABELS_MAX; i++)
		labels[i] = test_path("key-%03d=%.*s", i,
				      VARVE_LABELS_BYTES_MAX / VARVE_LABELS_MAX - 8, value);
	create_labelled(store, "layer", NULL, labels, bytes, VARVE_RECORD_BYTES_MAX);
	const struct varve_layer_record *record = record_of(store, "layer");
	ck_assert_uint_eq(record->labels_count, VARVE_LABELS_MAX);
	for (int i = 0; i < VARVE_LABELS_MAX; i++)
		ck_assert_str_eq(record->labels[i], labels[i]);
	ck_assert_uint_eq(record->bytes_count, VARVE_RECORD_BYTES_MAX);
	ck_assert_mem_eq(record->bytes, bytes, VARVE_RECORD_BYTES_MAX);
	/* One more than it can have, together with what it has. */
	test_error(label(store, "layer", 0, STRINGS("one=more"), NULL), -E2BIG);
	test_error(label(store, "layer", 0, STRINGS("one=more"), STRINGS("key-000")), 0);
	test_error(label(store, "layer", VARVE_LABEL_ONLY,
			 STRINGS(test_path("k=%.*s", VARVE_LABEL_BYTES_MAX - 1, value)), NULL),
		   0);
	/* Refused at once. */
	create.labels = labels;
	labels[VARVE_LABELS_MAX] = "one=more";
	test_error(varve_layer_create_wait(store, "other", &create, NULL), -E2BIG);
	const struct {
		const char *label;
		int error;
	} bad[] = {
		{ "", -EINVAL },
		{ "=value", -EINVAL },
		{ "key", -EINVAL },
		{ "k\ney=1", -EINVAL },
		{ "k\177ey=1", -EINVAL },
		{ "key=\n\001 any byte", 0 },
		{ "k y=1", 0 },
		{ "k\303\244=1", 0 },
		{ test_path("k=%.*s", VARVE_LABEL_BYTES_MAX, value), -EINVAL },
	};
	for (size_t i = 0; i < TEST_COUNT(bad); i++) {
		int error = label(store, "layer", 0, STRINGS(bad[i].label), NULL);
		ck_assert_msg(error == bad[i].error, "'%.20s': %s", bad[i].label,
			      test_errno_name(error));
	}
	test_error(label(store, "layer", 0, STRINGS("a=1", "a=2"), NULL), -EINVAL);
	test_error(label(store, "layer", 0, NULL, STRINGS("a=1")), -EINVAL);
	options.record_bytes = 1;
	options.record = bytes;
	test_error(varve_layer_label_wait(store, "layer", &options, NULL, NULL), -EINVAL);
	options.flags = VARVE_LABEL_RECORD;
	options.record_bytes = VARVE_RECORD_BYTES_MAX + 1;
	test_error(varve_layer_label_wait(store, "layer", &options, NULL, NULL), -E2BIG);
	options.record_bytes = 1;
	options.record = NULL;
	test_error(varve_layer_label_wait(store, "layer", &options, NULL, NULL), -EINVAL);
	test_close(store);
}
END_TEST

START_TEST(test_find)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	struct varve_layer_record **records;
	size_t count;
	char **ids;
	test_create(store, "plain", NULL);
	create_labelled(store, "c", NULL, STRINGS("job=17", "role=web"), "c", 1);
	create_labelled(store, "a", NULL, STRINGS("job=17"), NULL, 0);
	create_labelled(store, "b", NULL, STRINGS("job=18", "role=web"), NULL, 0);
	ck_assert_str_eq(found(store, NULL), "a;b;c;plain");
	ck_assert_str_eq(found(store, STRINGS("job")), "a;b;c");
	ck_assert_str_eq(found(store, STRINGS("job=17")), "a;c");
	ck_assert_str_eq(found(store, STRINGS("job=17", "role")), "c");
	ck_assert_str_eq(found(store, STRINGS("role=web", "job=18")), "b");
	ck_assert_str_eq(found(store, STRINGS("job=1")), "");
	ck_assert_str_eq(found(store, STRINGS("jo")), "");
	/* The label of a layer that is gone finds nothing, nor the next one of its name. */
	test_remove_layer(store, "a");
	test_subvolume_destroy(test_layer(home, "c"));
	ck_assert_str_eq(found(store, STRINGS("job=17")), "");
	test_create(store, "c", NULL);
	ck_assert_str_eq(found(store, STRINGS("job=17")), "");
	options.flags = VARVE_FIND_RECORDS;
	test_error(varve_layer_find_wait(store, &options, &ids, &records, &count, NULL), 0);
	ck_assert_uint_eq(count, 3);
	ck_assert_str_eq(ids[0], "b");
	ck_assert_str_eq(records[0]->labels[1], "role=web");
	ck_assert_ptr_null(records[1]);
	ck_assert_ptr_null(records[2]);
	free(ids);
	free(records);
	options.labels = STRINGS("=x");
	test_error(varve_layer_find_wait(store, &options, &ids, NULL, &count, NULL), -EINVAL);
	test_close(store);
}
END_TEST

START_TEST(test_sweep_and_check)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_finding *findings;
	size_t count;
	create_labelled(store, "kept", NULL, STRINGS("a=1"), NULL, 0);
	create_labelled(store, "gone", NULL, STRINGS("a=1"), NULL, 0);
	create_labelled(store, "replaced", NULL, STRINGS("a=1"), NULL, 0);
	test_subvolume_destroy(test_layer(home, "gone"));
	test_subvolume_destroy(test_layer(home, "replaced"));
	test_create(store, "replaced", NULL);
	ck_assert(test_exists(record_path(home, "replaced")));
	test_error(varve_check_wait(store, &findings, &count, NULL), 0);
	ck_assert_uint_eq(count, 2);
	for (size_t i = 0; i < count; i++) {
		ck_assert_str_eq(findings[i].kind, "labels");
		ck_assert_str_eq(findings[i].sweep, "removes it");
	}
	free(findings);
	test_error(varve_sweep_wait(store, &report, NULL), 0);
	ck_assert_uint_eq(report.records_removed, 2);
	ck_assert_uint_eq(report.failures, 0);
	ck_assert_int_eq(test_entries(test_path("%s/.varve/layers", home)), 1);
	ck_assert_str_eq(labels_of(store, "kept"), "a=1");
	test_error(varve_check_wait(store, &findings, &count, NULL), 0);
	ck_assert_uint_eq(count, 0);
	free(findings);
	/* An open does it for those whose place is free. */
	test_subvolume_destroy(test_layer(home, "kept"));
	test_close(store);
	test_close(test_open(home));
	ck_assert_int_eq(test_entries(test_path("%s/.varve/layers", home)), 0);
}
END_TEST

/* Read, find, check and change layer "layer", whose record is not one of ours. */
static void use_damaged(struct varve_store *store, const char *home, const char *what)
{
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_layer_record *record;
	struct varve_finding *findings;
	struct varve_failure failure;
	size_t count;
	int error = varve_layer_record_wait(store, "layer", &record, &failure);
	ck_assert_msg(error == -EUCLEAN, "%s: %s", what, test_errno_name(error));
	ck_assert_msg(strstr(failure.detail, "damaged"), "%s: %s", what, failure.detail);
	test_error(label(store, "layer", 0, STRINGS("b=1"), NULL), -EUCLEAN);
	ck_assert_str_eq(found(store, STRINGS("a=1")), "other");
	test_error(varve_check_wait(store, &findings, &count, NULL), 0);
	ck_assert_msg(count == 1 && !strcmp(findings[0].kind, "labels"), "%s", what);
	free(findings);
	test_error(varve_sweep_wait(store, &report, NULL), 0);
	ck_assert_uint_eq(report.records_removed, 1);
	ck_assert(!test_exists(record_path(home, "layer")));
	ck_assert_str_eq(labels_of(store, "layer"), "");
	test_error(label(store, "layer", 0, STRINGS("b=1"), NULL), 0);
	ck_assert_str_eq(labels_of(store, "layer"), "b=1");
}

/* What an attacker puts in the place of the record PATH; the other record is OTHER. */
struct attack {
	const char *what;
	void (*put)(const char *path, const char *other);
};

static void put_link(const char *path, const char *other)
{
	ck_assert_int_eq(symlink(other, path), 0);
}

static void put_fifo(const char *path, const char *other)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static void put_nothing(const char *path, const char *other)
{
	test_write(path, "");
}

static void put_garbage(const char *path, const char *other)
{
	test_write(path, "garbage");
	char garbage[3000];
	memset(garbage, 0xa5, sizeof(garbage));
	ck_assert_int_eq(setxattr(path, "user.vrec.0", garbage, sizeof(garbage), 0), 0);
}

/* Copy the first attribute of OTHER to PATH, with BYTE changed, or cut to LENGTH bytes. */
static void put_copy(const char *path, const char *other, size_t byte, size_t length)
{
	unsigned char value[4096];
	ssize_t count = getxattr(other, "user.vrec.0", value, sizeof(value));
	ck_assert_int_gt(count, 60);
	if (byte)
		value[byte] ^= 1;
	test_write(path, "");
	ck_assert_int_eq(setxattr(path, "user.vrec.0", value, length ? length : (size_t)count, 0),
			 0);
}

static void put_flipped(const char *path, const char *other)
{
	put_copy(path, other, 57, 0);
}

static void put_long(const char *path, const char *other)
{
	/* It claims more bytes than there are attributes. */
	put_copy(path, other, 41, 0);
}

static void put_huge(const char *path, const char *other)
{
	/* ... more than any has. */
	put_copy(path, other, 43, 0);
}

static void put_short(const char *path, const char *other)
{
	put_copy(path, other, 0, 30);
}

START_TEST(test_hostile)
{
	static const struct attack attacks[] = {
		{ "a link", put_link },           { "a fifo", put_fifo },
		{ "an empty file", put_nothing }, { "garbage", put_garbage },
		{ "a flipped bit", put_flipped }, { "a longer length", put_long },
		{ "a huge length", put_huge },    { "a cut header", put_short },
	};
	char *home = test_home();
	struct varve_store *store = test_open(home);
	create_labelled(store, "other", NULL, STRINGS("a=1"), "secret", 6);
	for (size_t i = 0; i < TEST_COUNT(attacks); i++) {
		create_labelled(store, "layer", NULL, STRINGS("a=1"), NULL, 0);
		ck_assert_int_eq(unlink(record_path(home, "layer")), 0);
		attacks[i].put(record_path(home, "layer"), record_path(home, "other"));
		use_damaged(store, home, attacks[i].what);
		test_remove_layer(store, "layer");
		ck_assert_str_eq(labels_of(store, "other"), "a=1");
	}
	/* The record of another layer is none of this one. */
	test_create(store, "layer", NULL);
	ck_assert_int_eq(link(record_path(home, "other"), record_path(home, "layer")), 0);
	ck_assert_str_eq(labels_of(store, "layer"), "");
	ck_assert_str_eq(found(store, STRINGS("a=1")), "other");
	test_error(label(store, "layer", 0, STRINGS("b=1"), NULL), 0);
	ck_assert_str_eq(labels_of(store, "other"), "a=1");
	/* One of a later version is kept, and nothing is written over it. */
	ck_assert_int_eq(unlink(record_path(home, "layer")), 0);
	put_copy(record_path(home, "layer"), record_path(home, "other"), 5, 0);
	test_error(label(store, "layer", 0, STRINGS("b=1"), NULL), -ENOTSUP);
	test_error(varve_sweep_wait(store, NULL, NULL), 0);
	ck_assert(test_exists(record_path(home, "layer")));
	test_close(store);
}
END_TEST

/* Use labels of layers whose programs have shut their owner out of them. */
static void use_shut(struct varve_store *store, const char *home)
{
	static const mode_t modes[] = { 0, 0111, 0300, 04055 };
	for (size_t i = 0; i < TEST_COUNT(modes); i++) {
		char *id = test_path("shut-%o", modes[i]), *path = test_layer(home, id);
		struct stat stat_;
		create_labelled(store, id, NULL, STRINGS("shut=1"), "x", 1);
		ck_assert_int_eq(chmod(path, modes[i]), 0);
		ck_assert_str_eq(labels_of(store, id), "shut=1");
		ck_assert_str_eq(found(store, STRINGS("shut=1")), id);
		test_error(label(store, id, 0, STRINGS("shut=2"), NULL), 0);
		ck_assert_str_eq(found(store, STRINGS("shut=2")), id);
		/* Its mode is as its programs have set it. */
		ck_assert_int_eq(stat(path, &stat_), 0);
		ck_assert_uint_eq(stat_.st_mode & 07777, modes[i]);
		test_remove_layer(store, id);
	}
}

/* Use labels without privilege. */
static int use_unprivileged(void *data)
{
	char *home = data;
	struct varve_store *store = test_open(home);
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	create_labelled(store, "base", NULL, STRINGS("job=1"), "x", 1);
	create_labelled(store, "layer", "base", STRINGS("job=2", "role=web"), NULL, 0);
	test_create(store, "plain", "base");
	test_error(label(store, "plain", 0, STRINGS("job=3"), NULL), 0);
	ck_assert_str_eq(labels_of(store, "layer"), "job=2;role=web");
	ck_assert_str_eq(found(store, STRINGS("job")), "base;layer;plain");
	ck_assert_str_eq(found(store, STRINGS("job=3")), "plain");
	test_error(varve_layer_rename_wait(store, "plain", "renamed", 0, NULL), 0);
	ck_assert_str_eq(labels_of(store, "renamed"), "job=3");
	ck_assert_int_eq(rename(test_layer(home, "layer"), test_layer(home, "moved")), 0);
	ck_assert_str_eq(labels_of(store, "moved"), "");
	test_error(varve_sweep_wait(store, &report, NULL), 0);
	ck_assert_uint_eq(report.records_removed, 1);
	test_remove_layer(store, "base");
	ck_assert_int_eq(test_entries(test_path("%s/.varve/layers", home)), 1);
	use_shut(store, home);
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged)
{
	test_as_nobody(use_unprivileged, test_home_of_nobody());
}
END_TEST

TEST_MAIN("labels", test_create_, test_create_kinds, test_change, test_compare, test_goes_with_it,
	  test_limits, test_find, test_sweep_and_check, test_hostile, test_unprivileged)
