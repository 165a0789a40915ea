/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work-stealing deques: each thread has a stack and takes what it pushed last. An idle thread
 * steals the older half of the longest stack, so that threads work on distant parts of the tree.
 * The caller holds a lock.
 */
#ifndef VARVE_WALK_DEQUE_H
#define VARVE_WALK_DEQUE_H

#include "engine/base/limits.h"
#include "engine/base/list.h"

struct stack {
	/* The links, of which the last one is taken next; their number. */
	struct list links;
	unsigned count;
	/* Threads that use it. */
	unsigned threads;
};

struct deque {
	struct stack all[WALK_STACKS];
};

/* Prepare DEQUE, with empty stacks. */
void deque_init(struct deque *deque);

/* Get a stack until deque_leave(): the longest of those that the fewest threads use. */
struct stack *deque_join(struct deque *deque);

/* A thread leaves STACK, whose content stays for the others. */
void deque_leave(struct stack *stack);

/* Put LINK on STACK. */
void stack_push(struct stack *stack, struct list *link);

/* Take the last one from STACK of DEQUE, or steal; NULL when all stacks are empty. */
struct list *deque_pop(struct deque *deque, struct stack *stack);

#endif
