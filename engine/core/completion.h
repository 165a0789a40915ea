/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has ended, on its way from the reactor to the caller's threads, and the descriptor that
 * tells them of it.
 */
#ifndef VARVE_CORE_COMPLETION_H
#define VARVE_CORE_COMPLETION_H

#include <stdbool.h>

struct core;
struct event;

/* Make the descriptor readable, unless it is or is about to be. Any thread. */
void completion_signal(struct core *core);

/* Make the descriptor unreadable; what is there has to be taken after that, or signalled. */
void completion_drain(struct core *core);

/* Put EVENT where a dispatching thread finds it, and wake one. With the lock held. */
void completion_announce(struct core *core, struct event *event);

/* Tell the callers' threads that there is something in core->ended. Reactor, without the lock. */
void completion_notify(struct core *core);

/* Take in what the reactor has handed over, with the lock held. */
void completion_collect(struct core *core);

/* Is there nothing to tell? With the lock held. */
bool completion_empty(struct core *core);

/*
 * Make the descriptor readable again, after it was drained, if something is left. With the lock
 * held.
 */
void completion_resignal(struct core *core);

/* Make the descriptor unreadable when there is nothing to tell, with the lock held. */
void completion_unsignal(struct core *core);

#endif
