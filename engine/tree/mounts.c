/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/mounts.h"
#include "engine/base/util.h"
#include "engine/tree/layer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Is LINE of mountinfo about a mount on mount PARENT, at a path with PART in it? */
static bool mounts_line(const char *line, unsigned long long parent, const char *part)
{
	unsigned long long number;
	int at = 0;

	if (sscanf(line, "%*u %llu %*s %*s %n", &number, &at) < 1 || !at)
		return false;
	return number == parent && (!part || strstr(line + at, part));
}

bool mounts_below(int fd, const char *id)
{
	char part[sizeof(LAYER_PLACE) + VARVE_ID_MAX + 3];
	FILE *file = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	struct statx stat;
	bool found = false;

	if (!file)
		return true;
	/* Such bytes are written as \\ooo there; then any mount beside the layer's own counts. */
	snprintf(part, sizeof(part), "/%s/%s/", LAYER_PLACE, id);
	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stat) || !(stat.stx_mask & STATX_MNT_ID))
		found = true;
	while (!found && getline(&line, &size, file) > 0)
		found = mounts_line(line, stat.stx_mnt_id, id[strcspn(id, " \t\n\\#")] ? NULL : part);
	fclose(file);
	return found;
}
