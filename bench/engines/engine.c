/* SPDX-License-Identifier: Apache-2.0 */
/* The table of engines, and the loader of external ones. */
#include "engine.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "engines.h"

#define EXTERNAL "external:"

static const struct bench_engine *const engines[] = {
#define ENGINE(name) &engine_##name,
#include "list.h"
#undef ENGINE
};

const struct bench_engine *engine_at(size_t index)
{
	return index < sizeof(engines) / sizeof(*engines) ? engines[index] : NULL;
}

/* Load the engine in the shared object PATH, which stays loaded. */
static const struct bench_engine *engine_load(const char *path, char *error, size_t size)
{
	const struct bench_engine *engine;
	void *object = strchr(path, '/') ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;

	if (!object) {
		snprintf(error, size, "external:%s: %s", path,
			 strchr(path, '/') ? dlerror() : "not a path (it needs a '/')");
		return NULL;
	}
	engine = dlsym(object, BENCH_ENGINE_SYMBOL);
	if (!engine)
		snprintf(error, size, "external:%s: exports no symbol " BENCH_ENGINE_SYMBOL, path);
	else if (engine->version != BENCH_ENGINE_VERSION)
		snprintf(error, size,
			 "external:%s: for version %u of the interface, this is version %d", path,
			 engine->version, BENCH_ENGINE_VERSION);
	else if (!engine->name || !engine->kinds || !engine->open || !engine->queue ||
		 !engine->close)
		snprintf(error, size, "external:%s: lacks a name, kinds, open, queue or close",
			 path);
	else
		return engine;
	dlclose(object);
	return NULL;
}

const struct bench_engine *engine_find(const char *name, char *error, size_t size)
{
	/* The label after an '@' only distinguishes several uses of one engine. */
	size_t length = strcspn(name, "@");

	if (!strncmp(name, EXTERNAL, strlen(EXTERNAL)))
		return engine_load(name + strlen(EXTERNAL), error, size);
	for (size_t i = 0; i < sizeof(engines) / sizeof(*engines); i++)
		if (strlen(engines[i]->name) == length && !strncmp(engines[i]->name, name, length))
			return engines[i];
	snprintf(error, size, "%.100s: no such engine; --help=engines lists them", name);
	return NULL;
}
