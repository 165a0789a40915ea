/* SPDX-License-Identifier: Apache-2.0 */
/* apply.h: archives to be unpacked. */
#ifndef VARVE_CLI_APPLY_H
#define VARVE_CLI_APPLY_H

#include "flight.h"

/*
 * Open the archive FILE ("-": standard input). Return a descriptor, or -errno after a message about
 * COMMAND.
 */
int apply_open(struct cli *cli, const char *command, const char *file);

/* Report on standard error what of the archive was not kept. A flight_job's `take`. */
void apply_take(struct flight_slot *slot, const struct varve_result *result);

/* The same of a request without an archive. A flight_job's `take`. */
void apply_take_skipped(struct flight_slot *slot, const struct varve_result *result);

/* The options of digests, for the table of a command that unpacks. */
#define APPLY_DIGESTS                                                                 \
	{ .name = "digests", .help = "write the digest, the diff id and the sizes" }, \
		{ .name = "expect",                                                   \
		  .argument = "DIGEST",                                               \
		  .help = "fail unless the stream has this digest: sha256:..." },     \
	{                                                                             \
		.name = "expect-diff-id", .argument = "ID",                           \
		.help = "fail unless the plain archive has this digest"               \
	}

/*
 * Write what apply_take() kept: as JSON an object, as text the digests. A flight_job's `report`.
 */
void apply_report(struct flight_slot *slot);

/*
 * Read what stands for VARVE_OVERFLOW_IDS, VARVE_APPLY_* and force_mode into OPTIONS. Return 0, or
 * -EINVAL after a message.
 */
int apply_flags(struct cli *cli, const char *command, const struct arguments *arguments,
		struct varve_apply_options *options);

#endif
