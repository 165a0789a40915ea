/* SPDX-License-Identifier: Apache-2.0 */
/*
 * destination.h: the file that -o names.
 *
 * A regular file is written beside its place, in the same directory, and renamed into it once it is
 * whole: a request that fails leaves what was there. A symbolic link is followed, as cp does. A
 * device, a pipe or a socket is written directly.
 */
#ifndef VARVE_CLI_DESTINATION_H
#define VARVE_CLI_DESTINATION_H

#include <stdbool.h>

#include "output.h"

/* A file to write. Begins zeroed. */
struct destination {
	/* As the user named it; "standard output" where it is that. */
	const char *name;
	/* Where to write. */
	int fd;
	/* The descriptor is not standard output's. */
	bool file;
	/* The file to replace, no link; NULL: it is written directly. */
	char *target;
	/* The file that is written until it is whole; NULL: it is written directly. */
	char *beside;
};

/*
 * Open FILE (NULL or "-": standard output) for COMMAND, which begins the messages. Return 0, or
 * -errno after a message.
 */
int destination_open(struct destination *destination, struct output *output, const char *command,
		     const char *file);

/*
 * End. With KEEP what was written takes the place of the file, otherwise it is removed. Return 0,
 * or -errno after a message; what was there is untouched then.
 */
int destination_close(struct destination *destination, struct output *output, const char *command,
		      bool keep);

#endif
