/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All snapshots are read as one varve_layer_find() finds them. A parent is known by the number of
 * its layer, which is unique, not by its key: the snapshots are sorted by number, and each one's
 * parent is searched there. Where that is gone, the record is read once more for its key.
 *
 * Two layers can have one key only where a program other than the daemon wrote records. The one
 * that is further wins (a committed one before an active one), then the older one; the other one
 * is a stray, and its children have no parent.
 */
#include "recover.h"

#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Snapshots that there is room for at first. */
#define FOUND_MIN 64

/* A snapshot that was read. */
struct found {
	uint64_t number;
	/* The number of the parent's layer plus 1, or 0. */
	uint64_t parent;
	/* NULL when it is a stray. */
	struct snapshot *snapshot;
};

/* A recover() under way. */
struct recovery {
	struct varve_store *store;
	struct index *index;
	struct recovered *recovered;
	struct varve_failure *failure;
	struct found *found;
	size_t found_count, found_capacity;
	int error;
};

const char *stray_text(enum stray_reason reason, const char **ret_word)
{
	static const char *const texts[][2] = {
		[STRAY_UNREADABLE] = { "unreadable", "its record cannot be read" },
		[STRAY_LATER] = { "later", "a later version of varve has written its record" },
		[STRAY_TWICE] = { "twice", "another layer has the same key" },
		[STRAY_RENAMED] = { "renamed", "its id is not one of a snapshot" },
		[STRAY_LEAK] = { "leak", "it has no record of a snapshot" },
		[FAULT_PARENT_GONE] = { "parent-gone", "its parent is gone" },
		[FAULT_PARENT_STRAY] = { "parent-stray", "its parent is not served" },
		[FAULT_PARENT_KIND] = { "parent-kind", "its parent is not committed" },
		[FAULT_PARENT_ORDER] = { "parent-order", "its parent is younger than it" },
		[FAULT_LABEL] = { "label", "its label has another kind than its record" },
	};

	if (ret_word)
		*ret_word = texts[reason][0];
	return texts[reason][1];
}

/* Free the COUNT strays at STRAYS. */
static void strays_free(struct stray *strays, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(strays[i].id);
		free(strays[i].key);
	}
	free(strays);
}

void recovered_destroy(struct recovered *recovered)
{
	strays_free(recovered->strays, recovered->strays_count);
	strays_free(recovered->faults, recovered->faults_count);
	*recovered = (struct recovered){ 0 };
}

/* Add a stray, or a fault: 0 or -ENOMEM. */
static int recover_stray(struct recovered *recovered, enum stray_reason reason, const char *id,
			 const char *key)
{
	bool fault = reason >= FAULT_PARENT_GONE;
	struct stray **list = fault ? &recovered->faults : &recovered->strays, *items;
	size_t *count = fault ? &recovered->faults_count : &recovered->strays_count;
	struct stray stray = { .reason = reason,
			       .id = strdup(id),
			       .key = key ? strdup(key) : NULL };

	items = reallocarray(*list, *count + 1, sizeof(*items));
	if (items)
		*list = items;
	if (!items || !stray.id || (key && !stray.key)) {
		free(stray.id);
		free(stray.key);
		return -ENOMEM;
	}
	items[(*count)++] = stray;
	return 0;
}

/* By the layer's id, then by reason. */
static int stray_order(const void *a, const void *b)
{
	const struct stray *one = a, *other = b;
	int order = strcmp(one->id, other->id);

	return order ? order : (int)one->reason - (int)other->reason;
}

/* Sort the strays and the faults: layers are found in no order. */
static void recovered_sort(struct recovered *recovered)
{
	if (recovered->strays_count)
		qsort(recovered->strays, recovered->strays_count, sizeof(*recovered->strays),
		      stray_order);
	if (recovered->faults_count)
		qsort(recovered->faults, recovered->faults_count, sizeof(*recovered->faults),
		      stray_order);
}

/* Is STRAY among the COUNT ones at STRAYS? */
static bool stray_among(const struct stray *stray, const struct stray *strays, size_t count)
{
	return count && bsearch(stray, strays, count, sizeof(*strays), stray_order);
}

