/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees of everything that a directory can hold, made from a seed, and what a plain walk finds in a
 * tree.
 */
#ifndef RANDOM_TREE_H
#define RANDOM_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/*
 * Make entries below PATH until there are ENTRIES: files with holes, hard links, symbolic links,
 * sockets, fifos, devices, odd and long names, directories, subvolumes, snapshots with a place for
 * a nested subvolume. Everything follows SEED.
 */
void random_tree_make(const char *path, unsigned seed, unsigned entries);

/*
 * Make a chain of DEPTH directories called NAME below PATH, with a file beside each if WITH_FILES.
 */
void random_tree_chain(const char *path, const char *name, unsigned depth, bool with_files);

/* What a plain, recursive walk adds up; mounts are left out. */
struct random_tree_sum {
	uint64_t bytes, inodes, disk_bytes;
};

/* Add up the tree at PATH, one thread, readdir and lstat. */
struct random_tree_sum random_tree_sum(const char *path);

/* Called for each entry below a path, and for that itself: what it is, and its path. */
typedef void random_tree_callback(void *data, int parent, const char *name, const char *path,
				  const struct stat *stat);

/*
 * Call CALLBACK for everything below PATH, PATH itself included (name "."), in no order; mounts are
 * left out.
 */
void random_tree_each(const char *path, random_tree_callback *callback, void *data);

/* Make the subvolumes below PATH writable. */
void random_tree_writable(const char *path);

/* Exchange DIRECTORY/swap and DIRECTORY/link for ever; a function for test_child_start(). */
int random_tree_swap(void *directory);

#endif
