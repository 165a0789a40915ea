/* SPDX-License-Identifier: Apache-2.0 */
/* Random trees, and the plain walk that the library's is compared with. */
#include "random_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "test.h"

/* Bytes of a path in these trees. */
#define PATH_BYTES 4096
/* Directories that new entries are put into. */
#define DIRS_MAX 200

struct maker {
	unsigned seed;
	char *dirs[DIRS_MAX];
	unsigned dirs_count;
	char file[PATH_BYTES]; /* The last file, for links to it. */
	char nest[PATH_BYTES]; /* The last subvolume. */
};

static unsigned pick(struct maker *maker, unsigned below)
{
	maker->seed = maker->seed * 1103515245u + 12345u;
	return (maker->seed >> 8) % below;
}

/* Write a new name of N into NAME. */
static void make_name(struct maker *maker, unsigned n, char name[NAME_MAX + 1])
{
	static const char odd[] = "\n\t \\\"'*?\x01\x7f\xff\xc3\x28;|&$`<>#%{}[]~";
	int length = snprintf(name, NAME_MAX + 1, "%u-", n);
	unsigned more = pick(maker, 16) ? pick(maker, 20) : (unsigned)(NAME_MAX - length);
	for (unsigned i = 0; i < more; i++)
		name[length++] = pick(maker, 3) ? (char)('a' + pick(maker, 26))
						: odd[pick(maker, sizeof(odd) - 1)];
	name[length] = '\0';
}

static void make_file(struct maker *maker, const char *path)
{
	int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	char block[9000];
	ck_assert_msg(descriptor >= 0, "%s: %s", path, strerror(errno));
	memset(block, 'v', sizeof(block));
	size_t size = pick(maker, 2) ? pick(maker, 100) : pick(maker, sizeof(block));
	ck_assert_int_eq(write(descriptor, block, size), (ssize_t)size);
	if (!pick(maker, 4))
		ck_assert_int_eq(pwrite(descriptor, "x", 1, pick(maker, 10000000)), 1);
	close(descriptor);
	snprintf(maker->file, sizeof(maker->file), "%s", path);
}

