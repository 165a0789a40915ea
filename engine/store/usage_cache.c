/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/usage_cache.h"
#include "engine/base/limits.h"
#include "engine/base/list.h"
#include "engine/base/util.h"

#include <pthread.h>

/* What is remembered of one subvolume. */
struct usage_cache_entry {
	/* In cache->used. */
	struct list used;
	/* The next one in its bucket. */
	struct usage_cache_entry *next;
	uint64_t number, ctransid;
	struct usage_numbers numbers;
};

struct usage_cache {
	struct fault *fault;
	/* Guards what follows. */
	pthread_mutex_t lock;
	struct usage_cache_entry *buckets[USAGE_CACHE_BUCKETS];
	/* All of them, the one that was asked for longest ago first. */
	struct list used;
	size_t count;
};

struct usage_cache *usage_cache_new(struct fault *fault)
{
	struct usage_cache *cache = fault_calloc(fault, 1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->fault = fault;
	pthread_mutex_init(&cache->lock, NULL);
	list_init(&cache->used);
	return cache;
}

/* Where subvolume NUMBER is linked, or would be. */
static struct usage_cache_entry **usage_cache_slot(struct usage_cache *cache, uint64_t number)
{
	struct usage_cache_entry **slot = &cache->buckets[number % USAGE_CACHE_BUCKETS];

	while (*slot && (*slot)->number != number)
		slot = &(*slot)->next;
	return slot;
}

/* ENTRY is the one that was asked for last. */
static void usage_cache_use(struct usage_cache *cache, struct usage_cache_entry *entry)
{
	list_remove(&entry->used);
	list_append(&cache->used, &entry->used);
}

bool usage_cache_find(struct usage_cache *cache, uint64_t number, uint64_t ctransid,
		      struct usage_numbers *ret_numbers)
{
	struct usage_cache_entry *entry;
	bool found;

	pthread_mutex_lock(&cache->lock);
	entry = *usage_cache_slot(cache, number);
	found = entry && entry->ctransid == ctransid;
	if (found) {
		usage_cache_use(cache, entry);
		*ret_numbers = entry->numbers;
	}
	pthread_mutex_unlock(&cache->lock);
	return found;
}

/* An entry for a subvolume that has none: a new one, or the one that is used least; NULL: none. */
static struct usage_cache_entry *usage_cache_entry(struct usage_cache *cache)
{
	struct usage_cache_entry *entry;

	if (cache->count < USAGE_CACHE_MAX) {
		entry = fault_calloc(cache->fault, 1, sizeof(*entry));
		cache->count += entry != NULL;
		return entry;
	}
	entry = list_entry(list_pop(&cache->used), struct usage_cache_entry, used);
	*usage_cache_slot(cache, entry->number) = entry->next;
	return entry;
}

void usage_cache_keep(struct usage_cache *cache, uint64_t number, uint64_t ctransid,
		      const struct usage_numbers *numbers)
{
	struct usage_cache_entry *entry, **slot;

	pthread_mutex_lock(&cache->lock);
	entry = *usage_cache_slot(cache, number);
	if (entry)
		usage_cache_use(cache, entry);
	else {
		entry = usage_cache_entry(cache);
		if (entry) {
			/* What has gone may have been in the same bucket. */
			slot = usage_cache_slot(cache, number);
			*entry = (struct usage_cache_entry){ .number = number };
			*slot = entry;
			list_append(&cache->used, &entry->used);
		}
	}
	if (entry) {
		entry->ctransid = ctransid;
		entry->numbers = *numbers;
	}
	pthread_mutex_unlock(&cache->lock);
}

void usage_cache_free(struct usage_cache *cache)
{
	struct list *link;

	if (!cache)
		return;
	while ((link = list_pop(&cache->used)))
		free(list_entry(link, struct usage_cache_entry, used));
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}
