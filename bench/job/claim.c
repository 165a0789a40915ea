/* SPDX-License-Identifier: Apache-2.0 */
/* Parse claims. */
#include "job/claim.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

const char *claim_base(const char *metric)
{
	const char *colon = strchr(metric, ':');

	return colon ? colon + 1 : metric;
}

/* Return whether METRIC has no KIND before it, or is a latency of a kind that exists. */
static bool kind_is_known(const char *metric)
{
	const char *base = claim_base(metric);

	if (base == metric)
		return true;
	if (strncmp(base, "lat_", 4) && *base != 'p')
		return false;
	for (int kind = 0; kind < BENCH_KINDS; kind++) {
		const char *name = engine_kind_name(kind);

		if (!strncmp(metric, name, strlen(name)) && metric + strlen(name) + 1 == base)
			return true;
	}
	return false;
}

bool claim_is_relative(const char *metric)
{
	metric = claim_base(metric);
	return !strcmp(metric, "iops") || !strcmp(metric, "sustained") ||
	       !strncmp(metric, "lat_", 4);
}

/* Parse a bound at *TEXT: a number, and for latencies an optional +TIME. */
static int parse_bound(const char **text, struct claim *claim)
{
	static const struct {
		const char *suffix;
		double ns;
	} units[] = { { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 } };
	char *end;

	claim->bound = strtod(*text, &end);
	if (end == *text || !isfinite(claim->bound))
		return -EINVAL;
	*text = end;
	if (**text != '+')
		return 0;
	if (strncmp(claim_base(claim->metric), "lat_", 4))
		return -EINVAL;
	claim->extra_ns = strtod(*text + 1, &end);
	if (end == *text + 1 || !isfinite(claim->extra_ns))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (!strncmp(end, units[i].suffix, strlen(units[i].suffix))) {
			claim->extra_ns *= units[i].ns;
			*text = end + strlen(units[i].suffix);
			return 0;
		}
	}
	return -EINVAL;
}

int claim_parse(const char **text, struct claim *ret)
{
	struct claim claim = { 0 };
	size_t length = strspn(*text, "abcdefghijklmnopqrstuvwxyz0123456789_:"), engine = 0;
	int r;

	if (!**text)
		return 0;
	if (!length || length >= sizeof(claim.metric))
		return -EINVAL;
	memcpy(claim.metric, *text, length);
	*text += length;
	if (!kind_is_known(claim.metric))
		return -EINVAL;
	if (**text == '/') {
		engine = strcspn(++*text, "<>,");
		if (!engine || engine >= sizeof(claim.engine) || !claim_is_relative(claim.metric))
			return -EINVAL;
		memcpy(claim.engine, *text, engine);
		*text += engine;
	}
	if (strncmp(*text, ">=", 2) && strncmp(*text, "<=", 2))
		return -EINVAL;
	claim.at_least = **text == '>';
	*text += 2;
	r = parse_bound(text, &claim);
	if (r < 0 || (**text && **text != ','))
		return -EINVAL;
	if (**text)
		(*text)++;
	*ret = claim;
	return 1;
}