static void make_socket(const char *path)
{
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	ck_assert_int_ge(descriptor, 0);
	int cwd = open(".", O_PATH | O_CLOEXEC);
	char *directory = strdup(path), *name = strrchr(directory, '/');
	*name++ = '\0';
	if (strlen(name) < sizeof(address.sun_path) && chdir(directory) == 0) {
		strcpy(address.sun_path, name);
		ck_assert_msg(bind(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0,
			      "%s", strerror(errno));
		ck_assert_int_eq(fchdir(cwd), 0);
	}
	free(directory);
	close(cwd);
	close(descriptor);
}

static void make_entry(struct maker *maker, unsigned n)
{
	char path[PATH_BYTES], name[NAME_MAX + 1];
	make_name(maker, n, name);
	const char *directory = maker->dirs[pick(maker, maker->dirs_count)];
	if (strlen(directory) + strlen(name) + 2 > PATH_BYTES)
		return;
	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/%s", directory, name), PATH_BYTES);
	switch (pick(maker, 20)) {
	case 0:
		ck_assert_msg(symlink(pick(maker, 2) ? "/etc/passwd" : "..", path) == 0, "%s",
			      strerror(errno));
		break;
	case 1:
		make_socket(path);
		break;
	case 2:
		ck_assert_int_eq(mkfifo(path, 0600), 0);
		break;
	case 3:
		ck_assert_int_eq(mknod(path, S_IFCHR | 0600, makedev(1, 3)), 0);
		break;
	case 4:
	case 5:
		if (*maker->file && link(maker->file, path) < 0)
			ck_assert_msg(errno == EXDEV, "%s", strerror(errno));
		break;
	case 6:
		test_subvolume_create(path);
		snprintf(maker->nest, sizeof(maker->nest), "%s", path);
		if (maker->dirs_count < DIRS_MAX)
			maker->dirs[maker->dirs_count++] = strdup(path);
		break;
	case 7:
		if (*maker->nest && strncmp(path, maker->nest, strlen(maker->nest)) != 0)
			test_subvolume_snapshot(maker->nest, path, pick(maker, 2));
		break;
	case 8:
	case 9:
	case 10:
		test_mkdir(path);
		if (maker->dirs_count < DIRS_MAX)
			maker->dirs[maker->dirs_count++] = strdup(path);
		break;
	default:
		make_file(maker, path);
	}
}

void random_tree_make(const char *path, unsigned seed, unsigned entries)
{
	struct maker *maker = calloc(1, sizeof(*maker));
	ck_assert_ptr_nonnull(maker);
	close(test_guard(path));
	maker->seed = seed;
	maker->dirs[maker->dirs_count++] = strdup(path);
	for (unsigned n = 0; n < entries; n++)
		make_entry(maker, n);
	for (unsigned i = 0; i < maker->dirs_count; i++)
		free(maker->dirs[i]);
	free(maker);
}

void random_tree_chain(const char *path, const char *name, unsigned depth, bool with_files)
{
	close(test_guard(path));
	int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(at, 0);
	for (unsigned i = 0; i < depth; i++) {
		ck_assert_msg(mkdirat(at, name, 0755) == 0, "%s", strerror(errno));
		if (with_files)
			close(openat(at, "beside", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
		int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(next, 0);
		close(at);
		at = next;
	}
	close(at);
}

/* ---- the plain walk -------------------------------------------------------------------------- */

/* Is something mounted on NAME in PARENT? */
static bool is_mount(int parent, const char *name)
{
	struct statx stat;
	return statx(parent, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &stat) == 0 &&
	       (stat.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* Visit what is in the directory DESCRIPTOR, which is closed. */
static void each_in(int descriptor, const char *path, random_tree_callback *callback, void *data)
{
	DIR *directory = fdopendir(descriptor);
	ck_assert_ptr_nonnull(directory);
	for (struct dirent *entry; (entry = readdir(directory));) {
		struct stat stat;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    is_mount(descriptor, entry->d_name))
			continue;
		ck_assert_int_eq(fstatat(descriptor, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW), 0);
		char *below;
		ck_assert_int_ge(asprintf(&below, "%s/%s", path, entry->d_name), 0);
		if (S_ISDIR(stat.st_mode)) {
			int next = openat(descriptor, entry->d_name,
					  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			ck_assert_msg(next >= 0, "%s: %s", below, strerror(errno));
			each_in(next, below, callback, data);
		}
		callback(data, descriptor, entry->d_name, below, &stat);
		free(below);
	}
	closedir(directory);
}

void random_tree_each(const char *path, random_tree_callback *callback, void *data)
{
	struct stat stat;
	int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_msg(descriptor >= 0 && fstat(descriptor, &stat) == 0, "%s: %s", path,
		      strerror(errno));
	each_in(dup(descriptor), path, callback, data);
	callback(data, descriptor, ".", path, &stat);
	close(descriptor);
}

/* Inodes seen, with a search from the front: these trees are small. */
struct adder {
	struct random_tree_sum sum;
	struct seen {
		dev_t device;
		ino_t inode;
	} * seen;
	size_t seen_count;
};

static void add(void *data, int parent, const char *name, const char *path, const struct stat *stat)
{
	struct adder *adder = data;
	(void)parent, (void)name, (void)path;
	/* Directories in the place of subvolumes that a snapshot left out share an inode, too. */
	if (stat->st_nlink > 1 || stat->st_ino == 2) {
		for (size_t i = 0; i < adder->seen_count; i++)
			if (adder->seen[i].device == stat->st_dev &&
			    adder->seen[i].inode == stat->st_ino)
				return;
		adder->seen = realloc(adder->seen, (adder->seen_count + 1) * sizeof(*adder->seen));
		adder->seen[adder->seen_count++] = (struct seen){ stat->st_dev, stat->st_ino };
	}
	adder->sum.inodes++;
	adder->sum.bytes += S_ISDIR(stat->st_mode) ? 0 : (uint64_t)stat->st_size;
	adder->sum.disk_bytes += (uint64_t)stat->st_blocks * 512;
}

struct random_tree_sum random_tree_sum(const char *path)
{
	struct adder adder = { 0 };
	random_tree_each(path, add, &adder);
	free(adder.seen);
	return adder.sum;
}

static void make_writable(void *data, int parent, const char *name, const char *path,
			  const struct stat *stat)
{
	(void)data, (void)path;
	if (!S_ISDIR(stat->st_mode) || stat->st_ino != BTRFS_FIRST_FREE_OBJECTID)
		return;
	int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t flags = 0;
	ck_assert_int_eq(ioctl(descriptor, BTRFS_IOC_SUBVOL_SETFLAGS, &flags), 0);
	close(descriptor);
}

void random_tree_writable(const char *path)
{
	random_tree_each(path, make_writable, NULL);
}

int random_tree_swap(void *directory)
{
	char *one = test_path("%s/swap", (const char *)directory),
	     *other = test_path("%s/link", (const char *)directory);
	int r = 0;
	while (r == 0)
		r = renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
	return r;
}
