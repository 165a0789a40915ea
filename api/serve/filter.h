/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h: containerd's filters of List.
 *
 *	filter     selector *("," selector)		all of them; the empty one takes everything
 *	selector   fieldpath [operator value]		without an operator: the field is present
 *	fieldpath  field *("." field)
 *	field      word | quoted			"name", "parent", "kind", "labels"
 *	operator   "==" | "!=" | "~="			"~=": a regular expression, anywhere in the value
 *	value      quoted | anything but blanks and ","
 *	quoted     "..." with the escapes of Go; behind "~=" also /.../ and |...|
 *
 * Several filters take what any of them takes. A label is named by "labels." and its key, the
 * parts of which are joined with "." again. An absent field has the value "".
 *
 * containerd matches by Go's regexp. PCRE2 takes what that takes, but for \C, \z's like and flags
 * that are rare (such as (?U)); a match has a bound of steps, and a filter that reaches it fails
 * the List. Other than in containerd, an expression that does not compile is refused.
 */
#ifndef VARVE_SERVE_FILTER_H
#define VARVE_SERVE_FILTER_H

#include "index.h"

/* Bytes of the reason of a refusal, with its NUL. */
#define FILTER_REASON_SIZE 256

struct filter_set;

/*
 * Read the filters TEXTS, COUNT of them: *RET_SET, to be freed with filter_set_free(); NULL for
 * none. -EINVAL: *REASON says why; -ENOMEM.
 */
int filter_set_read(const struct text *texts, size_t count, struct filter_set **ret_set,
		    char reason[FILTER_REASON_SIZE]);

/* Free SET, which may be NULL. */
void filter_set_free(struct filter_set *set);

/* How far a set has looked at one snapshot; zeros: not begun. */
struct filter_place {
	/* The next condition. */
	size_t selector;
	/* A condition of the same filter was not met. */
	bool unmet;
};

/*
 * Does SET (NULL: everything) take SNAPSHOT? 1, 0, -EINVAL: an expression takes too many steps, and
 * *REASON says which; -EAGAIN: all *WORK, in the units of SNAPSHOT_WORK_MAX, was used up, and the
 * next call goes on from *PLACE. What is done is taken off *WORK.
 */
int filter_set_match(const struct filter_set *set, const struct snapshot *snapshot,
		     struct filter_place *place, unsigned *work, char reason[FILTER_REASON_SIZE]);

#endif
