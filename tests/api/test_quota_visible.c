/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve-test: timeout=120 kernel-says=qgroup.rescan.is.already.in.progress
 *
 * Never a moment in which a layer with a size is in sight without its limit or its record: another
 * thread looks all the time.
 */
#include "quota.h"

#include <btrfsutil.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

/* The size of all layers whose names begin with "sized", as text and as an option. */
#define SIZE "8388608"
#define SIZE_OPTION "size=" SIZE

/* A thread that looks at what is in sight. */
struct watcher {
	char *subvolumes, *quotas, *groups;
	int subvolumes_fd;
	_Atomic bool over;
	/* Layers looked at; those without a limit or record, and the last of them. */
	unsigned looks, bare;
	char seen[256];
};

/*
 * Read the first bytes of DIRECTORY/NAME/FILE (FILE may be "") into TEXT, to the end of the line;
 * "" when there are none.
 */
static void read_line(const char *directory, const char *name, const char *file, char text[32])
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s%s", directory, name, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, text, 31);
	text[length < 0 ? 0 : length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
}

/* Look at the layer ID. What is gone by the end of the look does not count. */
static void watch_layer(struct watcher *watcher, const char *id)
{
	int fd = openat(watcher->subvolumes_fd, id,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char limit[32], record[32], group[64];
	struct stat opened, now;
	uint64_t number;
	if (fd < 0)
		return;
	if (!fstat(fd, &opened) && btrfs_util_subvolume_id_fd(fd, &number) == BTRFS_UTIL_OK) {
		snprintf(group, sizeof(group), "0_%llu", (unsigned long long)number);
		read_line(watcher->groups, group, "/max_referenced", limit);
		read_line(watcher->quotas, id, "", record);
		if (!fstatat(watcher->subvolumes_fd, id, &now, AT_SYMLINK_NOFOLLOW) &&
		    now.st_dev == opened.st_dev) {
			watcher->looks++;
			if (strcmp(limit, SIZE) || strcmp(record, SIZE)) {
				watcher->bare++;
				snprintf(watcher->seen, sizeof(watcher->seen),
					 "%s: limit '%s', record '%s'", id, limit, record);
			}
		}
	}
	close(fd);
}

static void *watch(void *data)
{
	struct watcher *watcher = data;
	while (!watcher->over) {
		DIR *directory = opendir(watcher->subvolumes);
		for (struct dirent *entry; directory && (entry = readdir(directory));)
			if (!strncmp(entry->d_name, "sized", strlen("sized")))
				watch_layer(watcher, entry->d_name);
		closedir(directory);
	}
	return NULL;
}

/* Create layers with the size, alone and many at once, from PARENT; and remove them. */
static void create_sized(struct varve_store *store, const char *parent)
{
	enum { COUNT = 24 };
	const char *const size[] = { SIZE_OPTION, NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	const char *ids[COUNT];
	for (int i = 0; i < COUNT; i++)
		ids[i] = test_path("sized-%d", i);
	options.parent = parent;
	options.storage_options = size;
	test_ok(varve_layer_create_batch_wait(store, ids, COUNT, &options, NULL, &failure),
		&failure);
	test_ok(varve_layer_create_wait(store, "sized-alone", &options, &failure), &failure);
	options.flags = VARVE_CREATE_READ_ONLY;
	test_ok(varve_layer_create_wait(store, "sized-read-only", &options, &failure), &failure);
	test_ok(varve_layer_remove_batch_wait(store, ids, COUNT, VARVE_RELAXED, NULL, &failure),
		&failure);
	test_remove_layer(store, "sized-alone");
	test_remove_layer(store, "sized-read-only");
}

static void visible(enum varve_quota_mode mode)
{
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, mode);
	struct watcher watcher = { .subvolumes = test_path("%s/subvolumes", home),
				   .quotas = test_path("%s/quotas", home),
				   .groups = groups_directory(store) };
	int rounds = mode == VARVE_QUOTA_FULL ? 2 : 8;
	pthread_t thread;
	test_create(store, "base", NULL);
	watcher.subvolumes_fd = open(watcher.subvolumes, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(pthread_create(&thread, NULL, watch, &watcher), 0);
	for (int round = 0; round < rounds; round++) {
		create_sized(store, NULL);
		create_sized(store, "base");
	}
	watcher.over = true;
	pthread_join(thread, NULL);
	close(watcher.subvolumes_fd);
	ck_assert_msg(!watcher.bare, "%u of %u looks: %s", watcher.bare, watcher.looks,
		      watcher.seen);
	ck_assert_uint_gt(watcher.looks, 10);
	test_close(store);
}
TEST_BOTH(visible)

TEST_MAIN("quota_visible", test_visible_simple, test_visible_full)
