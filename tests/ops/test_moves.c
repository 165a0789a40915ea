/* SPDX-License-Identifier: Apache-2.0 */
/* What moves under a walk at the worst moment: the callbacks of the walk themselves move it. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "engine/store/store.h"
#include "engine/walk/shift.h"
#include "engine/walk/walk.h"
#include "random_tree.h"
#include "test.h"

/* So deep that what is above has been closed. */
#define DEPTH (WALK_FDS_MAX + 12)
/* The directory of a chain that moves. */
#define MOVES_AT 5

static _Atomic bool never;

/* A walk, and what it is to do at the entry NAME. */
struct mover {
	const char *name;
	void (*move)(struct mover *mover);
	/* What is walked; a place outside of it. */
	const char *layer, *outside;
	/* Entries that were visited; those whose name is "wrong"; directories that were left. */
	unsigned visits, wrong, left;
};

static int mover_visit(struct walk *walk, struct walk_entry *entry)
{
	struct mover *mover = walk->data;
	mover->visits++;
	mover->wrong += !strcmp(entry->name, "wrong");
	if (mover->move && !strcmp(entry->name, mover->name)) {
		mover->move(mover);
		mover->move = NULL;
	}
	return 0;
}

/* What a directory lies in is the one that it was found in. */
static int mover_leave(struct walk *walk, struct walk_dir *dir)
{
	struct mover *mover = walk->data;
	struct stat stat;
	mover->left++;
	if (!dir->parent)
		return 0;
	ck_assert_int_eq(fstat(dir->parent->fd, &stat), 0);
	ck_assert_uint_eq(stat.st_ino, dir->parent->inode);
	return 0;
}

