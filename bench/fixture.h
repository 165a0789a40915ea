/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Make parent layers, the same ones from the same seed.
 *
 * fixture=flat: 100 files in each directory, sizes drawn evenly from filesize.
 *
 * fixture=image: the shapes follow N. Zhao et al., "Large-Scale Analysis of the Docker Hub Dataset", IEEE CLUSTER 2019
 * (167 TB uncompressed, 5.28 billion files: 31.6 KB a file on average; half of all images have fewer than 1,090 files,
 * 90 % fewer than 64,780; directories lie less than 4 deep in half of the layers, less than 10 in 90 %). So:
 *   - sizes are lognormal with a median of 4 KiB and sigma 2.02, which makes that average;
 *   - a directory's depth is geometric with q = 0.8: 59 % are at most 4 deep, 89 % at most 10;
 *   - a directory has 8 files on average, its number of files is geometric as well;
 *   - how many files is the job's to say: nrfiles=1090 and nrfiles=64780 are the paper's two images.
 */
#ifndef BENCH_FIXTURE_H
#define BENCH_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "options.h"

#define FIXTURE_NAME_SIZE 128
#define FIXTURE_DEPTH_MAX 24

/* Write the name that stands for all that shapes the parent of OPTIONS into NAME (FIXTURE_NAME_SIZE bytes). */
void fixture_name(const struct options *options, char *name);

/*
 * Open the parent of OPTIONS in the directory FD, made before when it is missing. It appears whole or not at all.
 * Returns a descriptor or -errno. STOP, when set, ends it with -EINTR.
 */
int fixture_open(int fd, const struct options *options, const volatile int *stop);

/*
 * Rewrite COUNT files of TREE, which is a copy of the parent of OPTIONS, with other sizes; SEED chooses which. Returns 0 or
 * -errno.
 */
int fixture_edit(int tree, const struct options *options, uint64_t count, uint64_t seed);

/* Tell how many bytes of files the parent of OPTIONS has. */
uint64_t fixture_bytes(const struct options *options);

#endif
