/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/skipped.h"
#include "engine/base/failure.h"
#include "engine/base/limits.h"

void report_add_of(struct report *report, int error, const char *operation, const char *step, const char *call, const char *id,
		   const char *path, const char *detail)
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

void report_add(struct report *report, int error, const char *operation, const char *step, const char *call,
		const char *path, const char *detail)
{
	report_add_of(report, error, operation, step, call, NULL, path, detail);
}

void report_tell(const struct report *report, struct varve_result *result)
{
	result->skipped = report->list;
	result->skipped_count = report->kept;
	result->skipped_total = report->total;
}

void report_free(struct report *report)
{
	free(report->list);
	*report = (struct report){ .fault = report->fault };
}
