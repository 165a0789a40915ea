/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pressure stall information (PSI): the kernel tells by a descriptor that tasks of the machine wait
 * for the disk. Kernels without it, and containers that hide it, give none.
 */
#ifndef VARVE_BASE_PRESSURE_H
#define VARVE_BASE_PRESSURE_H

#include <stdbool.h>

/*
 * Where the kernel tells of waits for the disk, and what is asked for: some task waited half of two
 * seconds. Without privilege no window but a multiple of two seconds is allowed.
 */
#define PRESSURE_PATH "/proc/pressure/io"
#define PRESSURE_TRIGGER "some 1000000 2000000"

/* Ask for events at PATH: a descriptor to be closed, or -errno: there are none to be had. */
int pressure_open(const char *path);

/* Was there an event since this was last asked? Does not block. */
bool pressure_seen(int fd);

#endif
