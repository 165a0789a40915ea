/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that a test need not free. It stays reachable from one list, so that a leak checker sees
 * the library's only.
 */
#include "test.h"

#include <stdarg.h>
#include <stdatomic.h>

/* One piece of memory, with what was allocated before it. */
struct piece {
	struct piece *before;
	max_align_t memory[];
};

static struct piece *_Atomic newest;

void *test_alloc(size_t size)
{
	struct piece *piece = calloc(1, sizeof(*piece) + size);
	if (!piece)
		abort();
	piece->before = atomic_load(&newest);
	while (!atomic_compare_exchange_weak(&newest, &piece->before, piece))
		continue;
	return piece->memory;
}

char *test_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	return memcpy(test_alloc(size), text, size);
}

char *test_path(const char *format, ...)
{
	va_list arguments, again;
	va_start(arguments, format);
	va_copy(again, arguments);
	int length = vsnprintf(NULL, 0, format, arguments);
	if (length < 0)
		abort();
	char *path = test_alloc((size_t)length + 1);
	vsnprintf(path, (size_t)length + 1, format, again);
	va_end(again);
	va_end(arguments);
	return path;
}
