/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/record_content.h"
#include "engine/base/util.h"

#include <endian.h>
#include <string.h>

#define RECORD_VERSION 1

/* A first revision has 64 bits less these: readers of JSON are exact up to 53 bits. */
#define RECORD_REVISION_SHIFT 12

/* What a header begins with. */
static const char record_magic[] = { 'v', 'r', 'e', 'c' };

/* The header as it is stored. */
struct record_header_stored {
	char magic[sizeof(record_magic)];
	uint32_t version;
	uint8_t uuid[BTRFS_UUID_SIZE];
	uint64_t revision;
	uint32_t labels_count, labels_bytes, bytes_count, zero;
	uint64_t checksum;
};

static_assert(sizeof(struct record_header_stored) == RECORD_HEADER_BYTES, "the header is packed");

/* ---- labels ---------------------------------------------------------------------------------- */

size_t record_key_bytes(const char *label)
{
	return strcspn(label, "=");
}

const char *record_label_check(const char *label, bool bare)
{
	size_t key = record_key_bytes(label);

	if (!key)
		return "a label begins with its key";
	if (strlen(label) - (label[key] == '=') > VARVE_LABEL_BYTES_MAX)
		return "a key and its value have at most 4096 bytes";
	if (bare != !label[key])
		return bare ? "a key has no '='" : "a label is KEY=VALUE";
	for (const char *at = label; at < label + key; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return "a key has no control characters";
	return NULL;
}

/* Compare the keys of two labels bytewise, a shorter one first. */
static int record_key_compare(const char *a, const char *b)
{
	size_t a_bytes = record_key_bytes(a), b_bytes = record_key_bytes(b);
	int order = memcmp(a, b, MIN(a_bytes, b_bytes));

	return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* The same of two pointers to labels. */
static int record_label_compare(const void *a, const void *b)
{
	return record_key_compare(*(const char *const *)a, *(const char *const *)b);
}

/* The label with the key of LABEL; NULL: there is none. */
static const char *record_label_find(const struct record *record, const char *label)
{
	const char *const *found = bsearch(&label, record->shown.labels, record->shown.labels_count,
					   sizeof(*record->shown.labels), record_label_compare);

	return found ? *found : NULL;
}

bool record_matches(const struct record *record, const char *const *filters, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *label = record ? record_label_find(record, filters[i]) : NULL;

		if (!label || (strchr(filters[i], '=') && strcmp(label, filters[i])))
			return false;
	}
	return true;
}

/* ---- in memory ------------------------------------------------------------------------------- */

/* A record in ARENA with room for so many labels and bytes; NULL without memory. */
static struct record *record_new(struct fault *fault, struct arena *arena, size_t labels_count,
				 size_t labels_bytes, size_t bytes_count)
{
	size_t size = sizeof(struct record) + labels_count * sizeof(char *) + labels_bytes +
		      bytes_count;
	struct record *record = arena ? arena_take(arena, fault, size)
				      : fault_calloc(fault, 1, size);

	if (!record)
		return NULL;
	*record = (struct record){ 0 };
	record->labels_text = (char *)(record->labels + labels_count);
	record->shown = (struct varve_layer_record){ .size = sizeof(record->shown),
						     .labels = record->labels,
						     .bytes = record->labels_text + labels_bytes,
						     .bytes_count = bytes_count };
	return record;
}

void record_free(struct arena *arena, struct record *record)
{
	if (arena)
		arena_undo(arena, record);
	else
		free(record);
}

/* Append LABEL to RECORD, which has room for it. */
static void record_add(struct record *record, const char *label)
{
	char *copy = record->labels_text + record->labels_bytes;

	record->labels_bytes += (size_t)(stpcpy(copy, label) + 1 - copy);
	record->labels[record->shown.labels_count++] = copy;
}

/* Is the key of LABEL among COUNT labels or keys? */
static bool record_among(const char *label, const char *const *labels, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!record_key_compare(label, labels[i]))
			return true;
	return false;
}

/* Does LABEL of the old record outlive CHANGE? */
static bool record_stays(const struct record_change *change, const char *label)
{
	return !change->only && !record_among(label, change->set, change->set_count) &&
	       !record_among(label, change->deleted, change->deleted_count);
}

int record_apply(struct fault *fault, const struct record *old, const struct record_change *change,
		 struct record **ret_record)
{
	const void *bytes = change->replace ? change->bytes : old ? old->shown.bytes : NULL;
	size_t bytes_count = change->replace ? change->bytes_count
			     : old           ? old->shown.bytes_count
					     : 0;
	size_t old_count = old ? old->shown.labels_count : 0, count = change->set_count, text = 0;
	struct record *record;

	for (size_t i = 0; i < change->set_count; i++)
		text += strlen(change->set[i]) + 1;
	for (size_t i = 0; i < old_count; i++)
		if (record_stays(change, old->shown.labels[i])) {
			text += strlen(old->shown.labels[i]) + 1;
			count++;
		}
	if (count > VARVE_LABELS_MAX || text - count > VARVE_LABELS_BYTES_MAX)
		return -E2BIG;
	record = record_new(fault, NULL, count, text, bytes_count);
	if (!record)
		return -ENOMEM;
	for (size_t i = 0; i < old_count; i++)
		if (record_stays(change, old->shown.labels[i]))
			record_add(record, old->shown.labels[i]);
	for (size_t i = 0; i < change->set_count; i++)
		record_add(record, change->set[i]);
	if (count)
		qsort(record->labels, count, sizeof(*record->labels), record_label_compare);
	if (bytes_count)
		memcpy(record->labels_text + text, bytes, bytes_count);
	if (old) {
		record->shown.revision = old->shown.revision;
		memcpy(record->uuid, old->uuid, sizeof(record->uuid));
	}
	*ret_record = record;
	return 0;
}

