/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/store.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Make the page by which a forked child is known. */
static int store_mark_process(struct varve_store *store)
{
	void *page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return negative_errno();
	store->here = page;
	if (madvise(page, (size_t)sysconf(_SC_PAGESIZE), MADV_WIPEONFORK) < 0)
		return negative_errno();
	*store->here = 1;
	return 0;
}

/* A lock under which nobody stays long: to wait for it awake is cheaper than to sleep. */
static void store_init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

/* Prepare the locks; waits are timed on the monotonic clock. */
static void store_init_locks(struct varve_store *store)
{
	pthread_condattr_t attributes;

	store_init_lock(&store->lock);
	store_init_lock(&store->counting);
	pthread_mutex_init(&store->layout.making, NULL);
	pthread_mutex_init(&store->layout.recording, NULL);
	spin_init(&store->spin);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&store->changed, &attributes);
	pthread_condattr_destroy(&attributes);
}

struct varve_store *store_new(const char **ret_call)
{
	struct varve_store *store = calloc(1, sizeof(*store));
	struct layout *layout;
	int r;

	if (!store)
		return NULL;
	layout = &store->layout;
	layout->home_fd = layout->subvolumes_fd = layout->sysfs_fd = -EBADF;
	layout->quotas_fd = layout->own_fd = layout->staging_fd = -EBADF;
	layout->trash_fd = layout->groups_fd = layout->owner_fd = -EBADF;
	store->ready_fd = store->io.wake_fd = -EBADF;
	for (size_t i = 0; i < ARRAY_SIZE(layout->slot_fds); i++)
		layout->slot_fds[i] = -EBADF;
	list_init(&store->in_flight);
	list_init(&store->finished);
	list_init(&store->later);
	list_init(&store->ready);
	list_init(&store->progressed);
	list_init(&store->runners);
	list_init(&store->refusals);
	store_init_locks(store);
	hold_init(&store->holds, &store->io.fault);
	fds_init(&store->fds);
	*ret_call = "mmap";
	r = store_mark_process(store);
	if (!r) {
		*ret_call = "eventfd";
		r = io_init(&store->io);
	}
	if (!r)
		r = store->ready_fd = RET_NERRNO(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
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
	if (stat(layout->home, &named) < 0 || named.st_dev != stat_.st_dev || named.st_ino != stat_.st_ino)
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
	if (store->teardown && store_here(store))
		store->teardown(store);
	free(store->cleaner);
	free(store->workers);
	for (size_t i = 0; i < ARRAY_SIZE(layout->slot_fds); i++)
		fd_close(layout->slot_fds[i]);
	fd_close(layout->sysfs_fd);
	fd_close(layout->groups_fd);
	fd_close(layout->trash_fd);
	fd_close(layout->owner_fd);
	fd_close(layout->staging_fd);
	fd_close(layout->own_fd);
	fd_close(layout->quotas_fd);
	fd_close(layout->subvolumes_fd);
	fd_close(layout->home_fd);
	fd_close(store->ready_fd);
	io_free(&store->io);
	if (store->here)
		munmap(store->here, (size_t)sysconf(_SC_PAGESIZE));
	free(layout->home);
	/* In a forked child requests are still there. */
	for (uint32_t i = 0; store->slots && i < store->settings.requests_max; i++)
		free(store->slots[i].watch);
	free(store->slots);
	while (!list_empty(&store->refusals))
		free(list_entry(list_pop(&store->refusals), struct refusal, link));
	free(store);
}
