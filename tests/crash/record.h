/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record that the load keeps of what it asked for and the results, outside of the file system
 * under test. Text, one line an event, each written by one write(2), so that a killed process loses
 * at most the line it was writing (a reader ignores a last line without its end):
 *
 *	NS submit ORDINAL create ID BASE MODE READ_ONLY SIZE_MIB DURABLE PARENT	(SIZE_MIB 0: no limit; PARENT "-": BASE, or none)
 *	NS submit ORDINAL remove ID 0 0 0 0 DURABLE -
 *	NS refused ORDINAL		the library did not take it: it never happened
 *	NS end ORDINAL ERROR		its callback ran
 *	NS nesting ID			nested subvolumes are about to be made in the layer
 *	NS nested ID MORE		... and are there: a pair, one in the other, and MORE empty ones beside
 *
 * NS is CLOCK_MONOTONIC. Order, which is what makes the record worth something:
 * - "submit" is stamped and written BEFORE the call, so nothing can have happened of a request that
 *   has no such line, nor before its time;
 * - "end" is stamped first thing in the callback, so a promise that the callback stands for was
 *   kept before that time;
 * - ordinals grow in the order of the calls, also within a batch.
 * So of a disk as it was at a moment T: what ended before T must show, what was submitted after T
 * must not.
 */
#ifndef VARVE_TESTS_CRASH_RECORD_H
#define VARVE_TESTS_CRASH_RECORD_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Bytes of the longest line, with its end: an id of 255 bytes and the numbers. */
#define RECORD_LINE_MAX 512

/* What a layer looks like from outside. */
struct look {
	int base;      /* Whose content it has; 0: empty. */
	unsigned mode; /* Of its root. */
	bool read_only;
	unsigned size_mib; /* Its limit; 0: none. */
};

/* Bytes of the record of a labelled layer with content: more than one attribute has. */
#define LOOK_RECORD_BYTES 15000

/* Bytes for the label of a layer, with its NUL. */
#define LOOK_LABEL_BYTES 64

/* Do all layers of the name ID have a label? Every second name does. */
static inline bool look_labelled(const char *id)
{
	unsigned sum = 0;

	for (; *id; id++)
		sum = sum * 31 + (unsigned char)*id;
	return sum % 2;
}

/* Write the label that a layer of LOOK has, which tells all of that, to LABEL. */
static inline void look_label(const struct look *look, char label[LOOK_LABEL_BYTES])
{
	snprintf(label, LOOK_LABEL_BYTES, "look=%d.%o.%d.%u", look->base, look->mode,
		 look->read_only, look->size_mib);
}

/* The time now, in nanoseconds of CLOCK_MONOTONIC. */
static inline uint64_t record_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Write one line, stamped NS, to FD. A record that cannot be kept makes the run worthless: exit. */
__attribute__((format(printf, 3, 4))) static inline void size_record_write(int fd, uint64_t ns,
									   const char *format, ...)
{
	char line[RECORD_LINE_MAX];
	int used = snprintf(line, sizeof(line), "%llu ", (unsigned long long)ns);
	va_list arguments;

	va_start(arguments, format);
	used += vsnprintf(line + used, sizeof(line) - (size_t)used, format, arguments);
	va_end(arguments);
	line[used++] = '\n';
	if (write(fd, line, (size_t)used) != used) {
		fprintf(stderr, "record: cannot write: %s\n", strerror(errno));
		_exit(4);
	}
}

#endif
