/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/id.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <string.h>

int id_check(const char *id, const char **ret_reason)
{
	int error = -EINVAL;

	if (!id || !*id)
		*ret_reason = "an id is not empty";
	else if (strchr(id, '/'))
		*ret_reason = "an id holds no '/'";
	else if (!strcmp(id, ".") || !strcmp(id, ".."))
		*ret_reason = "an id is not \".\" or \"..\"";
	else if (!strncmp(id, ID_RESERVED_PREFIX, strlen(ID_RESERVED_PREFIX)))
		*ret_reason = "an id does not begin with \"" ID_RESERVED_PREFIX "\"";
	else if (strnlen(id, VARVE_ID_MAX + 1) > VARVE_ID_MAX) {
		*ret_reason = "an id has at most 255 bytes";
		error = -ENAMETOOLONG;
	} else
		error = 0;
	return error;
}
