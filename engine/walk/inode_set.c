/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/walk/inode_set.h"
#include "engine/base/util.h"

#include <string.h>

/* Slots of the first table. */
#define INODE_SET_SLOTS_FIRST 64

/* INODE_SET_PER_PAGE inodes of one subvolume. */
struct inode_set_page {
	uint64_t subvolume, number;
	_Atomic uint64_t bits[INODE_SET_PER_PAGE / 64];
};

void inode_set_init(struct inode_set *inodes, struct fault *fault)
{
	memset(inodes, 0, sizeof(*inodes));
	inodes->fault = fault;
	pthread_mutex_init(&inodes->lock, NULL);
}

/* The slot of a page, or the empty one where it would be. */
static struct inode_set_page **inode_set_slot(struct inode_set_page **pages, unsigned slots,
					      uint64_t subvolume, uint64_t number)
{
	uint64_t hash = (subvolume * 0x9e3779b97f4a7c15ull ^ number) * 0xff51afd7ed558ccdull;
	unsigned at = (unsigned)(hash >> 32) & (slots - 1);

	while (pages[at] && (pages[at]->subvolume != subvolume || pages[at]->number != number))
		at = (at + 1) & (slots - 1);
	return &pages[at];
}

/* Make room for one more page: at most half of the slots are in use. */
static int inode_set_grow(struct inode_set *inodes)
{
	unsigned slots = inodes->slots ? inodes->slots * 2 : INODE_SET_SLOTS_FIRST;
	struct inode_set_page **pages;

	if (inodes->count * 2 < inodes->slots)
		return 0;
	pages = fault_calloc(inodes->fault, slots, sizeof(struct inode_set_page *));
	if (!pages)
		return -ENOMEM;
	for (unsigned i = 0; i < inodes->slots; i++)
		if (inodes->pages[i])
			*inode_set_slot(pages, slots, inodes->pages[i]->subvolume,
					inodes->pages[i]->number) = inodes->pages[i];
	free(inodes->pages);
	inodes->pages = pages;
	inodes->slots = slots;
	return 0;
}

/* The page of NUMBER, made where there is none. */
static int inode_set_page(struct inode_set *inodes, uint64_t subvolume, uint64_t number,
			  struct inode_set_page **ret_page)
{
	struct inode_set_page **slot;
	int r = inode_set_grow(inodes);

	if (r)
		return r;
	slot = inode_set_slot(inodes->pages, inodes->slots, subvolume, number);
	if (!*slot) {
		if (inodes->count == INODE_PAGES_MAX)
			return -ENOBUFS;
		*slot = fault_calloc(inodes->fault, 1, sizeof(**slot));
		if (!*slot)
			return -ENOMEM;
		(*slot)->subvolume = subvolume;
		(*slot)->number = number;
		inodes->count++;
	}
	*ret_page = *slot;
	return 0;
}

/* The page of NUMBER if it was used recently, else NULL. */
static struct inode_set_page *inode_set_recent(struct inode_set *inodes, uint64_t subvolume,
					       uint64_t number)
{
	struct inode_set_page *page = atomic_load_explicit(
		&inodes->recent[number % INODE_SET_RECENT], memory_order_acquire);

	return page && page->number == number && page->subvolume == subvolume ? page : NULL;
}

/* Let PAGE be found without the lock. */
static void inode_set_remember(struct inode_set *inodes, struct inode_set_page *page)
{
	atomic_store_explicit(&inodes->recent[page->number % INODE_SET_RECENT], page,
			      memory_order_release);
}

int inode_set_add(struct inode_set *inodes, uint64_t subvolume, uint64_t inode)
{
	uint64_t bit = 1ull << inode % 64, number = inode / INODE_SET_PER_PAGE;
	struct inode_set_page *page = inode_set_recent(inodes, subvolume, number);
	int r;

	if (!page) {
		pthread_mutex_lock(&inodes->lock);
		r = inode_set_page(inodes, subvolume, number, &page);
		pthread_mutex_unlock(&inodes->lock);
		if (r)
			return r;
		inode_set_remember(inodes, page);
	}
	return !(atomic_fetch_or_explicit(&page->bits[inode % INODE_SET_PER_PAGE / 64], bit,
					  memory_order_relaxed) &
		 bit);
}

bool inode_set_has(struct inode_set *inodes, uint64_t subvolume, uint64_t inode)
{
	uint64_t number = inode / INODE_SET_PER_PAGE;
	struct inode_set_page *page = inode_set_recent(inodes, subvolume, number);

	if (!page) {
		pthread_mutex_lock(&inodes->lock);
		if (inodes->slots)
			page = *inode_set_slot(inodes->pages, inodes->slots, subvolume, number);
		pthread_mutex_unlock(&inodes->lock);
		if (!page)
			return false;
		inode_set_remember(inodes, page);
	}
	return page->bits[inode % INODE_SET_PER_PAGE / 64] & 1ull << inode % 64;
}

void inode_set_free(struct inode_set *inodes)
{
	for (unsigned i = 0; i < inodes->slots; i++)
		free(inodes->pages[i]);
	free(inodes->pages);
	if (inodes->fault)
		pthread_mutex_destroy(&inodes->lock);
	memset(inodes, 0, sizeof(*inodes));
}
