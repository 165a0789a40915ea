/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/fault.h"
#include "engine/base/util.h"

#include <errno.h>
#include <string.h>

/* Fewest elements that room is made for. */
#define RESERVE_LEAST 64

void fault_arm(struct fault *fault, enum fault_point point, long nth, int error, bool persistent)
{
	atomic_store(&fault->armed, false);
	for (int i = 0; i < FAULT_POINTS; i++) {
		atomic_store(&fault->countdown[i], 0);
		atomic_store(&fault->passed[i], 0);
	}
	atomic_store(&fault->hits, 0);
	atomic_store(&fault->error, error);
	atomic_store(&fault->persistent, persistent);
	atomic_store(&fault->countdown[point], nth);
	atomic_store(&fault->armed, nth > 0);
}

int fault_pass(struct fault *fault, enum fault_point point)
{
	long nth = atomic_load(&fault->countdown[point]);
	long passed = atomic_fetch_add(&fault->passed[point], 1) + 1;

	if (!nth || passed < nth || (passed > nth && !atomic_load(&fault->persistent)))
		return 0;
	atomic_fetch_add(&fault->hits, 1);
	return atomic_load(&fault->error);
}

int fault_reserve(struct fault *fault, void *array, size_t used, size_t count, size_t *capacity,
		  size_t size)
{
	size_t grown = MAX(*capacity * 2, MAX(used + count, (size_t)RESERVE_LEAST));
	void *memory;

	if (used + count <= *capacity)
		return 0;
	/* Of whatever type the pointer is. */
	memcpy(&memory, array, sizeof(memory));
	memory = fault_realloc(fault, memory, grown * size);
	if (!memory)
		return -ENOMEM;
	memcpy(array, &memory, sizeof(memory));
	*capacity = grown;
	return 0;
}
