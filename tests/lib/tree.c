/* SPDX-License-Identifier: Apache-2.0 */
/* Files, directories and subvolumes, made and looked at without the library under test. */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BTRFS_MAGIC 0x9123683E
#define FILL_BLOCK (1u << 20)
#define FILL_BLOCK_MIN 4096u
/*
 * ... and the metadata: the first piece of space taken for data, the bytes of an attribute, files
 * between two syncs.
 */
#define FILL_SPACE (1 << 26)
#define FILL_VALUE 15000
#define FILL_SYNC 100

bool test_exists(const char *path)
{
	struct stat stat;
	return lstat(path, &stat) == 0;
}

bool test_is_subvolume(const char *path)
{
	struct stat stat;
	struct statfs statfs_;
	return lstat(path, &stat) == 0 && S_ISDIR(stat.st_mode) &&
	       stat.st_ino == BTRFS_FIRST_FREE_OBJECTID && statfs(path, &statfs_) == 0 &&
	       statfs_.f_type == BTRFS_MAGIC;
}

void test_mkdir(const char *path)
{
	ck_assert_msg(mkdir(path, 0755) == 0, "mkdir %s: %s", path, strerror(errno));
}

void test_write(const char *path, const char *text)
{
	close(test_guard(path));
	FILE *file = fopen(path, "we");
	ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

char *test_read(const char *path)
{
	char *text = NULL, *copy;
	size_t size = 0;
	FILE *file = fopen(path, "re");
	if (!file)
		return NULL;
	copy = test_strdup(getdelim(&text, &size, 0, file) < 0 ? "" : text);
	free(text);
	fclose(file);
	return copy;
}

void test_make_tree(const char *path, unsigned dirs, unsigned files, size_t size)
{
	close(test_guard(path));
	char *content = test_alloc(size + 1);
	memset(content, 'v', size);
	for (unsigned d = 0; d < dirs; d++) {
		char *directory = test_path("%s/dir-%u", path, d);
		test_mkdir(directory);
		for (unsigned f = 0; f < files; f++) {
			char *file = test_path("%s/file-%u", directory, f);
			test_write(file, content);
		}
	}
}

int test_entries(const char *path)
{
	int count = 0;
	DIR *directory = opendir(path);
	if (!directory)
		return -1;
	for (struct dirent *entry; (entry = readdir(directory));)
		count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(directory);
	return count;
}

unsigned test_subvolumes_below(const char *path)
{
	unsigned count = 0;
	DIR *directory = opendir(path);
	if (!directory)
		return 0;
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    entry->d_type != DT_DIR)
			continue;
		char *below = test_path("%s/%s", path, entry->d_name);
		count += test_is_subvolume(below) + test_subvolumes_below(below);
	}
	closedir(directory);
	return count;
}

/* The last component of PATH. */
static const char *name_of(const char *path)
{
	return strrchr(path, '/') + 1;
}

/* Put NAME into the name field, of SIZE bytes, of an ioctl's argument. */
static void copy_name(char *field, size_t size, const char *name)
{
	ck_assert_uint_lt(strlen(name), size);
	memcpy(field, name, strlen(name) + 1);
}

void test_subvolume_create(const char *path)
{
	int parent = test_guard(path);
	struct btrfs_ioctl_vol_args_v2 args = { 0 };
	copy_name(args.name, sizeof(args.name), name_of(path));
	ck_assert_msg(ioctl(parent, BTRFS_IOC_SUBVOL_CREATE_V2, &args) == 0, "subvolume %s: %s",
		      path, strerror(errno));
	close(parent);
}

void test_subvolume_snapshot(const char *source, const char *path, bool read_only)
{
	int parent = test_guard(path);
	int descriptor = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct btrfs_ioctl_vol_args_v2 args = { .fd = descriptor,
						.flags = read_only ? BTRFS_SUBVOL_RDONLY : 0 };
	ck_assert_msg(descriptor >= 0, "%s: %s", source, strerror(errno));
	copy_name(args.name, sizeof(args.name), name_of(path));
	ck_assert_msg(ioctl(parent, BTRFS_IOC_SNAP_CREATE_V2, &args) == 0, "snapshot %s: %s", path,
		      strerror(errno));
	close(descriptor);
	close(parent);
}

/* Destroy the subvolume NAME in the directory PARENT. Returns 0 or -errno. */
static int destroy_at(int parent, const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	copy_name(args.name, sizeof(args.name), name);
	return ioctl(parent, BTRFS_IOC_SNAP_DESTROY, &args) == 0 ? 0 : -errno;
}

