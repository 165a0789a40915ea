/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz targets, as fuzzer.c and replay.c call them. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* A fuzz target. */
struct fuzz_target {
	const char *name;
	/* Run one input; aborts when something is wrong. */
	void (*run)(const uint8_t *data, size_t size);
	/* Free what is kept from input to input. */
	void (*end)(void);
};

extern const struct fuzz_target fuzz_apply, fuzz_compress;
/* That of the daemon, in tests/serve: it is not there where the daemon cannot be built. */
extern const struct fuzz_target fuzz_frames __attribute__((weak));

/* Find the target NAME; NULL: there is none. */
const struct fuzz_target *fuzz_find(const char *name);

#endif
