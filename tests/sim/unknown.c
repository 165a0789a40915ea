/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that the model does not know: they end a schedule, so that none is answered wrongly. */
#include "wrap.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#define UNKNOWN(type, name, parameters, arguments)   \
	type __real_##name parameters;               \
	type __wrap_##name parameters;               \
	type __wrap_##name parameters                \
	{                                            \
		OUTSIDE(__real_##name arguments);    \
		sim_fail("unknown call: %s", #name); \
	}

UNKNOWN(int, mount, (const char *a, const char *b, const char *c, unsigned long d, const void *e),
	(a, b, c, d, e))
UNKNOWN(int, umount2, (const char *path, int flags), (path, flags))
UNKNOWN(int, access, (const char *path, int mode), (path, mode))
UNKNOWN(int, chmod, (const char *path, mode_t mode), (path, mode))
UNKNOWN(int, unlink, (const char *path), (path))
UNKNOWN(int, symlinkat, (const char *to, int fd, const char *path), (to, fd, path))
UNKNOWN(int, mknodat, (int fd, const char *path, mode_t mode, dev_t device),
	(fd, path, mode, device))
UNKNOWN(ssize_t, readlinkat, (int fd, const char *path, char *to, size_t size),
	(fd, path, to, size))
UNKNOWN(int, setxattr, (const char *path, const char *name, const void *of, size_t size, int flags),
	(path, name, of, size, flags))
UNKNOWN(int, lsetxattr,
	(const char *path, const char *name, const void *of, size_t size, int flags),
	(path, name, of, size, flags))
UNKNOWN(int, removexattr, (const char *path, const char *name), (path, name))
UNKNOWN(ssize_t, llistxattr, (const char *path, char *list, size_t size), (path, list, size))
UNKNOWN(void *, opendir, (const char *path), (path))
UNKNOWN(int, fsopen, (const char *name, unsigned flags), (name, flags))
UNKNOWN(ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
UNKNOWN(ssize_t, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
UNKNOWN(ssize_t, copy_file_range,
	(int from, off64_t *at, int to, off64_t *to_at, size_t size, unsigned flags),
	(from, at, to, to_at, size, flags))
UNKNOWN(int, posix_fadvise, (int fd, off_t offset, off_t size, int advice),
	(fd, offset, size, advice))
UNKNOWN(int, posix_spawnp,
	(pid_t * to, const char *file, const void *actions, const void *attributes,
	 char *const argv[], char *const envp[]),
	(to, file, actions, attributes, argv, envp))
UNKNOWN(int, pipe2, (int fds[2], int flags), (fds, flags))
UNKNOWN(int, timerfd_create, (int clock, int flags), (clock, flags))
UNKNOWN(int, fchdir, (int fd), (fd))
