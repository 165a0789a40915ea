/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options, "KEY=VALUE", as the reference driver takes them: keys in any case, sizes as in
 * varve_size_parse(). Unlike there a key that is not known is an error always.
 */
#include "engine/store/options.h"
#include "engine/base/size.h"
#include "engine/base/failure.h"
#include "engine/base/util.h"
#include "engine/store/groups.h"
#include "engine/store/store.h"

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

/* Parse the value of the option "quota". */
static int options_quota(const char *value, enum quota_policy *policy)
{
	static const struct {
		const char *name;
		enum quota_policy policy;
	} names[] = {
		{ "full", QUOTA_WANT_FULL },
		{ "simple", QUOTA_WANT_SIMPLE },
		{ "keep", QUOTA_KEEP },
		{ "off", QUOTA_NEVER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcasecmp(value, names[i].name)) {
			*policy = names[i].policy;
			return 0;
		}
	return -EINVAL;
}

/* Parse VALUE of OPTION as a size. */
static int options_size(const char *option, const char *value, uint64_t *ret_bytes,
			struct varve_failure *failure)
{
	if (!size_parse(value, ret_bytes))
		return 0;
	failure_detail(failure, "option \"%s\": the size does not parse", option);
	return -EINVAL;
}

/* Parse one option of a store. */
static int options_store(const char *option, struct quota_settings *quota,
			 struct varve_failure *failure)
{
	const char *value;
	int r = -EINVAL;

	if (!strchr(option, '='))
		failure_detail(failure, "option \"%s\" is not KEY=VALUE", option);
	else if (options_match(option, "btrfs.mountopt", &value))
		failure_detail(failure, "the btrfs driver does not support mount options");
	else if (options_match(option, "btrfs.min_space", &value))
		r = options_size(option, value, &quota->size_min, failure);
	else if (options_match(option, "btrfs.size", &value))
		r = options_size(option, value, &quota->size_default, failure);
	else if (options_match(option, "quota", &value)) {
		r = options_quota(value, &quota->policy);
		if (r)
			failure_detail(failure, "option \"%s\": quota is full, simple, off or keep",
				       option);
	} else
		failure_detail(failure, "unknown option \"%s\"", option);
	return r;
}

int options_parse_store(const char *const *options, struct quota_settings *ret_quota,
			struct varve_failure *failure)
{
	struct quota_settings quota = { .policy = QUOTA_ON_DEMAND };
	char detail[VARVE_FAILURE_DETAIL_SIZE];
	int r = 0;

	for (; !r && options && *options; options++)
		r = options_store(*options, &quota, failure);
	if (!r && quota.size_default && quota.size_default < quota.size_min) {
		failure_detail(failure, "btrfs.size is less than btrfs.min_space");
		r = -EINVAL;
	}
	if (!r && quota.policy == QUOTA_NEVER && (quota.size_default || quota.size_min)) {
		failure_detail(failure,
			       "a size was given, and the store was opened with quota=off");
		r = -EINVAL;
	}
	if (r) {
		memcpy(detail, failure->detail, sizeof(detail));
		failure_set(failure, r, "open", "CHECK", NULL, NULL);
		failure_detail(failure, "%s", detail);
		return r;
	}
	*ret_quota = quota;
	return 0;
}

/* Parse VALUE, the size of a layer. */
static int options_storage_size(const char *value, uint64_t min_space, uint64_t *ret_bytes,
				char *ret_reason, size_t size)
{
	uint64_t bytes = 0;

	if (size_parse(value, &bytes) || !bytes) {
		snprintf(ret_reason, size, "invalid storage size \"%s\"", value);
		return -EINVAL;
	}
	if (bytes < min_space) {
		snprintf(ret_reason, size, "storage size cannot be less than %llu",
			 (unsigned long long)min_space);
		return -EINVAL;
	}
	*ret_bytes = bytes;
	return 0;
}

/* Parse VALUE, a group that a layer joins. */
static int options_storage_group(const char *value, struct storage_options *storage,
				 char *ret_reason, size_t size)
{
	char name[VARVE_ID_MAX + 1];
	uint64_t bytes;

	if (storage->groups_count == LAYER_GROUPS_MAX)
		snprintf(ret_reason, size, "a layer can be in %d groups", LAYER_GROUPS_MAX);
	else if (groups_parse(value, name, &bytes))
		snprintf(ret_reason, size,
			 "invalid group \"%s\": NAME or NAME:SIZE, the name as an id", value);
	else {
		storage->groups[storage->groups_count++] = value;
		return 0;
	}
	return -EINVAL;
}

int options_parse_storage(const char *const *options, uint64_t min_space,
			  struct storage_options *storage, char *ret_reason, size_t size)
{
	int r = 0;

	for (; !r && options && *options; options++) {
		const char *value;

		if (options_match(*options, "size", &value))
			r = options_storage_size(value, min_space, &storage->size, ret_reason,
						 size);
		else if (options_match(*options, "group", &value))
			r = options_storage_group(value, storage, ret_reason, size);
		else {
			snprintf(ret_reason, size, "unknown storage option \"%s\"", *options);
			r = -EINVAL;
		}
	}
	return r;
}
