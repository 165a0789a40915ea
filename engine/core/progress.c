/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/core/progress.h"
#include "engine/core/completion.h"
#include "engine/core/core.h"
#include "engine/core/handle.h"

/* The watch of REQUEST, NULL for none. */
static struct watch *progress_watch_of(const struct request *request)
{
	return atomic_load_explicit(&request->core->slots[(uint32_t)request->handle - 1].watch,
				    memory_order_acquire);
}

void progress_forget(struct request *request)
{
	struct watch *watch = progress_watch_of(request);

	request->ready = false;
	if (!watch)
		return;
	atomic_store(&watch->due_ns, 0);
	list_remove(&watch->link);
}

/* The progress of REQUEST. */
static struct varve_progress progress_copy(const struct request *request)
{
	const struct progress *progress = request->progress;

	if (!progress)
		return (struct varve_progress){ .size = sizeof(struct varve_progress) };
	return (struct varve_progress){ sizeof(struct varve_progress), progress->entries,
					progress->bytes, progress->left };
}

int progress_deliver(struct core *core, unsigned max)
{
	struct list *link;
	int n = 0;

	for (;
	     !core->closing && (!max || (unsigned)n < max) && (link = list_pop(&core->progressed));
	     n++) {
		struct watch *watch = list_entry(link, struct watch, link);
		varve_progress_callback *callback = watch->callback;
		void *user_data = watch->user_data;
		struct request *request = watch->request;
		struct varve_progress copy = progress_copy(request);

		/* It can end meanwhile, but not be freed. */
		core->reporting = request;
		pthread_mutex_unlock(&core->lock);
		callback(core->store, request->handle, &copy, user_data);
		pthread_mutex_lock(&core->lock);
		core->reporting = NULL;
		if (core->waiters)
			pthread_cond_broadcast(&core->changed);
	}
	return n;
}

int progress_get(struct core *core, varve_request handle, struct varve_progress *ret_progress)
{
	struct request *request;
	int r = handle_lock(core, handle, &request);

	if (r)
		return r;
	*ret_progress = progress_copy(request);
	pthread_mutex_unlock(&core->lock);
	return 0;
}

/* Set the watch of REQUEST, with the lock held. 0 or -ENOMEM. */
static int progress_set_watch(struct request *request, varve_progress_callback *callback,
			      void *user_data)
{
	struct request_slot *slot = &request->core->slots[(uint32_t)request->handle - 1];
	struct watch *watch = slot->watch, *made = NULL;

	if (!watch) {
		if (!callback)
			return 0;
		watch = made = fault_calloc(&request->core->io.fault, 1, sizeof(*made));
		if (!made)
			return -ENOMEM;
		list_init(&made->link);
		made->request = request;
	}
	watch->callback = callback;
	watch->user_data = user_data;
	atomic_store(&watch->due_ns, callback ? now_ns() + PROGRESS_INTERVAL_NS : 0);
	list_remove(&watch->link);
	if (made)
		atomic_store_explicit(&slot->watch, made, memory_order_release);
	return 0;
}

int progress_watch(struct core *core, varve_request handle, varve_progress_callback *callback,
		   void *user_data)
{
	struct request *request;
	int r = handle_lock(core, handle, &request);

	if (r)
		return r;
	r = progress_set_watch(request, callback, user_data);
	pthread_mutex_unlock(&core->lock);
	return r;
}

void progress_made(struct request *request)
{
	struct watch *watch = progress_watch_of(request);
	struct core *core = request->core;
	uint64_t due = watch ? atomic_load_explicit(&watch->due_ns, memory_order_relaxed) : 0, now;

	if (!due || (now = now_ns()) < due)
		return;
	pthread_mutex_lock(&core->lock);
	/* Another thread may have been first, or the caller have ended the watch. */
	if (atomic_compare_exchange_strong(&watch->due_ns, &due, now + PROGRESS_INTERVAL_NS)) {
		list_remove(&watch->link);
		list_append(&core->progressed, &watch->link);
		completion_signal(core);
	}
	pthread_mutex_unlock(&core->lock);
}
