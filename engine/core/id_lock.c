/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/id_lock.h"

#include <string.h>

/* An id that is held or waited for. */
struct ident {
	/* The next one in its bucket. */
	struct ident *next;
	/* The locks that wait, in the order they were asked for. */
	struct list waiting;
	/* How many shared locks are granted. */
	uint32_t shared;
	/* An exclusive lock is granted, the only one then; its operation, else NULL. */
	bool exclusive;
	struct op *owner;
	char id[];
};

void id_lock_init(struct id_lock_table *table, struct fault *fault)
{
	memset(table->buckets, 0, sizeof(table->buckets));
	list_init(&table->runnable);
	table->looks = 0;
	table->fault = fault;
}

/* The bucket of ID (FNV-1a). */
static struct ident **id_lock_bucket(struct id_lock_table *table, const char *id)
{
	uint32_t hash = 2166136261u;

	for (; *id; id++)
		hash = (hash ^ (unsigned char)*id) * 16777619u;
	return &table->buckets[hash & (HOLD_BUCKETS - 1)];
}

/* Find ID, or add it; NULL without memory. */
static struct ident *id_lock_ident(struct id_lock_table *table, const char *id)
{
	struct ident **bucket = id_lock_bucket(table, id), *ident;
	size_t size = strlen(id) + 1;

	for (ident = *bucket; ident; ident = ident->next, table->looks++)
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

/* Can a lock be granted beside those that are? */
static bool id_lock_fits(const struct ident *ident, bool exclusive)
{
	return !ident->exclusive && !(exclusive && ident->shared);
}

/* Count ID_LOCK as granted. */
static void id_lock_take(struct id_lock *id_lock)
{
	id_lock->granted = true;
	if (id_lock->exclusive) {
		id_lock->ident->exclusive = true;
		id_lock->ident->owner = id_lock->op;
	} else
		id_lock->ident->shared++;
}

/* Leave all queues: what cancelling does to an operation that has not begun. */
static void id_lock_withdraw(struct op *op)
{
	list_remove(&op->link);
	for (size_t i = 0; i < op->request->class->holds; i++)
		id_lock_release(&op->request->core->holds, &op_holds(op)[i]);
}

/* Let OP, if it is to run in the background, do so no longer. */
static void id_lock_hasten_op(struct op *op)
{
	if (op->background)
		op->request->core->waits->hasten(op);
}

/*
 * The operation of ID_LOCK, which waits, does not run in the background: so neither do those ahead
 * of it any more. The nearest one ahead that did not either has done that for the rest.
 */
static void id_lock_hasten(struct id_lock *id_lock)
{
	struct ident *ident = id_lock->ident;

	for (struct list *link = id_lock->link.prev; link != &ident->waiting; link = link->prev) {
		struct op *op = list_entry(link, struct id_lock, link)->op;

		if (!op->background)
			return;
		id_lock_hasten_op(op);
	}
	if (ident->owner)
		id_lock_hasten_op(ident->owner);
}

int id_lock_queue(struct id_lock_table *table, struct op *op)
{
	op->withdraw = id_lock_withdraw;
	for (size_t i = 0; i < op->request->class->holds && op_holds(op)[i].id; i++) {
		struct id_lock *id_lock = &op_holds(op)[i];
		struct ident *ident = id_lock_ident(table, id_lock->id);

		if (!ident) {
			/* It begins at once, to fail: a grant would let it begin once more. */
			while (i-- > 0)
				id_lock_release(table, &op_holds(op)[i]);
			return -ENOMEM;
		}
		id_lock->op = op;
		id_lock->ident = ident;
		list_init(&id_lock->link);
		if (list_empty(&ident->waiting) && id_lock_fits(ident, id_lock->exclusive)) {
			id_lock_take(id_lock);
		} else {
			id_lock->granted = false;
			list_append(&ident->waiting, &id_lock->link);
			op->holds_waiting++;
			if (!op->background)
				id_lock_hasten(id_lock);
		}
	}
	return 0;
}

void id_lock_release(struct id_lock_table *table, struct id_lock *id_lock)
{
	struct ident *ident = id_lock->ident, **link;

	if (!ident)
		return;
	if (!id_lock->granted) {
		id_lock->op->holds_waiting--;
		list_remove(&id_lock->link);
	} else if (id_lock->exclusive) {
		ident->exclusive = false;
		ident->owner = NULL;
	} else {
		ident->shared--;
	}
	id_lock->ident = NULL;
	/*
	 * Grant the holds at the head of the queue that fit. Each is granted once, so that all
	 * releases together cost as much as all holds.
	 */
	while (!list_empty(&ident->waiting)) {
		id_lock = list_entry(ident->waiting.next, struct id_lock, link);
		table->looks++;
		if (!id_lock_fits(ident, id_lock->exclusive))
			break;
		list_remove(&id_lock->link);
		id_lock_take(id_lock);
		if (!--id_lock->op->holds_waiting)
			list_append(&table->runnable, &id_lock->op->link);
	}
	if (ident->exclusive || ident->shared || !list_empty(&ident->waiting))
		return;
	/* No lock is held or waited for: forget the id. */
	for (link = id_lock_bucket(table, ident->id); *link != ident; table->looks++)
		link = &(*link)->next;
	*link = ident->next;
	free(ident);
}
