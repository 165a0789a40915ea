/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes: random edits in a layer and its parents, compared three ways that have to agree: the
 * search of the trees, the walk, and a walk of this file's own that knows nothing of btrfs.
 *
 * varve-test: timeout=180 size=2G
 */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/param.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SEQUENCES 150
#define SEQUENCES_SOAK 3000
#define EDITS_MAX 12
#define DEPTH_MAX 3
#define ORACLE_MAX 4096
#define PATH_BYTES 4096

/* Names that sort in odd ways, have line ends, or are no UTF-8. */
static const char *const names[] = { "a", "a-b", "a.b",         "b",  "b\nc", "\xff\xfe",
				     "d", "e",   "caf\xc3\xa9", "-f", "z z",  "0" };

static unsigned long seed;

/* A number below BOUND. */
static unsigned pick(unsigned bound)
{
	seed = seed * 6364136223846793005ul + 1442695040888963407ul;
	return (unsigned)(seed >> 33) % bound;
}

/* DIRECTORY/NAME, to be freed. */
static char *join(const char *directory, const char *name)
{
	char *path;

	ck_assert_int_ge(asprintf(&path, "%s/%s", directory, name), 0);
	return path;
}

/* ---- the walk that knows nothing ------------------------------------------------------------- */

struct oracle {
	char *paths[ORACLE_MAX];
	size_t count;
};

/* Note a change. */
static void oracle_tell(struct oracle *oracle, char kind, const char *path)
{
	ck_assert_uint_lt(oracle->count, ORACLE_MAX);
	ck_assert_int_ge(asprintf(&oracle->paths[oracle->count++], "%c %s", kind, path), 0);
}

/* Are the extended attributes that count the same? */
static bool oracle_attributes_same(const char *a, const char *b)
{
	static const char *const counted[] = { "user.one", "user.two", "security.capability" };

	for (size_t i = 0; i < TEST_COUNT(counted); i++) {
		char x[256], y[256];
		ssize_t m = lgetxattr(a, counted[i], x, sizeof(x)),
			n = lgetxattr(b, counted[i], y, sizeof(y));

		if (m != n || (m > 0 && memcmp(x, y, (size_t)m)))
			return false;
	}
	return true;
}

/* Have the files A and B the same bytes? */
static bool oracle_content_same(const char *a, const char *b)
{
	static char x[1 << 16], y[1 << 16];
	int one = open(a, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	int other = open(b, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	ssize_t m, n;

	ck_assert(one >= 0 && other >= 0);
	do {
		m = read(one, x, sizeof(x));
		n = read(other, y, sizeof(y));
		ck_assert(m >= 0 && n >= 0);
	} while (m && m == n && !memcmp(x, y, (size_t)m));
	close(one);
	close(other);
	return !m && !n;
}

/* Does a directory stand in for a subvolume that a snapshot left out? */
static bool oracle_hollow(const struct stat *stat)
{
	return S_ISDIR(stat->st_mode) && stat->st_ino == 2;
}

/* Are the two inodes, at these paths, the same to a person? */
static bool oracle_same(const char *a, const struct stat *x, const char *b, const struct stat *y)
{
	char targets[2][PATH_BYTES] = { "", "" };

	if (oracle_hollow(x) || oracle_hollow(y))
		return S_ISDIR(x->st_mode) && S_ISDIR(y->st_mode);
	if (x->st_mode != y->st_mode || x->st_uid != y->st_uid || x->st_gid != y->st_gid ||
	    x->st_rdev != y->st_rdev)
		return false;
	if (x->st_mtim.tv_sec != y->st_mtim.tv_sec)
		return false;
	if (x->st_mtim.tv_nsec != y->st_mtim.tv_nsec && x->st_mtim.tv_nsec && y->st_mtim.tv_nsec)
		return false;
	if (!S_ISDIR(x->st_mode) && x->st_size != y->st_size)
		return false;
	if (S_ISLNK(x->st_mode)) {
		ck_assert_int_ge(readlink(a, targets[0], PATH_BYTES - 1), 0);
		ck_assert_int_ge(readlink(b, targets[1], PATH_BYTES - 1), 0);
		return !strcmp(targets[0], targets[1]);
	}
	return oracle_attributes_same(a, b) && (!S_ISREG(x->st_mode) || oracle_content_same(a, b));
}

/*
 * Compare the directories OLD (may be missing: NULL) and NEW (likewise), which are PATH in the
 * layer. Were there changes?
 */
static bool oracle_walk(struct oracle *oracle, const char *old, const char *new, const char *path)
{
	size_t begin = oracle->count;
	DIR *directory = opendir(new);

	ck_assert_ptr_nonnull(directory);
	for (struct dirent *entry; (entry = readdir(directory));) {
		char *a = join(old ? old : "/nonexistent", entry->d_name);
		char *b = join(new, entry->d_name), *p = join(path, entry->d_name);
		struct stat x, y;
		bool there, inside = false, told = false;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) {
			free(a);
			free(b);
			free(p);
			continue;
		}
		there = old && lstat(a, &x) == 0;
		ck_assert_int_eq(lstat(b, &y), 0);
		if (!there || !oracle_same(a, &x, b, &y)) {
			oracle_tell(oracle, there ? 'M' : 'A', p);
			told = true;
		}
		if (S_ISDIR(y.st_mode))
			inside = oracle_walk(oracle, there && S_ISDIR(x.st_mode) ? a : NULL, b, p);
		if (inside && !told)
			oracle_tell(oracle, 'M', p);
		free(a);
		free(b);
		free(p);
	}
	closedir(directory);
	directory = old ? opendir(old) : NULL;
	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		char *b = join(new, entry->d_name), *p = join(path, entry->d_name);

		if (!test_exists(b))
			oracle_tell(oracle, 'D', p);
		free(b);
		free(p);
	}
	if (directory)
		closedir(directory);
	return oracle->count > begin;
}