/* Leave only those of the *COUNT ones at STRAYS that are among OTHERS. */
static void strays_keep_both(struct stray *strays, size_t *count, const struct stray *others,
			     size_t others_count)
{
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++) {
		if (stray_among(&strays[i], others, others_count)) {
			strays[kept++] = strays[i];
			continue;
		}
		free(strays[i].id);
		free(strays[i].key);
	}
	*count = kept;
}

void recovered_keep_both(struct recovered *recovered, const struct recovered *other)
{
	strays_keep_both(recovered->strays, &recovered->strays_count, other->strays,
			 other->strays_count);
	strays_keep_both(recovered->faults, &recovered->faults_count, other->faults,
			 other->faults_count);
}

bool recovered_orphan(const struct recovered *recovered, const struct snapshot *snapshot)
{
	char id[SNAPSHOT_LAYER_SIZE];
	struct stray fault = { .id = snapshot_layer(snapshot->number, id) };

	if (snapshot->parent)
		return false;
	for (fault.reason = FAULT_PARENT_GONE; fault.reason <= FAULT_PARENT_ORDER; fault.reason++)
		if (stray_among(&fault, recovered->faults, recovered->faults_count))
			return true;
	return false;
}

/* Add a fault of SNAPSHOT: 0 or -ENOMEM. */
static int recover_fault(struct recovered *recovered, enum stray_reason reason,
			 const struct snapshot *snapshot, const char *key)
{
	char id[SNAPSHOT_LAYER_SIZE];

	return recover_stray(recovered, reason, snapshot_layer(snapshot->number, id), key);
}

/* Is RECORD, whose snapshot is of KIND, labelled so? */
static bool recover_labelled(const struct varve_layer_record *record, unsigned kind)
{
	static const char prefix[] = RECORD_LABEL "=";

	for (size_t i = 0; i < record->labels_count; i++)
		if (!strncmp(record->labels[i], prefix, strlen(prefix)))
			return !strcmp(record->labels[i] + strlen(prefix),
				       snapshot_kind_name(kind));
	return false;
}

/* Have room for another snapshot: 0 or -ENOMEM. */
static int recover_grow(struct recovery *recovery)
{
	size_t capacity = recovery->found_capacity ? 2 * recovery->found_capacity : FOUND_MIN;
	struct found *found;

	if (recovery->found_count < recovery->found_capacity)
		return 0;
	found = reallocarray(recovery->found, capacity, sizeof(*found));
	if (!found)
		return -ENOMEM;
	recovery->found = found;
	recovery->found_capacity = capacity;
	return 0;
}

/* Read the RECORD of the layer ID: a varve_found. */
static int recover_one(struct varve_store *store, varve_request request, const char *id,
		       const struct varve_layer_record *record, void *found_data)
{
	struct recovery *recovery = found_data;
	struct recovered *recovered = recovery->recovered;
	struct found found = { 0 };
	int r;

	if (!snapshot_number(id, &found.number))
		return recover_stray(recovered, STRAY_RENAMED, id, NULL);
	if (found.number >= recovered->next_number)
		recovered->next_number = found.number + 1;
	r = recover_grow(recovery);
	if (r)
		return r;
	r = record && record->bytes_count ? record_decode(record->bytes, record->bytes_count, false,
							  &found.snapshot, &found.parent)
					  : -EBADMSG;
	if (r && r != -EBADMSG && r != -ENOTSUP)
		return r;
	if (!r)
		found.snapshot->number = found.number;
	recovery->found[recovery->found_count++] = found;
	if (r)
		return recover_stray(recovered, r == -ENOTSUP ? STRAY_LATER : STRAY_UNREADABLE, id,
				     NULL);
	return recover_labelled(record, found.snapshot->kind)
		       ? 0
		       : recover_fault(recovered, FAULT_LABEL, found.snapshot, found.snapshot->key);
}

/* By number. */
static int found_order(const void *a, const void *b)
{
	const struct found *one = a, *other = b;

	return (one->number > other->number) - (one->number < other->number);
}

