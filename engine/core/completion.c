/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/completion.h"
#include "engine/core/core.h"

#include <unistd.h>

/*
 * The descriptor and core->signalled:
 *
 *	announcer                      taker
 *	1 puts the event there         1 reads the descriptor empty
 *	2 signalled = true             2 signalled = false
 *	3 writes, if it was false      3 takes what is there
 *
 * An announcement that finds `signalled` true was put there before 2, so that 3 takes it. The
 * reactor does all this without the lock, and its write may come after the event was taken: then
 * the descriptor is readable once in vain. A taker that leaves something there, and has read the
 * descriptor, has to write again.
 */

/* Make the descriptor readable. */
static void completion_write(struct core *core)
{
	static const uint64_t one = 1;

	while (write(core->ready_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	wakes_add(&core->io.wakes);
}

void completion_signal(struct core *core)
{
	if (!atomic_exchange(&core->signalled, true))
		completion_write(core);
}

void completion_drain(struct core *core)
{
	uint64_t count;

	while (read(core->ready_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	atomic_store(&core->signalled, false);
}

void completion_announce(struct core *core, struct event *event)
{
	list_append(&core->ready, &event->link);
	if (!event->channel)
		container_of(event, struct request, event)->ready = true;
	if (core->waiters)
		pthread_cond_broadcast(&core->changed);
	completion_signal(core);
}

void completion_notify(struct core *core)
{
	completion_signal(core);
	/* A waiter increments `waiters` before it checks `ended`. */
	if (!core->waiters)
		return;
	pthread_mutex_lock(&core->lock);
	pthread_cond_broadcast(&core->changed);
	pthread_mutex_unlock(&core->lock);
}

void completion_collect(struct core *core)
{
	struct inbox_node *node = inbox_empty(&core->ended) ? NULL : inbox_take(&core->ended);

	while (node) {
		struct request *request = container_of(node, struct request, node);

		node = node->next;
		request->ready = true;
		list_append(&core->ready, &request->event.link);
	}
}

bool completion_empty(struct core *core)
{
	completion_collect(core);
	return list_empty(&core->ready) && list_empty(&core->progressed);
}

void completion_resignal(struct core *core)
{
	if (completion_empty(core))
		return;
	atomic_store(&core->signalled, true);
	completion_write(core);
}

void completion_unsignal(struct core *core)
{
	if (!completion_empty(core))
		return;
	completion_drain(core);
	completion_resignal(core);
}
