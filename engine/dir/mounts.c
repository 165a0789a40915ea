/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dir/mounts.h"
#include "engine/base/util.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* Flags of a mount that is only looked at. */
#define MOUNTS_LOOK                                                                     \
	(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | \
	 MOUNT_ATTR_NOATIME)

/* mounts_clone(), with LOOK mounts_clone_look(). */
static int mounts_clone_with(int *fd, int *ret_tree, bool look)
{
	/* A clone that shares the original's peers would get what is mounted there later. */
	struct mount_attr attr = { .propagation = MS_PRIVATE };
	struct mount_attr looking = { .attr_set = MOUNTS_LOOK, .attr_clr = MOUNT_ATTR__ATIME };
	_cleanup_close_ int tree = open_tree(*fd, "",
					     AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int clone = -EBADF;

	/* A precaution: in a user namespace locked flags cannot be changed. */
	if (tree >= 0 && look)
		mount_setattr(tree, "", AT_EMPTY_PATH, &looking, sizeof(looking));
	if (tree >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) >= 0)
		clone = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (clone < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? negative_errno() : 0;
	fd_close(*fd);
	*fd = clone;
	*ret_tree = TAKE_FD(tree);
	return 1;
}

int mounts_clone(int *fd, int *ret_tree)
{
	return mounts_clone_with(fd, ret_tree, false);
}

int mounts_clone_look(int *fd, int *ret_tree)
{
	return mounts_clone_with(fd, ret_tree, true);
}

void mounts_unescape(char *path)
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

/* A mount, as listed in mountinfo. */
struct mounts_entry {
	unsigned long long id, parent;
	unsigned major, minor;
	/*
	 * The directory of its file system that is its root, and where it is mounted. On the heap.
	 */
	char *root, *point;
};

/* All mounts of the namespace. */
struct mounts_list {
	struct mounts_entry *entries;
	size_t count, room;
};

static void mounts_list_free(struct mounts_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->entries[i].root);
		free(list->entries[i].point);
	}
	free(list->entries);
}

/*
 * Add the mount in LINE to LIST. 0 or -ENOMEM. Fields end at a blank: the kernel escapes that and
 * tabs in names, but none of the other white space that %s ends at.
 */
static int mounts_list_add(struct mounts_list *list, const char *line)
{
	struct mounts_entry entry = { 0 };

	if (sscanf(line, "%llu %llu %u:%u %m[^ ] %m[^ ]", &entry.id, &entry.parent, &entry.major,
		   &entry.minor, &entry.root, &entry.point) != 6) {
		free(entry.root);
		return 0;
	}
	if (list->count == list->room) {
		size_t room = MAX(2 * list->room, (size_t)64);
		struct mounts_entry *entries = reallocarray(list->entries, room, sizeof(*entries));

		if (!entries) {
			free(entry.root);
			free(entry.point);
			return -ENOMEM;
		}
		list->entries = entries;
		list->room = room;
	}
	mounts_unescape(entry.root);
	mounts_unescape(entry.point);
	list->entries[list->count++] = entry;
	return 0;
}

/* Order mounts by their numbers. */
static int mounts_list_order(const void *a, const void *b)
{
	const struct mounts_entry *first = a, *second = b;

	return (first->id > second->id) - (first->id < second->id);
}

/* Read all mounts of the namespace. */
static int mounts_list_read(struct mounts_list *list)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int r = 0;

	if (!file)
		return negative_errno();
	while (!r && getline(&line, &size, file) > 0)
		r = mounts_list_add(list, line);
	fclose(file);
	if (list->count)
		qsort(list->entries, list->count, sizeof(*list->entries), mounts_list_order);
	return r;
}

/* Find mount ID; NULL: it is not in this namespace. */
static const struct mounts_entry *mounts_list_find(const struct mounts_list *list,
						   unsigned long long id)
{
	struct mounts_entry key = { .id = id };

	return list->count
		       ? bsearch(&key, list->entries, list->count, sizeof(key), mounts_list_order)
		       : NULL;
}

/* Return what follows ABOVE in PATH, compared by whole components, or NULL if PATH is elsewhere. */
static const char *mounts_within(const char *path, const char *above)
{
	size_t length = strcmp(above, "/") ? strlen(above) : 0;

	return !strncmp(path, above, length) && (!path[length] || path[length] == '/')
		       ? path + length
		       : NULL;
}

/*
 * Get the path in its file system of PATH, which is in MOUNT, to be freed; NULL: it is not in that
 * mount, or no memory.
 */
