/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Futures: a copy of what a callback was given, in one block of memory behind the result itself.
 * The same function first counts the bytes and then copies, so that neither can forget what the
 * other has.
 */
#include "api/record_copy.h"
#include "varve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct varve_future {
	/* Points into `block`, or to `without_memory`; NULL until the callback has run. */
	const struct varve_result *result;
	void *block;
	struct varve_result without_memory;
	/* Of the result, until it is taken; negative: none. */
	int descriptor;
};

/* Where copies go: without a block their bytes are counted only. */
struct future_copy {
	char *block;
	size_t at;
};

/* Copy SIZE bytes at SOURCE (NULL gives NULL). The copy, NULL while bytes are counted. */
static void *future_bytes(struct future_copy *copy, const void *source, size_t size)
{
	char *target = copy->block ? copy->block + copy->at : NULL;

	if (!source || !size)
		return NULL;
	/* What comes next is aligned, too. */
	copy->at += (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	return target ? memcpy(target, source, size) : NULL;
}

/* Copy TEXT (NULL gives NULL). */
static char *future_text(struct future_copy *copy, const char *text)
{
	return future_bytes(copy, text, text ? strlen(text) + 1 : 0);
}

/* Copy COUNT OUTCOMES with their ids and failures. */
static struct varve_outcome *future_outcomes(struct future_copy *copy,
					     const struct varve_outcome *outcomes, size_t count)
{
	struct varve_outcome *ours = future_bytes(copy, outcomes, count * sizeof(*outcomes));

	for (size_t i = 0; i < count; i++) {
		const char *id = future_text(copy, outcomes[i].id);
		const struct varve_failure *failure = future_bytes(copy, outcomes[i].failure,
								   sizeof(*outcomes[i].failure));

		if (ours)
			ours[i] = (struct varve_outcome){ id, outcomes[i].error, failure };
	}
	return ours;
}

/* Copy COUNT IDS. */
static const char **future_ids(struct future_copy *copy, const char *const *ids, size_t count)
{
	const char **ours = future_bytes(copy, ids, count * sizeof(*ids));

	for (size_t i = 0; i < count; i++) {
		const char *id = future_text(copy, ids[i]);

		if (ours)
			ours[i] = id;
	}
	return ours;
}

/* Copy COUNT status ENTRIES, whose keys are constants. */
static struct varve_status_entry *future_status(struct future_copy *copy,
						const struct varve_status_entry *entries,
						size_t count)
{
	struct varve_status_entry *ours = future_bytes(copy, entries, count * sizeof(*entries));

	for (size_t i = 0; i < count; i++) {
		const char *value = future_text(copy, entries[i].value);

		if (ours)
			ours[i].value = value;
	}
	return ours;
}

/* Copy COUNT CHANGES. */
static struct varve_change *future_changes(struct future_copy *copy,
					   const struct varve_change *changes, size_t count)
{
	struct varve_change *ours = future_bytes(copy, changes, count * sizeof(*changes));

	for (size_t i = 0; i < count; i++) {
		const char *path = future_text(copy, changes[i].path);

		if (ours)
			ours[i].path = path;
	}
	return ours;
}

/* Copy COUNT FINDINGS, whose other strings are constants. */
static struct varve_finding *future_findings(struct future_copy *copy,
					     const struct varve_finding *findings, size_t count)
{
	struct varve_finding *ours = future_bytes(copy, findings, count * sizeof(*findings));

	for (size_t i = 0; i < count; i++) {
		const char *path = future_text(copy, findings[i].path),
			   *detail = future_text(copy, findings[i].detail);

		if (ours) {
			ours[i].path = path;
			ours[i].detail = detail;
		}
	}
	return ours;
}

/* Copy RECORD (NULL gives NULL), which comes first of what it consists of. */
static struct varve_layer_record *future_record(struct future_copy *copy,
						const struct varve_layer_record *record)
{
	struct varve_layer_record *ours = future_bytes(copy, record, sizeof(*record));
	const char **labels;
	const void *bytes;

	if (!record)
		return NULL;
	labels = future_ids(copy, record->labels, record->labels_count);
	bytes = future_bytes(copy, record->bytes, record->bytes_count);
	if (ours) {
		ours->labels = labels;
		ours->bytes = bytes;
	}
	return ours;
}

/* Copy COUNT RECORDS, the array of pointers to them first. */
static struct varve_layer_record **future_records(struct future_copy *copy,
						  const struct varve_layer_record *const *records,
						  size_t count)
{
	struct varve_layer_record **ours = future_bytes(copy, records, count * sizeof(*records));

	for (size_t i = 0; records && i < count; i++) {
		struct varve_layer_record *record = future_record(copy, records[i]);

		if (ours)
			ours[i] = record;
	}
	return ours;
}

struct varve_layer_record *record_copy_one(const struct varve_layer_record *record)
{
	struct future_copy copy = { 0 };

	future_record(&copy, record);
	copy = (struct future_copy){ .block = calloc(1, copy.at) };
	return copy.block ? future_record(&copy, record) : NULL;
}

struct varve_layer_record **record_copy_all(const struct varve_layer_record *const *records,
					    size_t count)
{
	struct future_copy copy = { 0 };

	if (!count || !records)
		return calloc(count + 1, sizeof(*records));
	future_records(&copy, records, count);
	copy = (struct future_copy){ .block = calloc(1, copy.at) };
	return copy.block ? future_records(&copy, records, count) : NULL;
}

/* Copy RESULT and all that it points to. The copy, NULL while bytes are counted. */
static struct varve_result *future_result(struct future_copy *copy,
					  const struct varve_result *result)
{
	struct varve_result *ours = future_bytes(copy, result, sizeof(*result)), members = *result;

	members.failure = future_bytes(copy, result->failure, sizeof(*result->failure));
	members.outcomes = future_outcomes(copy, result->outcomes, result->outcomes_count);
	members.path = future_text(copy, result->path);
	members.ids = future_ids(copy, result->ids, result->ids_count);
	members.info = future_bytes(copy, result->info, sizeof(*result->info));
	members.sweep = future_bytes(copy, result->sweep, sizeof(*result->sweep));
	members.status = future_status(copy, result->status, result->status_count);
	members.changes = future_changes(copy, result->changes, result->changes_count);
	members.usage = future_bytes(copy, result->usage, sizeof(*result->usage));
	members.quota = future_bytes(copy, result->quota, sizeof(*result->quota));
	members.skipped = future_bytes(copy, result->skipped,
				       result->skipped_count * sizeof(*result->skipped));
	members.findings = future_findings(copy, result->findings, result->findings_count);
	members.digests = future_bytes(copy, result->digests, sizeof(*result->digests));
	members.record = future_record(copy, result->record);
	members.records = (const struct varve_layer_record *const *)
		future_records(copy, result->records, result->ids_count);
	if (ours)
		*ours = members;
	return ours;
}

int varve_future_create(struct varve_future **ret_future)
{
	struct varve_future *future = ret_future ? calloc(1, sizeof(*future)) : NULL;

	if (!future)
		return ret_future ? -ENOMEM : -EINVAL;
	future->descriptor = -1;
	*ret_future = future;
	return 0;
}

void varve_future_callback(struct varve_store *store, const struct varve_result *result,
			   void *user_data)
{
	struct future_copy copy = { 0 };
	struct varve_future *future = user_data;
	const struct varve_result *ours = NULL;

	(void)store;
	future_result(&copy, result);
	copy = (struct future_copy){ .block = calloc(1, copy.at) };
	future->block = copy.block;
	if (copy.block)
		ours = future_result(&copy, result);
	future->without_memory = (struct varve_result){ .size = sizeof(*result),
							.request = result->request,
							.operation = result->operation,
							.error = -ENOMEM,
							.descriptor = -EBADF };
	future->descriptor = result->descriptor;
	__atomic_store_n(&future->result, ours ? ours : &future->without_memory, __ATOMIC_RELEASE);
}

const struct varve_result *varve_future_result(const struct varve_future *future)
{
	return future ? __atomic_load_n(&future->result, __ATOMIC_ACQUIRE) : NULL;
}

int varve_future_take(struct varve_future *future)
{
	int descriptor = future ? __atomic_exchange_n(&future->descriptor, -1, __ATOMIC_ACQ_REL)
				: -1;

	return descriptor < 0 ? -EBADF : descriptor;
}

void varve_future_destroy(struct varve_future *future)
{
	int descriptor = varve_future_take(future);

	if (descriptor >= 0)
		close(descriptor);
	if (future)
		free(future->block);
	free(future);
}
