/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue that many threads put into and one takes out of, without a lock.
 *
 *	post:  push on a stack by compare-and-swap           head -> c -> b -> a
 *	take:  swap the whole stack for NULL, reverse it     a -> b -> c
 *
 * So the order of each producer is kept, a take costs one atomic operation however much it takes,
 * and there is no ABA problem, because nothing is popped singly.
 */
#ifndef VARVE_BASE_INBOX_H
#define VARVE_BASE_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Part of whatever is posted. */
struct inbox_node {
	/* The next one that was posted (taken) or the one before (posted). */
	struct inbox_node *next;
	/* What the taker calls with it. */
	void (*receive)(struct inbox_node *node);
};

struct inbox {
	_Atomic(struct inbox_node *) head;
};

/* Post NODE; tell whether the inbox was empty before. Any thread. */
static inline bool inbox_post(struct inbox *inbox, struct inbox_node *node)
{
	struct inbox_node *head = atomic_load_explicit(&inbox->head, memory_order_relaxed);

	do
		node->next = head;
	while (!atomic_compare_exchange_weak_explicit(&inbox->head, &head, node,
						      memory_order_seq_cst, memory_order_relaxed));
	return head == NULL;
}

/* Is there something to take? */
static inline bool inbox_empty(const struct inbox *inbox)
{
	return atomic_load_explicit(&inbox->head, memory_order_seq_cst) == NULL;
}

/* Take all that was posted, in order. The taker's thread only. */
static inline struct inbox_node *inbox_take(struct inbox *inbox)
{
	struct inbox_node *node = atomic_exchange_explicit(&inbox->head, NULL,
							   memory_order_acquire);
	struct inbox_node *first = NULL;

	while (node) {
		struct inbox_node *next = node->next;

		node->next = first;
		first = node;
		node = next;
	}
	return first;
}

#endif
