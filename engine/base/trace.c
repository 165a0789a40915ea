/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/trace.h"
#include "engine/base/util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of one line; a longer one is cut. */
#define TRACE_LINE_BYTES 512

static const struct {
	const char *name;
	unsigned mask;
} trace_words[] = {
	{ "op", TRACE_OP },
	{ "ring", TRACE_RING },
	{ "lane", TRACE_LANE },
	{ "btrfs", TRACE_BTRFS },
	{ "all", TRACE_OP | TRACE_RING | TRACE_LANE | TRACE_BTRFS },
};

/* The bits of the word of LENGTH bytes at WORD; 0 when it is none. */
static unsigned trace_word(const char *word, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(trace_words); i++)
		if (strlen(trace_words[i].name) == length &&
		    !memcmp(trace_words[i].name, word, length))
			return trace_words[i].mask;
	return 0;
}

int trace_parse(const char *list, unsigned *ret_mask)
{
	unsigned mask = 0;

	while (*list) {
		size_t length = strcspn(list, ",");
		unsigned bits = trace_word(list, length);

		if (length && !bits)
			return -EINVAL;
		mask |= bits;
		list += length;
		list += *list == ',';
	}
	*ret_mask = mask;
	return 0;
}

void trace_write(const struct trace *trace, const char *format, ...)
{
	char line[TRACE_LINE_BYTES];
	int saved = errno;
	uint64_t now = now_ns();
	size_t used;
	va_list arguments;

	used = (size_t)snprintf(line, sizeof(line), "varve %llu.%06llu ",
				(unsigned long long)(now / 1000000000),
				(unsigned long long)(now / 1000 % 1000000));
	va_start(arguments, format);
	vsnprintf(line + used, sizeof(line) - used, format, arguments);
	va_end(arguments);
	if (trace->log)
		trace->log(trace->log_data, line);
	else
		dprintf(STDERR_FILENO, "%s\n", line);
	errno = saved;
}
