/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.h: standard output (text, escaping, JSON) and failures on standard error.
 *
 * Names are bytes. As text they go out as they are, or, on a terminal, with what does not print as
 * \xHH and a backslash as \\. In JSON, which has only characters, a name that is not UTF-8 has
 * U+FFFD in place of the bytes that are not, and a second member, its key ending in "_hex", has all
 * its bytes in hexadecimal.
 */
#ifndef VARVE_CLI_OUTPUT_H
#define VARVE_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include <varve.h>

/*
 * Bytes for a line about a failure by varve_strerror(): each byte of id, path and detail may become
 * four.
 */
#define OUTPUT_FAILURE_SIZE 8192
/* Bytes for a line on standard error. */
#define OUTPUT_LINE_SIZE 32768
/* Bytes for a time in text, with its NUL. */
#define OUTPUT_TIME_SIZE 48
/* Bytes for a uuid in text, with its NUL. */
#define OUTPUT_UUID_SIZE 37

/* After a signal, standard output that takes nothing for this long takes nothing any more. */
#define OUTPUT_GRACE_MS 1000

struct progress;

/* Where results and failures go. */
struct output {
	/* Standard output, such that a signal ends the wait for a reader that stalls. */
	FILE *file;
	/* Standard output is a terminal. */
	bool terminal;
	/* Colours are wanted: a terminal, and no NO_COLOR. */
	bool colours;
	/* Standard output may take bytes only later. */
	bool stalls;
	/* What ends an id, a path or a line of text: '\n', or '\0' with -z. */
	char end;
	/* The first error in writing to it, as a negative errno. */
	int error;
	/* Step, system call and path follow each failure. */
	bool debug;
	/* The last line that output_complain() wrote. */
	char *message;
	/* What the layer that others start from is given as: "parent". */
	const char *source;
	/* The progress line, which steps aside for everything else. */
	struct progress *progress;
};

/* Begin. Descriptors 0 to 2 that are closed are opened such that their use fails. */
void output_init(struct output *output, struct progress *progress);

/* Write formatted text that holds no name. */
__attribute__((format(printf, 2, 3))) void output_text(struct output *output, const char *format,
						       ...);

/* Write NAME, escaped on a terminal. */
void output_name(struct output *output, const char *name);

/* Write COUNT bytes as they are. */
void output_bytes(struct output *output, const void *bytes, size_t count);

/* Write a line: KEY padded to WIDTH, a space, and VALUE, escaped on a terminal. */
void output_pair(struct output *output, const char *key, int width, const char *value);

/* The same with NUMBER as the value. */
void output_pair_number(struct output *output, const char *key, int width, uint64_t number);

/* Write OBJECT on a line of its own, and free it. */
void output_json(struct output *output, json_t *object);

/* Write the buffered output to its reader. */
void output_flush(struct output *output);

/* Write the end of a line. */
void output_end(struct output *output);

/*
 * End: flush, close standard output, and report if it did not take everything. Return 0 or -errno;
 * -EPIPE (the reader has gone) and -EINTR (a signal came while it stalled) are not reported.
 */
int output_finish(struct output *output);

/* Write a line about FAILURE on standard error. */
void output_failure(struct output *output, const struct varve_failure *failure);

/* Write a line on standard error about each entry of an archive that RESULT says was left out. */
void output_skipped(struct output *output, const struct varve_result *result);

/*
 * Return what an object has of RESULT: with BYTES those of its archive, and what was left out; for
 * output_set_archive(); to be freed.
 */
char *output_archive(const struct output *output, const struct varve_result *result, bool bytes);

/* Return DIGESTS as lines of text; to be freed. */
char *output_digests(const struct varve_digests *digests);

/* Set in OBJECT what ARCHIVE, of output_archive(), has. */
void output_set_archive(json_t *object, const char *archive);

/* Write "varve: TEXT" on standard error. */
__attribute__((format(printf, 2, 3))) void output_complain(struct output *output,
							   const char *format, ...);

/*
 * Begin a JSON object, with the head that all have: "id", which is null where it is about no layer,
 * and "ok"; and the members of FAILURE, if it is not NULL.
 */
json_t *output_result(const struct output *output, const char *id,
		      const struct varve_failure *failure);

/* Set member KEY of OBJECT to the bytes of NAME; or, where they are not UTF-8, KEY and KEY_hex. */
void output_set_name(json_t *object, const char *key, const char *name);

/* Set member KEY of OBJECT to NUMBER. */
void output_set_number(json_t *object, const char *key, uint64_t number);

/*
 * Write a time as ISO 8601, UTC, into BUFFER (OUTPUT_TIME_SIZE bytes), with DIGITS (0..9) decimals;
 * return it.
 */
const char *output_time(char *buffer, int64_t seconds, uint32_t nanoseconds, int digits);

/*
 * Write UUID in its canonical form into BUFFER (OUTPUT_UUID_SIZE bytes); return it, or NULL when it
 * is all zeros.
 */
const char *output_uuid(char *buffer, const uint8_t uuid[16]);

/* Return POINTER, or end the process for want of memory when it is NULL. */
void *output_memory(void *pointer);

#endif
