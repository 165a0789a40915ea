/* SPDX-License-Identifier: Apache-2.0 */
#include "load/random.h"

uint64_t random_begin(uint64_t seed)
{
	uint64_t state = (seed + 1) * 0x9e3779b97f4a7c15ull;

	return state ? state : 1;
}

uint64_t random_next(uint64_t *state)
{
	/* xorshift64*: its period is 2^64 - 1, and it needs no table. */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

double random_share(uint64_t *state)
{
	return (double)(random_next(state) >> 11) * 0x1p-53;
}

double random_normal(uint64_t *state)
{
	double sum = -6;

	for (int i = 0; i < 12; i++)
		sum += random_share(state);
	return sum;
}
