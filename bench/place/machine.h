/* SPDX-License-Identifier: Apache-2.0 */
/* Describe the machine that measured, without naming it. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stdint.h>

#define MACHINE_TEXT_SIZE 128

/* What a reader of results must know. */
struct machine {
	char cpu[MACHINE_TEXT_SIZE];		/* Processor: its name, with family and model where the kernel tells them. */
	long cores;				/* Processors online. */
	uint64_t memory_mib;			/* Memory. */
	char kernel[MACHINE_TEXT_SIZE];		/* Name and release of the kernel. */
	char library[MACHINE_TEXT_SIZE];	/* Version of varve. */
	char name[3 * MACHINE_TEXT_SIZE];	/* Processor, cores and series of the kernel: machines of one name are compared. */
};

/* Look. */
void machine_describe(struct machine *ret);

#endif
