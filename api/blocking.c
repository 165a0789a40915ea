/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocking twins, on the public calls alone: submit, wait for that request, hand over what its
 * callback was given: a copy, but of a list of changes, which may be most of the program's memory,
 * the list itself. The callback runs on the waiting thread, unless another one dispatches and takes
 * it; either way it has returned before varve_wait_for() does, so what it writes lives on the
 * waiter's stack.
 */
#include "api/check.h"
#include "api/options_size.h"
#include "api/record_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a twin waits for, and where its answers go; each output may be NULL. */
struct blocking {
	int error;
	struct varve_failure *ret_failure;
	int *ret_errors;
	char **ret_path;
	int *ret_descriptor;
	bool *ret_exists;
	char ***ret_ids;
	struct varve_status_entry **ret_entries;
	struct varve_finding **ret_findings;
	size_t *ret_count;
	struct varve_layer_info *ret_info;
	struct varve_sweep_report *ret_report;
	struct varve_change **ret_changes;
	size_t *ret_changes_count;
	struct varve_layer_usage *ret_usage;
	struct varve_quota *ret_quota;
	uint64_t *ret_bytes, *ret_skipped;
	struct varve_skipped *ret_records;
	struct varve_digests *ret_digests;
	struct varve_layer_record **ret_record, ***ret_layer_records;
};

/*
 * Where OPTIONS, of any of the families that have it, want to know what was left out; NULL:
 * nowhere.
 */
#define BLOCKING_RECORDS(options) \
	((options) && VARVE_HAS(options, ret_skipped) ? (options)->ret_skipped : NULL)

/* Where OPTIONS of an apply or a diff want the digests; NULL: nowhere. */
#define BLOCKING_DIGESTS(options) \
	((options) && VARVE_HAS(options, ret_digests) ? (options)->ret_digests : NULL)

/* The same of OPTIONS of a create. */
static struct varve_digests *blocking_create_digests(const struct varve_create_options *options)
{
	return options && VARVE_HAS(options, apply) ? BLOCKING_DIGESTS(options->apply) : NULL;
}

/* Where OPTIONS of a create want to know what was left out; NULL: nowhere. */
static struct varve_skipped *blocking_create_records(const struct varve_create_options *options)
{
	struct varve_skipped *records = options && VARVE_HAS(options, apply)
						? BLOCKING_RECORDS(options->apply)
						: NULL;

	return !records && options && VARVE_HAS(options, chown) ? BLOCKING_RECORDS(options->chown)
								: records;
}

/* Copy COUNT strings into one block, behind an array of pointers to them. */
static char **blocking_copy_ids(const char *const *ids, size_t count)
{
	size_t size = (count + 1) * sizeof(char *);
	char **copy, *text;

	for (size_t i = 0; i < count; i++)
		size += strlen(ids[i]) + 1;
	copy = malloc(size);
	if (!copy)
		return NULL;
	text = (char *)(copy + count + 1);
	for (size_t i = 0; i < count; i++) {
		copy[i] = text;
		text = stpcpy(text, ids[i]) + 1;
	}
	copy[count] = NULL;
	return copy;
}

/* Copy COUNT entries, whose keys are constants, into one block. */
static struct varve_status_entry *blocking_copy_entries(const struct varve_status_entry *entries,
							size_t count)
{
	size_t size = (count + 1) * sizeof(*entries);
	struct varve_status_entry *copy;
	char *text;

	for (size_t i = 0; i < count; i++)
		size += strlen(entries[i].value) + 1;
	copy = malloc(size);
	if (!copy)
		return NULL;
	text = (char *)(copy + count + 1);
	for (size_t i = 0; i < count; i++) {
		copy[i] = (struct varve_status_entry){ entries[i].key, text };
		text = stpcpy(text, entries[i].value) + 1;
	}
	return copy;
}

