/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

int library_load(const char *soname, const char *const *names, size_t count, void *functions)
{
	void *handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	bool whole = handle;

	for (size_t i = 0; whole && i < count; i++) {
		void *function = dlsym(handle, names[i]);

		/* Pointers to functions and to data are of one size where there is dlsym(). */
		memcpy((char *)functions + i * sizeof(function), &function, sizeof(function));
		whole = function;
	}
	if (handle)
		dlclose(handle);
	return whole ? 0 : -ENOTSUP;
}
