/* SPDX-License-Identifier: Apache-2.0 */
/* Describe the machine that measured: its kind, never its name. */
#include "place/machine.h"

#include <varve.h>

#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Read the model of the processor into RET. */
static void describe_cpu(char *ret, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(ret, size, "unknown processor");
	while (file && fgets(line, sizeof(line), file)) {
		const char *colon = strchr(line, ':');

		if (!colon || strncmp(line, "model name", 10))
			continue;
		snprintf(ret, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
		break;
	}
	if (file)
		fclose(file);
}

void machine_describe(struct machine *ret)
{
	struct utsname uts;
	struct sysinfo info;

	memset(ret, 0, sizeof(*ret));
	describe_cpu(ret->cpu, sizeof(ret->cpu));
	ret->cores = sysconf(_SC_NPROCESSORS_ONLN);
	if (sysinfo(&info) == 0)
		ret->memory_mib = (uint64_t)info.totalram * info.mem_unit >> 20;
	/* The numbers of the release alone: what follows them may name who built it, and where. */
	if (uname(&uts) == 0)
		snprintf(ret->kernel, sizeof(ret->kernel), "%.32s %.*s", uts.sysname,
			 (int)strspn(uts.release, "0123456789."), uts.release);
	snprintf(ret->library, sizeof(ret->library), "%s", varve_version());
}
