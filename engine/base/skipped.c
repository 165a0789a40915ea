/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/skipped.h"
#include "engine/base/failure.h"
#include "engine/base/limits.h"

void skipped_add_of(struct skipped *report, int error, const char *operation, const char *step,
		    const char *call, const char *id, const char *path, const char *detail)
{
	struct varve_failure *failure = NULL;

	pthread_mutex_lock(&report->lock);
	report->total++;
	if (!report->list)
		report->list = fault_calloc(report->fault, REPORT_KEPT_MAX, sizeof(*report->list));
	/* Without memory they are at least counted. */
	if (report->list && report->kept < REPORT_KEPT_MAX)
		failure = &report->list[report->kept++];
	pthread_mutex_unlock(&report->lock);
	if (!failure)
		return;
	failure_set(failure, error, operation, step, call, id);
	failure_path(failure, NULL, path);
	if (detail)
		failure_detail(failure, "%s", detail);
}

void skipped_add(struct skipped *report, int error, const char *operation, const char *step,
		 const char *call, const char *path, const char *detail)
{
	skipped_add_of(report, error, operation, step, call, NULL, path, detail);
}

void skipped_report(const struct skipped *report, struct varve_result *result)
{
	result->skipped = report->list;
	result->skipped_count = report->kept;
	result->skipped_total = report->total;
}

void skipped_free(struct skipped *report)
{
	free(report->list);
	*report = (struct skipped){ .fault = report->fault };
}
