/* SPDX-License-Identifier: Apache-2.0 */
/* Describe the machine that measured, without naming it. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stdint.h>

#define MACHINE_TEXT_SIZE 128

/* What a reader of results must know. */
struct machine {
	/* Processor: its name, with family and model where the kernel reports them. */
	char cpu[MACHINE_TEXT_SIZE];
	/* Processors online. */
	long cores;
	/* Memory, in MiB. */
	uint64_t memory_mib;
	/* Name and release of the kernel. */
	char kernel[MACHINE_TEXT_SIZE];
	/* Version of varve. */
	char library[MACHINE_TEXT_SIZE];
	/*
	 * Processor, cores and series of the kernel; results of machines with one name are
	 * compared.
	 */
	char name[3 * MACHINE_TEXT_SIZE];
};

/* Describe this machine in RET. */
void machine_describe(struct machine *ret);

#endif