static char *mounts_position(const struct mounts_entry *mount, const char *path)
{
	const char *rest = mounts_within(path, mount->point);
	char *position;

	if (!rest ||
	    asprintf(&position, "%s%s", strcmp(mount->root, "/") ? mount->root : "", rest) < 0)
		return NULL;
	return position;
}

/*
 * Find a mount of LIST at or below POSITION in the file system of mount HERE, by whichever mount of
 * that file system. *RET_BELOW, unless that is NULL, gets its path below POSITION ("": itself), to
 * be freed.
 */
static const struct mounts_entry *mounts_list_below(const struct mounts_list *list,
						    const struct mounts_entry *here,
						    const char *position, char **ret_below)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct mounts_entry *mount = &list->entries[i],
					  *parent = mounts_list_find(list, mount->parent);
		_cleanup_free_ char *at = NULL;

		if (!parent || parent == mount || parent->major != here->major ||
		    parent->minor != here->minor)
			continue;
		at = mounts_position(parent, mount->point);
		if (!at || !mounts_within(at, position))
			continue;
		if (ret_below)
			*ret_below = strdup(mounts_within(at, position));
		return mount;
	}
	return NULL;
}

/*
 * mounts_at() and mounts_below(), with the path of the directory in mount NUMBER, and LIST to be
 * filled.
 */
static int mounts_at_path(struct mounts_list *list, uint64_t number, const char *path,
			  char **ret_point, char **ret_below)
{
	const struct mounts_entry *here, *mount;
	_cleanup_free_ char *position = NULL;
	int r = mounts_list_read(list);

	if (r)
		return r;
	/* Not a mount of this namespace: no process here can mount in it by path. */
	here = mounts_list_find(list, number);
	if (!here)
		return 0;
	position = mounts_position(here, path);
	if (!position)
		return -ESTALE;
	mount = mounts_list_below(list, here, position, ret_below);
	if (!mount)
		return 0;
	*ret_point = strdup(mount->point);
	return *ret_point && (!ret_below || *ret_below) ? 1 : -ENOMEM;
}

/*
 * Append the path of FD, as the kernel reports it, to PATH, which has LENGTH of PATH_MAX bytes.
 * Returns the new length or -errno.
 */
static ssize_t mounts_path(int fd, char *path, size_t length)
{
	char link[40];
	ssize_t added;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	added = RET_NERRNO(readlink(link, path + length, PATH_MAX - length));
	if (added < 0)
		return added;
	length += (size_t)added;
	/* FD is "/". */
	if (length && path[length - 1] == '/')
		length--;
	return (ssize_t)length;
}

int mounts_at(int dir_fd, const char *name, char **ret_point)
{
	return mounts_below(dir_fd, -EBADF, name, ret_point, NULL);
}

int mounts_below(int root_fd, int dir_fd, const char *name, char **ret_point, char **ret_below)
{
	_cleanup_free_ char *path = malloc(PATH_MAX);
	struct mounts_list list = { 0 };
	struct statx stat;
	ssize_t length;
	int r;

	*ret_point = NULL;
	if (!path)
		return -ENOMEM;
	if (statx(root_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stat) < 0)
		return negative_errno();
	length = mounts_path(root_fd, path, 0);
	if (length >= 0 && dir_fd >= 0)
		length = mounts_path(dir_fd, path, (size_t)length);
	if (length < 0)
		return (int)length;
	if (snprintf(path + length, (size_t)(PATH_MAX - length), "%s%s", *name ? "/" : "", name) >=
	    PATH_MAX - length)
		return -ENAMETOOLONG;
	r = mounts_at_path(&list, stat.stx_mnt_id, path, ret_point, ret_below);
	mounts_list_free(&list);
	return r;
}

int mounts_upon(uint64_t number)
{
	struct mounts_list list = { 0 };
	int r = mounts_list_read(&list);

	for (size_t i = 0; !r && i < list.count; i++)
		r = list.entries[i].parent == number && list.entries[i].id != number;
	mounts_list_free(&list);
	return r;
}

/*
 * Go through mountinfo for mount NUMBER (0: any) of SOURCE (NULL: any); the last one's source and
 * point, each to be freed.
 */
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

		if (!rest || sscanf(line, "%llu %*u %*s %*[^ ] %m[^ ]", &id, &point) != 2 ||
		    sscanf(rest, " - %*s %m[^ ]", &from) != 1)
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
