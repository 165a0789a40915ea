/* SPDX-License-Identifier: Apache-2.0 */
/* Parse claims. */
#include "claim.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool claim_is_relative(const char *metric)
{
	return !strcmp(metric, "iops") || !strcmp(metric, "sustained") || !strncmp(metric, "lat_", 4);
}

/* Parse a bound at *TEXT: a number, and for latencies an optional +TIME. */
static int parse_bound(const char **text, struct claim *claim)
{
	static const struct {
		const char *suffix;
		double ns;
	} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
	char *end;

	claim->bound = strtod(*text, &end);
	if (end == *text || !isfinite(claim->bound))
		return -EINVAL;
	*text = end;
	if (**text != '+')
		return 0;
	if (strncmp(claim->metric, "lat_", 4))
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
	struct claim claim = {0};
	size_t length = strspn(*text, "abcdefghijklmnopqrstuvwxyz0123456789_"), engine = 0;
	int r;

	if (!**text)
		return 0;
	if (!length || length >= sizeof(claim.metric))
		return -EINVAL;
	memcpy(claim.metric, *text, length);
	*text += length;
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
