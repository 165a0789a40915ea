/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reactor's thread: one loop that runs every operation's steps. It never blocks but in
 * io_turn(), when nothing can be done; each turn ends with what was finished being handed over in
 * one go.
 */
#include "engine/core/reactor.h"
#include "engine/core/fds.h"
#include "engine/core/id_lock.h"
#include "engine/core/request.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- the core, made and freed ---------------------------------------------------------------- */

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

/* A lock that is never held for long: to wait for it awake is cheaper than to sleep. */
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

/* ---- its thread ------------------------------------------------------------------------------ */

/* Nanoseconds until the timer, -1 without one; runs it when it is due. */
static int64_t reactor_timer(struct core *core)
{
	uint64_t now;

	if (!core->timer_ns)
		return -1;
	now = now_ns();
	if (now < core->timer_ns)
		return (int64_t)(core->timer_ns - now);
	core->timer_ns = 0;
	core->timer(core);
	return 0;
}

/* The sooner of two times to sleep, where -1 is for ever. */
static int64_t reactor_sooner(int64_t one, int64_t other)
{
	return one < 0 ? other : other < 0 ? one : MIN(one, other);
}

/* Is there nothing left to do, and are we asked to end? */
static bool reactor_over(const struct core *core)
{
	return atomic_load(&core->stopping) && list_empty(&core->in_flight) &&
	       inbox_empty(&core->io.inbox) && list_empty(&core->io.done) && !core->background &&
	       !core->hooks->busy(core);
}

/* The reactor's thread. */
static void *reactor_run(void *data)
{
	struct core *core = data;
	int r = io_start(&core->io, core->io_config);

	/* Tell reactor_start() how it went. */
	pthread_mutex_lock(&core->lock);
	core->started = r ? r : 1;
	pthread_cond_broadcast(&core->changed);
	pthread_mutex_unlock(&core->lock);
	if (r)
		return NULL;
	while (!reactor_over(core)) {
		/* What is due is run now; sleep until the next of it at most. */
		int64_t due_ns = reactor_sooner(reactor_timer(core), op_again(core));

		due_ns = reactor_sooner(due_ns, core->waits->due(core));
		due_ns = reactor_sooner(due_ns, core->hooks->due(core));
		/* The last turn may have let some begin. */
		if (!list_empty(&core->holds.runnable))
			due_ns = 0;
		io_turn(&core->io, reactor_sooner(due_ns, fds_unstall(core)));
		do {
			requests_run(core);
			requests_cancel(core);
		} while (!list_empty(&core->holds.runnable));
		core->waits->turn(core);
		core->hooks->turn(core);
		requests_flush(core);
	}
	io_stop(&core->io);
	return NULL;
}

int reactor_start(struct core *core)
{
	sigset_t all, old;
	int r;

	/* Signals are the program's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&core->reactor, NULL, reactor_run, core);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return -r;
	pthread_setname_np(core->reactor, "varve-reactor");
	pthread_mutex_lock(&core->lock);
	while (!core->started)
		pthread_cond_wait(&core->changed, &core->lock);
	r = MIN(core->started, 0);
	pthread_mutex_unlock(&core->lock);
	if (r)
		pthread_join(core->reactor, NULL);
	return r;
}

void reactor_stop(struct core *core)
{
	atomic_store(&core->stopping, true);
	io_interrupt(&core->io);
	pthread_join(core->reactor, NULL);
}
