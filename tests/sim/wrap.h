/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function in the place of libc's, or of the engine's: tests/sim/suite.mk finds the lines that
 * begin with WRAP, and has the linker put them there. The first line of each is OUTSIDE.
 */
#ifndef SIM_WRAP_H
#define SIM_WRAP_H

#include "tasks.h"

#define WRAP(type, name, ...)           \
	type __real_##name __VA_ARGS__; \
	type __wrap_##name __VA_ARGS__; \
	type __wrap_##name __VA_ARGS__

/* Outside of the simulation make the real CALL. */
#define OUTSIDE(call)                \
	do {                         \
		if (!sim.current)    \
			return call; \
	} while (0)

#endif
