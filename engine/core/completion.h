/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ended requests on their way from the reactor to the caller's threads, and the descriptor that
 * becomes readable for them.
 */
#ifndef VARVE_CORE_COMPLETION_H
#define VARVE_CORE_COMPLETION_H

#include <stdbool.h>

struct core;
struct event;

/* Make the descriptor readable, unless it is readable or about to be. Any thread. */
void completion_signal(struct core *core);

/* Make the descriptor unreadable; the caller then takes all events, or signals again. */
void completion_drain(struct core *core);

/* Queue EVENT for a dispatching thread, and wake one. With the lock held. */
void completion_announce(struct core *core, struct event *event);

/* Notify the caller's threads of requests in core->ended. Reactor, without the lock. */
void completion_notify(struct core *core);

/* Collect the requests that the reactor has posted, with the lock held. */
void completion_collect(struct core *core);

/* Is no callback due? With the lock held. */
bool completion_empty(struct core *core);

/*
 * Make the descriptor readable again, after it was drained, if an event is left. With the lock
 * held.
 */
void completion_resignal(struct core *core);

/* Make the descriptor unreadable when no callback is due, with the lock held. */
void completion_unsignal(struct core *core);

#endif