/* Order by path. */
static int oracle_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a + 2, *(char *const *)b + 2);
}

/* ---- random edits ---------------------------------------------------------------------------- */

/* A random path below ROOT, whose directories may or may not exist. */
static char *edit_path(const char *root)
{
	char *path = strdup(root);

	for (unsigned depth = 1 + pick(DEPTH_MAX); depth; depth--) {
		char *longer = join(path, names[pick(TEST_COUNT(names))]);

		free(path);
		path = longer;
	}
	return path;
}

/* Set the modification time of PATH back, to the second now and then. */
static void edit_time(const char *path)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_sec = 1000000 + pick(3),
				       .tv_nsec = pick(2) ? 0 : pick(1000000000) } };

	utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

/* Write SIZE bytes at OFFSET. */
static void edit_write(const char *path, int flags, off_t offset, unsigned size)
{
	char bytes[10000];
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0644);

	memset(bytes, 'a' + (int)pick(26), sizeof(bytes));
	if (fd < 0)
		return;
	ck_assert_int_ge(pwrite(fd, bytes, size, offset), -1);
	close(fd);
}

/*
 * Remove PATH, whatever it is, unless the way there is through a link: test_remove() follows none.
 */
static void edit_remove(const char *path)
{
	char *parent = strdup(path), *real;
	struct stat stat;

	*strrchr(parent, '/') = '\0';
	real = realpath(parent, NULL);
	if (real && !strcmp(real, parent) && lstat(path, &stat) == 0)
		test_remove(path);
	free(real);
	free(parent);
}

/*
 * Exchange PATH and OTHER, but for what stands in for a nested subvolume (inode 2): Linux 6.18
 * aborts the transaction over that ("failed to delete reference to ..., inode 2"), and the file
 * system is read-only from then on.
 */
static void edit_exchange(const char *path, const char *other)
{
	struct stat a, b;

	if (lstat(path, &a) == 0 && lstat(other, &b) == 0 && a.st_ino != 2 && b.st_ino != 2)
		renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE);
}

/*
 * Share all of the file FROM's extents with the file TO, which is made or overwritten; its time may
 * be set back.
 */
static void edit_clone(const char *from, const char *to)
{
	int source = open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), target = -1;
	struct stat stat;

	if (source >= 0 && fstat(source, &stat) == 0 && S_ISREG(stat.st_mode))
		target = open(to, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
	if (target >= 0 && ioctl(target, FICLONE, source) == 0 && pick(2))
		edit_time(to);
	close(target);
	close(source);
}

/* Make a hole in the file PATH, or more room at its end that is not counted. */
static void edit_allocate(const char *path)
{
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		fallocate(fd, FALLOC_FL_KEEP_SIZE | (pick(2) ? FALLOC_FL_PUNCH_HOLE : 0),
			  pick(8000), 1 + pick(8000));
	close(fd);
}

/*
 * Overwrite some bytes of the file PATH, with what is there or with others, and set its time back
 * to what it was.
 */
static void edit_back(const char *path)
{
	struct stat stat;
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size) {
		off_t at = pick((unsigned)MIN(stat.st_size, 100000));
		char byte = 0;

		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		byte = pick(3) ? (char)pick(256) : byte;
		if (pwrite(fd, &byte, 1, at) == 1)
			ck_assert_int_eq(futimens(fd,
						  (struct timespec[2]){ { .tv_nsec = UTIME_OMIT },
									stat.st_mtim }),
					 0);
	}
	close(fd);
}

/* Write the file PATH anew elsewhere on disk, content and times as they were. */
static void edit_defragment(const char *path)
{
	struct btrfs_ioctl_defrag_range_args range = { .len = UINT64_MAX,
						       .extent_thresh = UINT32_MAX };
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		ioctl(fd, BTRFS_IOC_DEFRAG_RANGE, &range);
	close(fd);
}

/*
 * Make one random edit below ROOT. What cannot be done, because something is missing or in the way,
 * is not.
 */
