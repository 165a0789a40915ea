/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/skipped.h"
#include "engine/base/failure.h"
#include "engine/base/limits.h"

void report_add(struct report *report, int error, const char *operation, const char *step, const char *call,
		const char *path, const char *detail)
{
	struct varve_failure *failure;

	report->total++;
	if (!report->list)
		report->list = fault_calloc(report->fault, REPORT_KEPT_MAX, sizeof(*report->list));
	/* Without memory they are at least counted. */
	if (!report->list || report->kept == REPORT_KEPT_MAX)
		return;
	failure = &report->list[report->kept++];
	failure_set(failure, error, operation, step, call, NULL);
	failure_path(failure, NULL, path);
	if (detail)
		failure_detail(failure, "%s", detail);
}

void report_free(struct report *report)
{
	free(report->list);
	*report = (struct report){ .fault = report->fault };
}