/* Put *FOUND, or the one that has its key, aside as a stray, where the key is taken. */
static int recover_add(struct recovery *recovery, struct found *found)
{
	struct snapshot *snapshot = found->snapshot, *other, *loser = NULL;
	char id[SNAPSHOT_LAYER_SIZE];
	int r = 0;

	if (!snapshot)
		return 0;
	other = index_find(recovery->index, snapshot_key(snapshot));
	if (other)
		loser = snapshot->kind > other->kind ? other : snapshot;
	if (loser)
		r = recover_stray(recovery->recovered, STRAY_TWICE,
				  snapshot_layer(loser->number, id), loser->key);
	if (loser == other && other)
		index_remove(recovery->index, other);
	if (loser != snapshot)
		index_add(recovery->index, snapshot);
	for (size_t i = 0; loser && i < recovery->found_count; i++)
		if (recovery->found[i].snapshot == loser)
			recovery->found[i].snapshot = NULL;
	snapshot_free(loser);
	return r;
}

/* SNAPSHOT has lost its parent: keep the key of that. */
static int recover_orphan(struct recovery *recovery, struct snapshot *snapshot)
{
	struct varve_layer_record *record = NULL;
	char id[SNAPSHOT_LAYER_SIZE];
	struct snapshot *anew = NULL;
	struct varve_failure failure = { 0 };
	uint64_t number;
	int r = varve_layer_record_wait(recovery->store, snapshot_layer(snapshot->number, id),
					&record, &failure);

	recovery->recovered->orphans++;
	if (!r && record)
		r = record_decode(record->bytes, record->bytes_count, true, &anew, &number);
	free(record);
	/* The key is the same, so that the place in the index is, too. */
	if (anew && text_equal(snapshot_key(anew), snapshot_key(snapshot))) {
		free(snapshot->key);
		snapshot->key = anew->key;
		anew->key = NULL;
	}
	snapshot_free(anew);
	/* Another program has changed or removed it since: then its parent has no key. */
	if (r == -ENOENT || r == -EBADMSG || r == -ENOTSUP || r == -EUCLEAN)
		return 0;
	*recovery->failure = failure;
	return r;
}

/* Find the parent of *FOUND, or keep its name. */
static int recover_parent(struct recovery *recovery, struct found *found)
{
	struct found wanted = { .number = found->parent - 1 }, *parent;
	struct snapshot *snapshot = found->snapshot;
	enum stray_reason reason;
	int r;

	if (!snapshot || !found->parent)
		return 0;
	parent = bsearch(&wanted, recovery->found, recovery->found_count, sizeof(wanted),
			 found_order);
	/* A parent is older: no circle, whatever the records say. */
	if (!parent) {
		reason = FAULT_PARENT_GONE;
	} else if (!parent->snapshot) {
		reason = FAULT_PARENT_STRAY;
	} else if (parent->number >= found->number) {
		reason = FAULT_PARENT_ORDER;
	} else if (parent->snapshot->kind != SNAPSHOT_COMMITTED) {
		reason = FAULT_PARENT_KIND;
	} else {
		snapshot_set_parent(snapshot, parent->snapshot);
		return 0;
	}
	r = recover_orphan(recovery, snapshot);
	return r ? r
		 : recover_fault(recovery->recovered, reason, snapshot,
				 snapshot_parent_key(snapshot).bytes);
}

/* The callback of the find: all snapshots were read. */
static void recover_found(struct varve_store *store, const struct varve_result *result,
			  void *user_data)
{
	struct recovery *recovery = user_data;

	if (result->error)
		*recovery->failure = *result->failure;
	recovery->error = result->error;
}

