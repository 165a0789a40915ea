/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/walk/deque.h"

void stacks_init(struct stacks *stacks)
{
	*stacks = (struct stacks){ 0 };
	for (unsigned i = 0; i < WALK_STACKS; i++)
		list_init(&stacks->all[i].links);
}

struct stack *stacks_join(struct stacks *stacks)
{
	struct stack *best = stacks->all;

	for (unsigned i = 1; i < WALK_STACKS; i++) {
		struct stack *stack = &stacks->all[i];

		if (stack->threads < best->threads || (stack->threads == best->threads && stack->count > best->count))
			best = stack;
	}
	best->threads++;
	return best;
}

void stacks_leave(struct stack *stack)
{
	stack->threads--;
}

void stack_push(struct stack *stack, struct list *link)
{
	list_append(&stack->links, link);
	stack->count++;
}

/* Move the older half of the longest of STACKS to STACK, which is empty. */
static void stacks_steal(struct stacks *stacks, struct stack *stack)
{
	struct stack *from = stack;

	for (unsigned i = 0; i < WALK_STACKS; i++)
		if (stacks->all[i].count > from->count)
			from = &stacks->all[i];
	for (unsigned left = (from->count + 1) / 2; left; left--) {
		stack_push(stack, list_pop(&from->links));
		from->count--;
	}
}

struct list *stacks_pop(struct stacks *stacks, struct stack *stack)
{
	struct list *link;

	if (!stack->count)
		stacks_steal(stacks, stack);
	if (!stack->count)
		return NULL;
	link = stack->links.prev;
	list_remove(link);
	stack->count--;
	return link;
}
