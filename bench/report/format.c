/* SPDX-License-Identifier: Apache-2.0 */
/* Write numbers for people. */
#include "report/format.h"

#include <math.h>
#include <stdio.h>

#include "load/clock.h"

struct time_unit format_time_unit(uint64_t min_ns, uint64_t max_ns)
{
	if (min_ns > 2 * NS_PER_S && max_ns > 10 * NS_PER_S)
		return (struct time_unit){ "sec", NS_PER_S };
	if (min_ns > 2 * NS_PER_MS && max_ns > 100 * NS_PER_MS)
		return (struct time_unit){ "msec", NS_PER_MS };
	if (max_ns > 100 * NS_PER_US)
		return (struct time_unit){ "usec", NS_PER_US };
	return (struct time_unit){ "nsec", 1 };
}

/* Write VALUE with three digits before UNIT. */
static const char *three_digits(double value, const char *unit, char *buffer)
{
	int digits = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;

	snprintf(buffer, FORMAT_SIZE, "%.*f%s", digits, value, unit);
	return buffer;
}

const char *format_count(double value, char *buffer)
{
	if (value >= 999.5e6)
		return three_digits(value / 1e9, "G", buffer);
	if (value >= 999.5e3)
		return three_digits(value / 1e6, "M", buffer);
	if (value >= 9999.5)
		return three_digits(value / 1e3, "k", buffer);
	snprintf(buffer, FORMAT_SIZE, value >= 100 || value == floor(value) ? "%.0f" : "%.2f",
		 value);
	return buffer;
}

const char *format_time(double ns, char *buffer)
{
	if (ns >= 1e9)
		return three_digits(ns / 1e9, " s", buffer);
	if (ns >= 1e6)
		return three_digits(ns / 1e6, " ms", buffer);
	if (ns >= 1e3)
		return three_digits(ns / 1e3, " us", buffer);
	return three_digits(ns, " ns", buffer);
}
