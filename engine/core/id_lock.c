/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/id_lock.h"
#include "engine/core/core.h"

#include <string.h>

/* An id that is held or waited for. */
struct ident {
	/* The next one in its bucket. */
	struct ident *next;
	/* The holds that wait, in the order they were asked for. */
	struct list waiting;
	/* How many shared holds are granted. */
	uint32_t shared;
	/* The one hold that is granted is an exclusive one. */
	bool exclusive;
	char id[];
};

void hold_init(struct hold_table *table, struct fault *fault)
{
	memset(table->buckets, 0, sizeof(table->buckets));
	list_init(&table->runnable);
	table->fault = fault;
}

/* The bucket of ID (FNV-1a). */
static struct ident **hold_bucket(struct hold_table *table, const char *id)
{
	uint32_t hash = 2166136261u;

	for (; *id; id++)
		hash = (hash ^ (unsigned char)*id) * 16777619u;
	return &table->buckets[hash & (HOLD_BUCKETS - 1)];
}

/* Find ID, or add it; NULL without memory. */
static struct ident *hold_ident(struct hold_table *table, const char *id)
{
	struct ident **bucket = hold_bucket(table, id), *ident;
	size_t size = strlen(id) + 1;

	for (ident = *bucket; ident; ident = ident->next)
		if (!strcmp(ident->id, id))
			return ident;
	ident = fault_calloc(table->fault, 1, sizeof(*ident) + size);
	if (!ident)
		return NULL;
	list_init(&ident->waiting);
	memcpy(ident->id, id, size);
	ident->next = *bucket;
	*bucket = ident;
	return ident;
}

/* Forget IDENT, which nobody holds. */
static void hold_forget(struct hold_table *table, struct ident *ident)
{
	struct ident **link = hold_bucket(table, ident->id);

	while (*link != ident)
		link = &(*link)->next;
	*link = ident->next;
	free(ident);
}

/* Can a hold be granted beside those that are? */
static bool hold_fits(const struct ident *ident, bool exclusive)
{
	return !ident->exclusive && !(exclusive && ident->shared);
}

/* Count HOLD as granted. */
static void hold_take(struct hold *hold)
{
	hold->granted = true;
	if (hold->exclusive)
		hold->ident->exclusive = true;
	else
		hold->ident->shared++;
}

/* Grant the holds at the head of the queue that fit. Each is granted once, so that all releases together cost as much as all holds. */
static void hold_grant(struct hold_table *table, struct ident *ident)
{
	while (!list_empty(&ident->waiting)) {
		struct hold *hold = list_entry(ident->waiting.next, struct hold, link);

		if (!hold_fits(ident, hold->exclusive))
			return;
		list_remove(&hold->link);
		hold_take(hold);
		if (!--hold->op->holds_waiting)
			list_append(&table->runnable, &hold->op->link);
	}
}

/* Leave all queues: what cancelling does to an operation that has not begun. */
static void hold_withdraw(struct op *op)
{
	list_remove(&op->link);
	for (size_t i = 0; i < op->request->class->holds; i++)
		hold_release(&op->request->core->holds, &op->holds[i]);
}

int hold_queue(struct hold_table *table, struct op *op)
{
	op->withdraw = hold_withdraw;
	for (size_t i = 0; i < op->request->class->holds && op->holds[i].id; i++) {
		struct hold *hold = &op->holds[i];
		struct ident *ident = hold_ident(table, hold->id);

		if (!ident)
			return -ENOMEM;
		hold->op = op;
		hold->ident = ident;
		list_init(&hold->link);
		if (list_empty(&ident->waiting) && hold_fits(ident, hold->exclusive)) {
			hold_take(hold);
		} else {
			hold->granted = false;
			list_append(&ident->waiting, &hold->link);
			op->holds_waiting++;
		}
	}
	return 0;
}

void hold_release(struct hold_table *table, struct hold *hold)
{
	struct ident *ident = hold->ident;

	if (!ident)
		return;
	if (!hold->granted) {
		hold->op->holds_waiting--;
		list_remove(&hold->link);
	} else if (hold->exclusive) {
		ident->exclusive = false;
	} else {
		ident->shared--;
	}
	hold->ident = NULL;
	hold_grant(table, ident);
	if (!ident->exclusive && !ident->shared && list_empty(&ident->waiting))
		hold_forget(table, ident);
}
