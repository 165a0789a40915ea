/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tree/mounts.h"
#include "engine/base/util.h"
#include "engine/tree/layer.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

/* What a mount is that is but looked at. */
#define MOUNTS_LOOK (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME)

/* Is LINE of mountinfo about a mount on mount PARENT, at a path with PART in it? */
static bool mounts_line(const char *line, unsigned long long parent, const char *part)
{
	unsigned long long number;
	int at = 0;

	if (sscanf(line, "%*u %llu %*s %*s %n", &number, &at) < 1 || !at)
		return false;
	return number == parent && (!part || strstr(line + at, part));
}

bool mounts_below(int fd, const char *id)
{
	char part[sizeof(LAYER_PLACE) + VARVE_ID_MAX + 3];
	FILE *file = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	struct statx stat;
	bool found = false;

	if (!file)
		return true;
	/* Such bytes are written as \\ooo there; then any mount beside the layer's own counts. */
	snprintf(part, sizeof(part), "/%s/%s/", LAYER_PLACE, id);
	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stat) || !(stat.stx_mask & STATX_MNT_ID))
		found = true;
	while (!found && getline(&line, &size, file) > 0)
		found = mounts_line(line, stat.stx_mnt_id, id[strcspn(id, " \t\n\\#")] ? NULL : part);
	fclose(file);
	return found;
}

/* mounts_clone(), with LOOK mounts_clone_look(). */
static int mounts_clone_with(int *fd, bool look)
{
	/* The clone may share its original's peers, and then gets what is mounted there; not from here on. */
	struct mount_attr attr = { .propagation = MS_PRIVATE };
	struct mount_attr looking = { .attr_set = MOUNTS_LOOK, .attr_clr = MOUNT_ATTR__ATIME };
	_cleanup_close_ int tree = open_tree(*fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int clone = -EBADF;

	/* What is locked in a user namespace stays as it is: that is for safety's sake alone. */
	if (tree >= 0 && look)
		mount_setattr(tree, "", AT_EMPTY_PATH, &looking, sizeof(looking));
	if (tree >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) >= 0)
		clone = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (clone < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? negative_errno() : 0;
	fd_close(*fd);
	*fd = clone;
	return 1;
}

int mounts_clone(int *fd)
{
	return mounts_clone_with(fd, false);
}

int mounts_clone_look(int *fd)
{
	return mounts_clone_with(fd, true);
}

/* Turn the \\ooo of mountinfo in PATH into the bytes they stand for, in place. */
static void mounts_unescape(char *path)
{
	char *to = path;

	for (; *path; to++) {
		if (path[0] == '\\' && path[1] && path[2] && path[3]) {
			*to = (char)((path[1] - '0') * 64 + (path[2] - '0') * 8 + (path[3] - '0'));
			path += 4;
		} else
			*to = *path++;
	}
	*to = '\0';
}

/* Is PATH the directory ABOVE, or below it? Whole components count. */
static bool mounts_within(const char *path, const char *above)
{
	size_t length = strlen(above);

	return !strncmp(path, above, length) && (!path[length] || path[length] == '/');
}

/* Detach the mounts at PATH and below, the last one first, as the list has those that lie on others behind them. */
static int mounts_detach_path(const char *path)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL, *last = NULL;
	size_t size = 0;
	int r = 0;

	if (!file)
		return negative_errno();
	while (!r && getline(&line, &size, file) > 0) {
		_cleanup_free_ char *point = NULL;

		if (sscanf(line, "%*u %*u %*s %*s %ms", &point) != 1)
			continue;
		mounts_unescape(point);
		if (!mounts_within(point, path))
			continue;
		free(last);
		last = strdup(point);
		r = last ? 0 : -ENOMEM;
	}
	fclose(file);
	if (r || !last)
		return r;
	return umount2(last, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? negative_errno() : 1;
}

int mounts_detach(int dir_fd, const char *name)
{
	_cleanup_free_ char *path = malloc(PATH_MAX);
	char link[40];
	ssize_t length;
	int count = 0, r;

	if (!path)
		return -ENOMEM;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
	length = readlink(link, path, PATH_MAX);
	if (length < 0)
		return negative_errno();
	if (snprintf(path + length, (size_t)(PATH_MAX - length), "/%s", name) >= PATH_MAX - length)
		return -ENAMETOOLONG;
	while ((r = mounts_detach_path(path)) > 0)
		count++;
	return r < 0 && !count ? r : count;
}

/* Go through mountinfo for mount NUMBER (0: any) of SOURCE (NULL: any); the last one's source and point, each to be freed. */
static int mounts_look(uint64_t number, const char *source, char **ret_source, char **ret_point)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int r = 0;

	if (!file)
		return negative_errno();
	while (getline(&line, &size, file) > 0) {
		_cleanup_free_ char *point = NULL, *from = NULL;
		unsigned long long id;
		const char *rest = strstr(line, " - ");

		if (!rest || sscanf(line, "%llu %*u %*s %*s %ms", &id, &point) != 2 || sscanf(rest, " - %*s %ms", &from) != 1)
			continue;
		mounts_unescape(point);
		mounts_unescape(from);
		if ((number && id != number) || (source && strcmp(from, source)))
			continue;
		free(*ret_source);
		free(*ret_point);
		*ret_source = TAKE_PTR(from);
		*ret_point = TAKE_PTR(point);
		r = 1;
	}
	fclose(file);
	return r;
}

int mounts_find(const char *source, char **ret_point)
{
	_cleanup_free_ char *from = NULL;

	*ret_point = NULL;
	return mounts_look(0, source, &from, ret_point);
}

int mounts_source(uint64_t number, char **ret_source)
{
	_cleanup_free_ char *point = NULL;

	*ret_source = NULL;
	return mounts_look(number, NULL, ret_source, &point);
}

void mounts_wait(int timeout_ms)
{
	_cleanup_close_ int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	struct pollfd pollfd = { .fd = fd, .events = POLLPRI };

	poll(&pollfd, 1, timeout_ms);
}
