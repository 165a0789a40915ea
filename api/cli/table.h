/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h: tables for people, by libsmartcols.
 *
 * The table is written when all rows are there. Bytes of a name that do not print are shown as
 * \xHH. With -z there is no table: each row is its cells as they are, a space between them, and a
 * NUL byte.
 */
#ifndef VARVE_CLI_TABLE_H
#define VARVE_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli.h"

/* The most columns of a table. */
#define TABLE_COLUMNS_MAX 16
/* Bytes for a number in text, with its NUL. */
#define TABLE_NUMBER_SIZE 32

struct libscols_table;

/* A column that can be asked for. An array of them ends with one whose name is NULL. */
struct table_column {
	/* Its heading, in capitals; on the command line case does not count. */
	const char *name;
	/* It is shown when no columns are asked for. */
	bool usual;
	/* It stands to the right. */
	bool number;
};

/* A table that is being filled. */
struct table {
	/* Where it goes. */
	struct output *output;
	/* The library's; NULL: rows are written at once. */
	struct libscols_table *scols;
	/* The columns that are shown. */
	size_t chosen[TABLE_COLUMNS_MAX];
	/* How many. */
	size_t count;
	/* Rows so far. */
	size_t rows;
	/* There is a line of headings; the total has one, too. */
	bool headings;
	/* Sizes are numbers of bytes. */
	bool exact;
};

/* The options of every table: for a table of options. */
#define TABLE_OPTIONS                                                                  \
	{ .letter = 'o',                                                               \
	  .name = "output",                                                            \
	  .argument = "LIST",                                                          \
	  .help = "the columns, joined by commas" },                                   \
		{ .name = "noheadings", .help = "no line of headings, and no total" }, \
	{                                                                              \
		.letter = 'b', .name = "bytes", .help = "sizes in bytes, not as 1.5G"  \
	}

/*
 * Begin a table of those of COLUMNS that ARGUMENTS ask COMMAND for. Return 0, or -EINVAL after a
 * message.
 */
int table_begin(struct table *table, struct output *output, const char *command,
		const struct table_column *columns, const struct arguments *arguments);

/* Add a row: CELLS has a text for each of the columns; NULL stands for none. */
void table_row(struct table *table, const char *const *cells);

/* Write the table, unless it is empty, and free it. */
void table_end(struct table *table);

/*
 * Write BYTES into BUFFER (TABLE_NUMBER_SIZE bytes), as 1.5G or exactly, as TABLE shows sizes;
 * return it.
 */
const char *table_size(const struct table *table, char *buffer, uint64_t bytes);

#endif
