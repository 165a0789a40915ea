/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace lines by subsystem, always compiled in: VARVE_DEBUG=op,ring,lane,btrfs (or all). A
 * subsystem that is off costs one test of a bit. A trace keeps errno, so that it can stand
 * anywhere.
 */
#ifndef VARVE_BASE_TRACE_H
#define VARVE_BASE_TRACE_H

#include <stdint.h>

enum trace_subsystem {
	TRACE_OP = 1 << 0,    /* states of operations, group commits */
	TRACE_RING = 1 << 1,  /* calls that go through io_uring */
	TRACE_LANE = 1 << 2,  /* calls made by lane threads */
	TRACE_BTRFS = 1 << 3, /* ioctls */
};

/* Where trace lines of a store go. */
struct trace {
	/* TRACE_* bits that are on. */
	unsigned mask;
	/* Takes each line; NULL: standard error. */
	void (*log)(void *data, const char *line);
	/* Passed to log. */
	void *log_data;
};

/* Parse LIST ("op,ring", "all", "") into *RET_MASK; -EINVAL for an unknown word. */
int trace_parse(const char *list, unsigned *ret_mask);

/* Write one line; called through trace(). */
void trace_write(const struct trace *trace, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define trace(t, subsystem, ...)                                  \
	do {                                                      \
		if (__builtin_expect((t)->mask & (subsystem), 0)) \
			trace_write((t), __VA_ARGS__);            \
	} while (0)

#endif