static void edit(const char *root)
{
	char *path = edit_path(root), *other = edit_path(root);
	struct stat stat;

	switch (pick(30)) {
	case 0:
	case 1:
		edit_write(path, O_CREAT | O_EXCL, 0, pick(10000));
		break;
	case 2:
		edit_write(path, O_APPEND, 0, 1 + pick(5000));
		break;
	case 3:
		edit_write(path, 0, pick(5000), pick(5000));
		break;
	case 4:
		if (lstat(path, &stat) == 0 && S_ISREG(stat.st_mode))
			ck_assert_int_ge(truncate(path, pick(20000)), -1);
		break;
	case 5:
	case 6:
		rename(path, other);
		break;
	case 7:
		link(path, other);
		break;
	case 8:
		edit_remove(path);
		break;
	case 9:
		if (lstat(path, &stat) == 0 && !S_ISLNK(stat.st_mode))
			chmod(path, pick(2) ? 0700 : 0755);
		break;
	case 10:
		lchown(path, pick(3), pick(3));
		break;
	case 11:
		lsetxattr(path, pick(2) ? "user.one" : "user.two", "value", pick(6), 0);
		break;
	case 12:
		lremovexattr(path, pick(2) ? "user.one" : "user.two");
		break;
	case 13:
		edit_time(path);
		break;
	case 14:
	case 15:
		mkdir(path, 0755);
		break;
	case 16:
		edit_remove(path);
		mkdir(path, 0755);
		edit_write(other, O_CREAT, 0, 1);
		break;
	case 17:
		edit_remove(path);
		edit_write(path, O_CREAT, 0, 1);
		break;
	case 18:
		symlink(names[pick(3)], path);
		break;
	case 19:
		mknod(path, pick(2) ? S_IFIFO | 0644 : S_IFCHR | 0600, makedev(pick(2), 3));
		break;
	case 22:
	case 23:
		edit_clone(path, other);
		break;
	case 24:
		edit_allocate(path);
		break;
	case 25:
		edit_exchange(path, other);
		break;
	case 26:
	case 27:
	case 28:
		edit_back(path);
		break;
	case 29:
		edit_defragment(path);
		break;
	case 20:
		rename(path, other);
		edit_write(path, O_CREAT, 0, 7);
		edit_time(path);
		break;
	case 21:
		if (!test_exists(path) && lstat(root, &stat) == 0 && pick(2)) {
			char *parent = strdup(path);

			*strrchr(parent, '/') = '\0';
			if (lstat(parent, &stat) == 0 && S_ISDIR(stat.st_mode) &&
			    stat.st_ino != 2) {
				test_subvolume_create(path);
				edit_write(other, O_CREAT, 0, 3);
			}
			free(parent);
		}
		break;
	}
	free(path);
	free(other);
}

/* ---- the property ---------------------------------------------------------------------------- */

static unsigned searches, walks, prunes;

/* Count which way the library went. */
static void count_ways(void *data, const char *line)
{
	__atomic_add_fetch(&searches, strstr(line, ": search, ") != NULL, __ATOMIC_RELAXED);
	__atomic_add_fetch(&prunes, strstr(line, ": generation, ") != NULL, __ATOMIC_RELAXED);
	__atomic_add_fetch(&walks, strstr(line, ": walk, ") != NULL, __ATOMIC_RELAXED);
}

/* Check that what the library says with FLAGS is what ORACLE says. */
static void check_way(struct varve_store *store, const struct oracle *oracle, const char *id,
		      const char *parent, uint64_t flags, unsigned long began)
{
	struct varve_failure failure = { 0 };
	struct varve_change *changes = NULL;
	size_t count = 0;

	test_ok(varve_layer_changes_wait(store, id, TEST_CHANGES(parent, flags), &changes, &count,
					 &failure),
		&failure);
	for (size_t i = 0; i < oracle->count || i < count; i++) {
		const char *expected = i < oracle->count ? oracle->paths[i] : "nothing more";
		char actual[PATH_BYTES] = "nothing more";

		if (i < count)
			snprintf(actual, sizeof(actual), "%c %s", (char)changes[i].kind,
				 changes[i].path);
		ck_assert_msg(
			!strcmp(actual, expected),
			"seed %lu, %s from %s, flags %lu: change %zu is \"%s\" instead of \"%s\"",
			began, id, parent, flags, i, actual, expected);
	}
	free(changes);
}

/* Check all ways to compare ID with PARENT. */
static void check_pair(struct varve_store *store, const char *home, const char *id,
		       const char *parent, unsigned long began)
{
	struct oracle oracle = { .count = 0 };
	char *old = *parent ? test_layer(home, parent) : NULL, *new = test_layer(home, id);

	oracle_walk(&oracle, old, new, "");
	qsort(oracle.paths, oracle.count, sizeof(*oracle.paths), oracle_order);
	check_way(store, &oracle, id, parent, 0, began);
	check_way(store, &oracle, id, parent, VARVE_CHANGES_WALK, began);
	while (oracle.count)
		free(oracle.paths[--oracle.count]);
}