/* Walk the layer of MOVER with CLASS on this thread, which is no failure. */
static void mover_walk(struct varve_store *store, struct mover *mover,
		       const struct walk_class *class)
{
	int descriptor = open(mover->layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct walk walk;
	ck_assert_int_eq(walk_init(&walk, store, class, descriptor, "layer", &never), 0);
	walk.data = mover;
	test_error(walk_run_here(&walk), 0);
	ck_assert_ptr_null(mover->move);
	close(descriptor);
}

/* Path of the directory LEVEL of the chain in DIRECTORY. */
static char *chain_path(const char *directory, unsigned level)
{
	char *path = test_path("%s", directory);
	for (unsigned i = 0; i < level; i++)
		path = test_path("%s/down", path);
	return path;
}

static void move_out(struct mover *mover)
{
	ck_assert_int_eq(rename(chain_path(mover->layer, MOVES_AT),
				test_path("%s/moved", mover->outside)),
			 0);
}

/*
 * A directory leaves the tree while what is below it is walked: the way up, by "..", is not
 * followed to where it is now.
 */
START_TEST(test_moved_out)
{
	static const struct walk_class class = { .call = "none",
						 .visit = mover_visit,
						 .leave = mover_leave };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct mover mover = { .name = "last",
			       .move = move_out,
			       .layer = test_path("%s/inside", test_layer(home, "layer")),
			       .outside = test_path("%s/outside", test_layer(home, "layer")) };
	test_create(store, "layer", NULL);
	/* A directory cannot leave its subvolume: what is walked is a part of it. */
	test_mkdir(mover.layer);
	test_mkdir(mover.outside);
	random_tree_chain(mover.layer, "down", DEPTH, false);
	test_write(test_path("%s/last", chain_path(mover.layer, DEPTH)), "");
	mover_walk(store, &mover, &class);
	/* From the top down to where it broke off, and from the bottom up to there. */
	ck_assert_uint_ge(mover.left, DEPTH);
	test_close(store);
}
END_TEST

static void replace(struct mover *mover)
{
	char *path = test_path("%s/parent", mover->layer);
	ck_assert_int_eq(rename(path, test_path("%s/old", mover->layer)), 0);
	test_mkdir(path);
	test_mkdir(test_path("%s/second", path));
	test_write(test_path("%s/second/wrong", path), "");
}

/*
 * Another directory takes the name of one that was closed meanwhile: it is not entered in its
 * place.
 */
START_TEST(test_replaced)
{
	static const struct walk_class class = { .call = "none", .visit = mover_visit };
	char *home = test_home(), *parent;
	struct varve_store *store = test_open(home);
	struct mover mover = { .name = "last",
			       .move = replace,
			       .layer = test_layer(home, "layer") };
	test_create(store, "layer", NULL);
	parent = test_path("%s/parent", mover.layer);
	test_mkdir(parent);
	random_tree_chain(parent, "down", DEPTH, false);
	test_mkdir(test_path("%s/second", parent));
	test_write(test_path("%s/second/file", parent), "");
	test_write(test_path("%s/last", chain_path(parent, DEPTH)), "");
	mover_walk(store, &mover, &class);
	ck_assert_uint_eq(mover.wrong, 0);
	ck_assert_uint_eq(mover.visits, 1);
	test_close(store);
}
END_TEST

static void swap_kinds(struct mover *mover)
{
	char *file = test_path("%s/2", mover->layer);
	ck_assert_int_eq(unlink(file), 0);
	test_mkdir(file);
	ck_assert_int_eq(unlink(test_path("%s/3", mover->layer)), 0);
	ck_assert_int_eq(rmdir(test_path("%s/directory", mover->layer)), 0);
	test_write(test_path("%s/directory", mover->layer), "");
}

/*
 * What has been read of a directory is no longer so: a file is a directory now, one is gone, a
 * directory is a file.
 */
START_TEST(test_changed_kind)
{
	static const struct walk_class class = { .call = "none",
						 .stat = true,
						 .visit = mover_visit };
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct mover mover = { .name = "1",
			       .move = swap_kinds,
			       .layer = test_layer(home, "layer") };
	test_create(store, "layer", NULL);
	for (unsigned i = 1; i <= 4; i++)
		test_write(test_path("%s/%u", mover.layer, i), "");
	test_mkdir(test_path("%s/directory", mover.layer));
	mover_walk(store, &mover, &class);
	/* Those called 1 and 4. */
	ck_assert_uint_eq(mover.visits, 2);
	test_close(store);
}
END_TEST

/* The class of a shift, and the layer. */
static const struct walk_class *shift_real;
static const char *shift_layer;

/* Shift an entry; right before "special" is, another file comes in its place. */
static int shift_swapped(struct walk *walk, struct walk_entry *entry)
{
	if (!strcmp(entry->name, "special"))
		ck_assert_int_eq(rename(test_path("%s/other/file", shift_layer),
					test_path("%s/special", shift_layer)),
				 0);
	return shift_real->visit(walk, entry);
}

/*
 * A file that has taken the name of one that was opened and looked at is left alone: nobody has
 * looked at that one.
 */
START_TEST(test_swapped_special)
{
	static const struct varve_id_map map = { 0, 1000, 10 };
	const struct shift_maps maps = { .uid_to = { &map, 1 }, .gid_to = { &map, 1 } };
	char *home = test_home(), *special;
	struct varve_store *store = test_open(home);
	struct walk_class class;
	struct shift shift;
	struct skipped report = { 0 };
	struct stat now;
	test_create(store, "layer", NULL);
	shift_layer = test_layer(home, "layer");
	special = test_path("%s/special", shift_layer);
	test_write(special, "");
	ck_assert_int_eq(chmod(special, 04755), 0);
	test_mkdir(test_path("%s/other", shift_layer));
	test_write(test_path("%s/other/file", shift_layer), "");
	int descriptor = open(shift_layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(shift_init(&shift, store, descriptor, "layer", &maps, "chown", &report,
				    &never),
			 0);
	/* As of a layer that is in use. */
	shift.walk.hold = true;
	shift_real = shift.walk.class;
	class = *shift_real;
	class.visit = shift_swapped;
	shift.walk.class = &class;
	test_error(walk_run_here(&shift.walk), 0);
	shift_free(&shift);
	close(descriptor);
	ck_assert(!test_exists(test_path("%s/other/file", shift_layer)));
	ck_assert_int_eq(stat(special, &now), 0);
	ck_assert_uint_eq(now.st_uid, 0);
	test_close(store);
}
END_TEST

TEST_MAIN("moves", test_moved_out, test_replaced, test_changed_kind, test_swapped_special)
