/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/store.h"
#include "engine/core/reactor.h"
#include "engine/store/usage_cache.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Do what the store has to do in a turn of the reactor. */
static void store_turn(struct core *core)
{
	struct varve_store *store = container_of(core, struct varve_store, core);

	if (store->stock_part)
		store->stock_part->turn(store);
	commit_turn(&store->commits);
}

/* When the store has something to do by the clock. */
static int64_t store_due(const struct core *core)
{
	const struct varve_store *store = container_of(core, const struct varve_store, core);

	return store->stock_part ? store->stock_part->due(store) : -1;
}

/* Is a call of the store under way that belongs to no operation? */
static bool store_busy(const struct core *core)
{
	const struct varve_store *store = container_of(core, const struct varve_store, core);

	return commit_busy(&store->commits) ||
	       (store->stock_part && store->stock_part->busy(store));
}

/* Where the home is; its old path is better than none. */
static void store_find_home(const struct core *core, char *ret_path)
{
	const struct varve_store *store = container_of(core, const struct varve_store, core);

	if (store_home(store, ret_path))
		strcpy(ret_path, store->layout.home);
}

/* Free the store of CORE. */
static void store_free_core(struct core *core)
{
	store_free(container_of(core, struct varve_store, core));
}

static const struct core_hooks store_hooks = {
	.turn = store_turn,
	.due = store_due,
	.busy = store_busy,
	.home = store_find_home,
	.free = store_free_core,
};

struct varve_store *store_new(const char **ret_call)
{
	struct varve_store *store = calloc(1, sizeof(*store));
	struct layout *layout;
	int r;

	if (!store)
		return NULL;
	layout = &store->layout;
	layout->home_fd = layout->subvolumes_fd = -EBADF;
	store->fs = (struct fs_handle){ .fd = -EBADF,
					.sysfs_fd = -EBADF,
					.fault = &store->core.io.fault,
					.trace = &store->core.io.trace };
	layout->quotas_fd = layout->own_fd = layout->staging_fd = -EBADF;
	layout->trash_fd = layout->groups_fd = layout->records_fd = -EBADF;
	layout->marks_fd = -EBADF;
	layout->owner_fd = -EBADF;
	for (size_t i = 0; i < ARRAY_SIZE(layout->slot_fds); i++)
		layout->slot_fds[i] = -EBADF;
	pthread_mutex_init(&layout->making, NULL);
	pthread_mutex_init(&layout->recording, NULL);
	r = core_init(&store->core, store, &store_hooks, ret_call);
	if (r < 0) {
		store_free(store);
		errno = -r;
		return NULL;
	}
	return store;
}

int store_home(const struct varve_store *store, char *ret_path)
{
	const struct layout *layout = &store->layout;
	char link[sizeof("/proc/self/fd/") + 12];
	struct stat stat_, named;
	ssize_t length;

	if (fstat(layout->home_fd, &stat_) < 0)
		return negative_errno();
	/* The kernel marks the path of what is removed. */
	if (!stat_.st_nlink)
		return -ESTALE;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", layout->home_fd);
	length = readlink(link, ret_path, HOME_PATH_MAX + 1);
	if (length > HOME_PATH_MAX)
		return -ENAMETOOLONG;
	if (length > 0) {
		ret_path[length] = '\0';
		/* Else it is outside of our root directory. */
		return *ret_path == '/' ? 0 : -ESTALE;
	}
	/* Without /proc: is it where it was? */
	if (stat(layout->home, &named) < 0 || named.st_dev != stat_.st_dev ||
	    named.st_ino != stat_.st_ino)
		return -ESTALE;
	strcpy(ret_path, layout->home);
	return 0;
}

void store_free(struct varve_store *store)
{
	struct layout *layout;

	if (!store)
		return;
	layout = &store->layout;
	if (store->teardown && core_here(&store->core))
		store->teardown(store);
	free(store->backlog);
	if (store->stock_part)
		store->stock_part->free(store);
	usage_cache_free(store->usages);
	if (store->core.waits)
		store->core.waits->free(&store->core);
	free(store->workers);
	for (size_t i = 0; i < ARRAY_SIZE(layout->slot_fds); i++)
		fd_close(layout->slot_fds[i]);
	fd_close(store->fs.sysfs_fd);
	fd_close(layout->marks_fd);
	fd_close(layout->records_fd);
	fd_close(layout->groups_fd);
	fd_close(layout->trash_fd);
	fd_close(layout->owner_fd);
	fd_close(layout->staging_fd);
	fd_close(layout->own_fd);
	fd_close(layout->quotas_fd);
	fd_close(layout->subvolumes_fd);
	fd_close(layout->home_fd);
	free(layout->home);
	core_free(&store->core);
	free(store);
}
