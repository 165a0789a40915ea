/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Make parent layers, the same ones from the same seed.
 *
 * fixture=flat: as many files in each directory as dirfiles says, sizes drawn evenly from filesize.
 *
 * fixture=image: the shapes follow N. Zhao et al., "Large-Scale Analysis of the Docker Hub
 * Dataset", IEEE CLUSTER 2019, doi:10.1109/CLUSTER.2019.8891000.
 *	- From it, confirmed where it is quoted: 167 TB uncompressed in 5.28 billion files, so 31.6
 *	  KB a file on average; the median image has 1,090 files (and 94 MB), the median layer under
 *	  4 MB.
 *	- From it, but not checked against its text: 90 % of the images have fewer than 64,780
 *	  files; directories lie less than 4 deep in half of the layers, less than 10 in 90 %.
 *	- Our assumptions, made to meet these: sizes are lognormal with a median of 4 KiB and sigma
 *	  2.02, which makes that average; a directory's depth is geometric with q = 0.8 (59 % are at
 *	  most 4 deep, 89 % at most 10); a directory has 8 files on average, geometric as well.
 * The job sets the number of files: nrfiles=1090, nrfiles=64780.
 */
#ifndef BENCH_FIXTURE_H
#define BENCH_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "job/options.h"

#define FIXTURE_NAME_SIZE 128
#define FIXTURE_DEPTH_MAX 24

/*
 * Write the name that stands for all that shapes the parent of OPTIONS into NAME (FIXTURE_NAME_SIZE
 * bytes).
 */
void fixture_name(const struct options *options, char *name);

/*
 * Open the parent of OPTIONS in the directory FD; make it when it is missing. It appears whole or
 * not at all. Returns a descriptor or -errno; -EINTR: STOP was set.
 */
int fixture_open(int fd, const struct options *options, const volatile int *stop);

/*
 * Remove all parents and archives in the directory FD but those of the COUNT jobs at USED. Goes on
 * after a failure; returns the first one, or 0.
 */
int fixture_drop(int fd, const struct options *const *used, size_t count);

/*
 * Rewrite COUNT files of TREE, which is a copy of the parent of OPTIONS, with other sizes; SEED
 * chooses which. Returns 0 or -errno.
 */
int fixture_edit(int tree, const struct options *options, uint64_t count, uint64_t seed);

/*
 * Pack the parent of OPTIONS, which is in DIRECTORY, as a tar archive beside it, under its name
 * with fixture_archive_suffix(), unless it is there. Returns 0 or -errno.
 */
int fixture_archive(const char *directory, const struct options *options);

/* Return the end of the name of the parent's archive: ".tar.gz". */
const char *fixture_archive_suffix(const struct options *options);

/* Return how many bytes of files the parent of OPTIONS has. */
uint64_t fixture_bytes(const struct options *options);

#endif
