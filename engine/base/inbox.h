/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock-free queue from many threads to one.
 *
 *	post:  push on a stack by compare-and-swap           head -> c -> b -> a
 *	take:  swap the whole stack for NULL, reverse it     a -> b -> c
 *
 * The order of each producer is kept, a take costs one atomic operation whatever the number of
 * nodes, and there is no ABA problem, because no node is popped alone.
 */
#ifndef VARVE_BASE_INBOX_H
#define VARVE_BASE_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* A member of each struct that is posted. */
struct inbox_node {
	/* While posted, the node that was posted before; once taken, the one posted next. */
	struct inbox_node *next;
	/* The function that the taker calls with the node. */
	void (*receive)(struct inbox_node *node);
};

struct inbox {
	_Atomic(struct inbox_node *) head;
};

/* Post NODE; return whether the inbox was empty before. Any thread. */
static inline bool inbox_post(struct inbox *inbox, struct inbox_node *node)
{
	struct inbox_node *head = atomic_load_explicit(&inbox->head, memory_order_relaxed);

	do
		node->next = head;
	while (!atomic_compare_exchange_weak_explicit(&inbox->head, &head, node,
						      memory_order_seq_cst, memory_order_relaxed));
	return head == NULL;
}

/* Is the inbox empty? */
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
