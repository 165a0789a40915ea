/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pressure stall information (PSI): the kernel reports by a descriptor that tasks of the machine
 * wait for the disk. Kernels without it, and containers that hide it, report nothing.
 */
#ifndef VARVE_BASE_PRESSURE_H
#define VARVE_BASE_PRESSURE_H

#include <stdbool.h>

/*
 * The file in which the kernel reports waits for the disk, and the trigger: some task waited for
 * half of two seconds. Without privilege only windows of a multiple of two seconds are allowed.
 */
#define PRESSURE_PATH "/proc/pressure/io"
#define PRESSURE_TRIGGER "some 1000000 2000000"

/* Ask for events at PATH: a descriptor to be closed, or -errno where there are no events. */
int pressure_open(const char *path);

/* Was there an event since this was last asked? Does not block. */
bool pressure_seen(int fd);

#endif
