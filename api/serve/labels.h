/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels.h: the labels of a snapshot, in one block of memory: pairs of strings, sorted by key, each
 * key once, no value empty. containerd takes an empty value for no label.
 */
#ifndef VARVE_SERVE_LABELS_H
#define VARVE_SERVE_LABELS_H

#include <stdint.h>

#include "text.h"

/* Labels. Zeros: none. */
struct labels {
	/* KEY NUL VALUE NUL KEY NUL ...; malloc()ed, or NULL. */
	char *pairs;
	/* Its bytes. */
	uint32_t bytes;
	/* The number of pairs. */
	uint32_t count;
};

/* One label. `order` is for labels_make(). */
struct label {
	struct text key, value;
	size_t order;
};

/* Free what LABELS has. */
void labels_destroy(struct labels *labels);

/*
 * Set *RET_LABELS to those of LIST (COUNT of them, which are sorted; of two with one key the later
 * one counts). 0 or -ENOMEM.
 */
int labels_make(struct label *list, size_t count, struct labels *ret_labels);

/* The label behind LABEL, which begins zeroed, in LABELS; or none. */
bool labels_next(const struct labels *labels, struct label *label);

/* Set *RET_VALUE to the value of KEY in LABELS, or find none. */
bool labels_find(const struct labels *labels, struct text key, struct text *ret_value);

/* The value of the label KEY, "" for none. */
struct text labels_value(const struct labels *labels, const char *key);

#endif
