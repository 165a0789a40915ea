/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz targets by name, and what libFuzzer calls: VARVE_FUZZ_TARGET says which one is run. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct fuzz_target *target;

const struct fuzz_target *fuzz_find(const char *name)
{
	static const struct fuzz_target *const all[] = { &fuzz_apply, &fuzz_compress,
							 &fuzz_frames };

	for (size_t i = 0; name && i < sizeof(all) / sizeof(*all); i++)
		if (all[i] && !strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	target = fuzz_find(getenv("VARVE_FUZZ_TARGET"));
	if (!target) {
		fprintf(stderr, "VARVE_FUZZ_TARGET names no target\n");
		exit(1);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	target->run(data, size);
	return 0;
}
