/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dir/swap.h"
#include "engine/base/util.h"
#include "engine/dir/mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

char *swap_detail(int dir_fd, const char *name)
{
	_cleanup_free_ char *line = NULL;
	char *detail = NULL;
	struct stat root;
	size_t size = 0;
	FILE *file;

	if (fstatat(dir_fd, name, &root, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) < 0)
		return NULL;
	file = fopen("/proc/swaps", "re");
	if (!file)
		return NULL;
	while (!detail && getline(&line, &size, file) > 0) {
		_cleanup_free_ char *path = NULL;
		struct stat stat;

		if (sscanf(line, "%m[^ \t]", &path) != 1)
			continue;
		mounts_unescape(path);
		/* Each subvolume is a device of its own. */
		if (lstat(path, &stat) < 0 || !S_ISREG(stat.st_mode) || stat.st_dev != root.st_dev)
			continue;
		if (asprintf(&detail,
			     "%s in it is an active swap file: turn it off first (swapoff)",
			     path) < 0)
			detail = NULL;
	}
	fclose(file);
	return detail;
}
