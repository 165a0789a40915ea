/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What takes or gives text, and needs no store: ids, sizes, failures, the version; and pools, which
 * are there before a store is.
 */
#include "engine/base/failure.h"
#include "engine/base/id.h"
#include "engine/base/size.h"
#include "engine/store/pool.h"

#include <errno.h>

const char *varve_version(void)
{
	return VARVE_VERSION;
}

int varve_id_check(const char *id, struct varve_failure *ret_failure)
{
	const char *reason;
	int error = id_check(id, &reason);

	if (error && ret_failure) {
		failure_set(ret_failure, error, "id", "CHECK", NULL, id);
		failure_detail(ret_failure, "%s", reason);
	}
	return error;
}

int varve_size_parse(const char *text, uint64_t *ret_bytes)
{
	return text && ret_bytes ? size_parse(text, ret_bytes) : -EINVAL;
}

char *varve_strerror(const struct varve_failure *failure, char *buffer, size_t size)
{
	return failure_text(failure, buffer, size);
}

int varve_pool_create(const char *file, uint64_t size_bytes, const char *mount_dir,
		      struct varve_failure *ret_failure)
{
	struct varve_failure unwanted;

	return pool_create(file, size_bytes, mount_dir, ret_failure ? ret_failure : &unwanted);
}

int varve_pool_mount(const char *file, const char *mount_dir, struct varve_failure *ret_failure)
{
	struct varve_failure unwanted;

	return pool_mount(file, mount_dir, ret_failure ? ret_failure : &unwanted);
}

int varve_pool_umount(const char *mount_dir, struct varve_failure *ret_failure)
{
	struct varve_failure unwanted;

	return pool_umount(mount_dir, ret_failure ? ret_failure : &unwanted);
}