/* A configuration that counts the ways. */
static struct varve_store *open_counting(const char *home)
{
	struct varve_config config = test_config(home);

	config.debug = "op";
	config.log = count_ways;
	config.flags |= VARVE_OPEN_RELAXED;
	return test_open_config(&config);
}

/* One sequence: three generations, each edited before and after the next was made from it. */
static void run_sequence(struct varve_store *store, const char *home, unsigned number)
{
	unsigned long began = seed;
	char ids[3][32];

	for (unsigned i = 0; i < 3; i++) {
		char *root;

		snprintf(ids[i], sizeof(ids[i]), "layer-%u-%u", number, i);
		test_create(store, ids[i], i ? ids[i - 1] : NULL);
		root = test_layer(home, ids[i]);
		for (unsigned n = i ? pick(EDITS_MAX) : 60; n; n--)
			edit(root);
		if (i && pick(3) == 0) {
			root = test_layer(home, ids[i - 1]);
			for (unsigned n = pick(EDITS_MAX); n; n--)
				edit(root);
		}
	}
	check_pair(store, home, ids[1], ids[0], began);
	check_pair(store, home, ids[2], ids[0], began);
	check_pair(store, home, ids[2], ids[1], began);
	check_pair(store, home, ids[0], ids[2], began);
	check_pair(store, home, ids[2], "", began);
	for (unsigned i = 0; i < 3; i++)
		test_remove_layer(store, ids[i]);
}

START_TEST(test_random_edits)
{
	const char *wanted = getenv("VARVE_TEST_SEED");
	char *home = test_home();
	struct varve_store *store = open_counting(home);
	unsigned sequences = getenv("VARVE_TEST_SOAK") ? SEQUENCES_SOAK : SEQUENCES;

	seed = wanted ? strtoul(wanted, NULL, 10) : 20240607;
	for (unsigned i = 0; i < sequences; i++)
		run_sequence(store, home, i);
	/*
	 * Of the five pairs four have a common origin, and are asked once with and once without the
	 * search.
	 */
	ck_assert_uint_eq(searches + prunes, 4 * sequences);
	ck_assert_uint_gt(searches, 2 * sequences);
	ck_assert_uint_eq(walks, 0);
	test_close(store);
}
END_TEST

/* ---- one by one ------------------------------------------------------------------------------ */

/* Expect the changes of ID by OPTIONS, whatever their flags, to be the lines of TEXT. */
static void expect_maps(struct varve_store *store, const char *id,
			struct varve_changes_options *options, const char *text)
{
	for (options->flags = 0; options->flags <= VARVE_CHANGES_WALK;
	     options->flags += VARVE_CHANGES_WALK) {
		struct varve_failure failure = { 0 };
		struct varve_change *changes = NULL;
		size_t count = 0, size = 0;
		char *lines = NULL;
		FILE *file = open_memstream(&lines, &size);

		test_ok(varve_layer_changes_wait(store, id, options, &changes, &count, &failure),
			&failure);
		for (size_t i = 0; i < count; i++)
			fprintf(file, "%c %s\n", (char)changes[i].kind, changes[i].path);
		fclose(file);
		ck_assert_str_eq(lines, text);
		free(lines);
		free(changes);
	}
	options->flags = 0;
}

/* Expect the changes of ID from PARENT to be the lines of TEXT. */
static void expect(struct varve_store *store, const char *id, const char *parent, const char *text)
{
	struct varve_changes_options options = VARVE_CHANGES_OPTIONS_INIT;

	options.parent = parent;
	expect_maps(store, id, &options, text);
}

START_TEST(test_example)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *base = test_path("%s/subvolumes/base", home),
	     *top = test_path("%s/subvolumes/top", home);

	test_create(store, "base", NULL);
	test_mkdir(test_path("%s/d1", base));
	test_mkdir(test_path("%s/d3", base));
	test_mkdir(test_path("%s/d3/e4", base));
	test_write(test_path("%s/d3/e4/f5", base), "five");
	test_mkdir(test_path("%s/d7", base));
	test_write(test_path("%s/d7/f9", base), "nine");
	test_write(test_path("%s/d7/f8", base), "eight");
	test_create(store, "top", "base");
	expect(store, "top", "base", "");
	edit_write(test_path("%s/d3/e4/f5", top), O_APPEND, 0, 4);
	test_remove(test_path("%s/d7/f9", top));
	test_mkdir(test_path("%s/d1/newdir", top));
	test_write(test_path("%s/d1/newdir/n", top), "");
	expect(store, "top", "base",
	       "M /d1\nA /d1/newdir\nA /d1/newdir/n\nM /d3\nM /d3/e4\nM /d3/e4/f5\nM /d7\nD /d7/f9\n");
	/* Without a word the parent is the one that btrfs says; of a base layer there is none. */
	expect(store, "top", NULL,
	       "M /d1\nA /d1/newdir\nA /d1/newdir/n\nM /d3\nM /d3/e4\nM /d3/e4/f5\nM /d7\nD /d7/f9\n");
	expect(store, "base", NULL,
	       "A /d1\nA /d3\nA /d3/e4\nA /d3/e4/f5\nA /d7\nA /d7/f8\nA /d7/f9\n");
	/* And the parent's own later life is a change of the layer. */
	test_write(test_path("%s/late", base), "");
	expect(store, "top", "base",
	       "M /d1\nA /d1/newdir\nA /d1/newdir/n\nM /d3\nM /d3/e4\nM /d3/e4/f5\nM /d7\nD /d7/f9\nD /late\n");
	test_close(store);
}
END_TEST