/* Copy FINDINGS into one block. NULL: no memory. */
static struct varve_finding *blocking_copy_findings(const struct varve_finding *findings,
						    size_t count)
{
	size_t size = (count + 1) * sizeof(*findings);
	struct varve_finding *copy;
	char *text;

	for (size_t i = 0; i < count; i++)
		size += strlen(findings[i].path) + strlen(findings[i].detail) + 2;
	copy = malloc(size);
	if (!copy)
		return NULL;
	text = (char *)(copy + count + 1);
	for (size_t i = 0; i < count; i++) {
		copy[i] = findings[i];
		copy[i].path = text;
		text = stpcpy(text, findings[i].path) + 1;
		copy[i].detail = text;
		text = stpcpy(text, findings[i].detail) + 1;
	}
	return copy;
}

/* Hand over what was left out. 0 or -ENOMEM. */
static int blocking_copy_skipped(struct varve_skipped *ret, const struct varve_result *result)
{
	struct varve_failure *records = result->skipped_count
						? calloc(result->skipped_count, sizeof(*records))
						: NULL;

	if (result->skipped_count && !records)
		return -ENOMEM;
	if (records)
		memcpy(records, result->skipped, result->skipped_count * sizeof(*records));
	*ret = (struct varve_skipped){ .records = records,
				       .count = result->skipped_count,
				       .total = result->skipped_total };
	return 0;
}

/* Hand over what a successful request found. 0 or -ENOMEM. */
static int blocking_copy(struct blocking *blocking, const struct varve_result *result)
{
	char **ids = NULL, *path = NULL;
	struct varve_status_entry *entries = NULL;
	struct varve_layer_record **records = NULL;

	if (result->operation == VARVE_CHANGES) {
		/* Kept: see layer_changes(). */
		if (blocking->ret_changes)
			*blocking->ret_changes = (struct varve_change *)result->changes;
		else
			free((void *)result->changes);
		if (blocking->ret_changes_count)
			*blocking->ret_changes_count = result->changes_count;
		return 0;
	}
	if (blocking->ret_findings) {
		*blocking->ret_findings = blocking_copy_findings(result->findings,
								 result->findings_count);
		if (!*blocking->ret_findings)
			return -ENOMEM;
		if (blocking->ret_count)
			*blocking->ret_count = result->findings_count;
		return 0;
	}
	if (blocking->ret_records) {
		int r = blocking_copy_skipped(blocking->ret_records, result);

		if (r)
			return r;
	}
	if (blocking->ret_path && !(path = strdup(result->path)))
		return -ENOMEM;
	if (blocking->ret_ids && !(ids = blocking_copy_ids(result->ids, result->ids_count)))
		return -ENOMEM;
	if (blocking->ret_entries &&
	    !(entries = blocking_copy_entries(result->status, result->status_count)))
		return -ENOMEM;
	if (blocking->ret_record && !(*blocking->ret_record = record_copy_one(result->record)))
		return -ENOMEM;
	if (blocking->ret_layer_records &&
	    !(records = record_copy_all(result->records, result->ids_count))) {
		free(ids);
		return -ENOMEM;
	}
	if (records)
		*blocking->ret_layer_records = records;
	if (path)
		*blocking->ret_path = path;
	if (ids)
		*blocking->ret_ids = ids;
	if (entries)
		*blocking->ret_entries = entries;
	if (blocking->ret_count)
		*blocking->ret_count = result->operation == VARVE_LIST ? result->ids_count
								       : result->status_count;
	if (blocking->ret_bytes)
		*blocking->ret_bytes = result->bytes;
	if (blocking->ret_skipped)
		*blocking->ret_skipped = result->skipped_total;
	if (blocking->ret_exists)
		*blocking->ret_exists = result->exists;
	if (blocking->ret_descriptor)
		*blocking->ret_descriptor = result->descriptor;
	else if (result->descriptor >= 0)
		close(result->descriptor);
	if (blocking->ret_info)
		output_copy(blocking->ret_info, result->info, sizeof(*result->info));
	if (blocking->ret_digests && result->digests)
		output_copy(blocking->ret_digests, result->digests, sizeof(*result->digests));
	if (blocking->ret_usage)
		output_copy(blocking->ret_usage, result->usage, sizeof(*result->usage));
	return 0;
}

