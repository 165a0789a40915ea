/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All snapshots are read in the callback of one varve_layer_find(), so that the records are in
 * memory once. A parent is known by the number of its layer, which is unique, not by its key: the
 * snapshots are sorted by number, and each one's parent is searched there.
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

/* A snapshot that was read. */
struct found {
	uint64_t number;
	/* The number of the parent's layer plus 1, or 0. */
	uint64_t parent;
	/* Not ours any more when it is a stray. */
	struct snapshot *snapshot;
	/* Its record. */
	const struct varve_layer_record *record;
};

/* A recover() under way. */
struct recovery {
	struct index *index;
	struct recovered *recovered;
	struct varve_failure *failure;
	struct found *found;
	size_t found_count;
	int error;
};

void recovered_destroy(struct recovered *recovered)
{
	for (size_t i = 0; i < recovered->strays_count; i++) {
		free(recovered->strays[i].id);
		free(recovered->strays[i].key);
	}
	free(recovered->strays);
	*recovered = (struct recovered){ 0 };
}

/* Add a stray: 0 or -ENOMEM. */
static int recover_stray(struct recovered *recovered, enum stray_reason reason, const char *id,
			 const char *key)
{
	struct stray stray = { .reason = reason,
			       .id = strdup(id),
			       .key = key ? strdup(key) : NULL };
	struct stray *strays = reallocarray(recovered->strays, recovered->strays_count + 1,
					    sizeof(*strays));

	if (strays)
		recovered->strays = strays;
	if (!strays || !stray.id || (key && !stray.key)) {
		free(stray.id);
		free(stray.key);
		return -ENOMEM;
	}
	strays[recovered->strays_count++] = stray;
	return 0;
}

/* Read the RECORD of the layer ID. */
static int recover_one(struct recovery *recovery, const char *id,
		       const struct varve_layer_record *record)
{
	struct recovered *recovered = recovery->recovered;
	struct found found = { .record = record };
	int r;

	if (!snapshot_number(id, &found.number))
		return recover_stray(recovered, STRAY_RENAMED, id, NULL);
	if (found.number >= recovered->next_number)
		recovered->next_number = found.number + 1;
	if (!record || !record->bytes_count)
		return recover_stray(recovered, STRAY_UNREADABLE, id, NULL);
	r = record_read(record->bytes, record->bytes_count, false, &found.snapshot, &found.parent);
	if (r == -EBADMSG)
		return recover_stray(recovered, STRAY_UNREADABLE, id, NULL);
	if (r == -ENOTSUP)
		return recover_stray(recovered, STRAY_LATER, id, NULL);
	if (r)
		return r;
	found.snapshot->number = found.number;
	recovery->found[recovery->found_count++] = found;
	return 0;
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
	struct snapshot *snapshot = found->snapshot;
	struct snapshot *other = index_find(recovery->index, snapshot_key(snapshot));
	struct snapshot *loser = NULL;
	char id[SNAPSHOT_LAYER_SIZE];
	int r = 0;

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

/* Find the parent of *FOUND, or keep its name. */
static int recover_parent(struct recovery *recovery, struct found *found)
{
	struct found wanted = { .number = found->parent - 1 }, *parent;
	struct snapshot *snapshot = found->snapshot, *anew;
	uint64_t number;
	int r;

	if (!snapshot || !found->parent)
		return 0;
	parent = bsearch(&wanted, recovery->found, recovery->found_count, sizeof(wanted),
			 found_order);
	/* A parent is older: no circle, whatever the records say. */
	if (parent && parent->snapshot && parent->snapshot->kind == SNAPSHOT_COMMITTED &&
	    parent->number < found->number) {
		snapshot_set_parent(snapshot, parent->snapshot);
		return 0;
	}
	recovery->recovered->orphans++;
	r = record_read(found->record->bytes, found->record->bytes_count, true, &anew, &number);
	if (r)
		return r;
	/* The key is the same, so that the place in the index is, too. */
	free(snapshot->key);
	snapshot->key = anew->key;
	anew->key = NULL;
	snapshot_free(anew);
	return 0;
}

/* The callback of the find. */
static void recover_found(struct varve_store *store, const struct varve_result *result,
			  void *user_data)
{
	struct recovery *recovery = user_data;
	int r = result->error;

	if (r) {
		*recovery->failure = *result->failure;
		recovery->error = r;
		return;
	}
	recovery->found = calloc(result->ids_count + 1, sizeof(*recovery->found));
	if (!recovery->found)
		r = -ENOMEM;
	for (size_t i = 0; !r && i < result->ids_count; i++)
		r = recover_one(recovery, result->ids[i], result->records[i]);
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
	if (r)
		*recovery->failure = (struct varve_failure){ .error = r, .operation = "recover" };
	recovery->error = r;
}

int recover(struct varve_store *store, struct index *index, struct recovered *ret_recovered,
	    struct varve_failure *ret_failure)
{
	static const char *const labels[] = { RECORD_LABEL, NULL };
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	struct recovery recovery = {
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
	r = varve_layer_find(store, &options, recover_found, &recovery, &request);
	if (r) {
		varve_refusal(store, ret_failure);
		return r;
	}
	r = varve_wait_for(store, request, -1);
	return r ? r : recovery.error;
}
