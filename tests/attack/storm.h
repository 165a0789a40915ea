/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storm.h: a user of a layer exchanges names in it, as fast as a process can, while an operation
 * works on it; and trees outside of the layer are guarded. A test goes like this:
 *
 *	struct storm *storm = storm_new(STORM_USER, 0);
 *	struct varve_store *store = test_open_relaxed(home);
 *	do {
 *		test_create(store, "layer", NULL);
 *		storm_arm(storm, test_layer(home, "layer"), STORM_ALL);
 *		storm_start(storm, (const char *const[]){ test_path("%s/name", test_layer(home, "layer")), NULL });
 *		varve_layer_..._wait(store, "layer", ...);
 *		storm_stop(storm);
 *		storm_check(storm);
 *		storm_disarm(storm);
 *		test_remove_layer(store, "layer");
 *	} while (storm_count(storm) < storm_scaled(2000));
 *	storm_end(storm);
 *
 * A place is a directory of the layer that belongs to the user. It is given arms, entries whose
 * names begin with STORM_PREFIX; the attacker exchanges a name in it for one of them (renameat2
 * with RENAME_EXCHANGE), and mostly back.
 */
#ifndef STORM_H
#define STORM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The attacker that exchanges names: root of a container with a map. */
#define STORM_USER 100000

/* What the names of the arms begin with. */
#define STORM_PREFIX "storm-"

/* The content of the files that are the user's: no privileged file may have it. */
#define STORM_TEXT "the content of the user's choice\n"

enum {
	/* Links to files, directories and nodes outside, absolute, relative and by /proc. */
	STORM_LINKS = 1 << 0,
	STORM_DIRECTORIES = 1 << 1,
	STORM_FIFOS = 1 << 2,
	STORM_DEVICES = 1 << 3,
	STORM_FILES = 1 << 4,
	/* Guarded directories and a file, mounted in this process's mount namespace. */
	STORM_MOUNTS = 1 << 5,
	STORM_ALL = (1 << 6) - 1,
};

struct storm;

/*
 * Enter a mount namespace of our own, and make the guarded trees, one on the test's file system and
 * one on another, which belong to OWNER: one that may change what the operation may. The attacker
 * will be USER. To be called before a store is opened, as its threads have to be in that namespace.
 */
struct storm *storm_new(uid_t user, uid_t owner);

/* Give DIRECTORY to the user, and put the ARMS into it. */
void storm_arm(struct storm *storm, const char *directory, unsigned arms);

/*
 * Begin to exchange the PATHS, up to a NULL, which lie in armed directories and need not be there
 * yet.
 */
void storm_start(struct storm *storm, const char *const *paths);

/* How many names have been exchanged since storm_new(). Any time. */
uint64_t storm_count(const struct storm *storm);

/* Wait until COUNT more names have been exchanged: the names must be there. */
void storm_wait(const struct storm *storm, uint64_t count);

/* End the attacker. */
void storm_stop(struct storm *storm);

/* Unmount what was mounted in the places, wherever it is now, and forget them. */
void storm_disarm(struct storm *storm);

/* What of the guarded trees has changed since storm_new(): NULL, or a text to be freed. */
char *storm_changes(const struct storm *storm);

/*
 * Fail the test when something of them has changed: contents, modes, owners, times, attributes,
 * numbers of links.
 */
void storm_check(const struct storm *storm);

/*
 * Fail the test when a file below DIRECTORY has the user's content, and root as its owner with
 * setuid, or a capability.
 */
void storm_check_privileged(const char *directory);

/*
 * How often a device node of the arms, or a guarded one, was opened since the last call (O_PATH
 * does not count).
 */
unsigned storm_opens(struct storm *storm);

/* Free STORM, and leave nothing. */
void storm_end(struct storm *storm);

/* COUNT, or many times that under VARVE_TEST_SOAK=1. */
uint64_t storm_scaled(uint64_t count);

#endif
