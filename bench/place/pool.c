/* SPDX-License-Identifier: Apache-2.0 */
/* Mount and unmount the image file that runs work in. */
#include "place/pool.h"

#include <varve.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engines/engines.h"

/* Explain FAILURE in ERROR and return its error. */
static int explain(const struct varve_failure *failure, char *error, size_t size)
{
	varve_strerror(failure, error, size);
	return failure->error;
}

int pool_open(struct pool *pool, const char *text, char *error, size_t size)
{
	const char *comma = strrchr(text, ','), *temporary = getenv("TMPDIR");
	struct varve_failure failure = { 0 };
	uint64_t bytes;
	int r;

	*pool = (struct pool){ 0 };
	if (!comma || comma == text || (size_t)(comma - text) >= sizeof(pool->file) ||
	    varve_size_parse(comma + 1, &bytes) < 0) {
		snprintf(error, size, "--pool=%.200s: not FILE,SIZE", text);
		return -EINVAL;
	}
	snprintf(pool->file, sizeof(pool->file), "%.*s", (int)(comma - text), text);
	if (snprintf(pool->mount, sizeof(pool->mount), "%s/varve-bench-pool.XXXXXX",
		     temporary ? temporary : "/tmp") >=
		    (int)sizeof(pool->mount) - (int)sizeof("/fixtures") ||
	    !mkdtemp(pool->mount)) {
		snprintf(error, size, "%.200s: %s", pool->mount, strerror(errno));
		return -errno;
	}
	if (access(pool->file, F_OK) == 0)
		r = varve_pool_mount(pool->file, pool->mount, &failure);
	else
		r = varve_pool_create(pool->file, bytes, pool->mount, &failure);
	if (r < 0) {
		rmdir(pool->mount);
		return explain(&failure, error, size);
	}
	pool->mounted = true;
	snprintf(pool->fixtures, sizeof(pool->fixtures), "%.*s/fixtures",
		 (int)(sizeof(pool->fixtures) - sizeof("/fixtures")), pool->mount);
	return 0;
}

/* Mount POOL's image by the command mount. */
static int mount_plain(const struct pool *pool, char *error, size_t size)
{
	char program[PATH_MAX], why[PROGRAM_WHY_SIZE] = "the command is not there";
	int r = program_find("mount", program, sizeof(program));

	if (r == 0)
		r = program_run((char *const[]){ program, "-t", "btrfs", "-o", "loop,noatime",
						 (char *)pool->file, (char *)pool->mount, NULL },
				why);
	if (r < 0)
		snprintf(error, size, "mount: %s", why);
	return r;
}

int pool_remount(struct pool *pool, bool plain, char *error, size_t size)
{
	struct varve_failure failure = { 0 };
	int r;

	if (varve_pool_umount(pool->mount, &failure) < 0)
		return explain(&failure, error, size);
	pool->mounted = false;
	if (plain)
		r = mount_plain(pool, error, size);
	else if ((r = varve_pool_mount(pool->file, pool->mount, &failure)) < 0)
		explain(&failure, error, size);
	if (r < 0)
		return r;
	pool->mounted = true;
	return 0;
}

int pool_close(struct pool *pool, bool busy, char *error, size_t size)
{
	struct varve_failure failure = { 0 };

	if (!pool->mounted)
		return 0;
	if (busy && umount2(pool->mount, MNT_DETACH) < 0) {
		snprintf(error, size, "%.200s: %s", pool->mount, strerror(errno));
		return -errno;
	}
	if (!busy && varve_pool_umount(pool->mount, &failure) < 0)
		return explain(&failure, error, size);
	pool->mounted = false;
	return rmdir(pool->mount) < 0 ? -errno : 0;
}
