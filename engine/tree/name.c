/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/name.h"
#include "engine/base/limits.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static bool name_is_dot(const char *part, size_t length)
{
	return length == 1 && *part == '.';
}

static bool name_is_dot_dot(const char *part, size_t length)
{
	return length == 2 && part[0] == '.' && part[1] == '.';
}

/* What is wrong with the part of LENGTH bytes at PART: 0 or -errno, and *RET_DETAIL. */
static int name_check_part(const char *part, size_t length, const char **ret_detail)
{
	if (name_is_dot_dot(part, length)) {
		*ret_detail = "a name with \"..\"";
		return -EINVAL;
	}
	if (length > NAME_MAX) {
		*ret_detail = "a name of more than 255 bytes";
		return -ENAMETOOLONG;
	}
	return 0;
}

int name_clean(const char *name, char *clean, const char **ret_detail)
{
	size_t used = 0;

	if (*name == '/') {
		*ret_detail = "an absolute name";
		return -EINVAL;
	}
	while (*name) {
		size_t length = strcspn(name, "/");
		int r = name_check_part(name, length, ret_detail);

		if (r)
			return r;
		if (length && !name_is_dot(name, length)) {
			if (used)
				clean[used++] = '/';
			memcpy(clean + used, name, length);
			used += length;
		}
		name += length + (name[length] == '/');
	}
	clean[used] = '\0';
	if (used <= UNPACK_PATH_BYTES_MAX)
		return 0;
	*ret_detail = "a path too long";
	return -ENAMETOOLONG;
}

bool name_leads_out(const char *path, const char *target)
{
	long depth = 0;

	if (*target != '/')
		for (const char *at = path; (at = strchr(at, '/')); at++)
			depth++;
	while (*target) {
		size_t length = strcspn(target, "/");

		if (name_is_dot_dot(target, length))
			depth--;
		else if (length && !name_is_dot(target, length))
			depth++;
		if (depth < 0)
			return true;
		target += length + (target[length] == '/');
	}
	return false;
}
