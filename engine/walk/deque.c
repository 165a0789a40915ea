/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/walk/deque.h"

void deque_init(struct deque *deque)
{
	*deque = (struct deque){ 0 };
	for (unsigned i = 0; i < WALK_STACKS; i++)
		list_init(&deque->all[i].links);
}

struct stack *deque_join(struct deque *deque)
{
	struct stack *best = deque->all;

	for (unsigned i = 1; i < WALK_STACKS; i++) {
		struct stack *stack = &deque->all[i];

		if (stack->threads < best->threads ||
		    (stack->threads == best->threads && stack->count > best->count))
			best = stack;
	}
	best->threads++;
	return best;
}

void deque_leave(struct stack *stack)
{
	stack->threads--;
}

void stack_push(struct stack *stack, struct list *link)
{
	list_append(&stack->links, link);
	stack->count++;
}

struct list *deque_pop(struct deque *deque, struct stack *stack)
{
	struct stack *from = stack;
	struct list *link;

	/* An empty stack gets the older half of the longest one. */
	if (!stack->count) {
		for (unsigned i = 0; i < WALK_STACKS; i++)
			if (deque->all[i].count > from->count)
				from = &deque->all[i];
		for (unsigned left = (from->count + 1) / 2; left; left--) {
			stack_push(stack, list_pop(&from->links));
			from->count--;
		}
	}
	if (!stack->count)
		return NULL;
	link = stack->links.prev;
	list_remove(link);
	stack->count--;
	return link;
}
