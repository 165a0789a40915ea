/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.c: see lock.h. The kernel drops the locks with the process, however that ends. The file
 * stays, since one that is removed could be locked by one daemon while another makes a new one. A
 * person may remove it all the same: hence the directory, which is the daemon's user's alone, so
 * that no other can lock it.
 */
#include "lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "complain.h"

/* Bytes of a process id as text; of a line of /proc/locks, and more. */
#define LOCK_PID_BYTES 32
#define LOCK_LINE_BYTES 256

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

/*
 * Write this process's id into the file FD. That helps people alone: on a full file system the lock
 * holds without it. It is opened for that anew: one that stays open for writing would keep the file
 * system from a remount,ro.
 */
static void lock_sign(int fd)
{
	char path[sizeof("/proc/self/fd/") + LOCK_PID_BYTES];
	int file;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	file = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (file < 0)
		return;
	dprintf(file, "%d\n", (int)getpid());
	close(file);
}

/* Has process PID the directory of STATUS open? False, too, where we may not look. */
static bool lock_opened_by(int pid, const struct stat *status)
{
	char path[sizeof("/proc//fd") + LOCK_PID_BYTES];
	const struct dirent *entry;
	bool found = false;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	fds = opendir(path);
	while (fds && !found && (entry = readdir(fds))) {
		struct stat other;

		found = fstatat(dirfd(fds), entry->d_name, &other, AT_NO_AUTOMOUNT) == 0 &&
			other.st_ino == status->st_ino && other.st_dev == status->st_dev;
	}
	if (fds)
		closedir(fds);
	return found;
}

/* The process that has the lock of the directory FD; 0: that is not known. */
static int lock_holder(int fd)
{
	FILE *file = fopen("/proc/locks", "re");
	char line[LOCK_LINE_BYTES];
	struct stat status;
	int holder = 0;

	if (!file)
		return 0;
	while (!holder && fstat(fd, &status) == 0 && fgets(line, sizeof(line), file)) {
		unsigned long long inode;
		int pid;

		/* The line has the file system and the inode, which other subvolumes have, too. */
		if (sscanf(line, "%*s FLOCK %*s WRITE %d %*x:%*x:%llu ", &pid, &inode) == 2 &&
		    inode == status.st_ino && pid > 0 && lock_opened_by(pid, &status))
			holder = pid;
	}
	fclose(file);
	return holder;
}

/* Lock the directory of the layers in HOME: a descriptor, or -errno after a message. */
static int lock_directory(const char *home)
{
	int fd = -1, holder, r;
	char *path;

	if (asprintf(&path, "%s/subvolumes", home) < 0) {
		complain("no memory");
		return -ENOMEM;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	r = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : fd;
	holder = r == -EWOULDBLOCK ? lock_holder(fd) : 0;
	if (holder)
		complain("%s: process %d serves this home already", home, holder);
	else if (r == -EWOULDBLOCK)
		complain("%s: another process has the lock of this home", home);
	else if (r < 0)
		complain("%s: the lock of the home cannot be taken: %s", path, strerror(-r));
	free(path);
	if (r < 0 && fd >= 0)
		close(fd);
	return r == -EWOULDBLOCK ? -EBUSY : r;
}

/* Is the file FD the one at PATH? 0, -ESTALE: it is not, or another -errno. */
static int lock_named(int fd, const char *path)
{
	struct stat by_fd, by_name;

	if (fstat(fd, &by_fd) < 0 || lstat(path, &by_name) < 0)
		return -errno;
	return by_fd.st_ino == by_name.st_ino && by_fd.st_dev == by_name.st_dev ? 0 : -ESTALE;
}

/* Lock the file in HOME: a descriptor, or -errno after a message. */
static int lock_file(const char *home)
{
	struct stat status;
	char *path;
	int fd, r;

	if (asprintf(&path, "%s/serve.lock", home) < 0) {
		complain("no memory");
		return -ENOMEM;
	}
	fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	r = fd < 0 ? -errno : 0;
	/* Where others can write into the home, it may be theirs, or another name of any file. */
	if (!r && fstat(fd, &status) < 0)
		r = -errno;
	if (!r && (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || status.st_nlink != 1))
		r = -EPERM;
	if (!r && flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = -errno;
	/* It may have been removed before it was locked. */
	if (!r)
		r = lock_named(fd, path);
	if (r == -EWOULDBLOCK)
		r = lock_busy(home, fd);
	else if (r < 0)
		complain("%s: the lock of the home cannot be taken: %s", path, strerror(-r));
	if (!r)
		lock_sign(fd);
	free(path);
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

int lock_home(struct lock *lock, const char *home)
{
	lock->directory = lock_directory(home);
	if (lock->directory < 0)
		return lock->directory;
	lock->file = lock_file(home);
	return lock->file < 0 ? lock->file : 0;
}

void lock_release(struct lock *lock)
{
	if (lock->directory >= 0)
		close(lock->directory);
	if (lock->file >= 0)
		close(lock->file);
	lock->file = lock->directory = -1;
}