/* Set the modification time of PATH. */
static void set_time(const char *path, time_t seconds, long nanoseconds)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_sec = seconds, .tv_nsec = nanoseconds } };

	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

START_TEST(test_times)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *base = test_path("%s/subvolumes/base", home),
	     *top = test_path("%s/subvolumes/top", home);

	test_create(store, "base", NULL);
	for (unsigned i = 0; i < 4; i++) {
		test_write(test_path("%s/%u", base, i), "");
		set_time(test_path("%s/%u", base, i), 1000, i == 1 ? 0 : 77);
	}
	test_create(store, "top", "base");
	set_time(test_path("%s/0", top), 1000, 0);
	set_time(test_path("%s/1", top), 1000, 5);
	set_time(test_path("%s/2", top), 1000, 5);
	set_time(test_path("%s/3", top), 1001, 0);
	/* One that has no nanoseconds is equal to all of its second. */
	expect(store, "top", "base", "M /2\nM /3\n");
	test_close(store);
}
END_TEST

/* Large enough to have extents; what is smaller lies in the tree. */
#define LARGE (1024 * 1024)

/*
 * Fill SIZE bytes of the new or old file PATH with FILL, without making it shorter, and set its
 * time to 0.
 */
static void put(const char *path, char fill, size_t size)
{
	char *bytes = malloc(size);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	ck_assert_ptr_nonnull(bytes);
	memset(bytes, fill, size);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, size, 0), size);
	close(fd);
	free(bytes);
	set_time(path, 0, 0);
}

/* Let the file at PATH have the first LARGE bytes of it, from OFFSET on, from FROM. */
static void put_range(const char *path, const char *from, uint64_t offset)
{
	int source = open(from, O_RDONLY | O_CLOEXEC),
	    target = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	struct file_clone_range range = { .src_fd = source,
					  .src_offset = offset,
					  .src_length = LARGE };

	ck_assert(source >= 0 && target >= 0);
	ck_assert_int_eq(ioctl(target, FICLONERANGE, &range), 0);
	close(source);
	close(target);
	set_time(path, 0, 0);
}

/*
 * Times and size tell nothing of reproducible builds: the content does, wherever it lies, and
 * nothing else.
 */
START_TEST(test_content)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *base = test_layer(home, "base"), *top = test_layer(home, "top");
	static const char *const files[] = { "defragmented", "edited",  "holes",  "read",
					     "renamed",      "touched", "written" };
	int fd, flags = FS_COMPR_FL;

	test_create(store, "base", NULL);
	for (unsigned i = 0; i < TEST_COUNT(files); i++) {
		put(test_path("%s/%s", base, files[i]), i == 2 ? 0 : 'a', LARGE);
		put(test_path("%s/small-%s", base, files[i]), 'a', 100);
	}
	/*
	 * Two halves that differ, compressed, so that one extent has both and a map does not tell
	 * which.
	 */
	fd = open(test_path("%s/compressed", base), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	close(fd);
	put(test_path("%s/compressed", base), 'b', 128 * 1024);
	put(test_path("%s/compressed", base), 'a', 64 * 1024);
	/* The same bytes at two addresses, and one of another size, to be cloned from. */
	put(test_path("%s/halves", base), 'b', 2 * LARGE);
	put(test_path("%s/halves", base), 'a', LARGE);
	put_range(test_path("%s/half", base), test_path("%s/halves", base), 0);
	put_range(test_path("%s/half-too", base), test_path("%s/halves", base), LARGE);
	/* Longer than can be read. */
	ck_assert_int_eq(truncate(test_path("%s/read", base), INT64_MAX / 2), 0);
	set_time(test_path("%s/read", base), 0, 0);
	test_create(store, "top", "base");
	edit_defragment(test_path("%s/defragmented", top));
	put(test_path("%s/edited", top), 'b', LARGE);
	put(test_path("%s/small-edited", top), 'b', 100);
	put(test_path("%s/written", top), 'a', LARGE);
	put(test_path("%s/small-written", top), 'a', 100);
	ck_assert_int_eq(truncate(test_path("%s/touched", top), LARGE), 0);
	set_time(test_path("%s/touched", top), 0, 0);
	set_time(test_path("%s/small-touched", top), 0, 0);
	set_time(test_path("%s/read", top), 0, 0);
	fd = open(test_path("%s/holes", top), O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 4096, LARGE / 2),
			 0);
	ck_assert_int_eq(fallocate(fd, 0, 4096, LARGE / 4), 0);
	close(fd);
	set_time(test_path("%s/holes", top), 0, 0);
	put(test_path("%s/new", top), 'a', LARGE);
	ck_assert_int_eq(rename(test_path("%s/new", top), test_path("%s/renamed", top)), 0);
	put(test_path("%s/new", top), 'b', 100);
	ck_assert_int_eq(rename(test_path("%s/new", top), test_path("%s/small-renamed", top)), 0);
	put_range(test_path("%s/half", top), test_path("%s/halves", base), 0);
	put_range(test_path("%s/half-too", top), test_path("%s/halves", base), 0);
	fd = open(test_path("%s/compressed", top), O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(ioctl(fd, FICLONERANGE,
			       &(struct file_clone_range){
				       .src_fd = open(test_path("%s/compressed", base),
						      O_RDONLY | O_CLOEXEC),
				       .src_offset = 64 * 1024,
				       .src_length = 64 * 1024 }),
			 0);
	close(fd);
	set_time(test_path("%s/compressed", top), 0, 0);
	expect(store, "top", "base",
	       "M /compressed\nM /edited\nM /half-too\nM /small-edited\nM /small-renamed\n");
	expect(store, "base", "top",
	       "M /compressed\nM /edited\nM /half-too\nM /small-edited\nM /small-renamed\n");
	test_close(store);
}
END_TEST

