/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/failure.h"
#include "engine/base/util.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void failure_set(struct varve_failure *failure, int error, const char *operation, const char *step,
		 const char *call, const char *id)
{
	*failure = (struct varve_failure){
		.error = error, .operation = operation, .step = step, .call = call
	};
	if (id) {
		size_t length = strnlen(id, sizeof(failure->id) - 1);

		memcpy(failure->id, id, length);
	}
}

void failure_path(struct varve_failure *failure, const char *dir, const char *name)
{
	const char *parts[] = { dir ? dir : "", dir && name ? "/" : "", name ? name : "" };
	size_t total = strlen(parts[0]) + strlen(parts[1]) + strlen(parts[2]);
	size_t skip = total < sizeof(failure->path) ? 0 : total - (sizeof(failure->path) - 1),
	       used = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t length = strlen(parts[i]), cut = MIN(skip, length);

		memcpy(failure->path + used, parts[i] + cut, length - cut);
		used += length - cut;
		skip -= cut;
	}
	failure->path[used] = '\0';
}

void failure_detail(struct varve_failure *failure, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(failure->detail, sizeof(failure->detail), format, arguments);
	va_end(arguments);
}

/*
 * Write TEXT to OUT (SIZE bytes, always ends in NUL), unprintable bytes as \xHH; return the bytes
 * used.
 */
static size_t failure_escape(char *out, size_t size, const char *text)
{
	size_t used = 0;

	for (; *text && used + 5 <= size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c < 0x7f)
			out[used++] = (char)c;
		else
			used += (size_t)snprintf(out + used, size - used, "\\x%02x", c);
	}
	if (size)
		out[used] = '\0';
	return used;
}

char *failure_text(const struct varve_failure *failure, char *buffer, size_t size)
{
	char id[4 * sizeof(failure->id) + 1], path[4 * sizeof(failure->path) + 1],
		detail[4 * sizeof(failure->detail) + 1];
	char unknown[32];
	const char *text;

	if (!size)
		return buffer;
	if (!failure || !failure->error) {
		snprintf(buffer, size, "no error");
		return buffer;
	}
	failure_escape(id, sizeof(id), failure->id);
	failure_escape(path, sizeof(path), failure->path);
	failure_escape(detail, sizeof(detail), failure->detail);
	text = strerrordesc_np(-failure->error);
	snprintf(unknown, sizeof(unknown), "unknown error %d", -failure->error);
	snprintf(buffer, size, "%s%s%s: %s: %s%s%s%s%s%s%s%s",
		 failure->operation ? failure->operation : "varve", id[0] ? " " : "", id,
		 failure->step ? failure->step : "?", failure->call ? failure->call : "",
		 failure->call && path[0] ? " " : "", path, failure->call || path[0] ? ": " : "",
		 text ? text : unknown, detail[0] ? " (" : "", detail, detail[0] ? ")" : "");
	return buffer;
}
