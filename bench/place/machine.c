/* SPDX-License-Identifier: Apache-2.0 */
/* Describe the machine that measured: its kind, never its name. */
#include "place/machine.h"

#include <varve.h>

#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Copy the value of KEY from LINE of /proc/cpuinfo to RET, if RET is still empty. */
static void take_value(const char *line, const char *key, char *ret, size_t size)
{
	size_t length = strlen(key);
	const char *colon = strchr(line, ':');

	if (*ret || !colon || strncmp(line, key, length) || !strchr("\t:", line[length]))
		return;
	colon += 1 + strspn(colon + 1, " \t");
	snprintf(ret, size, "%.*s", (int)strcspn(colon, "\n"), colon);
}

/*
 * Describe the processor. Clouds give one name to several generations, so family and model belong
 * to it.
 */
static void describe_cpu(char *ret, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256], name[64] = "", family[16] = "", model[16] = "";

	while (file && fgets(line, sizeof(line), file)) {
		take_value(line, "model name", name, sizeof(name));
		take_value(line, "cpu family", family, sizeof(family));
		take_value(line, "model", model, sizeof(model));
		/* ARM has numbers alone. */
		take_value(line, "CPU implementer", family, sizeof(family));
		take_value(line, "CPU part", model, sizeof(model));
	}
	if (file)
		fclose(file);
	snprintf(ret, size, "%s", *name ? name : "unknown processor");
	if (*family && *model)
		snprintf(ret + strlen(ret), size - strlen(ret), " (family %s, model %s)", family,
			 model);
}

void machine_describe(struct machine *ret)
{
	struct utsname uts;
	struct sysinfo info;
	size_t series;

	memset(ret, 0, sizeof(*ret));
	describe_cpu(ret->cpu, sizeof(ret->cpu));
	ret->cores = sysconf(_SC_NPROCESSORS_ONLN);
	if (sysinfo(&info) == 0)
		ret->memory_mib = (uint64_t)info.totalram * info.mem_unit >> 20;
	/* The numbers of the release alone: the rest may name a builder and a host. */
	if (uname(&uts) == 0)
		snprintf(ret->kernel, sizeof(ret->kernel), "%.32s %.*s", uts.sysname,
			 (int)strspn(uts.release, "0123456789."), uts.release);
	snprintf(ret->library, sizeof(ret->library), "%s", varve_version());
	/* The series of "Linux 6.18.44" is "Linux 6.18". */
	series = strcspn(ret->kernel, ".");
	if (ret->kernel[series])
		series += 1 + strspn(ret->kernel + series + 1, "0123456789");
	snprintf(ret->name, sizeof(ret->name), "%s, %ld cores, %.*s", ret->cpu, ret->cores,
		 (int)series, ret->kernel);
}
