/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool: a btrfs in an image file. See varve_pool_create(), varve_pool_mount(),
 * varve_pool_umount(), whose arguments these take, but RET_FAILURE is not NULL.
 */
#ifndef VARVE_STORE_POOL_H
#define VARVE_STORE_POOL_H

#include "varve.h"

int pool_create(const char *file, uint64_t size_bytes, const char *mount_dir,
		struct varve_failure *ret_failure);
int pool_mount(const char *file, const char *mount_dir, struct varve_failure *ret_failure);
int pool_umount(const char *mount_dir, struct varve_failure *ret_failure);

#endif
