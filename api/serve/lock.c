/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.c: see lock.h. The kernel drops the lock with the process, however that ends; the file
 * stays, since one that is removed could be locked by one daemon while another makes a new one.
 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "complain.h"

/* Bytes of a process id as text. */
#define LOCK_PID_BYTES 32

/*
 * Say which process has the lock FD of HOME. Return -EBUSY. Where the process that signed the file
 * is gone, another program has the lock, or a daemon that has not signed yet.
 */
static int lock_busy(const char *home, int fd)
{
	char text[LOCK_PID_BYTES] = "";
	pid_t pid = 0;

	if (pread(fd, text, sizeof(text) - 1, 0) > 0)
		pid = (pid_t)strtol(text, NULL, 10);
	if (pid > 0 && (kill(pid, 0) == 0 || errno != ESRCH))
		complain("%s: process %d serves this home already", home, (int)pid);
	else
		complain("%s: another process has the lock of this home", home);
	return -EBUSY;
}

/* Write this process's id into the file FD: 0 or -errno. */
static int lock_sign(int fd)
{
	char text[LOCK_PID_BYTES];
	int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length)
		return errno ? -errno : -EIO;
	return 0;
}

int lock_home(const char *home)
{
	struct stat status;
	char *path;
	int fd, r;

	if (asprintf(&path, "%s/serve.lock", home) < 0) {
		complain("no memory");
		return -ENOMEM;
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	r = fd < 0 ? -errno : 0;
	/* Where others can write into the home, it may be theirs, or another name of any file. */
	if (!r && fstat(fd, &status) < 0)
		r = -errno;
	if (!r && (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || status.st_nlink != 1))
		r = -EPERM;
	if (!r && flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = -errno;
	if (r == -EWOULDBLOCK)
		r = lock_busy(home, fd);
	else if (r < 0)
		complain("%s: the lock of the home cannot be taken: %s", path, strerror(-r));
	/* The id helps people alone: on a full file system the lock holds without it. */
	if (!r)
		lock_sign(fd);
	free(path);
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}
