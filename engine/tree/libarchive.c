/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/libarchive.h"
#include "engine/tree/libarchive_memory.h"

int libarchive_load(struct libarchive *lib)
{
	static const char *const names[] = { LIBARCHIVE_CALLS(LIBRARY_NAME) };
	int r = library_load(LIBARCHIVE_SONAME, names, ARRAY_SIZE(names), lib);

	lib->led = !r && libarchive_memory_lead();
	return r;
}
