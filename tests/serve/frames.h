/* SPDX-License-Identifier: Apache-2.0 */
/* frames.h: a fuzz target: what a client may send, in frames or not. */
#ifndef TESTS_SERVE_FRAMES_H
#define TESTS_SERVE_FRAMES_H

#include <stddef.h>
#include <stdint.h>

/** Run one input. Returns 0; fails or aborts when something is wrong. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** How many calls have ended with STATUS. */
unsigned frames_ended(unsigned status);

#endif
