/* SPDX-License-Identifier: Apache-2.0 */
/* Read pages of results, and put sections into them. */
#include "report/page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The beginning of a section. */
#define HEADING "## "

/* Columns of the table of claims. */
enum column { COLUMN_JOB, COLUMN_WHAT, COLUMN_CLAIM, COLUMN_MEASURED, COLUMN_KEPT, COLUMNS };

/*
 * Read the number at *TEXT, in its unit, and step over both; write it as it stands to WRITTEN.
 * Returns whether there is one.
 */
static bool parse_number(const char **text, double *ret, char *written)
{
	static const struct {
		const char *suffix;
		double factor;
	} units[] = { { " ns", 1 },     { " us", 1e3 }, { " ms", 1e6 }, { " s", 1e9 },
		      { " MiB", 1024 }, { "k", 1e3 },   { "M", 1e6 },   { "G", 1e9 } };
	char *end;

	*ret = strtod(*text, &end);
	if (end == *text)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		size_t length = strlen(units[i].suffix);

		if (strncmp(end, units[i].suffix, length) ||
		    (end[length] && !strchr(" )", end[length])))
			continue;
		*ret *= units[i].factor;
		end += length;
		break;
	}
	snprintf(written, FORMAT_SIZE, "%.*s", (int)(end - *text), *text);
	*text = end;
	return true;
}

/*
 * Read the cell TEXT, "MEDIAN (SMALLEST to LARGEST)" or "MEDIAN", into FIGURE. Returns whether it
 * is one.
 */
static bool parse_measured(const char *text, struct page_figure *figure)
{
	double median, min, max;

	if (!parse_number(&text, &median, figure->text))
		return false;
	spread_add(&figure->spread, median);
	if (!*text) {
		memcpy(figure->min_text, figure->text, FORMAT_SIZE);
		memcpy(figure->max_text, figure->text, FORMAT_SIZE);
		return true;
	}
	if (strncmp(text, " (", 2))
		return false;
	text += 2;
	if (!parse_number(&text, &min, figure->min_text) || strncmp(text, " to ", 4))
		return false;
	text += 4;
	if (!parse_number(&text, &max, figure->max_text) || strcmp(text, ")"))
		return false;
	spread_add(&figure->spread, min);
	spread_add(&figure->spread, max);
	return true;
}

/*
 * Read LINE as a row of the table of claims into FIGURE; LINE is cut up. Returns whether it is one,
 * and was measured.
 */
static bool parse_row(char *line, struct page_figure *figure)
{
	char *cells[COLUMNS], *bound;
	size_t count = 0;

	if (strncmp(line, "| ", 2))
		return false;
	for (char *cell = line + 2, *end; (end = strstr(cell, " |"));
	     cell = end + 2 + (end[2] == ' ')) {
		if (count == COLUMNS)
			return false;
		*end = '\0';
		cells[count++] = cell;
	}
	if (count != COLUMNS)
		return false;
	bound = strstr(cells[COLUMN_CLAIM], " at least ");
	bound = bound ? bound : strstr(cells[COLUMN_CLAIM], " at most ");
	if (!bound)
		return false;
	*bound = '\0';
	*figure = (struct page_figure){ 0 };
	snprintf(figure->job, sizeof(figure->job), "%s", cells[COLUMN_JOB]);
	snprintf(figure->what, sizeof(figure->what), "%s", cells[COLUMN_CLAIM]);
	return parse_measured(cells[COLUMN_MEASURED], figure);
}

/* Free what SECTION holds. */
static void section_destroy(struct page_section *section)
{
	free(section->name);
	free(section->text);
	free(section->figures);
	*section = (struct page_section){ 0 };
}

/* Read the rows of SECTION's text. Returns 0 or -ENOMEM. */
static int parse_rows(struct page_section *section)
{
	char *copy = strdup(section->text), *rest = copy, *line;

	if (!copy)
		return -ENOMEM;
	while ((line = strsep(&rest, "\n"))) {
		struct page_figure figure, *figures;

		if (!parse_row(line, &figure))
			continue;
		figures = realloc(section->figures, (section->count + 1) * sizeof(*figures));
		if (!figures) {
			free(copy);
			return -ENOMEM;
		}
		section->figures = figures;
		figures[section->count++] = figure;
	}
	free(copy);
	return 0;
}

