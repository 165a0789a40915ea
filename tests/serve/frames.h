/* SPDX-License-Identifier: Apache-2.0 */
/* frames.h: what a client may send, in frames or not: the fuzz target "frames". */
#ifndef TESTS_SERVE_FRAMES_H
#define TESTS_SERVE_FRAMES_H

#include <stddef.h>
#include <stdint.h>

/* Run one input; aborts when something is wrong. */
void frames_run(const uint8_t *data, size_t size);

/* How many calls have ended with STATUS. */
unsigned frames_ended(unsigned status);

#endif
