/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/inodes.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <string.h>

/* Slots of the first table. */
#define INODES_SLOTS_FIRST 64

/* INODES_PER_PAGE inodes of one subvolume. */
struct inodes_page {
	uint64_t subvolume, number;
	uint64_t bits[INODES_PER_PAGE / 64];
};

void inodes_init(struct inodes *inodes, struct fault *fault)
{
	*inodes = (struct inodes){ .fault = fault };
	pthread_mutex_init(&inodes->lock, NULL);
}

/* Where the search for a page begins. */
static unsigned inodes_hash(uint64_t subvolume, uint64_t number)
{
	uint64_t hash = (subvolume * 0x9e3779b97f4a7c15ull ^ number) * 0xff51afd7ed558ccdull;

	return (unsigned)(hash >> 32);
}

/* The slot of a page, or the empty one where it would be. */
static struct inodes_page **inodes_slot(struct inodes_page **pages, unsigned slots, uint64_t subvolume, uint64_t number)
{
	unsigned at = inodes_hash(subvolume, number) & (slots - 1);

	while (pages[at] && (pages[at]->subvolume != subvolume || pages[at]->number != number))
		at = (at + 1) & (slots - 1);
	return &pages[at];
}

/* Make room for one more page: at most half of the slots are in use. */
static int inodes_grow(struct inodes *inodes)
{
	unsigned slots = inodes->slots ? inodes->slots * 2 : INODES_SLOTS_FIRST;
	struct inodes_page **pages;

	if (inodes->count * 2 < inodes->slots)
		return 0;
	pages = fault_calloc(inodes->fault, slots, sizeof(struct inodes_page *));
	if (!pages)
		return -ENOMEM;
	for (unsigned i = 0; i < inodes->slots; i++)
		if (inodes->pages[i])
			*inodes_slot(pages, slots, inodes->pages[i]->subvolume, inodes->pages[i]->number) = inodes->pages[i];
	free(inodes->pages);
	inodes->pages = pages;
	inodes->slots = slots;
	return 0;
}

/* The page of NUMBER, made where there is none. */
static int inodes_page(struct inodes *inodes, uint64_t subvolume, uint64_t number, struct inodes_page **ret_page)
{
	struct inodes_page **slot;
	int r = inodes_grow(inodes);

	if (r)
		return r;
	slot = inodes_slot(inodes->pages, inodes->slots, subvolume, number);
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

int inodes_add(struct inodes *inodes, uint64_t subvolume, uint64_t inode)
{
	uint64_t bit = 1ull << inode % 64, *word;
	struct inodes_page *page;
	int r;

	pthread_mutex_lock(&inodes->lock);
	r = inodes_page(inodes, subvolume, inode / INODES_PER_PAGE, &page);
	if (!r) {
		word = &page->bits[inode % INODES_PER_PAGE / 64];
		r = !(*word & bit);
		*word |= bit;
	}
	pthread_mutex_unlock(&inodes->lock);
	return r;
}

void inodes_free(struct inodes *inodes)
{
	for (unsigned i = 0; i < inodes->slots; i++)
		free(inodes->pages[i]);
	free(inodes->pages);
	if (inodes->fault)
		pthread_mutex_destroy(&inodes->lock);
	*inodes = (struct inodes){ 0 };
}
