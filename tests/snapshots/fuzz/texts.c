/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz what is read of clients and of the disk: a filter, which an input that begins with "f" is,
 * or a record. A line end at the end does not belong to it.
 *
 * Whatever the bytes, it ends, without a fault or a leak, and says why when it refuses; a record
 * that is read is written as it was.
 */
#include "filter.h"
#include "limits.h"
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <varve.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the library, which is not linked. */
const char *varve_version(void)
{
	return "0";
}

/* A snapshot with labels. */
static struct snapshot *snapshot_of(const char *key)
{
	struct label list[] = {
		{ .key = text_of_string("foo"), .value = text_of_string("bar.baz-qux/1") },
		{ .key = text_of_string("a.b"), .value = text_of_string("\xc3\xa4\xc3\xa4") },
	};
	struct snapshot *snapshot = snapshot_new(text_of_string(key), text_of_string("p"));

	if (!snapshot || labels_make(list, 2, &snapshot->labels))
		abort();
	snapshot->kind = SNAPSHOT_VIEW;
	return snapshot;
}

static void filter_input(struct text text)
{
	char reason[FILTER_REASON_SIZE] = "";
	struct snapshot *snapshot = snapshot_of("k8s.io/12/key");
	struct filter_place place = { 0 };
	unsigned work = FILTER_SELECTORS_MAX * FILTER_WORK_MATCH;
	struct filter_set *set;
	int r = filter_set_read(&text, 1, &set, reason);

	if (r && r != -EINVAL)
		abort();
	if (!r && filter_set_match(set, snapshot, &place, &work, reason) < 0)
		r = -EINVAL;
	if (r && !*reason)
		abort();
	filter_set_free(set);
	snapshot_free(snapshot);
}

static void record_input(struct text text)
{
	struct snapshot *snapshot, *again;
	uint64_t parent;
	uint8_t *bytes;
	size_t count;

	if (record_decode(text.bytes, text.count, true, &snapshot, &parent))
		return;
	if (!record_encode(snapshot, &bytes, &count)) {
		if (record_decode(bytes, count, true, &again, &parent) ||
		    !text_equal(snapshot_key(again), snapshot_key(snapshot)) ||
		    !text_equal(snapshot_parent_key(again), snapshot_parent_key(snapshot)) ||
		    again->labels.bytes != snapshot->labels.bytes ||
		    again->unknown_bytes != snapshot->unknown_bytes)
			abort();
		snapshot_free(again);
		free(bytes);
	}
	snapshot_free(snapshot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[size - 1] == '\n')
		size--;
	/* So that a byte behind the end is a fault. */
	char *copy = malloc(size);
	struct text text = { copy, size };

	if (size)
		memcpy(copy, data, size);
	if (size && *data == 'f')
		filter_input((struct text){ text.bytes + 1, text.count - 1 });
	else
		record_input(text);
	free(copy);
	return 0;
}
