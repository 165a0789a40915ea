/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that look random and are the same in each run, by the state that they are drawn from. */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

/* Draw the next random number from *STATE. */
uint64_t random_next(uint64_t *state);

/* Draw a number in [0, 1). */
double random_share(uint64_t *state);

/* Draw from the normal distribution, well enough: the sum of twelve even ones. */
double random_normal(uint64_t *state);

#endif
