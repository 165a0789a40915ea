/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz target of apply.c, as libFuzzer and replay.c call it. */
#ifndef FUZZ_APPLY_H
#define FUZZ_APPLY_H

#include <stddef.h>
#include <stdint.h>

/** Run one input. Returns 0; aborts when something is wrong. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Close the store. */
void apply_end(void);

#endif
