/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two threads that decompress, unpack and hash an archive (engine/archive/inflate.c), on a
 * stream, a codec and digests of a model: up to 24 reads and some 30 pieces, few bytes of which are
 * touched, so that thousands of schedules take a second.
 *
 * One task unpacks, now and then with pauses; it may leave early. The one that decompresses waits
 * for a writer now and then. A third one may cancel. A read, an allocation, the start of the thread
 * or the hashing of a piece may fail.
 *
 * What is checked:
 *
 *	- no task waits for ever
 *	- pieces come whole and in order; each is hashed once, in order, by one task at a time, and
 *	  does not change meanwhile; at an end without an error all are hashed
 *	- while one task waits for a piece and the other one for the writer, all is hashed that there
 *	  is; so it is while one task makes a pause and the other one waits for room
 *	- a failure stays one: the end of the stream does not replace it
 */
#ifndef SIM_DIGESTS_H
#define SIM_DIGESTS_H

#include <stdbool.h>
#include <stdint.h>

/* How many schedules did what. */
struct digests_statistics {
	uint64_t schedules;
	/* Waits after which all had to be hashed: for a writer, for the task that unpacks. */
	uint64_t starved, full;
	/* Pieces that each task hashed while there were two. */
	uint64_t hashed_there, hashed_here;
	/* Ends by a failure, by a cancel, and before all was unpacked. */
	uint64_t failed, cancelled, left;
	/* Digests that failed before the stream ended. */
	uint64_t digests_failed;
};

extern struct digests_statistics digests_statistics;

/* Run the schedule of SEED: NULL, or what has failed. */
const char *digests_run(uint64_t seed, bool trace);

#endif
