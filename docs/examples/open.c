/* SPDX-License-Identifier: Apache-2.0 */
/* Open a store and close it again; an id that no layer can have; a home that is not there. */
#include "example.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Expect a home that does not exist to be refused when it must exist, and the output to be left alone. */
static int expect_missing(const char *home)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	struct varve_failure failure;
	struct varve_store *store = NULL;
	char missing[4096];
	int ret;

	snprintf(missing, sizeof(missing), "%s/not-there", home);
	config.home = missing;
	config.flags = VARVE_OPEN_EXISTING;
	ret = varve_open(&config, &store, &failure);
	if (ret != -ENOENT || store != NULL || failure.error != ret) {
		fprintf(stderr, "opened %s: %d, expected %d\n", missing, ret, -ENOENT);
		return 1;
	}
	return 0;
}

/* Run. */
int main(int argc, char **argv)
{
	struct varve_store *store = example_open(argc, argv);
	struct varve_failure failure;
	char line[2048];

	printf("varve %s, header %s\n", varve_version(), VARVE_VERSION_STRING);
	if (varve_id_check("../etc", &failure) == 0)
		return 1;
	puts(varve_strerror(&failure, line, sizeof(line)));
	varve_close(store);
	return expect_missing(argv[1]);
}