/* Layers that have nothing in common, and such that are of a third one. */
START_TEST(test_content_relatives)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *one = test_layer(home, "one"), *two = test_layer(home, "two"), *three;

	test_create(store, "one", NULL);
	test_create(store, "two", NULL);
	for (unsigned i = 0; i < 4; i++) {
		put(test_path("%s/%u", one, i), 'a', i % 2 ? LARGE : 100);
		put(test_path("%s/%u", two, i), i < 2 ? 'a' : 'b', i % 2 ? LARGE : 100);
	}
	expect(store, "two", "one", "M /2\nM /3\n");
	test_create(store, "three", "one");
	test_create(store, "four", "one");
	test_create(store, "five", "four");
	three = test_layer(home, "three");
	put(test_path("%s/0", three), 'b', 100);
	put(test_path("%s/1", one), 'b', LARGE);
	put(test_path("%s/2", test_layer(home, "five")), 'c', 100);
	expect(store, "four", "three", "M /0\n");
	expect(store, "three", "four", "M /0\n");
	expect(store, "five", "three", "M /0\nM /2\n");
	expect(store, "five", "one", "M /1\nM /2\n");
	expect(store, "one", "five", "M /1\nM /2\n");
	test_close(store);
}
END_TEST

/*
 * A shift of ownership writes every inode, and is no change where the containers see the same
 * owners.
 */
