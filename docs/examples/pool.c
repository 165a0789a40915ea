/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store in a file system in a file: the example of varve_pool_create(3). Makes HOME/pool.img and HOME/pool, and takes
 * them away again. Needs CAP_SYS_ADMIN.
 */
#include "example.h"

#include <stdio.h>
#include <unistd.h>

/* example: begin */
/* Make a pool of SIZE ("2g") in FILE, mounted on DIR, and open a store in it. */
static struct varve_store *open_in_pool(const char *file, const char *size,
					const char *dir,
					struct varve_failure *failure)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	struct varve_store *store;
	uint64_t size_bytes;
	char home[4096 + sizeof("/store")];

	if (varve_size_parse(size, &size_bytes) < 0)
		return NULL;
	if (varve_pool_create(file, size_bytes, dir, failure) < 0)
		return NULL;
	snprintf(home, sizeof(home), "%s/store", dir);
	config.home = home;
	if (varve_open(&config, &store, failure) < 0) {
		varve_pool_umount(dir, NULL);
		return NULL;
	}
	return store;
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	struct varve_failure failure = { 0 };
	struct varve_store *store;
	char file[4096], dir[4096];

	if (argc < 2) {
		fprintf(stderr, "usage: %s DIR\n", argv[0]);
		return 2;
	}
	snprintf(file, sizeof(file), "%s/pool.img", argv[1]);
	snprintf(dir, sizeof(dir), "%s/pool", argv[1]);
	store = open_in_pool(file, "128m", dir, &failure);
	if (store == NULL)
		example_die(&failure);
	if (varve_layer_create_wait(store, "in-a-pool", NULL, &failure) < 0)
		example_die(&failure);
	varve_close(store);
	if (varve_pool_umount(dir, &failure) < 0 || varve_pool_mount(file, dir, &failure) < 0 ||
	    varve_pool_umount(dir, &failure) < 0)
		example_die(&failure);
	printf("made, mounted and unmounted %s\n", file);
	return unlink(file) == 0 && rmdir(dir) == 0 ? 0 : 1;
}
