/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options, "KEY=VALUE", as the reference driver takes them: keys in any case, sizes as in varve_size_parse(). Unlike there
 * a key that is not known is an error always.
 */
#include "engine/base/failure.h"
#include "engine/base/util.h"
#include "engine/ops/ops.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Is OPTION for KEY? Then *RET_VALUE is what follows the '='. */
static bool options_match(const char *option, const char *key, const char **ret_value)
{
	size_t length = strlen(key);

	if (strncasecmp(option, key, length) || option[length] != '=')
		return false;
	*ret_value = option + length + 1;
	return true;
}

/* Parse one option of a store. */
static int options_store(const char *option, uint64_t *min_space, struct varve_failure *failure)
{
	const char *value;
	int r = -EINVAL;

	if (!strchr(option, '='))
		failure_detail(failure, "option \"%s\" is not KEY=VALUE", option);
	else if (options_match(option, "btrfs.mountopt", &value))
		failure_detail(failure, "the btrfs driver does not support mount options");
	else if (options_match(option, "btrfs.min_space", &value) || options_match(option, "btrfs.size", &value)) {
		if (varve_size_parse(value, min_space))
			failure_detail(failure, "option \"%s\": the size does not parse", option);
		else {
			r = -ENOTSUP;
			failure_detail(failure, "option \"%s\": this version has no quotas", option);
		}
	} else
		failure_detail(failure, "unknown option \"%s\"", option);
	return r;
}

int options_parse_store(const char *const *options, uint64_t *ret_min_space, struct varve_failure *failure)
{
	uint64_t min_space = 0;

	for (; options && *options; options++) {
		char detail[VARVE_FAILURE_DETAIL_SIZE];
		int r = options_store(*options, &min_space, failure);

		if (r) {
			memcpy(detail, failure->detail, sizeof(detail));
			failure_set(failure, r, "open", "CHECK", NULL, NULL);
			failure_detail(failure, "%s", detail);
			return r;
		}
	}
	*ret_min_space = min_space;
	return 0;
}

int options_parse_storage(const char *const *options, uint64_t min_space, uint64_t *ret_size, char *ret_reason,
			  size_t size)
{
	uint64_t limit = 0;

	for (; options && *options; options++) {
		const char *value;

		if (!options_match(*options, "size", &value)) {
			snprintf(ret_reason, size, "unknown storage option \"%s\"", *options);
			return -EINVAL;
		}
		if (varve_size_parse(value, &limit) || !limit) {
			snprintf(ret_reason, size, "invalid storage size \"%s\"", value);
			return -EINVAL;
		}
		if (limit < min_space) {
			snprintf(ret_reason, size, "storage size cannot be less than %llu", (unsigned long long)min_space);
			return -EINVAL;
		}
	}
	*ret_size = limit;
	return 0;
}
