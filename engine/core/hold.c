/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/hold.h"
#include "engine/core/store.h"

#include <string.h>

/* An id that is held or waited for. */
struct ident {
	/* The next one in its bucket. */
	struct ident *next;
	/* Its holds, in the order they were asked for: first those granted, then those that wait. */
	struct list holds;
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
	list_init(&ident->holds);
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

/* Grant what can be granted: the first hold, and if it is shared the shared ones right behind it. */
static void hold_grant(struct hold_table *table, struct ident *ident)
{
	list_for_each(link, &ident->holds) {
		struct hold *hold = list_entry(link, struct hold, link);

		if (hold->exclusive && link != ident->holds.next)
			return;
		if (!hold->granted) {
			hold->granted = true;
			if (!--hold->op->holds_waiting)
				list_append(&table->runnable, &hold->op->link);
		}
		if (hold->exclusive)
			return;
	}
}

/* Can a hold that is asked for now be granted at once? */
static bool hold_free(const struct ident *ident, bool exclusive)
{
	if (list_empty(&ident->holds))
		return true;
	if (exclusive)
		return false;
	list_for_each(link, &ident->holds) {
		const struct hold *hold = list_entry(link, struct hold, link);

		if (hold->exclusive || !hold->granted)
			return false;
	}
	return true;
}

/* Leave all queues: what cancelling does to an operation that has not begun. */
static void hold_withdraw(struct op *op)
{
	list_remove(&op->link);
	for (size_t i = 0; i < op->request->class->holds; i++)
		hold_release(&op->request->store->holds, &op->holds[i]);
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
		hold->granted = hold_free(ident, hold->exclusive);
		list_append(&ident->holds, &hold->link);
		op->holds_waiting += !hold->granted;
	}
	return 0;
}

void hold_release(struct hold_table *table, struct hold *hold)
{
	struct ident *ident = hold->ident;

	if (!ident)
		return;
	hold->op->holds_waiting -= !hold->granted;
	hold->ident = NULL;
	list_remove(&hold->link);
	if (list_empty(&ident->holds))
		hold_forget(table, ident);
	else
		hold_grant(table, ident);
}