/* The callback of every twin. */
static void blocking_done(struct varve_store *store, const struct varve_result *result,
			  void *user_data)
{
	struct blocking *blocking = user_data;

	(void)store;
	blocking->error = result->error;
	if (blocking->ret_errors)
		for (size_t i = 0; i < result->outcomes_count; i++)
			blocking->ret_errors[i] = result->outcomes[i].error;
	if (blocking->ret_report)
		output_copy(blocking->ret_report, result->sweep, sizeof(*result->sweep));
	if (blocking->ret_quota && result->quota)
		output_copy(blocking->ret_quota, result->quota, sizeof(*result->quota));
	if (!result->error)
		blocking->error = blocking_copy(blocking, result);
	if (blocking->error && blocking->ret_failure)
		*blocking->ret_failure = result->failure
						 ? *result->failure
						 : (struct varve_failure){ .error = blocking->error,
									   .operation = "varve",
									   .step = "RESULT" };
}

/* Wait for REQUEST, whose submission returned R. */
static int blocking_wait(struct varve_store *store, struct blocking *blocking, int r,
			 varve_request request)
{
	if (r) {
		if (blocking->ret_failure && varve_refusal(store, blocking->ret_failure))
			*blocking->ret_failure = (struct varve_failure){ .error = r,
									 .operation = "varve",
									 .step = "CHECK" };
		return r;
	}
	r = varve_wait_for(store, request, -1);
	return r ? r : blocking->error;
}

/* Have the outputs that a caller owns a size? 0 or -EINVAL. */
static int blocking_check(const struct blocking *blocking)
{
	int r = output_check(blocking->ret_info);

	if (!r)
		r = output_check(blocking->ret_usage);
	if (!r)
		r = output_check(blocking->ret_report);
	if (!r)
		r = output_check(blocking->ret_digests);
	return r ? r : output_check(blocking->ret_quota);
}

/*
 * May this thread wait? Inside a callback it may not, and must not submit what it cannot wait for.
 */
static int blocking_begin(struct varve_store *store, const struct blocking *blocking)
{
	int r = varve_wait_for(store, 0, 0);
	bool sized = true;

	if (!r) {
		r = blocking_check(blocking);
		sized = !r;
	}
	if (r && blocking->ret_failure) {
		*blocking->ret_failure = (struct varve_failure){ .error = r,
								 .operation = "varve",
								 .step = "CHECK" };
		if (!sized)
			strcpy(blocking->ret_failure->detail, "an output without a size");
	}
	return r;
}

/*
 * The body of a twin, which has an argument `ret_failure`: SUBMISSION, an expression that submits
 * with BLOCKING_LAST, and the wait for it. The other outputs follow, as `.ret_path = ret_path`.
 */
#define BLOCKING(store, submission, ...)                                                \
	({                                                                              \
		struct blocking blocking = { .ret_failure = ret_failure, __VA_ARGS__ }; \
		varve_request request = 0;                                              \
		int r_ = blocking_begin((store), &blocking);                            \
		if (!r_) {                                                              \
			int submitted_ = (submission);                                  \
			r_ = blocking_wait((store), &blocking, submitted_, request);    \
		}                                                                       \
		r_;                                                                     \
	})

/* The last arguments of a submission. */
#define BLOCKING_LAST blocking_done, &blocking, &request

int varve_noop_wait(struct varve_store *store, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_noop(store, BLOCKING_LAST));
}

int varve_layer_create_wait(struct varve_store *store, const char *id,
			    const struct varve_create_options *options,
			    struct varve_failure *ret_failure)
{
	return varve_layer_create_batch_wait(store, &id, 1, options, NULL, ret_failure);
}

int varve_layer_create_apply_wait(struct varve_store *store, const char *id,
				  const struct varve_create_options *options, uint64_t *ret_bytes,
				  uint64_t *ret_skipped, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_create(store, id, options, BLOCKING_LAST),
			.ret_bytes = ret_bytes, .ret_skipped = ret_skipped,
			.ret_records = blocking_create_records(options),
			.ret_digests = blocking_create_digests(options));
}

