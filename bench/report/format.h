/* SPDX-License-Identifier: Apache-2.0 */
/* Write numbers for people. */
#ifndef BENCH_FORMAT_H
#define BENCH_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define FORMAT_SIZE 32

/* A unit of time that a group of latencies is written in. */
struct time_unit {
	const char *name; /* "usec". */
	uint64_t ns;      /* Its length. */
};

/* Choose the unit in which MIN_NS..MAX_NS are best written. */
struct time_unit format_time_unit(uint64_t min_ns, uint64_t max_ns);

/* Write VALUE with three digits and k, M or G: "12.5k". Returns BUFFER (FORMAT_SIZE bytes). */
const char *format_count(double value, char *buffer);

/* Write NS with its own unit: "1.23 ms". Returns BUFFER (FORMAT_SIZE bytes). */
const char *format_time(double ns, char *buffer);

#endif