/* Make a section of TEXT, LENGTH bytes that begin with its heading. Returns 0 or -ENOMEM. */
static int section_make(struct page_section *section, const char *text, size_t length)
{
	int r;

	*section = (struct page_section){ .text = strndup(text, length) };
	if (section->text)
		section->name = strndup(section->text + strlen(HEADING),
					strcspn(section->text, "\n") - strlen(HEADING));
	r = section->name ? parse_rows(section) : -ENOMEM;
	if (r < 0)
		section_destroy(section);
	return r;
}

/* Put SECTION, which is taken over, into PAGE. Returns 0 or -ENOMEM. */
static int put(struct page *page, struct page_section *section)
{
	struct page_section *sections;

	for (size_t i = 0; i < page->count; i++) {
		if (strcmp(page->sections[i].name, section->name))
			continue;
		section_destroy(&page->sections[i]);
		page->sections[i] = *section;
		return 0;
	}
	sections = realloc(page->sections, (page->count + 1) * sizeof(*sections));
	if (!sections) {
		section_destroy(section);
		return -ENOMEM;
	}
	page->sections = sections;
	sections[page->count++] = *section;
	return 0;
}

/*
 * Find the next heading of a section at a line's begin, from TEXT on. Returns the end of the text
 * when there is none.
 */
static const char *next_heading(const char *text)
{
	const char *at = strncmp(text, HEADING, strlen(HEADING)) ? strstr(text, "\n" HEADING)
								 : text;

	return !at ? text + strlen(text) : at == text ? at : at + 1;
}

int page_put(struct page *page, const char *text)
{
	struct page_section section;
	const char *end;
	int r = 0;

	for (text = next_heading(text); r == 0 && *text; text = end) {
		end = next_heading(text + 1);
		r = section_make(&section, text, (size_t)(end - text));
		if (r == 0)
			r = put(page, &section);
	}
	return r;
}

int page_text(const char *name, char **ret)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r = 0;
	struct stat status;
	char *text = NULL;
	size_t size = 0;

	*ret = NULL;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &status) < 0)
		r = -errno;
	else if (!S_ISREG(status.st_mode))
		size = 0;
	else if (status.st_size > PAGE_BYTES_MAX)
		r = -EFBIG;
	else
		size = (size_t)status.st_size;
	if (r == 0 && size) {
		text = calloc(1, size + 1);
		r = !text ? -ENOMEM : read(fd, text, size) != (ssize_t)size ? -EIO : 0;
	}
	close(fd);
	if (r == 0)
		*ret = text;
	else
		free(text);
	return r;
}

int page_read(struct page *page, const char *name)
{
	char *text;
	int r = page_text(name, &text);

	*page = (struct page){ 0 };
	if (r == 0 && text)
		r = page_put(page, text);
	free(text);
	return r;
}

const struct page_section *page_find(const struct page *page, const char *name)
{
	for (size_t i = 0; i < page->count; i++)
		if (!strcmp(page->sections[i].name, name))
			return &page->sections[i];
	return NULL;
}

const struct page_figure *page_figure(const struct page_section *section, const char *job,
				      const char *what)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct page_figure *figure = &section->figures[i];

		if (!strcmp(figure->job, job) && (!*what || !strcmp(figure->what, what)))
			return figure;
	}
	return NULL;
}

void page_write(const struct page *page, FILE *file)
{
	for (size_t i = 0; i < page->count; i++) {
		const char *text = page->sections[i].text;
		size_t length = strlen(text);

		/* One empty line between two sections, however the first one ended. */
		while (length && text[length - 1] == '\n')
			length--;
		fprintf(file, "%s%.*s\n", i ? "\n" : "", (int)length, text);
	}
}

void page_destroy(struct page *page)
{
	for (size_t i = 0; i < page->count; i++)
		section_destroy(&page->sections[i]);
	free(page->sections);
	*page = (struct page){ 0 };
}