int varve_layer_create_batch_wait(struct varve_store *store, const char *const *ids, size_t count,
				  const struct varve_create_options *options, int *ret_errors,
				  struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_create_batch(store, ids, count, options, BLOCKING_LAST),
			.ret_errors = ret_errors, .ret_records = blocking_create_records(options),
			.ret_digests = blocking_create_digests(options));
}

int varve_layer_remove_wait(struct varve_store *store, const char *id, uint64_t flags,
			    struct varve_failure *ret_failure)
{
	return varve_layer_remove_batch_wait(store, &id, 1, flags, NULL, ret_failure);
}

int varve_layer_remove_batch_wait(struct varve_store *store, const char *const *ids, size_t count,
				  uint64_t flags, int *ret_errors,
				  struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_remove_batch(store, ids, count, flags, BLOCKING_LAST),
			.ret_errors = ret_errors);
}

int varve_layer_get_wait(struct varve_store *store, const char *id, const char *const *options,
			 char **ret_path, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_get(store, id, options, BLOCKING_LAST),
			.ret_path = ret_path);
}

int varve_layer_open_wait(struct varve_store *store, const char *id, uint64_t flags,
			  int *ret_descriptor, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_open(store, id, flags, BLOCKING_LAST),
			.ret_descriptor = ret_descriptor);
}

int varve_layer_exists_wait(struct varve_store *store, const char *id, bool *ret_exists,
			    struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_exists(store, id, BLOCKING_LAST),
			.ret_exists = ret_exists);
}

int varve_layer_list_wait(struct varve_store *store, char ***ret_ids, size_t *ret_count,
			  struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_list(store, BLOCKING_LAST), .ret_ids = ret_ids,
			.ret_count = ret_count);
}

int varve_layer_find_wait(struct varve_store *store, const struct varve_find_options *options,
			  char ***ret_ids, struct varve_layer_record ***ret_records,
			  size_t *ret_count, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_find(store, options, BLOCKING_LAST), .ret_ids = ret_ids,
			.ret_layer_records = ret_records, .ret_count = ret_count);
}

int varve_layer_label_wait(struct varve_store *store, const char *id,
			   const struct varve_label_options *options,
			   struct varve_layer_record **ret_record,
			   struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_label(store, id, options, BLOCKING_LAST),
			.ret_record = ret_record);
}

int varve_layer_record_wait(struct varve_store *store, const char *id,
			    struct varve_layer_record **ret_record,
			    struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_record(store, id, BLOCKING_LAST),
			.ret_record = ret_record);
}

int varve_layer_info_wait(struct varve_store *store, const char *id,
			  struct varve_layer_info *ret_info, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_info(store, id, BLOCKING_LAST), .ret_info = ret_info);
}

int varve_layer_changes_wait(struct varve_store *store, const char *id,
			     const struct varve_changes_options *options,
			     struct varve_change **ret_changes, size_t *ret_count,
			     struct varve_failure *ret_failure)
{
	return BLOCKING(store,
			layer_changes(store, id, options, true, &(struct submit){ BLOCKING_LAST }),
			.ret_changes = ret_changes, .ret_changes_count = ret_count);
}

int varve_layer_usage_wait(struct varve_store *store, const char *id, uint64_t flags,
			   struct varve_layer_usage *ret_usage, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_usage(store, id, flags, BLOCKING_LAST),
			.ret_usage = ret_usage);
}

int varve_layer_chown_wait(struct varve_store *store, const char *id,
			   const struct varve_chown_options *options,
			   struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_chown(store, id, options, BLOCKING_LAST),
			.ret_records = BLOCKING_RECORDS(options));
}

int varve_layer_freeze_wait(struct varve_store *store, const char *id, uint64_t flags,
			    struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_freeze(store, id, flags, BLOCKING_LAST));
}

