/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ids.h: ids from the arguments and from standard input.
 *
 * The operand "-" stands for the lines of standard input. They are read as they come, never ahead
 * of what is asked for, so that work on the first ids runs while the last ones are still to be
 * written.
 */
#ifndef VARVE_CLI_IDS_H
#define VARVE_CLI_IDS_H

#include <stdbool.h>
#include <stddef.h>

#include <varve.h>

/* Bytes read from standard input at once. */
#define IDS_BUFFER_SIZE 65536
/* Bytes kept of a line: enough to see that it is too long for an id. */
#define IDS_LINE_MAX (VARVE_ID_MAX + 1)

/* What ids_next() found. */
enum ids_found {
	IDS_FOUND, /* An id. */
	IDS_WAIT,  /* Nothing, until ids_fill() has read more. */
	IDS_END,   /* No more ids. */
};

/* A stream of ids. */
struct ids {
	const char *const *operands;  /* The operands, or the ids themselves. */
	size_t count;                 /* How many. */
	size_t next;                  /* The one to look at next. */
	char end_byte;                /* What ends an id on standard input: '\n' or '\0'. */
	bool literal;                 /* "-" is an id like any other. */
	bool ended;                   /* Standard input has no more. */
	int error;                    /* Why reading it failed, as a negative errno. */
	bool nul;                     /* The line has a NUL byte in it. */
	bool partial;                 /* A line has begun, and its end has not been seen. */
	size_t line_length;           /* Bytes in `line`. */
	char line[IDS_LINE_MAX + 1];  /* The line, cut to IDS_LINE_MAX bytes. */
	size_t begin, end;            /* What of `buffer` is not yet taken. */
	char buffer[IDS_BUFFER_SIZE]; /* Bytes read. */
};

/*
 * Begin a stream of the COUNT OPERANDS, which must outlive it; with LITERAL even "-" is an id. END:
 * what ends an id on standard input.
 */
void ids_init(struct ids *ids, const char *const *operands, size_t count, bool literal, char end);

/* Return how many ids there will be, or 0 when that is not known. */
size_t ids_total(const struct ids *ids);

/* Set *RET_ID to the next id, which stays until the next call. */
enum ids_found ids_next(struct ids *ids, const char **ret_id);

/*
 * Read more, after IDS_WAIT, once standard input is readable. Return 0, or the -errno that ended
 * it.
 */
int ids_fill(struct ids *ids);

/*
 * Is ID, the one found last, fit for a layer? Return 0, or -errno with *RET_FAILURE about
 * OPERATION.
 */
int ids_check(const struct ids *ids, const char *id, const char *operation,
	      struct varve_failure *ret_failure);

#endif
