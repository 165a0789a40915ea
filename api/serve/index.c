/* SPDX-License-Identifier: Apache-2.0 */
#include "index.h"

#include <errno.h>
#include <stdlib.h>

/* Buckets of an empty index. */
#define INDEX_BUCKETS_MIN 64
/* Digits and letters. */
#define NUMBER_BASE 36

/* FNV-1a. Keys come from root alone. */
static uint32_t index_hash(struct text key)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < key.count; i++)
		hash = (hash ^ (unsigned char)key.bytes[i]) * 16777619u;
	return hash;
}

int index_init(struct index *index)
{
	*index = (struct index){ .buckets_count = INDEX_BUCKETS_MIN };
	link_init(&index->snapshots);
	link_init(&index->cursors);
	/* One piece of memory for both. */
	index->buckets = calloc(2 * index->buckets_count, sizeof(struct snapshot *));
	index->refs = index->buckets + index->buckets_count;
	return index->buckets ? 0 : -ENOMEM;
}

void index_destroy(struct index *index)
{
	while (index->buckets && !link_alone(&index->snapshots)) {
		struct snapshot *snapshot = link_entry(index->snapshots.next, struct snapshot,
						       link);

		link_remove(&snapshot->link);
		snapshot_free(snapshot);
	}
	free(index->buckets);
	index->buckets = index->refs = NULL;
}

struct snapshot *snapshot_new(struct text key, struct text lost)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (!snapshot)
		return NULL;
	snapshot->key = malloc(key.count + lost.count + 2);
	if (!snapshot->key) {
		free(snapshot);
		return NULL;
	}
	memcpy(snapshot->key, key.bytes, key.count);
	snapshot->key[key.count] = 0;
	memcpy(snapshot->key + key.count + 1, lost.bytes, lost.count);
	snapshot->key[key.count + 1 + lost.count] = 0;
	snapshot->key_bytes = (uint32_t)key.count;
	snapshot->hash = index_hash(key);
	link_init(&snapshot->link);
	return snapshot;
}

void snapshot_free(struct snapshot *snapshot)
{
	if (!snapshot)
		return;
	labels_destroy(&snapshot->labels);
	free(snapshot->unknown);
	free(snapshot->key);
	free(snapshot);
}

struct text snapshot_parent_key(const struct snapshot *snapshot)
{
	if (snapshot->parent)
		return snapshot_key(snapshot->parent);
	return text_of_string(snapshot->key + snapshot->key_bytes + 1);
}

/* The list of HASH. */
static struct snapshot **index_bucket(const struct index *index, uint32_t hash)
{
	return &index->buckets[hash & (index->buckets_count - 1)];
}

/* The list of HASH of a label. */
static struct snapshot **index_ref_bucket(const struct index *index, uint32_t hash)
{
	return &index->refs[hash & (index->buckets_count - 1)];
}

/* Put SNAPSHOT into its lists. */
static void index_enlist(struct index *index, struct snapshot *snapshot)
{
	struct snapshot **bucket = index_bucket(index, snapshot->hash);
	struct text ref;

	snapshot->next = *bucket;
	*bucket = snapshot;
	if (!labels_find(&snapshot->labels, text_of_string(LABEL_REF), &ref))
		return;
	snapshot->ref_hash = index_hash(ref);
	bucket = index_ref_bucket(index, snapshot->ref_hash);
	snapshot->ref_next = *bucket;
	*bucket = snapshot;
}

/* Take SNAPSHOT out of its lists. */
static void index_delist(struct index *index, struct snapshot *snapshot)
{
	struct snapshot **at = index_bucket(index, snapshot->hash);
	struct text ref;

	while (*at != snapshot)
		at = &(*at)->next;
	*at = snapshot->next;
	if (!labels_find(&snapshot->labels, text_of_string(LABEL_REF), &ref))
		return;
	at = index_ref_bucket(index, snapshot->ref_hash);
	while (*at != snapshot)
		at = &(*at)->ref_next;
	*at = snapshot->ref_next;
}