/* Put what was read into the index; R: the error so far. 0 or -errno. */
static int recover_all(struct recovery *recovery, int r)
{
	if (recovery->found)
		qsort(recovery->found, recovery->found_count, sizeof(*recovery->found),
		      found_order);
	for (size_t i = 0; i < recovery->found_count; i++) {
		/* What is in the index is freed with it; what is not, after an error, here. */
		if (r)
			snapshot_free(recovery->found[i].snapshot);
		else
			r = recover_add(recovery, &recovery->found[i]);
	}
	for (size_t i = 0; !r && i < recovery->found_count; i++)
		r = recover_parent(recovery, &recovery->found[i]);
	free(recovery->found);
	recovered_sort(recovery->recovered);
	if (r && !recovery->failure->error)
		*recovery->failure = (struct varve_failure){ .error = r, .operation = "recover" };
	return r;
}

int recover(struct varve_store *store, struct index *index, struct recovered *ret_recovered,
	    struct varve_failure *ret_failure)
{
	static const char *const labels[] = { RECORD_LABEL, NULL };
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	struct recovery recovery = {
		.store = store,
		.index = index,
		.recovered = ret_recovered,
		.failure = ret_failure,
	};
	varve_request request;
	int r;

	*ret_recovered = (struct recovered){ 0 };
	*ret_failure = (struct varve_failure){ 0 };
	options.flags = VARVE_FIND_RECORDS;
	options.labels = labels;
	options.found = recover_one;
	options.found_data = &recovery;
	r = varve_layer_find(store, &options, recover_found, &recovery, &request);
	if (r) {
		varve_refusal(store, ret_failure);
		return r;
	}
	r = varve_wait_for(store, request, -1);
	return recover_all(&recovery, r ? r : recovery.error);
}

/* Bytewise. */
static int string_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Why the layer ID was not found: its record, with the label, is damaged, or there is none. */
static enum stray_reason recover_leak_reason(struct varve_store *store, const char *id)
{
	struct varve_layer_record *record = NULL;
	struct varve_failure failure;
	int r = varve_layer_record_wait(store, id, &record, &failure);

	free(record);
	return r == -EUCLEAN ? STRAY_UNREADABLE : STRAY_LEAK;
}

/* Add those of the COUNT layers IDS that are leaks; KNOWN, sorted, are not. */
static int recover_unknown(struct varve_store *store, struct recovered *recovered, char **ids,
			   size_t count, char **known, size_t known_count)
{
	uint64_t number;
	int r = 0;

	for (size_t i = 0; !r && i < count; i++)
		if (snapshot_number(ids[i], &number) &&
		    !bsearch(&ids[i], known, known_count, sizeof(*known), string_order))
			r = recover_stray(recovered, recover_leak_reason(store, ids[i]), ids[i],
					  NULL);
	return r;
}

int recover_leaks(struct varve_store *store, const struct index *index, struct recovered *recovered,
		  struct varve_failure *ret_failure)
{
	size_t strays = recovered->strays_count, count = 0, ids_count;
	char **known = calloc(index->count + strays + 1, sizeof(*known)), **ids;
	char(*layers)[SNAPSHOT_LAYER_SIZE] = calloc(index->count + 1, sizeof(*layers));
	int r = known && layers ? 0 : -ENOMEM;

	for (; !r && count < strays; count++)
		known[count] = recovered->strays[count].id;
	for (struct link *link = index->snapshots.next; !r && link != &index->snapshots;
	     link = link->next, count++)
		known[count] = snapshot_layer(link_entry(link, struct snapshot, link)->number,
					      layers[count - strays]);
	if (!r) {
		qsort(known, count, sizeof(*known), string_order);
		r = varve_layer_list_wait(store, &ids, &ids_count, ret_failure);
	}
	if (!r) {
		r = recover_unknown(store, recovered, ids, ids_count, known, count);
		recovered_sort(recovered);
		free(ids);
	}
	free(known);
	free(layers);
	return r;
}

int reading_take(struct reading *reading, struct varve_store *store,
		 struct varve_failure *ret_failure)
{
	int r = index_init(&reading->index);

	return r ? r : recover(store, &reading->index, &reading->recovered, ret_failure);
}

void reading_destroy(struct reading *reading)
{
	recovered_destroy(&reading->recovered);
	index_destroy(&reading->index);
	*reading = (struct reading){ 0 };
}
