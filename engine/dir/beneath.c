/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dir/beneath.h"
#include "engine/base/util.h"

#include <fcntl.h>
#include <string.h>

/* Bytes of a path that are resolved in one go: whole names only, and less than PATH_MAX. */
#define BENEATH_PIECE_BYTES 4000

/*
 * Times that a path of several names is looked for. -EXDEV also means that it was renamed out of
 * the directory meanwhile: the next look then finds another answer, and a mount stays.
 */
#define BENEATH_TRIES 3

/* Open PATH, which is short enough, below DIR_FD. */
static int beneath_piece(int dir_fd, const char *path, uint64_t flags)
{
	bool one = *path && *path != '.' && !strchr(path, '/');
	struct call call;
	int fd, tries = one ? 1 : BENEATH_TRIES;

	do {
		call_openat2(&call, dir_fd, *path ? path : ".", flags,
			     (one ? BENEATH_RESOLVE_ONE : BENEATH_RESOLVE) | RESOLVE_NO_XDEV);
		fd = call_run(&call);
	} while (fd == -EXDEV && --tries);
	return fd;
}

int beneath_open(int root_fd, const char *path, uint64_t flags)
{
	_cleanup_close_ int owned = -EBADF;
	int dir_fd = root_fd;

	path += strspn(path, "/");
	while (strlen(path) > BENEATH_PIECE_BYTES) {
		char piece[BENEATH_PIECE_BYTES + 1];
		const char *end = memrchr(path, '/', BENEATH_PIECE_BYTES);
		int fd;

		if (!end)
			return -ENAMETOOLONG;
		memcpy(piece, path, (size_t)(end - path));
		piece[end - path] = '\0';
		fd = beneath_piece(dir_fd, piece, O_PATH | O_DIRECTORY | O_NOFOLLOW);
		if (fd < 0)
			return fd;
		fd_close(owned);
		dir_fd = owned = fd;
		path = end + strspn(end, "/");
	}
	return beneath_piece(dir_fd, path, flags | O_NOFOLLOW);
}

int beneath_open_list(int root_fd, const char *path)
{
	const uint64_t flags = O_RDONLY | O_DIRECTORY;
	int fd = beneath_open(root_fd, path, flags | O_NOATIME);

	/* Only the owner may ask for that. */
	return fd == -EPERM ? beneath_open(root_fd, path, flags) : fd;
}
