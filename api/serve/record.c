/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include "limits.h"
#include "api/serve/record.pb-c.h"

#include <errno.h>
#include <stdlib.h>
#include <varve.h>

const char *snapshot_kind_name(unsigned kind)
{
	static const char *const names[] = {
		[SNAPSHOT_VIEW] = "view",
		[SNAPSHOT_ACTIVE] = "active",
		[SNAPSHOT_COMMITTED] = "committed",
	};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : NULL;
}

int record_keep_unknown(struct snapshot *snapshot, const uint8_t *bytes, size_t count)
{
	if (!count)
		return 0;
	snapshot->unknown = malloc(count);
	if (!snapshot->unknown)
		return -ENOMEM;
	memcpy(snapshot->unknown, bytes, count);
	snapshot->unknown_bytes = (uint32_t)count;
	return 0;
}

/* Pack MESSAGE, of SNAPSHOT. */
static int record_pack(const Record__Snapshot *message, const struct snapshot *snapshot,
		       uint8_t **ret_bytes, size_t *ret_count)
{
	size_t known = record__snapshot__get_packed_size(message);
	uint8_t *bytes;

	*ret_count = known + snapshot->unknown_bytes;
	if (*ret_count > VARVE_RECORD_BYTES_MAX)
		return -E2BIG;
	bytes = malloc(*ret_count);
	if (!bytes)
		return -ENOMEM;
	record__snapshot__pack(message, bytes);
	/* Two messages behind each other are one that has the fields of both. */
	if (snapshot->unknown_bytes)
		memcpy(bytes + known, snapshot->unknown, snapshot->unknown_bytes);
	*ret_bytes = bytes;
	return 0;
}

int record_encode(const struct snapshot *snapshot, uint8_t **ret_bytes, size_t *ret_count)
{
	size_t count = snapshot->labels.count, i = 0;
	Record__Label *labels = calloc(count + 1, sizeof(*labels));
	Record__Label **pointers = calloc(count + 1, sizeof(*pointers));
	Record__Snapshot message = RECORD__SNAPSHOT__INIT;
	struct label label = { 0 };
	int r = -ENOMEM;

	if (labels && pointers) {
		while (labels_next(&snapshot->labels, &label)) {
			record__label__init(&labels[i]);
			labels[i].key = text_field(label.key);
			labels[i].value = text_field(label.value);
			pointers[i] = &labels[i];
			i++;
		}
		message.version = RECORD_VERSION;
		message.kind = snapshot->kind;
		message.key = text_field(snapshot_key(snapshot));
		message.parent_key = text_field(snapshot_parent_key(snapshot));
		if (snapshot->parent)
			message.parent_number = snapshot->parent->number + 1;
		else if (message.parent_key.len)
			message.parent_number = RECORD_PARENT_LOST;
		message.n_labels = count;
		message.labels = pointers;
		message.created_ns = snapshot->created_ns;
		message.updated_ns = snapshot->updated_ns;
		message.usage_known = snapshot->usage_known;
		message.usage_bytes = snapshot->usage_bytes;
		message.usage_inodes = snapshot->usage_inodes;
		message.written_by = (char *)(uintptr_t)varve_version();
		r = record_pack(&message, snapshot, ret_bytes, ret_count);
	}
	free(labels);
	free(pointers);
	return r;
}

/* May KEY be one? */
static bool record_key_valid(struct text key)
{
	return key.count <= SNAPSHOT_KEY_BYTES_MAX && !text_fault(key);
}

/* The labels of MESSAGE. */
static int record_labels(const Record__Snapshot *message, struct labels *ret_labels)
{
	struct label *list = calloc(message->n_labels + 1, sizeof(*list));
	int r = list ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < message->n_labels; i++) {
		list[i].key = text_of_field(&message->labels[i]->key);
		list[i].value = text_of_field(&message->labels[i]->value);
		if (text_fault(list[i].key) || text_fault(list[i].value))
			r = -EBADMSG;
	}
	if (!r)
		r = labels_make(list, message->n_labels, ret_labels);
	free(list);
	return r;
}

/* Let SNAPSHOT keep the fields of MESSAGE that are not known. */
static int record_unknown(const Record__Snapshot *message, struct snapshot *snapshot)
{
	Record__Snapshot unknown = RECORD__SNAPSHOT__INIT;
	uint8_t *bytes;
	int r;

	unknown.base.n_unknown_fields = message->base.n_unknown_fields;
	unknown.base.unknown_fields = message->base.unknown_fields;
	bytes = malloc(record__snapshot__get_packed_size(&unknown) + 1);
	if (!bytes)
		return -ENOMEM;
	r = record_keep_unknown(snapshot, bytes, record__snapshot__pack(&unknown, bytes));
	free(bytes);
	return r;
}

/* The snapshot of MESSAGE. */
static int record_take(const Record__Snapshot *message, bool lost, struct snapshot **ret_snapshot)
{
	struct text key = text_of_field(&message->key);
	struct text parent = text_of_field(&message->parent_key);
	struct snapshot *snapshot;
	int r;

	if (message->version > RECORD_VERSION)
		return -ENOTSUP;
	if (!message->version || !key.count || !record_key_valid(key) || !record_key_valid(parent))
		return -EBADMSG;
	if (!snapshot_kind_name(message->kind))
		return -ENOTSUP;
	snapshot = snapshot_new(key, lost ? parent : text_of_string(""));
	if (!snapshot)
		return -ENOMEM;
	snapshot->kind = (uint8_t)message->kind;
	snapshot->state = SNAPSHOT_READY;
	snapshot->created_ns = message->created_ns;
	snapshot->updated_ns = message->updated_ns;
	snapshot->usage_known = message->usage_known;
	snapshot->usage_bytes = message->usage_bytes;
	snapshot->usage_inodes = message->usage_inodes;
	r = record_labels(message, &snapshot->labels);
	if (!r)
		r = record_unknown(message, snapshot);
	if (r) {
		snapshot_free(snapshot);
		return r;
	}
	*ret_snapshot = snapshot;
	return 0;
}

int record_decode(const void *bytes, size_t count, bool lost, struct snapshot **ret_snapshot,
		  uint64_t *ret_parent)
{
	/* protobuf-c gives NULL for no memory as well; 48 KiB fit. */
	Record__Snapshot *message = record__snapshot__unpack(NULL, count, bytes);
	int r;

	if (!message)
		return -EBADMSG;
	r = record_take(message, lost, ret_snapshot);
	if (!r)
		*ret_parent = message->parent_number;
	record__snapshot__free_unpacked(message, NULL);
	return r;
}
