/* SPDX-License-Identifier: Apache-2.0 */
/* destination.c: the file that -o names. */
#include "destination.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interrupt.h"

/* How many names are tried for the file beside. */
#define DESTINATION_TRIES 100

/* Write on standard error why FILE cannot be written. Return -ERROR. */
static int destination_complain(struct output *output, const char *command, const char *file,
				int error, const char *why)
{
	output_complain(output, "%s: %s: %s%s", command, file, why, strerror(error));
	return -error;
}

/* Make a file of an unused name in the directory of the target. Return 0 or -errno. */
static int destination_beside(struct destination *destination)
{
	const char *slash = strrchr(destination->target, '/');

	for (int try = 0; try < DESTINATION_TRIES; try++) {
		uint64_t number;

		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			return -EIO;
		if (asprintf(&destination->beside, "%.*s/.varve-%016" PRIx64,
			     (int)(slash - destination->target), destination->target, number) < 0)
			output_memory(NULL);
		destination->fd = open(destination->beside,
				       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
		if (destination->fd >= 0)
			return 0;
		free(destination->beside);
		destination->beside = NULL;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/* Give the file beside the owner and the mode of the target, which STAT describes. */
static void destination_resemble(const struct destination *destination, const struct stat *stat)
{
	/*
	 * To give a file away takes privilege; without it the new file is the user's, as any other
	 * that is made there.
	 */
	bool own = fchown(destination->fd, stat->st_uid, stat->st_gid) == 0;

	(void)!fchmod(destination->fd, stat->st_mode & (own ? 07777 : 0777));
}

/* Set the target to FILE, which does not exist yet. Return 0 or -errno. */
static int destination_new(struct destination *destination, const char *file)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash ? slash + 1 : file;
	char *directory, *resolved;
	struct stat stat;

	/* It is there, but leads nowhere: cp refuses it, too. */
	if (lstat(file, &stat) == 0 || !*name)
		return -ENOENT;
	directory = output_memory(slash ? strndup(file, (size_t)(slash - file) + 1) : strdup("."));
	resolved = realpath(directory, NULL);
	free(directory);
	if (!resolved)
		return -errno;
	if (asprintf(&destination->target, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved,
		     name) < 0)
		output_memory(NULL);
	free(resolved);
	return 0;
}

/* Free everything. */
static void destination_clear(struct destination *destination)
{
	interrupt_unlink(NULL);
	free(destination->target);
	free(destination->beside);
	memset(destination, 0, sizeof(*destination));
	destination->fd = -EBADF;
}

int destination_open(struct destination *destination, struct output *output, const char *command,
		     const char *file)
{
	struct stat stat;
	int r = 0;

	*destination = (struct destination){ .name = "standard output", .fd = STDOUT_FILENO };
	if (!file || strcmp(file, "-") == 0)
		return 0;
	destination->name = file;
	destination->file = true;
	/*
	 * Nothing is truncated here; but a user without write permission may not replace the file
	 * either.
	 */
	destination->fd = open(file, O_WRONLY | O_CLOEXEC);
	if (destination->fd < 0 && errno != ENOENT)
		return destination_complain(output, command, file, errno, "");
	if (destination->fd >= 0 && (fstat(destination->fd, &stat) < 0 || !S_ISREG(stat.st_mode)))
		return 0;
	if (destination->fd < 0) {
		r = destination_new(destination, file);
		if (r == 0)
			r = destination_beside(destination);
		if (r < 0)
			destination_complain(output, command, file, -r, "");
	} else {
		close(destination->fd);
		destination->target = realpath(file, NULL);
		r = destination->target ? destination_beside(destination) : -errno;
		if (r == 0)
			destination_resemble(destination, &stat);
		else
			destination_complain(output, command, file, -r,
					     "no file can be written beside it: ");
	}
	if (r < 0)
		destination_clear(destination);
	else
		interrupt_unlink(destination->beside);
	return r;
}

int destination_close(struct destination *destination, struct output *output, const char *command,
		      bool keep)
{
	int r = 0;

	if (destination->file && close(destination->fd) < 0)
		r = destination_complain(output, command, destination->name, errno, "");
	if (destination->beside && r == 0 && keep &&
	    rename(destination->beside, destination->target) < 0)
		r = destination_complain(output, command, destination->name, errno, "");
	if (destination->beside && (r < 0 || !keep))
		unlink(destination->beside);
	destination_clear(destination);
	return r;
}