/* Double the buckets. Without memory the lists grow longer instead. */
static void index_grow(struct index *index)
{
	size_t count = 2 * index->buckets_count;
	struct snapshot **buckets = calloc(2 * count, sizeof(*buckets));

	if (!buckets)
		return;
	free(index->buckets);
	index->buckets = buckets;
	index->refs = buckets + count;
	index->buckets_count = count;
	for (struct link *link = index->snapshots.next; link != &index->snapshots;
	     link = link->next)
		index_enlist(index, link_entry(link, struct snapshot, link));
}

void index_add(struct index *index, struct snapshot *snapshot)
{
	if (index->count >= index->buckets_count)
		index_grow(index);
	index_enlist(index, snapshot);
	link_append(&index->snapshots, &snapshot->link);
	index->count++;
}

void index_relabel(struct index *index, struct snapshot *snapshot, struct labels *labels)
{
	index_delist(index, snapshot);
	labels_destroy(&snapshot->labels);
	snapshot->labels = *labels;
	*labels = (struct labels){ 0 };
	index_enlist(index, snapshot);
}

struct snapshot *index_next_ref(const struct index *index, struct text ref,
				const struct snapshot *after)
{
	uint32_t hash = after ? after->ref_hash : index_hash(ref);
	struct snapshot *snapshot = after ? after->ref_next : *index_ref_bucket(index, hash);

	while (snapshot && (snapshot->ref_hash != hash ||
			    !text_equal(labels_value(&snapshot->labels, LABEL_REF), ref)))
		snapshot = snapshot->ref_next;
	return snapshot;
}

void index_remove(struct index *index, struct snapshot *snapshot)
{
	index_delist(index, snapshot);
	for (struct link *link = index->cursors.next; link != &index->cursors; link = link->next) {
		struct index_cursor *cursor = link_entry(link, struct index_cursor, link);

		if (cursor->at == &snapshot->link)
			cursor->at = snapshot->link.next;
	}
	link_remove(&snapshot->link);
	index->count--;
	if (snapshot->parent)
		snapshot->parent->children--;
	snapshot->parent = NULL;
}

void snapshot_set_parent(struct snapshot *snapshot, struct snapshot *parent)
{
	snapshot->parent = parent;
	if (parent)
		parent->children++;
}

struct snapshot *index_find(const struct index *index, struct text key)
{
	uint32_t hash = index_hash(key);
	struct snapshot *snapshot = *index_bucket(index, hash);

	while (snapshot && (snapshot->hash != hash || !text_equal(snapshot_key(snapshot), key)))
		snapshot = snapshot->next;
	return snapshot;
}

void index_cursor_open(struct index *index, struct index_cursor *cursor)
{
	link_init(&cursor->link);
	link_append(&index->cursors, &cursor->link);
	cursor->at = index->snapshots.next;
}

struct snapshot *index_cursor_peek(struct index *index, struct index_cursor *cursor)
{
	for (; cursor->at != &index->snapshots; cursor->at = cursor->at->next) {
		struct snapshot *snapshot = link_entry(cursor->at, struct snapshot, link);

		if (snapshot_visible(snapshot))
			return snapshot;
	}
	return NULL;
}

struct snapshot *index_cursor_next(struct index *index, struct index_cursor *cursor)
{
	struct snapshot *snapshot = index_cursor_peek(index, cursor);

	if (snapshot)
		cursor->at = cursor->at->next;
	return snapshot;
}

void index_cursor_close(struct index_cursor *cursor)
{
	link_remove(&cursor->link);
}

char *snapshot_layer(uint64_t number, char buffer[SNAPSHOT_LAYER_SIZE])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	char *at = buffer + SNAPSHOT_LAYER_SIZE;

	*--at = 0;
	do
		*--at = digits[number % NUMBER_BASE];
	while (number /= NUMBER_BASE);
	*--at = 's';
	return memmove(buffer, at, (size_t)(buffer + SNAPSHOT_LAYER_SIZE - at));
}

bool snapshot_number(const char *id, uint64_t *ret_number)
{
	char buffer[SNAPSHOT_LAYER_SIZE], *end;
	uint64_t number;

	/* Only what snapshot_layer() writes: no sign, no capital letters, no leading zeros. */
	if (*id != 's' || strlen(id) >= sizeof(buffer))
		return false;
	number = strtoull(id + 1, &end, NUMBER_BASE);
	if (*end || strcmp(snapshot_layer(number, buffer), id) != 0)
		return false;
	*ret_number = number;
	return true;
}
