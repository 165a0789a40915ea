/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/pace.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

/* AVERAGE moved towards VALUE by one part in PARTS; the first value is the average. */
static uint64_t pace_average(uint64_t average, uint64_t value, int64_t parts)
{
	return average ? average + (uint64_t)(((int64_t)value - (int64_t)average) / parts) : value;
}

void pace_created(struct pace *pace, uint64_t latency_ns, bool loaded)
{
	pace->quiet_ns = pace_average(pace->quiet_ns, latency_ns,
				      loaded ? PACE_FORGET_PARTS : PACE_AVERAGE_PARTS);
	if (loaded)
		pace->loaded_ns = pace_average(pace->loaded_ns, latency_ns, PACE_AVERAGE_PARTS);
	else
		pace->loaded_ns = 0;
}

void pace_sliced(struct pace *pace, uint64_t now_ns, unsigned count, uint64_t worked_ns)
{
	pace->ended_ns = now_ns;
	pace->worked_ns = worked_ns;
	pace->destroy_ns = pace_average(pace->destroy_ns, worked_ns / count, PACE_AVERAGE_PARTS);
}

/* How long nothing is destroyed after a slice. */
static uint64_t pace_gap(const struct pace *pace, const struct pace_view *view)
{
	bool slow = pace->loaded_ns > pace->quiet_ns * PACE_SLOW_FACTOR;

	if (view->blocked)
		return PACE_WAIT_MAX_NS;
	/*
	 * The store's own commits make tasks wait for the disk, too: beside creates, those tell
	 * more.
	 */
	if (view->busy ? slow : view->pressed)
		return MIN(pace->worked_ns, PACE_WAIT_MAX_NS);
	return view->busy ? MIN(pace->worked_ns / PACE_GAP_PART, PACE_WAIT_MAX_NS) : 0;
}

/* How long a slice may take. */
static uint64_t pace_length(const struct pace *pace, const struct pace_view *view)
{
	uint64_t part = pace->quiet_ns / PACE_CREATE_PART;

	if (!view->busy)
		return DESTROY_SLICE_NS;
	return part ? MIN(part, DESTROY_SLICE_NS) : DESTROY_SLICE_NS / PACE_CREATE_PART;
}

unsigned pace_slice(const struct pace *pace, const struct pace_view *view, uint64_t *ret_at_ns)
{
	uint64_t count;

	*ret_at_ns = pace->ended_ns + pace_gap(pace, view);
	if (view->urgent)
		return UINT_MAX;
	if (view->now_ns < *ret_at_ns)
		return 0;
	/* The first one tells how long one takes. */
	count = pace->destroy_ns && !view->blocked ? pace_length(pace, view) / pace->destroy_ns : 1;
	return (unsigned)MIN(MAX(count, UINT64_C(1)), (uint64_t)PACE_SLICE_MAX);
}
