/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/fault.h"

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
