/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a disk: every write, flush and discard that reached it, in order. logstore writes it,
 * replay reads it.
 */
#ifndef VARVE_TESTS_CRASH_WRITELOG_H
#define VARVE_TESTS_CRASH_WRITELOG_H

#include <stdint.h>

/* What begins each record. */
#define WRITELOG_MAGIC 0x76617276u

/* What happened. */
enum writelog_type {
	WRITELOG_WRITE,   /* `length` bytes follow the record. */
	WRITELOG_FLUSH,   /* All that was written before is on the disk for good. */
	WRITELOG_DISCARD, /* The range reads as zeros. */
};

/* One record. */
struct writelog_record {
	uint32_t magic;
	/* enum writelog_type */
	uint32_t type;
	/* CLOCK_MONOTONIC when the request came in: it was not answered before. */
	uint64_t ns;
	/* In the disk, in bytes. */
	uint64_t offset;
	/* In bytes. */
	uint64_t length;
};

#endif
