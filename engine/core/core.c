/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/core.h"
#include "engine/core/op.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Make the page by which a forked child is known. */
static int core_mark_process(struct core *core)
{
	void *page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return negative_errno();
	core->here = page;
	if (madvise(page, (size_t)sysconf(_SC_PAGESIZE), MADV_WIPEONFORK) < 0)
		return negative_errno();
	*core->here = 1;
	return 0;
}

/* A lock under which nobody stays long: to wait for it awake is cheaper than to sleep. */
static void core_init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

int core_init(struct core *core, struct varve_store *store, const struct core_hooks *hooks,
	      const char **ret_call)
{
	pthread_condattr_t attributes;
	int r;

	core->store = store;
	core->hooks = hooks;
	core->ready_fd = core->io.wake_fd = -EBADF;
	list_init(&core->in_flight);
	list_init(&core->finished);
	list_init(&core->later);
	list_init(&core->ready);
	list_init(&core->progressed);
	list_init(&core->runners);
	list_init(&core->refusals);
	core_init_lock(&core->lock);
	core_init_lock(&core->counting);
	spin_init(&core->spin);
	/* Waits are timed on the monotonic clock. */
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&core->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	id_lock_init(&core->holds, &core->io.fault);
	fds_init(&core->fds);
	*ret_call = "mmap";
	r = core_mark_process(core);
	if (!r) {
		*ret_call = "eventfd";
		r = io_init(&core->io);
	}
	if (!r)
		r = core->ready_fd = RET_NERRNO(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	return MIN(r, 0);
}

int core_make_slots(struct core *core)
{
	core->slots = calloc(core->requests_max, sizeof(*core->slots));
	if (!core->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < core->requests_max; i++)
		core->slots[i].next_free = i + 1;
	return 0;
}

void core_free(struct core *core)
{
	fd_close(core->ready_fd);
	io_free(&core->io);
	if (core->here)
		munmap(core->here, (size_t)sysconf(_SC_PAGESIZE));
	/* In a forked child requests are still there. */
	for (uint32_t i = 0; core->slots && i < core->requests_max; i++)
		free(core->slots[i].watch);
	free(core->slots);
	while (!list_empty(&core->refusals))
		free(list_entry(list_pop(&core->refusals), struct refusal, link));
}
