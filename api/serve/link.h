/* SPDX-License-Identifier: Apache-2.0 */
/* link.h: circular lists; an element holds its links. */
#ifndef VARVE_SERVE_LINK_H
#define VARVE_SERVE_LINK_H

#include <stdbool.h>
#include <stddef.h>

/* The links of one element, or the head of a list. */
struct link {
	struct link *next, *previous;
};

/* The TYPE whose MEMBER is at POINTER. */
#define link_entry(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* Make LINK a list of its own. */
static inline void link_init(struct link *link)
{
	link->next = link->previous = link;
}

/* Is there nothing beside LINK? */
static inline bool link_alone(const struct link *link)
{
	return link->next == link;
}

/* Put LINK, which is alone, at the end of LIST. */
static inline void link_append(struct link *list, struct link *link)
{
	link->next = list;
	link->previous = list->previous;
	list->previous->next = link;
	list->previous = link;
}

/* Take LINK out of its list. */
static inline void link_remove(struct link *link)
{
	link->previous->next = link->next;
	link->next->previous = link->previous;
	link_init(link);
}

#endif