START_TEST(test_maps)
{
	static const struct varve_id_map one[] = { { 0, 100000, 1000 }, { 2000, 300000, 1000 } },
					 other[] = { { 0, 200000, 65536 } };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char *base = test_layer(home, "base"), *top = test_layer(home, "top"),
	     *again = test_layer(home, "again");
	struct varve_chown_options shift = VARVE_CHOWN_OPTIONS_INIT;
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_changes_options changes = VARVE_CHANGES_OPTIONS_INIT;
	struct varve_failure failure = { 0 };
	uint64_t bytes;

	test_create(store, "base", NULL);
	test_mkdir(test_path("%s/d", base));
	for (unsigned i = 0; i < 4; i++) {
		put(test_path("%s/d/%u", base, i), 'a', i % 2 ? LARGE : 100);
		ck_assert_int_eq(chown(test_path("%s/d/%u", base, i), i * 7,
				       i < 2 ? i * 900 : 1500 + i * 300),
				 0);
		ck_assert_int_eq(chmod(test_path("%s/d/%u", base, i), 06755), 0);
	}
	ck_assert_int_eq(symlink("target", test_path("%s/link", base)), 0);
	/* Outside of the first map. */
	put(test_path("%s/far", base), 'a', 100);
	ck_assert_int_eq(chown(test_path("%s/far", base), 1500, 0), 0);
	shift.uid_to = shift.gid_to = one;
	shift.uid_to_count = shift.gid_to_count = 2;
	shift.flags = VARVE_OVERFLOW_IDS;
	options.parent = "base";
	options.chown = &shift;
	test_ok(varve_layer_create_wait(store, "top", &options, &failure), &failure);
	/*
	 * As the host has them all is new; as the containers do, only what has lost its owner, and
	 * vice versa.
	 */
	expect_maps(store, "top", &changes,
		    "M /d\nM /d/0\nM /d/1\nM /d/2\nM /d/3\nM /far\nM /link\n");
	changes.uids = changes.gids = one;
	changes.uids_count = changes.gids_count = 2;
	expect_maps(store, "top", &changes, "M /far\n");
	changes.uids_count = changes.gids_count = 0;
	changes.parent = "top";
	changes.parent_uids = changes.parent_gids = one;
	changes.parent_uids_count = changes.parent_gids_count = 2;
	expect_maps(store, "base", &changes, "M /far\n");
	/* From one map to another. */
	shift.uid_from = shift.gid_from = one;
	shift.uid_from_count = shift.gid_from_count = 2;
	shift.uid_to = shift.gid_to = other;
	shift.uid_to_count = shift.gid_to_count = 1;
	options.parent = "top";
	ck_assert_int_eq(unlink(test_path("%s/far", top)), 0);
	test_ok(varve_layer_create_wait(store, "again", &options, &failure), &failure);
	changes.parent = NULL;
	changes.uids = changes.gids = other;
	changes.uids_count = changes.gids_count = 1;
	expect_maps(store, "again", &changes, "");
	test_ok(varve_layer_diff_size_wait(store, "again", &changes, &bytes, &failure), &failure);
	ck_assert_uint_eq(bytes, 0);
	put(test_path("%s/d/0", again), 'b', 100);
	ck_assert_int_eq(chown(test_path("%s/d/1", again), 200008, 200900), 0);
	/* The host's root, outside of the map, is the container's. */
	ck_assert_int_eq(lchown(test_path("%s/link", again), 0, 0), 0);
	expect_maps(store, "again", &changes, "M /d\nM /d/0\nM /d/1\n");
	test_ok(varve_layer_diff_size_wait(store, "again", &changes, &bytes, &failure), &failure);
	ck_assert_uint_eq(bytes, 100 + LARGE);
	changes.parent_gids_count = VARVE_ID_MAPS_MAX + 1;
	test_error(varve_layer_diff_size_wait(store, "again", &changes, &bytes, &failure), -EINVAL);
	ck_assert_ptr_nonnull(strstr(failure.detail, "340"));
	test_close(store);
}
END_TEST

START_TEST(test_unrelated)
{
	char *home = test_home();
	struct varve_store *store = open_counting(home);

	test_create(store, "one", NULL);
	test_create(store, "two", NULL);
	test_mkdir(test_path("%s/subvolumes/one/d", home));
	test_mkdir(test_path("%s/subvolumes/two/d", home));
	edit_time(test_path("%s/subvolumes/one/d", home));
	test_write(test_path("%s/subvolumes/two/d/f", home), "");
	expect(store, "two", "one", "M /d\nA /d/f\n");
	ck_assert_uint_eq(searches, 0);
	test_close(store);
}
END_TEST

START_TEST(test_deep)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	char name[256];
	int fd;

	/* A path far beyond PATH_MAX. */
	memset(name, 'n', 255);
	name[255] = '\0';
	test_create(store, "base", NULL);
	test_create(store, "top", "base");
	fd = open(test_path("%s/subvolumes/top", home), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < 40; i++) {
		int next;

		ck_assert_int_eq(mkdirat(fd, name, 0755), 0);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(next, 0);
		close(fd);
		fd = next;
	}
	close(fd);
	for (uint64_t flags = 0; flags <= VARVE_CHANGES_WALK; flags += VARVE_CHANGES_WALK) {
		struct varve_failure failure = { 0 };
		struct varve_change *changes;
		size_t count;

		test_ok(varve_layer_changes_wait(store, "top", TEST_CHANGES("base", flags),
						 &changes, &count, &failure),
			&failure);
		ck_assert_uint_eq(count, 40);
		ck_assert_uint_eq(strlen(changes[39].path), 40 * 256);
		free(changes);
	}
	test_close(store);
}
END_TEST

