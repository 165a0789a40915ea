/* SPDX-License-Identifier: Apache-2.0 */
/* ids.c: ids from the arguments and from standard input. */
#include "ids.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void ids_init(struct ids *ids, const char *const *operands, size_t count, bool literal, char end)
{
	memset(ids, 0, offsetof(struct ids, buffer));
	ids->operands = operands;
	ids->count = count;
	ids->literal = literal;
	ids->end_byte = end;
}

/* Does the stream stand before an operand that means standard input? */
static bool ids_reads(const struct ids *ids)
{
	return !ids->literal && ids->next < ids->count &&
	       strcmp(ids->operands[ids->next], "-") == 0;
}

size_t ids_total(const struct ids *ids)
{
	for (size_t i = 0; !ids->literal && i < ids->count; i++) {
		if (strcmp(ids->operands[i], "-") == 0)
			return 0;
	}
	return ids->count;
}

/* Take one line from what was read. Return whether there was a whole one. */
static bool ids_line(struct ids *ids)
{
	const char *bytes = ids->buffer + ids->begin;
	size_t left = ids->end - ids->begin;
	const char *newline = memchr(bytes, ids->end_byte, left);

	if (!ids->partial) {
		ids->line_length = 0;
		ids->nul = false;
	}
	if (newline)
		left = (size_t)(newline - bytes);
	if (newline || left > 0) {
		size_t room = IDS_LINE_MAX - ids->line_length;
		size_t kept = left < room ? left : room;

		ids->partial = true;
		ids->nul |= memchr(bytes, '\0', left) != NULL;
		memcpy(ids->line + ids->line_length, bytes, kept);
		ids->line_length += kept;
	}
	ids->begin += left + (newline ? 1 : 0);
	/* The last line need not have an end. */
	if (!newline && !(ids->ended && ids->partial))
		return false;
	ids->partial = false;
	ids->line[ids->line_length] = '\0';
	return true;
}

enum ids_found ids_next(struct ids *ids, const char **ret_id)
{
	while (ids_reads(ids)) {
		if (ids_line(ids)) {
			*ret_id = ids->line;
			return IDS_FOUND;
		}
		if (!ids->ended)
			return IDS_WAIT;
		ids->next++;
	}
	if (ids->next >= ids->count)
		return IDS_END;
	ids->nul = false;
	*ret_id = ids->operands[ids->next++];
	return IDS_FOUND;
}

int ids_fill(struct ids *ids)
{
	ssize_t n = read(STDIN_FILENO, ids->buffer, sizeof(ids->buffer));

	ids->begin = 0;
	ids->end = n > 0 ? (size_t)n : 0;
	if (n == 0)
		ids->ended = true;
	if (n >= 0 || errno == EINTR || errno == EAGAIN)
		return 0;
	ids->ended = true;
	ids->error = -errno;
	return ids->error;
}

int ids_check(const struct ids *ids, const char *id, const char *operation,
	      struct varve_failure *ret_failure)
{
	struct varve_failure failure = { 0 };
	int r;

	if (ids->nul) {
		failure.error = r = -EINVAL;
		snprintf(failure.id, sizeof(failure.id), "%.*s", VARVE_ID_MAX, id);
		snprintf(failure.detail, sizeof(failure.detail), "the line has a NUL byte in it");
	} else {
		r = varve_id_check(id, &failure);
	}
	if (r >= 0)
		return 0;
	failure.operation = operation;
	failure.step = "CHECK";
	*ret_failure = failure;
	return r;
}
