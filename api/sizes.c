/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structs that begin with their size, made ready for callers that cannot use the macros of
 * varve.h.
 */
#include "varve.h"

#include <assert.h>
#include <string.h>

/* Zero SIZE bytes at POINTER, and write SIZE to its first member. */
static void sizes_init(void *pointer, size_t size)
{
	memset(pointer, 0, size);
	memcpy(pointer, &size, sizeof(size));
}

void varve_config_init(struct varve_config *config, size_t size)
{
	sizes_init(config, size);
}

void varve_create_options_init(struct varve_create_options *options, size_t size)
{
	sizes_init(options, size);
}

void varve_apply_options_init(struct varve_apply_options *options, size_t size)
{
	sizes_init(options, size);
}

void varve_chown_options_init(struct varve_chown_options *options, size_t size)
{
	sizes_init(options, size);
}

void varve_changes_options_init(struct varve_changes_options *options, size_t size)
{
	sizes_init(options, size);
}

void varve_diff_options_init(struct varve_diff_options *options, size_t size)
{
	sizes_init(options, size);
}

void varve_label_options_init(struct varve_label_options *options, size_t size)
{
	sizes_init(options, size);
}

void varve_find_options_init(struct varve_find_options *options, size_t size)
{
	sizes_init(options, size);
}

void varve_layer_info_init(struct varve_layer_info *info, size_t size)
{
	sizes_init(info, size);
}

void varve_layer_usage_init(struct varve_layer_usage *usage, size_t size)
{
	sizes_init(usage, size);
}

void varve_sweep_report_init(struct varve_sweep_report *report, size_t size)
{
	sizes_init(report, size);
}

void varve_quota_init(struct varve_quota *quota, size_t size)
{
	sizes_init(quota, size);
}

void varve_progress_init(struct varve_progress *progress, size_t size)
{
	sizes_init(progress, size);
}

void varve_digests_init(struct varve_digests *digests, size_t size)
{
	sizes_init(digests, size);
}

void varve_statistics_init(struct varve_statistics *statistics, size_t size)
{
	sizes_init(statistics, size);
}

void varve_operation_statistics_init(struct varve_operation_statistics *stats, size_t size)
{
	sizes_init(stats, size);
}
/*
 * A member that a later version adds must not lie where this one has padding, whose bytes no caller
 * sets: so there is none at the end of these structs.
 */
#define SIZES_FULL(type, last)                                                          \
	static_assert(offsetof(type, last) + sizeof(((type *)0)->last) == sizeof(type), \
		      #type " ends with padding")

SIZES_FULL(struct varve_config, log_data);
SIZES_FULL(struct varve_apply_options, ret_digests);
SIZES_FULL(struct varve_create_options, record_bytes);
SIZES_FULL(struct varve_label_options, record_bytes);
SIZES_FULL(struct varve_find_options, found_data);
SIZES_FULL(struct varve_layer_record, bytes_count);
SIZES_FULL(struct varve_chown_options, ret_skipped);
SIZES_FULL(struct varve_changes_options, parent_gids_count);
SIZES_FULL(struct varve_diff_options, compress_threads);
SIZES_FULL(struct varve_layer_info, quota_limit);
SIZES_FULL(struct varve_layer_usage, limit_bytes);
SIZES_FULL(struct varve_sweep_report, records_removed);
SIZES_FULL(struct varve_quota, failures);
SIZES_FULL(struct varve_progress, left);
SIZES_FULL(struct varve_statistics, spares_dropped);
SIZES_FULL(struct varve_operation_statistics, latency);
SIZES_FULL(struct varve_digests, plain_bytes);
SIZES_FULL(struct varve_result, records);
