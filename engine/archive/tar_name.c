/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/tar_name.h"
#include "engine/base/limits.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

static bool tar_name_is_dot_dot(const char *part, size_t length)
{
	return length == 2 && part[0] == '.' && part[1] == '.';
}

/* The most bytes that NAME, a part of a path, may have. */
static size_t tar_name_max(const char *name)
{
	bool deletes = !strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX));

	return NAME_MAX + (deletes ? strlen(WHITEOUT_PREFIX) : 0);
}

int tar_name_clean(const char *name, char *clean, const char **ret_detail)
{
	size_t used = 0;

	while (*name) {
		size_t length = strcspn(name, "/");

		if (length > tar_name_max(name)) {
			*ret_detail = "a name of more than 255 bytes";
			return -ENAMETOOLONG;
		}
		if (tar_name_is_dot_dot(name, length) && !used) {
			*ret_detail = "a name that leads out of the layer by \"..\"";
			return -EINVAL;
		}
		if (tar_name_is_dot_dot(name, length)) {
			/* Take the last part away, and the slash before it. */
			while (used && clean[used - 1] != '/')
				used--;
			used -= used > 0;
		} else if (length && !(length == 1 && *name == '.')) {
			if (used)
				clean[used++] = '/';
			memcpy(clean + used, name, length);
			used += length;
		}
		name += length + (name[length] == '/');
	}
	clean[used] = '\0';
	if (used <= ARCHIVE_PATH_BYTES_MAX)
		return 0;
	*ret_detail = "a path too long";
	return -ENAMETOOLONG;
}