void test_subvolume_destroy(const char *path)
{
	int parent = test_guard(path);
	int error = destroy_at(parent, name_of(path));
	ck_assert_msg(error == 0, "destroy %s: %s", path, strerror(-error));
	close(parent);
}

void test_subvolume_set_default(const char *path)
{
	struct btrfs_ioctl_ino_lookup_args args = { .objectid = BTRFS_FIRST_FREE_OBJECTID };
	int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_msg(descriptor >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(ioctl(descriptor, BTRFS_IOC_INO_LOOKUP, &args), 0);
	uint64_t id = args.treeid;
	ck_assert_int_eq(ioctl(descriptor, BTRFS_IOC_DEFAULT_SUBVOL, &id), 0);
	close(descriptor);
}

/* Remove NAME in the directory PARENT, which the guard has let pass. */
static void remove_at(int parent, const char *name)
{
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return;
	ck_assert_msg(errno == EISDIR, "%s: %s", name, strerror(errno));
	if (destroy_at(parent, name) == 0)
		return;
	int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	ck_assert_msg(descriptor >= 0, "%s: %s", name, strerror(errno));
	DIR *directory = fdopendir(descriptor);
	ck_assert_ptr_nonnull(directory);
	for (struct dirent *entry; (entry = readdir(directory));)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			remove_at(descriptor, entry->d_name);
	closedir(directory);
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0)
		test_error(destroy_at(parent, name), 0);
}

void test_remove(const char *path)
{
	int parent = test_guard(path);
	remove_at(parent, name_of(path));
	close(parent);
}

void test_fill(const char *path)
{
	close(test_guard(path));
	char *block = malloc(FILL_BLOCK);
	ck_assert_ptr_nonnull(block);
	int descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_msg(descriptor >= 0, "%s: %s", path, strerror(errno));
	for (size_t i = 0; i < FILL_BLOCK; i++)
		block[i] = (char)(i * 2654435761u >> 13);
	for (size_t size = FILL_BLOCK; size >= FILL_BLOCK_MIN; size /= 2) {
		while (write(descriptor, block, size) > 0)
			continue;
		ck_assert_msg(errno == ENOSPC, "%s: %s", path, strerror(errno));
		fsync(descriptor);
	}
	close(descriptor);
	free(block);
}

/*
 * Allocate all that is left of the file system for data, in the new file PATH, so that metadata
 * gets no more of it.
 */
static void take_space(const char *path)
{
	int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	off_t end = 0;
	ck_assert_msg(descriptor >= 0, "%s: %s", path, strerror(errno));
	for (off_t size = FILL_SPACE; size >= FILL_BLOCK_MIN; size /= 2)
		while (fallocate(descriptor, 0, end, size) == 0)
			end += size;
	ck_assert_msg(errno == ENOSPC, "%s: %s", path, strerror(errno));
	close(descriptor);
}

/* Write out what the file system of PATH has in memory; 0 or -1. */
static int sync_file_system(const char *path)
{
	int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    r = descriptor < 0 ? -1 : syncfs(descriptor);
	if (descriptor >= 0)
		close(descriptor);
	return r;
}

/* Fill PATH with attributes that take a leaf each, on files of their own, NUMBER and on. */
static void fill_leaves(const char *path, unsigned *number)
{
	static const char value[FILL_VALUE];
	int error = 0;
	while (!error) {
		unsigned i = (*number)++;
		int descriptor = open(test_path("%s/fill-%u", path, i),
				      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (descriptor < 0 ||
		    fsetxattr(descriptor, "user.fill", value, sizeof(value), 0) < 0)
			error = errno;
		if (descriptor >= 0)
			close(descriptor);
		/* What waits to be written reserves more than it will need. */
		if ((i % FILL_SYNC == 0 || error) && sync_file_system(path) < 0 && !error)
			error = errno;
	}
	ck_assert_msg(error == ENOSPC, "%s: %s", path, strerror(error));
}

void test_fill_metadata(const char *path)
{
	unsigned number = 0;
	close(test_guard(test_path("%s/space", path)));
	take_space(test_path("%s/space", path));
	/* The last commit may have given back what was reserved: until nothing more can be made. */
	do
		fill_leaves(path, &number);
	while (mkdir(test_path("%s/directory-%u", path, number), 0700) == 0);
	ck_assert_msg(errno == ENOSPC, "%s: %s", path, strerror(errno));
}