int varve_layer_flush_wait(struct varve_store *store, const char *id, uint64_t flags,
			   struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_flush(store, id, flags, BLOCKING_LAST));
}

int varve_layer_rename_wait(struct varve_store *store, const char *id, const char *new_id,
			    uint64_t flags, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_rename(store, id, new_id, flags, BLOCKING_LAST));
}

int varve_layer_adopt_wait(struct varve_store *store, const char *id, uint64_t flags,
			   struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_adopt(store, id, flags, BLOCKING_LAST));
}

int varve_layer_relabel_wait(struct varve_store *store, const char *id, const char *label,
			     uint64_t flags, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_relabel(store, id, label, flags, BLOCKING_LAST));
}

int varve_layer_diff_wait(struct varve_store *store, const char *id,
			  const struct varve_diff_options *options, int fd, uint64_t *ret_bytes,
			  uint64_t *ret_skipped, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_diff(store, id, options, fd, BLOCKING_LAST),
			.ret_bytes = ret_bytes, .ret_skipped = ret_skipped,
			.ret_records = BLOCKING_RECORDS(options),
			.ret_digests = BLOCKING_DIGESTS(options));
}

int varve_layer_apply_wait(struct varve_store *store, const char *id,
			   const struct varve_apply_options *options, int fd, uint64_t *ret_bytes,
			   uint64_t *ret_skipped, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_apply(store, id, options, fd, BLOCKING_LAST),
			.ret_bytes = ret_bytes, .ret_skipped = ret_skipped,
			.ret_records = BLOCKING_RECORDS(options),
			.ret_digests = BLOCKING_DIGESTS(options));
}

int varve_layer_diff_size_wait(struct varve_store *store, const char *id,
			       const struct varve_changes_options *options, uint64_t *ret_bytes,
			       struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_layer_diff_size(store, id, options, BLOCKING_LAST),
			.ret_bytes = ret_bytes);
}

int varve_sync_wait(struct varve_store *store, uint64_t flags, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_sync(store, flags, BLOCKING_LAST));
}

int varve_sweep_wait(struct varve_store *store, struct varve_sweep_report *ret_report,
		     struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_sweep(store, BLOCKING_LAST), .ret_report = ret_report);
}

int varve_check_wait(struct varve_store *store, struct varve_finding **ret_findings,
		     size_t *ret_count, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_check(store, BLOCKING_LAST), .ret_findings = ret_findings,
			.ret_count = ret_count);
}

int varve_status_wait(struct varve_store *store, struct varve_status_entry **ret_entries,
		      size_t *ret_count, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_status(store, BLOCKING_LAST), .ret_entries = ret_entries,
			.ret_count = ret_count);
}

int varve_quota_status_wait(struct varve_store *store, struct varve_quota *ret_quota,
			    struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_quota_status(store, BLOCKING_LAST), .ret_quota = ret_quota);
}

int varve_quota_enable_wait(struct varve_store *store, enum varve_quota_mode mode,
			    struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_quota_enable(store, mode, BLOCKING_LAST));
}

int varve_quota_disable_wait(struct varve_store *store, struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_quota_disable(store, BLOCKING_LAST));
}

int varve_quota_limit_wait(struct varve_store *store, const char *id, uint64_t bytes,
			   struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_quota_limit(store, id, bytes, BLOCKING_LAST));
}

int varve_quota_limit_group_wait(struct varve_store *store, const char *name, uint64_t bytes,
				 struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_quota_limit_group(store, name, bytes, BLOCKING_LAST));
}

int varve_quota_rescan_wait(struct varve_store *store, uint64_t flags,
			    struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_quota_rescan(store, flags, BLOCKING_LAST));
}

int varve_quota_gc_wait(struct varve_store *store, struct varve_quota *ret_quota,
			struct varve_failure *ret_failure)
{
	return BLOCKING(store, varve_quota_gc(store, BLOCKING_LAST), .ret_quota = ret_quota);
}