/* The directory at depth DEPTH of a chain in layer "top", each level of which has the name NAME. */
static int open_deep(const char *home, const char *name, unsigned depth)
{
	int fd = open(test_layer(home, "top"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; i < depth; i++) {
		int next;

		ck_assert(mkdirat(fd, name, 0755) == 0 || errno == EEXIST);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(next, 0);
		close(fd);
		fd = next;
	}
	return fd;
}

/*
 * Ask for the changes, the size and an archive of "top", with FLAGS, each beside PARENT: the first
 * gives CHANGES_ERROR, the others ARCHIVE_ERROR.
 */
static void ask_deep(struct varve_store *store, const char *parent, uint64_t flags,
		     int changes_error, int archive_error)
{
	struct varve_diff_options options = VARVE_DIFF_OPTIONS_INIT;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	options.parent = parent;
	options.flags = flags;
	for (unsigned i = 0; i < 3; i++) {
		int expected = i ? archive_error : changes_error, error;
		struct varve_failure failure = { 0 };
		struct varve_change *changes = NULL;
		size_t count;
		uint64_t bytes;

		if (i == 2)
			error = varve_layer_diff_wait(store, "top", &options, fd, NULL, NULL,
						      &failure);
		else if (i)
			error = varve_layer_diff_size_wait(store, "top",
							   TEST_CHANGES(parent, flags), &bytes,
							   &failure);
		else
			error = varve_layer_changes_wait(store, "top", TEST_CHANGES(parent, flags),
							 &changes, &count, &failure);
		test_error(error, expected);
		free(changes);
		if (!expected)
			continue;
		ck_assert_ptr_nonnull(strstr(failure.detail, "16384 bytes"));
		ck_assert_ptr_nonnull(strstr(failure.path, "/nnn"));
	}
	close(fd);
}

/* Paths as long as archives take them, and longer ones. */
START_TEST(test_too_deep)
{
	enum { DEPTH = 64 };
	static const char *const parents[] = { "base", "" };
	char *home = test_home(), name[256];
	struct varve_store *store = test_open_relaxed(home);
	int fd;

	memset(name, 'n', 255);
	name[255] = '\0';
	test_create(store, "base", NULL);
	test_create(store, "top", "base");
	for (unsigned more = 0; more < 3; more++) {
		/* Nothing; a file below; a file in one more directory, which is not entered. */
		fd = open_deep(home, name, DEPTH + (more == 2));
		if (more)
			ck_assert_int_ge(openat(fd, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0644), 0);
		close(fd);
		for (unsigned i = 0; i < 4; i++)
			ask_deep(store, parents[i / 2], i % 2 ? VARVE_CHANGES_WALK : 0,
				 more == 2 ? -ENAMETOOLONG : 0, more ? -ENAMETOOLONG : 0);
	}
	test_close(store);
}
END_TEST

START_TEST(test_errors)
{
	struct varve_store *store = test_open(test_home());
	struct varve_failure failure = { 0 };
	struct varve_change *changes;
	size_t count;

	test_create(store, "base", NULL);
	test_error(varve_layer_changes_wait(store, "none", NULL, &changes, &count, &failure),
		   -ENOENT);
	ck_assert_str_eq(failure.step, "OPEN");
	test_error(varve_layer_changes_wait(store, "base", TEST_CHANGES("none", 0), &changes,
					    &count, &failure),
		   -ENOENT);
	ck_assert_ptr_nonnull(strstr(failure.path, "/subvolumes/none"));
	test_error(varve_layer_changes_wait(store, "base", TEST_CHANGES("../base", 0), &changes,
					    &count, &failure),
		   -EINVAL);
	test_error(varve_layer_changes_wait(store, "..", NULL, &changes, &count, &failure),
		   -EINVAL);
	test_error(varve_layer_changes_wait(store, "base", TEST_CHANGES(NULL, 1u << 20), &changes,
					    &count, &failure),
		   -EINVAL);
	test_close(store);
}
END_TEST

/* As a user without privilege: the same answer. */
static int changes_as_nobody(void *data)
{
	struct varve_store *store = open_counting(data);
	char *base = test_layer(data, "base"), *same = test_layer(data, "same");

	expect(store, "top", NULL, "M /d\nA /d/new\n");
	ck_assert_uint_eq(walks, 1);
	/* What nobody wrote to is not walked, until somebody does. */
	expect(store, "same", NULL, "");
	ck_assert_uint_eq(walks, 1);
	ck_assert_uint_eq(prunes, 1);
	test_write(test_path("%s/d/late", base), "");
	expect(store, "same", NULL, "M /d\nD /d/late\n");
	test_write(test_path("%s/d/new", same), "");
	expect(store, "same", NULL, "M /d\nD /d/late\nA /d/new\n");
	ck_assert_uint_eq(walks, 3);
	ck_assert_uint_eq(prunes, 1);
	test_close(store);
	return 0;
}

START_TEST(test_unprivileged)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);

	test_create(store, "base", NULL);
	test_mkdir(test_path("%s/subvolumes/base/d", home));
	test_create(store, "top", "base");
	test_close(store);
	ck_assert_int_eq(test_command(
				 (const char *const[]){ "chown", "-R", "65534:65534", home, NULL }),
			 0);
	/* What is another user's now is used by root only where that is wanted. */
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_SHARED_HOME;
	store = test_open_config(&config);
	test_create(store, "same", "base");
	test_write(test_path("%s/subvolumes/top/d/new", home), "");
	test_close(store);
	ck_assert_int_eq(chown(test_path("%s/subvolumes/top/d/new", home), 65534, 65534), 0);
	ck_assert_int_eq(chmod(test_mount(), 0755), 0);
	test_as_nobody(changes_as_nobody, home);
}
END_TEST

TEST_MAIN("changes", test_random_edits, test_example, test_times, test_content,
	  test_content_relatives, test_maps, test_unrelated, test_deep, test_too_deep, test_errors,
	  test_unprivileged)
