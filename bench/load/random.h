/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers that are the same in each run: each is drawn from a state, which a seed begins. */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

/* Return the state that SEED begins with; never 0, which would stay 0. */
uint64_t random_begin(uint64_t seed);

/* Draw the next random number from *STATE. */
uint64_t random_next(uint64_t *state);

/* Draw a number in [0, 1). */
double random_share(uint64_t *state);

/* Draw from the normal distribution, approximated by the sum of twelve uniform numbers. */
double random_normal(uint64_t *state);

#endif
