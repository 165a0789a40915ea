/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relabelling: every entry has the attribute afterwards, the root last; with SELinux on or off,
 * because the engine's walk is called itself here, which asks no policy. What depends on a policy
 * is tested where there is one.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "engine/store/store.h"
#include "engine/walk/label.h"
#include "engine/walk/workers.h"
#include "random_tree.h"
#include "test.h"

static const char label_one[] = "system_u:object_r:container_file_t:s0:c1,c2";
static const char label_two[] = "system_u:object_r:container_file_t:s0";

static _Atomic bool never;

/*
 * Is PATH itself labelled with TEXT? What has no label of its own gets one from the kernel where
 * there is a policy.
 */
static bool has_label(const char *path, const char *text)
{
	char value[256];
	ssize_t size = lgetxattr(path, "security.selinux", value, sizeof(value));
	return size == (ssize_t)strlen(text) + 1 && !memcmp(value, text, (size_t)size);
}

/* Relabel the layer ID with TEXT on this thread. */
static int relabel(struct varve_store *store, const char *home, const char *id, const char *text)
{
	struct label label;
	int descriptor = open(test_layer(home, id), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(label_init(&label, store, descriptor, id, text, &never), 0);
	int r = walk_run_here(&label.walk);
	close(descriptor);
	return r;
}

/* A relabelling by the threads of a store. */
struct posted {
	struct inbox_node node;
	struct label label;
	sem_t over;
	int result;
};

static void posted_done(struct walk *walk, int result)
{
	struct posted *posted = walk->context;
	posted->result = result;
	sem_post(&posted->over);
}

static void posted_receive(struct inbox_node *node)
{
	job_start(&container_of(node, struct posted, node)->label.walk.job);
}

/* Let the threads of STORE do what is prepared in POSTED. */
static int posted_run(struct varve_store *store, struct posted *posted)
{
	ck_assert_int_eq(sem_init(&posted->over, 0, 0), 0);
	posted->label.walk.context = posted;
	posted->label.walk.done = posted_done;
	io_post(&store->core.io, &posted->node);
	while (sem_wait(&posted->over) < 0)
		ck_assert_int_eq(errno, EINTR);
	sem_destroy(&posted->over);
	return posted->result;
}

/* As relabel(), by the threads of STORE, which name entries by WAY. */
static int relabel_threads(struct varve_store *store, const char *home, const char *id,
			   const char *text, enum xattr_method method)
{
	struct posted posted = { .node.receive = posted_receive };
	int descriptor = open(test_layer(home, id), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	workers_set_xattr_method(store, method);
	ck_assert_int_eq(label_init(&posted.label, store, descriptor, id, text, &never), 0);
	int r = posted_run(store, &posted);
	close(descriptor);
	return r;
}

static void expect_label(void *data, int parent, const char *name, const char *path,
			 const struct stat *stat)
{
	(void)parent, (void)name;
	if (stat->st_ino != 2)
		ck_assert_msg(has_label(path, data), "%s", path);
}

START_TEST(test_all_entries)
{
	char *home = test_home(), *path = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	/* Slow entries must not go to the ring from a walk on this thread. */
	workers_set_slow(store, 0);
	random_tree_make(path, 77, 400);
	random_tree_writable(path);
	test_error(relabel(store, home, "layer", label_one), 0);
	random_tree_each(path, expect_label, (char *)label_one);
	/* Another one, and the same once more, which finds what differs. */
	test_error(relabel(store, home, "layer", label_two), 0);
	random_tree_each(path, expect_label, (char *)label_two);
	char *directory = test_path("%s/changed", path);
	test_mkdir(directory);
	ck_assert_int_eq(lsetxattr(directory, "security.selinux", label_one, sizeof(label_one), 0),
			 0);
	test_error(relabel(store, home, "layer", label_two), 0);
	random_tree_each(path, expect_label, (char *)label_two);
	test_close(store);
}
END_TEST

/*
 * A create shifts and then labels, two walks of one descriptor: the second one finds all that the
 * first has read.
 */
START_TEST(test_descriptor_read_before)
{
	char *home = test_home(), *path = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	struct label label;
	test_create(store, "layer", NULL);
	random_tree_make(path, 78, 100);
	random_tree_writable(path);
	int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(label_init(&label, store, descriptor, "layer",
					    i ? label_two : label_one, &never),
				 0);
		test_error(walk_run_here(&label.walk), 0);
		random_tree_each(path, expect_label, (char *)(i ? label_two : label_one));
	}
	close(descriptor);
	test_close(store);
}
END_TEST

/* The second time nothing is written: no inode changes. */
static void add_ctime(void *data, int parent, const char *name, const char *path,
		      const struct stat *stat)
{
	(void)parent, (void)name, (void)path;
	*(uint64_t *)data += (uint64_t)stat->st_ctim.tv_sec * 1000000000 +
			     (uint64_t)stat->st_ctim.tv_nsec;
}

START_TEST(test_fast_mode)
{
	char *home = test_home(), *path = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	uint64_t before = 0, after = 0;
	test_create(store, "layer", NULL);
	test_make_tree(path, 3, 30, 10);
	test_error(relabel(store, home, "layer", label_one), 0);
	random_tree_each(path, add_ctime, &before);
	test_error(relabel(store, home, "layer", label_one), 0);
	random_tree_each(path, add_ctime, &after);
	ck_assert_uint_eq(before, after);
	test_close(store);
}
END_TEST

/* What fails below keeps the root from saying that all is done. */
START_TEST(test_root_last)
{
	char *home = test_home(), *path = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_subvolume_create(test_path("%s/nested", path));
	test_subvolume_snapshot(test_path("%s/nested", path), test_path("%s/read-only", path),
				true);
	test_error(relabel(store, home, "layer", label_one), -EROFS);
	ck_assert(!has_label(path, label_one));
	ck_assert(has_label(test_path("%s/nested", path), label_one));
	test_close(store);
}
END_TEST

/* ---- how entries are named ------------------------------------------------------------------- */

/*
 * The class of a relabelling; entries that were named from the thread's working directory, and
 * others.
 */
static const struct walk_class *label_real;
static _Atomic unsigned named_here, named_else;

static int visit_named(struct walk *walk, struct walk_entry *entry)
{
	struct stat dir, here;
	int r = label_real->visit(walk, entry);
	if (entry->xattr_dir->here) {
		ck_assert_int_eq(fstat(entry->dir->fd, &dir), 0);
		ck_assert_int_eq(stat("/proc/thread-self/cwd", &here), 0);
		ck_assert(dir.st_dev == here.st_dev && dir.st_ino == here.st_ino);
		named_here++;
	} else {
		named_else++;
	}
	return r;
}

/*
 * No thread of this process has its working directory in HOME, where it would keep the file system
 * busy.
 */
static void expect_nobody_in(const char *home)
{
	struct dirent *dirent;
	DIR *tasks = opendir("/proc/self/task");
	while ((dirent = readdir(tasks))) {
		char cwd[PATH_MAX];
		ssize_t length = readlink(test_path("/proc/self/task/%s/cwd", dirent->d_name), cwd,
					  sizeof(cwd) - 1);
		/* A thread that has ended has none. */
		cwd[length < 0 ? 0 : length] = '\0';
		ck_assert_msg(strncmp(cwd, home, strlen(home)) != 0, "a thread is in %s", cwd);
	}
	closedir(tasks);
}

/*
 * Relabel with TEXT by WAY on the threads of STORE; all entries have it, nobody stays there, the
 * program stays where it was.
 */
static void relabel_by(struct varve_store *store, const char *home, enum xattr_method method,
		       const char *text)
{
	char before[PATH_MAX], after[PATH_MAX];
	struct walk_class class;
	struct posted posted = { .node.receive = posted_receive };
	int descriptor = open(test_layer(home, "layer"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
	workers_set_xattr_method(store, method);
	named_here = named_else = 0;
	ck_assert_int_eq(label_init(&posted.label, store, descriptor, "layer", text, &never), 0);
	label_real = posted.label.walk.class;
	class = *label_real;
	class.visit = visit_named;
	posted.label.walk.class = &class;
	test_error(posted_run(store, &posted), 0);
	close(descriptor);
	random_tree_each(test_layer(home, "layer"), expect_label, (char *)text);
	expect_nobody_in(home);
	ck_assert_ptr_nonnull(getcwd(after, sizeof(after)));
	ck_assert_str_eq(before, after);
}

/* A layer whose entries are named in three ways; slow ones, which the ring has looked at, too. */
static struct varve_store *open_ways(char *home)
{
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	random_tree_make(test_layer(home, "layer"), 78, 400);
	random_tree_writable(test_layer(home, "layer"));
	return store;
}

START_TEST(test_ways)
{
	char *home = test_home();
	struct varve_store *store = open_ways(home);
	enum xattr_method best = xattr_probe();
	char before[PATH_MAX], after[PATH_MAX];
	/* Another one each time: what has its label already is not asked. */
	const char *const labels[] = { label_one, label_two };
	unsigned count = 0;
	for (int i = 0; i < 6; i++) {
		workers_set_slow(store, i < 3 ? WALK_SLOW_NS : 0);
		if (i % 3 == XATTR_AT && best != XATTR_AT)
			continue;
		relabel_by(store, home, i % 3, labels[count++ % 2]);
		ck_assert_msg((i % 3 == XATTR_CWD ? named_else : named_here) == 0, "%d: %u, %u", i,
			      named_here, named_else);
		ck_assert_uint_gt(named_here + named_else, 0);
	}
	/* A thread of the program's keeps its working directory. */
	ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
	workers_set_xattr_method(store, XATTR_CWD);
	test_error(relabel(store, home, "layer", labels[count % 2]), 0);
	ck_assert_ptr_nonnull(getcwd(after, sizeof(after)));
	ck_assert_str_eq(before, after);
	random_tree_each(test_layer(home, "layer"), expect_label, (char *)labels[count % 2]);
	test_close(store);
}
END_TEST

/* Refuse the system call NUMBER to this process with EPERM, as a container engine's filter does. */
static void refuse_call(unsigned number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = TEST_COUNT(code), .filter = code };
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/*
 * Where a thread may not have a working directory of its own, and where it may not go into a
 * directory.
 */
static void ways_refused(unsigned number)
{
	char *home = test_home();
	test_close(open_ways(home));
	refuse_call(number);
	struct varve_store *store = test_open(home);
	relabel_by(store, home, XATTR_CWD, label_one);
	ck_assert_uint_eq(named_here, 0);
	ck_assert_uint_gt(named_else, 0);
	test_close(store);
}

START_TEST(test_unshare_refused)
{
	ways_refused(SYS_unshare);
}
END_TEST

START_TEST(test_fchdir_refused)
{
	ways_refused(SYS_fchdir);
}
END_TEST

START_TEST(test_refusals)
{
	char *home = test_home(), text[LABEL_BYTES];
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_error(varve_layer_relabel_wait(store, "layer", "a:b:c", 0, NULL), -EINVAL);
	test_error(varve_layer_relabel_wait(store, "layer", "", 0, NULL), 0);
	test_error(varve_layer_relabel_wait(store, "none", label_one, 0, NULL), -ENOENT);
	test_error(varve_layer_relabel_wait(store, "layer", label_one, 1u << 9, NULL), -EINVAL);
	label_make(label_one, true, text);
	ck_assert_str_eq(text, "system_u:object_r:container_file_t:s0");
	ck_assert(label_refused("/usr") && label_refused("/") && !label_refused("/usr/x"));
	setenv("HOME", test_layer(home, "layer"), 1);
	ck_assert(label_refused(test_layer(home, "layer")));
	test_close(store);
}
END_TEST

static void expect_none(void *data, int parent, const char *name, const char *path,
			const struct stat *stat)
{
	(void)parent, (void)name, (void)data, (void)stat;
	ck_assert_msg(!has_label(path, label_one) && !has_label(path, label_two), "%s", path);
}

START_TEST(test_attack)
{
	char *home = test_home(), *outside = test_path("%s-outside", home),
	     *layer = test_layer(home, "layer");
	struct varve_store *store = test_open(home);
	test_mkdir(outside);
	test_make_tree(outside, 3, 20, 10);
	test_create(store, "layer", NULL);
	test_make_tree(layer, 20, 20, 10);
	test_mkdir(test_path("%s/swap", layer));
	test_make_tree(test_path("%s/swap", layer), 3, 20, 10);
	ck_assert_int_eq(symlink(outside, test_path("%s/link", layer)), 0);
	int child = test_child_endless(random_tree_swap, layer);
	for (int i = 0; i < 30; i++) {
		const char *text = i % 2 ? label_one : label_two;
		if (i % 3)
			test_error(relabel_threads(store, home, "layer", text,
						   i % 3 == 1 ? XATTR_CWD : XATTR_PROC),
				   0);
		else
			test_error(relabel(store, home, "layer", text), 0);
	}
	test_child_kill(child);
	random_tree_each(outside, expect_none, NULL);
	test_close(store);
}
END_TEST

TEST_MAIN("relabel", test_all_entries, test_descriptor_read_before, test_fast_mode, test_root_last,
	  test_ways, test_unshare_refused, test_fchdir_refused, test_refusals, test_attack)