/* ---- as it is stored ------------------------------------------------------------------------- */

size_t record_stored_bytes(const struct record *record)
{
	return RECORD_HEADER_BYTES + record->labels_bytes + record->shown.bytes_count;
}

uint64_t record_revision_first(const uint8_t uuid[BTRFS_UUID_SIZE])
{
	uint64_t revision;

	/* Another layer of the name begins with another one; 0 is that of no record. */
	memcpy(&revision, uuid, sizeof(revision));
	return revision >> RECORD_REVISION_SHIFT | 1;
}

void record_store(const struct record *record, const uint8_t uuid[BTRFS_UUID_SIZE],
		  unsigned char *content)
{
	uint64_t revision = record->shown.revision;
	struct record_header_stored header = {
		.version = htole32(RECORD_VERSION),
		.revision = htole64(revision ? revision : record_revision_first(uuid)),
		.labels_count = htole32((uint32_t)record->shown.labels_count),
		.labels_bytes = htole32((uint32_t)record->labels_bytes),
		.bytes_count = htole32((uint32_t)record->shown.bytes_count),
	};
	unsigned char *at = content + sizeof(header);

	memcpy(header.magic, record_magic, sizeof(header.magic));
	memcpy(header.uuid, uuid, sizeof(header.uuid));
	/* The labels in the order of their keys, which need not be that of their text. */
	for (size_t i = 0; i < record->shown.labels_count; i++)
		at = (unsigned char *)stpcpy((char *)at, record->shown.labels[i]) + 1;
	if (record->shown.bytes_count)
		memcpy(at, record->shown.bytes, record->shown.bytes_count);
	memcpy(content, &header, sizeof(header));
	header.checksum = htole64(hash_bytes(HASH_BEGIN, content, record_stored_bytes(record)));
	memcpy(content, &header, sizeof(header));
}

int record_header(const unsigned char *header, size_t count, size_t *ret_bytes,
		  uint8_t ret_uuid[BTRFS_UUID_SIZE])
{
	struct record_header_stored stored;
	size_t bytes;

	if (count < sizeof(stored) || memcmp(header, record_magic, sizeof(record_magic)))
		return -EUCLEAN;
	memcpy(&stored, header, sizeof(stored));
	memcpy(ret_uuid, stored.uuid, sizeof(stored.uuid));
	if (le32toh(stored.version) != RECORD_VERSION)
		return le32toh(stored.version) > RECORD_VERSION ? -ENOTSUP : -EUCLEAN;
	bytes = sizeof(stored) + (size_t)le32toh(stored.labels_bytes) + le32toh(stored.bytes_count);
	/* Each of the numbers has 32 bits: the sum does not overflow. */
	if (bytes > RECORD_CONTENT_MAX || le32toh(stored.labels_count) > VARVE_LABELS_MAX ||
	    le32toh(stored.bytes_count) > VARVE_RECORD_BYTES_MAX)
		return -EUCLEAN;
	*ret_bytes = bytes;
	return 0;
}

/* Is the checksum of CONTENT right? */
static bool record_sound(const unsigned char *content, size_t count)
{
	struct record_header_stored header;
	uint64_t checksum, hash;

	memcpy(&header, content, sizeof(header));
	checksum = le64toh(header.checksum);
	header.checksum = 0;
	hash = hash_bytes(HASH_BEGIN, &header, sizeof(header));
	return hash_bytes(hash, content + sizeof(header), count - sizeof(header)) == checksum;
}

/* Take COUNT labels from the BYTES bytes at TEXT. False: record_store() did not write them. */
static bool record_take_labels(struct record *record, const char *text, size_t bytes, size_t count)
{
	const char *end = text + bytes;

	for (; count && text < end; count--) {
		size_t length = strnlen(text, (size_t)(end - text));
		const char *previous = record->shown.labels_count
					       ? record->labels[record->shown.labels_count - 1]
					       : NULL;

		if (text + length == end || record_label_check(text, false) ||
		    (previous && record_key_compare(previous, text) >= 0))
			return false;
		record_add(record, text);
		text += length + 1;
	}
	return !count && text == end;
}

int record_parse(struct fault *fault, struct arena *arena, const unsigned char *content,
		 size_t count, struct record **ret_record)
{
	struct record_header_stored header;
	uint8_t uuid[BTRFS_UUID_SIZE];
	size_t bytes, labels_bytes;
	struct record *record;
	int r = record_header(content, count, &bytes, uuid);

	if (r)
		return r;
	if (bytes != count || !record_sound(content, count))
		return -EUCLEAN;
	memcpy(&header, content, sizeof(header));
	labels_bytes = le32toh(header.labels_bytes);
	record = record_new(fault, arena, le32toh(header.labels_count), labels_bytes,
			    le32toh(header.bytes_count));
	if (!record)
		return -ENOMEM;
	record->shown.revision = le64toh(header.revision);
	memcpy(record->uuid, uuid, sizeof(record->uuid));
	if (!record_take_labels(record, (const char *)content + sizeof(header), labels_bytes,
				le32toh(header.labels_count))) {
		record_free(arena, record);
		return -EUCLEAN;
	}
	memcpy(record->labels_text + labels_bytes, content + sizeof(header) + labels_bytes,
	       record->shown.bytes_count);
	*ret_record = record;
	return 0;
}
