/* SPDX-License-Identifier: Apache-2.0 */
/* sentence.c: failures in the words of the command line. */
#include "sentence.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The part before the id in the path of a layer. */
#define SENTENCE_LAYERS "/subvolumes/"

void sentence_escape(char *out, size_t size, const char *text)
{
	size_t used = 0;

	for (; *text && used + 5 <= size; text++) {
		unsigned char byte = (unsigned char)*text;

		used += (size_t)(byte >= ' ' && byte <= '~' ? sprintf(out + used, "%c", byte)
							    : sprintf(out + used, "\\x%02x", byte));
	}
	out[used] = '\0';
}

/* Return the id of the layer that PATH is the path of, or NULL when it is no layer's own. */
static const char *sentence_layer(const char *path)
{
	const char *slash = strrchr(path, '/');
	const size_t length = strlen(SENTENCE_LAYERS);

	if (!slash || (size_t)(slash + 1 - path) < length ||
	    strncmp(slash + 1 - length, SENTENCE_LAYERS, length) != 0)
		return NULL;
	return slash + 1;
}

/* Write the reason of a failure that has no text of its own. */
static void sentence_explain(struct sentence *sentence, const struct varve_failure *failure,
			     bool path)
{
	char *at = sentence->reason, *end = sentence->reason + sizeof(sentence->reason);
	const char *text = strerrordesc_np(-failure->error);
	char detail[4 * VARVE_FAILURE_DETAIL_SIZE + 1];

	sentence_escape(detail, sizeof(detail), failure->detail);
	if (path) {
		sentence_escape(at, (size_t)(end - at), failure->path);
		at += strlen(at);
		at += snprintf(at, (size_t)(end - at), ": ");
	}
	/* A refused argument has its reason; the text of the errno would add nothing. */
	if (*detail && failure->step && strcmp(failure->step, "CHECK") == 0)
		snprintf(at, (size_t)(end - at), "%s", detail);
	else if (text)
		snprintf(at, (size_t)(end - at), "%s%s%s%s", text, *detail ? " (" : "", detail,
			 *detail ? ")" : "");
	else
		snprintf(at, (size_t)(end - at), "unknown error %d%s%s%s", -failure->error,
			 *detail ? " (" : "", detail, *detail ? ")" : "");
}

void sentence_begin(struct sentence *sentence, const struct varve_failure *failure,
		    const char *source)
{
	const char *layer = sentence_layer(failure->path);
	bool own = layer && strcmp(layer, failure->id) == 0;

	memset(sentence, 0, sizeof(*sentence));
	sentence->operation = failure->operation ? failure->operation : "varve";
	sentence->source = source;
	sentence->count = 1;
	sentence_escape(sentence->ids[0], sizeof(sentence->ids[0]), failure->id);
	sentence->kind = SENTENCE_OTHER;
	if (failure->error == -EEXIST && own && strcmp(sentence->operation, "create") == 0) {
		sentence->kind = SENTENCE_EXISTS;
	} else if (failure->error == -EEXIST && layer &&
		   strcmp(sentence->operation, "rename") == 0) {
		sentence->kind = SENTENCE_EXISTS;
		sentence_escape(sentence->ids[0], sizeof(sentence->ids[0]), layer);
	} else if (failure->error == -ENOENT && own && !*failure->detail) {
		sentence->kind = SENTENCE_MISSING;
	} else if (failure->error == -ENOENT && layer && !own && *failure->id &&
		   !*failure->detail) {
		sentence->kind = SENTENCE_SOURCE;
		sentence_escape(sentence->reason, sizeof(sentence->reason), layer);
	} else {
		sentence_explain(sentence, failure, *failure->path && !own);
	}
}

bool sentence_add(struct sentence *sentence, const struct sentence *more)
{
	if (sentence->kind != more->kind || strcmp(sentence->operation, more->operation) != 0 ||
	    strcmp(sentence->reason, more->reason) != 0)
		return false;
	if (sentence->count < SENTENCE_IDS_MAX)
		strcpy(sentence->ids[sentence->count], more->ids[0]);
	sentence->count++;
	return true;
}

/* Write SENTENCE, which is about one failure. */
static void sentence_write_one(const struct sentence *sentence, char *buffer)
{
	const char *id = sentence->ids[0];

	switch (sentence->kind) {
	case SENTENCE_EXISTS:
		snprintf(buffer, SENTENCE_SIZE, "there is a layer %s already", id);
		break;
	case SENTENCE_MISSING:
		snprintf(buffer, SENTENCE_SIZE, "no layer %s", id);
		break;
	case SENTENCE_SOURCE:
		snprintf(buffer, SENTENCE_SIZE, "no %s %s", sentence->source, sentence->reason);
		break;
	case SENTENCE_OTHER:
		snprintf(buffer, SENTENCE_SIZE, "%s%s%s: %s", sentence->operation, *id ? " " : "",
			 id, sentence->reason);
		break;
	}
}

const char *sentence_write(const struct sentence *sentence, char *buffer)
{
	char ids[sizeof(sentence->ids) + sizeof(", ...") * SENTENCE_IDS_MAX];
	size_t count = sentence->count, named = count < SENTENCE_IDS_MAX ? count : SENTENCE_IDS_MAX;
	char *at = ids;

	if (count == 1) {
		sentence_write_one(sentence, buffer);
		return buffer;
	}
	for (size_t i = 0; i < named; i++)
		at += sprintf(at, "%s%s", i ? ", " : "", sentence->ids[i]);
	sprintf(at, "%s", count > named ? ", ..." : "");
	switch (sentence->kind) {
	case SENTENCE_EXISTS:
		snprintf(buffer, SENTENCE_SIZE, "there are %zu of the layers already: %s", count,
			 ids);
		break;
	case SENTENCE_MISSING:
		snprintf(buffer, SENTENCE_SIZE, "no layer of %zu ids: %s", count, ids);
		break;
	case SENTENCE_SOURCE:
		snprintf(buffer, SENTENCE_SIZE, "no %s %s, for %zu layers: %s", sentence->source,
			 sentence->reason, count, ids);
		break;
	case SENTENCE_OTHER:
		snprintf(buffer, SENTENCE_SIZE, "%s of %zu layers: %s: %s", sentence->operation,
			 count, sentence->reason, ids);
		break;
	}
	return buffer;
}
