/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file system of a test, and the guard.
 *
 * Under tests/run the mount is given. By hand, as root, the program makes an image in a new
 * directory, deletes it as soon as it is mounted, and does this in a mount namespace of its own:
 * whatever happens, the kernel cleans up, and only an empty directory can stay behind.
 *
 * The guard does not trust prefixes alone. It walks from the mount's root with
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS), so neither "..", nor a link,
 * nor a bind mount leads out; and it compares the file system's id, which all subvolumes share
 * (their st_dev differs), and checks that the root is no other file system's.
 */
#include "test.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BTRFS_MAGIC 0x9123683E
#define OWN_IMAGE_SIZE (1ll << 30)
#define EXIT_SKIPPED 77

static struct {
	char *path;                    /* Mount point; NULL before the set-up. */
	char *directory;               /* What holds it, if we made it. */
	int root;                      /* Open root directory of the mount. */
	dev_t device;                  /* st_dev of that root. */
	uint8_t fsid[BTRFS_FSID_SIZE]; /* The file system's id. */
} mount_of_test = { .root = -1 };

/* Print why and end the process: the test has a bug that could cost data. */
static void __attribute__((noreturn)) refuse(const char *path, const char *why)
{
	fprintf(stderr, "guard: %s: %s\n", path, why);
	fflush(stderr);
	abort();
}

const char *test_mount(void)
{
	if (!mount_of_test.path)
		refuse("",
		       "this program has no mount: TEST_MAIN makes one, TEST_MAIN_UNIT does not");
	return mount_of_test.path;
}

char *test_home(void)
{
	static unsigned count;
	return test_path("%s/home-%d-%u", test_mount(), (int)getpid(), ++count);
}

char *test_home_of_nobody(void)
{
	char *home = test_home();
	if (mkdir(home, 0700) < 0 || chown(home, TEST_NOBODY, TEST_NOBODY) < 0)
		refuse(home, strerror(errno));
	return home;
}

/* Get the id of the btrfs that DESCRIPTOR is on. */
static int get_fsid(int descriptor, uint8_t *ret_fsid)
{
	struct btrfs_ioctl_fs_info_args info = { 0 };
	struct statfs statfs;
	if (fstatfs(descriptor, &statfs) < 0)
		return -errno;
	if (statfs.f_type != BTRFS_MAGIC)
		return -EINVAL;
	if (ioctl(descriptor, BTRFS_IOC_FS_INFO, &info) < 0)
		return -errno;
	memcpy(ret_fsid, info.fsid, BTRFS_FSID_SIZE);
	return 0;
}

/* Open the directory PATH, relative to the mount's root, without leaving that mount. */
static int open_beneath(const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS,
	};
	return syscall(SYS_openat2, mount_of_test.root, *path ? path : ".", &how, sizeof(how));
}

int test_guard(const char *path)
{
	size_t length = strlen(test_mount());
	uint8_t fsid[BTRFS_FSID_SIZE];
	struct stat stat;
	if (strncmp(path, mount_of_test.path, length) || path[length] != '/' || !path[length + 1])
		refuse(path, "does not lie below the test's mount");
	if (fstat(mount_of_test.root, &stat) < 0 || stat.st_dev != mount_of_test.device)
		refuse(path, "the test's mount is not what it was");
	char *parent = test_path("%s", path + length + 1);
	char *slash = strrchr(parent, '/');
	const char *name = slash ? slash + 1 : parent;
	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		refuse(path, "ends in no name");
	if (slash)
		*slash = 0;
	int directory = open_beneath(slash ? parent : "");
	if (directory < 0)
		refuse(path, strerror(errno));
	if (get_fsid(directory, fsid) < 0 || memcmp(fsid, mount_of_test.fsid, BTRFS_FSID_SIZE))
		refuse(path, "lies on another file system");
	return directory;
}

/*
 * Remember the mount at PATH; end the program if it is no btrfs or the machine's root file system.
 */
static void adopt(char *path)
{
	struct stat stat, outside;
	int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0 || fstat(descriptor, &stat) < 0 ||
	    lstat(test_path("%s/..", path), &outside) < 0)
		refuse(path, strerror(errno));
	if (stat.st_dev == outside.st_dev || stat.st_ino != BTRFS_FIRST_FREE_OBJECTID)
		refuse(path, "is not a mount point of a btrfs");
	if (get_fsid(descriptor, mount_of_test.fsid) < 0)
		refuse(path, "is not on btrfs");
	mount_of_test.path = path;
	mount_of_test.root = descriptor;
	mount_of_test.device = stat.st_dev;
}

/* Skip the program. */
static void __attribute__((noreturn)) skip(const char *reason)
{
	printf("%s\n", reason);
	exit(EXIT_SKIPPED);
}

/* Make and mount a file system of our own. */
static char *make_own(void)
{
	if (geteuid() != 0)
		skip("needs root, to mount an image");
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip("needs a mount namespace");
	const char *temporary = getenv("TMPDIR");
	mount_of_test.directory = test_path("%s/varve-test-XXXXXX", temporary ? temporary : "/tmp");
	if (!mkdtemp(mount_of_test.directory) || chmod(mount_of_test.directory, 0755) < 0)
		refuse(mount_of_test.directory, strerror(errno));
	char *image = test_path("%s/image", mount_of_test.directory);
	char *path = test_path("%s/mnt", mount_of_test.directory);
	int descriptor = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (descriptor < 0 || ftruncate(descriptor, OWN_IMAGE_SIZE) < 0 || mkdir(path, 0755) < 0)
		refuse(image, strerror(errno));
	close(descriptor);
	bool made = test_command((const char *[]){ "mkfs.btrfs", "-q", image, NULL }) == 0 &&
		    test_command((const char *[]){ "mount", "-o", "loop,user_subvol_rm_allowed",
						   image, path, NULL }) == 0;
	unlink(image);
	if (!made) {
		rmdir(path);
		rmdir(mount_of_test.directory);
		skip("cannot make and mount a btrfs image");
	}
	return path;
}

void test_mount_setup(void)
{
	const char *given = getenv("VARVE_TEST_MOUNT");
	char resolved[PATH_MAX];
	if (!given || !*given)
		adopt(make_own());
	else if (realpath(given, resolved))
		adopt(test_strdup(resolved));
	else
		refuse(given, strerror(errno));
}

void test_mount_teardown(void)
{
	close(mount_of_test.root);
	mount_of_test.root = -1;
	if (!mount_of_test.directory)
		return;
	if (umount2(mount_of_test.path, 0) < 0)
		fprintf(stderr, "%s: %s\n", mount_of_test.path, strerror(errno));
	rmdir(mount_of_test.path);
	rmdir(mount_of_test.directory);
}
