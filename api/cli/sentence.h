/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sentence.h: failures in the words of the command line.
 *
 * A sentence is made of a subject, the ids it is about and a reason; failures of the same reason
 * and operation can be reported in one sentence. Ids and paths are escaped as by varve_strerror().
 */
#ifndef VARVE_CLI_SENTENCE_H
#define VARVE_CLI_SENTENCE_H

#include <stdbool.h>
#include <stddef.h>

#include <varve.h>

/*
 * Bytes for the reason of a failure, with its NUL: each byte of path and detail may become four.
 */
#define SENTENCE_REASON_SIZE 6144
/* Bytes for a sentence about one failure or many, with its NUL. */
#define SENTENCE_SIZE 16384
/* Ids that a sentence about many failures names. */
#define SENTENCE_IDS_MAX 3

/* What kind of failure it is, as far as there are words of its own for it. */
enum sentence_kind {
	/* There is a layer of that id already. */
	SENTENCE_EXISTS,
	/* There is no layer of that id. */
	SENTENCE_MISSING,
	/* There is no layer of the id that is given as parent; `reason` is that id. */
	SENTENCE_SOURCE,
	/* `reason` says it. */
	SENTENCE_OTHER,
};

/* One reason, and how often it occurred. Begins zeroed. */
struct sentence {
	/* What kind of failure. */
	enum sentence_kind kind;
	/* The operation that failed. */
	const char *operation;
	/* What the missing layer was given as: "parent". */
	const char *source;
	/* Why, escaped. */
	char reason[SENTENCE_REASON_SIZE];
	/* The first ids, escaped. */
	char ids[SENTENCE_IDS_MAX][4 * VARVE_ID_MAX + 1];
	/* How many ids. */
	size_t count;
};

/* Write TEXT into OUT (SIZE bytes, at least one) with what is not printable ASCII as \xHH. */
void sentence_escape(char *out, size_t size, const char *text);

/* Make SENTENCE one about FAILURE; SOURCE: what a layer that it starts from was given as. */
void sentence_begin(struct sentence *sentence, const struct varve_failure *failure,
		    const char *source);

/*
 * Count the one failure that MORE is about in SENTENCE, if it has the same reason. Return whether
 * it has.
 */
bool sentence_add(struct sentence *sentence, const struct sentence *more);

/* Write SENTENCE into BUFFER (SENTENCE_SIZE bytes); return it. */
const char *sentence_write(const struct sentence *sentence, char *buffer);

#endif
