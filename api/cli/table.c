/* SPDX-License-Identifier: Apache-2.0 */
/* table.c: tables for people, by libsmartcols. */
#include "table.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Find the column called by the LENGTH bytes at NAME. Return its place, or SIZE_MAX. */
static size_t table_find(const struct table_column *columns, const char *name, size_t length)
{
	for (size_t i = 0; columns[i].name; i++) {
		if (strlen(columns[i].name) == length &&
		    strncasecmp(columns[i].name, name, length) == 0)
			return i;
	}
	return SIZE_MAX;
}

/*
 * Write which columns there are, after one that there is not: the LENGTH bytes at NAME. Return
 * -EINVAL.
 */
static int table_refuse(struct output *output, const char *command,
			const struct table_column *columns, const char *name, size_t length)
{
	char all[TABLE_COLUMNS_MAX * 32] = "";

	for (size_t i = 0; columns[i].name; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? "," : "",
			 columns[i].name);
	output_complain(output, "%s: no column '%.*s': there are %s", command, (int)length, name,
			all);
	return -EINVAL;
}

/* Choose the columns of LIST. Return 0, or -EINVAL after a message. */
static int table_choose(struct table *table, const char *command,
			const struct table_column *columns, const char *list)
{
	for (;; list++) {
		size_t length = strcspn(list, ",");
		size_t column = table_find(columns, list, length);

		if (column == SIZE_MAX || table->count == TABLE_COLUMNS_MAX)
			return table_refuse(table->output, command, columns, list, length);
		table->chosen[table->count++] = column;
		list += length;
		if (!*list)
			return 0;
	}
}

int table_begin(struct table *table, struct output *output, const char *command,
		const struct table_column *columns, const struct arguments *arguments)
{
	const char *list = options_value(arguments, "output");
	const char *heading = output->colours ? "\033[1m" : NULL;
	int r;

	*table = (struct table){ .output = output,
				 .headings = !options_has(arguments, "noheadings"),
				 .exact = options_has(arguments, "bytes") };
	if (list) {
		r = table_choose(table, command, columns, list);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; !list && columns[i].name; i++) {
		if (columns[i].usual)
			table->chosen[table->count++] = i;
	}
	if (output->end == '\0')
		return 0;
	table->scols = output_memory(scols_new_table());
	scols_table_set_stream(table->scols, output->file);
	scols_table_enable_noheadings(table->scols, !table->headings);
	scols_table_enable_colors(table->scols, output->colours);
	/* The table goes where it is wanted, however wide that is. */
	scols_table_set_termforce(table->scols, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < table->count; i++) {
		const struct table_column *column = &columns[table->chosen[i]];
		struct libscols_column *made = output_memory(
			scols_table_new_column(table->scols, column->name, 0,
					       column->number ? SCOLS_FL_RIGHT : 0));

		if (heading)
			scols_cell_set_color(scols_column_get_header(made), heading);
	}
	return 0;
}

void table_row(struct table *table, const char *const *cells)
{
	struct libscols_line *line = table->scols ? output_memory(scols_table_new_line(table->scols,
										       NULL))
						  : NULL;

	table->rows++;
	for (size_t i = 0; i < table->count; i++) {
		const char *cell = cells[table->chosen[i]];

		cell = cell && *cell ? cell : "-";
		if (line) {
			if (scols_line_set_data(line, i, cell) < 0)
				output_memory(NULL);
			continue;
		}
		output_text(table->output, "%s", i ? " " : "");
		output_name(table->output, cell);
	}
	if (!line)
		output_end(table->output);
}

void table_end(struct table *table)
{
	if (table->scols && table->rows) {
		if (table->output->terminal)
			progress_clear(table->output->progress);
		scols_print_table(table->scols);
	}
	if (table->scols)
		scols_unref_table(table->scols);
	table->scols = NULL;
}

const char *table_size(const struct table *table, char *buffer, uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	int unit = -1;

	while (value >= 1023.95 && unit + 1 < (int)strlen(units)) {
		value /= 1024;
		unit++;
	}
	if (table->exact || unit < 0)
		snprintf(buffer, TABLE_NUMBER_SIZE, "%" PRIu64, bytes);
	else
		snprintf(buffer, TABLE_NUMBER_SIZE, "%.1f%c", value, units[unit]);
	return buffer;
}
