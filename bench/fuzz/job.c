/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz the reader of job files: for any bytes it ends without a fault or a leak, and explains a
 * refusal.
 */
#include "job/job.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[OPTIONS_ERROR_SIZE] = "";
	struct job_set set = { 0 };
	int r;

	/* include would read files of the machine: the fuzzer is to find faults, not files. */
	if (memmem(data, size, "include", 7))
		return 0;
	r = job_set_parse(&set, "fuzz", (const char *)data, size, error);
	if (r == 0)
		r = job_set_finish(&set, error);
	if (r < 0 && !*error)
		abort();
	for (size_t i = 0; r == 0 && i < set.count; i++)
		if (!set.jobs[i].options.iodepth || !set.jobs[i].options.numjobs ||
		    !set.jobs[i].options.bs)
			abort();
	job_set_destroy(&set);
	return 0;
}
