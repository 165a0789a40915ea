/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/handle.h"
#include "engine/core/core.h"

struct request *handle_find(struct core *core, varve_request handle)
{
	uint32_t index = (uint32_t)handle - 1;

	if (index >= core->requests_max || core->slots[index].generation != handle >> 32)
		return NULL;
	return core->slots[index].request;
}

void handle_retire(struct core *core, struct request *request)
{
	uint32_t index = (uint32_t)request->handle - 1;
	struct request_slot *slot = &core->slots[index];

	/* Set and freed under the lock; an exchange each time would cost as much as taking that. */
	if (atomic_load_explicit(&slot->watch, memory_order_relaxed))
		free(atomic_exchange(&slot->watch, NULL));
	slot->request = NULL;
	slot->generation++;
	slot->next_free = core->slots_free;
	core->slots_free = index;
	core->requests--;
	if (core->waiters)
		pthread_cond_broadcast(&core->changed);
}

int handle_lock(struct core *core, varve_request handle, struct request **ret_request)
{
	if (!core_here(core))
		return -ECHILD;
	pthread_mutex_lock(&core->lock);
	*ret_request = handle_find(core, handle);
	if (*ret_request)
		return 0;
	pthread_mutex_unlock(&core->lock);
	return -ENOENT;
}

int handle_cancel(struct core *core, varve_request handle)
{
	struct request *request;
	int r = handle_lock(core, handle, &request);

	if (r)
		return r;
	atomic_store(&request->cancelled, true);
	pthread_mutex_unlock(&core->lock);
	atomic_store(&core->cancels, true);
	io_interrupt(&core->io);
	return 0;
}
