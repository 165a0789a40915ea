/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/libarchive.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

int libarchive_load(struct libarchive *lib)
{
	void *handle = dlopen(LIBARCHIVE_SONAME, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	bool whole = handle;

#define LIBARCHIVE_LOOK_UP(name) whole = whole && (lib->name = (__typeof__(lib->name))dlsym(handle, #name));
	LIBARCHIVE_CALLS(LIBARCHIVE_LOOK_UP)
#undef LIBARCHIVE_LOOK_UP
	if (handle)
		dlclose(handle);
	return whole ? 0 : -ENOTSUP;
}
