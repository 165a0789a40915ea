/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work stealing for several threads, each of which has a stack: it takes what it put there last.
 * One whose stack is empty takes over the older half of the longest, so that each works on a part
 * of the whole that lies far from the others'. The caller has a lock.
 */
#ifndef VARVE_WALK_DEQUE_H
#define VARVE_WALK_DEQUE_H

#include "engine/base/limits.h"
#include "engine/base/list.h"

struct stack {
	/* The one to be taken next is the last; how many. */
	struct list links;
	unsigned count;
	/* Threads that have it. */
	unsigned threads;
};

struct deque {
	struct stack all[WALK_STACKS];
};

/* Prepare STACKS, empty. */
void deque_init(struct deque *deque);

/* The stack that the fewest threads have, of these the longest; until deque_leave(). */
struct stack *deque_join(struct deque *deque);

/* A thread gives STACK up; what is on it stays for the others. */
void deque_leave(struct stack *stack);

/* Put LINK on STACK. */
void stack_push(struct stack *stack, struct list *link);

/* Take the last one from STACK, one of STACKS; NULL when all are empty. */
struct list *deque_pop(struct deque *deque, struct stack *stack);

#endif
