/* SPDX-License-Identifier: Apache-2.0 */
/* idmap.c: maps of ids from the command line. */
#include "idmap.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Parse a number at *TEXT, which moves on behind it; false when there is none, or it is too large.
 */
static bool idmap_number(const char **text, uint32_t *ret_number)
{
	char *end;
	unsigned long long number;

	if (!isdigit((unsigned char)**text))
		return false;
	errno = 0;
	number = strtoull(*text, &end, 10);
	*text = end;
	*ret_number = (uint32_t)number;
	return errno == 0 && number <= UINT32_MAX;
}

/* Parse TEXT, "CONTAINER:HOST:COUNT". */
static bool idmap_parse(const char *text, struct varve_id_map *ret_map)
{
	return idmap_number(&text, &ret_map->container) && *text++ == ':' &&
	       idmap_number(&text, &ret_map->host) && *text++ == ':' &&
	       idmap_number(&text, &ret_map->count) && *text == '\0' && ret_map->count > 0;
}

int idmap_option(struct cli *cli, const char *command, const struct arguments *arguments,
		 const char *name, const struct varve_id_map **ret_maps, size_t *ret_count)
{
	const char **values = output_memory(options_values(arguments, name));
	struct varve_id_map *maps;
	size_t count = 0;
	int r = 0;

	while (values[count])
		count++;
	maps = output_memory(calloc(count + 1, sizeof(*maps)));
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (idmap_parse(values[i], &maps[i]))
			continue;
		output_complain(&cli->output, "%s: --%s is CONTAINER:HOST:COUNT, not '%s'", command,
				name, values[i]);
		r = -EINVAL;
	}
	free(values);
	*ret_maps = maps;
	*ret_count = count;
	return r;
}

int idmap_read(struct cli *cli, const char *command, const struct arguments *arguments,
	       struct varve_chown_options *ret_options)
{
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	int r = idmap_option(cli, command, arguments, "uidmap", &options.uid_to,
			     &options.uid_to_count);

	if (r == 0)
		r = idmap_option(cli, command, arguments, "gidmap", &options.gid_to,
				 &options.gid_to_count);
	if (r == 0)
		r = idmap_option(cli, command, arguments, "uidmap-from", &options.uid_from,
				 &options.uid_from_count);
	if (r == 0)
		r = idmap_option(cli, command, arguments, "gidmap-from", &options.gid_from,
				 &options.gid_from_count);
	if (r < 0)
		idmap_free(&options);
	else
		*ret_options = options;
	return r;
}

void idmap_free(struct varve_chown_options *options)
{
	free((void *)options->uid_from);
	free((void *)options->gid_from);
	free((void *)options->uid_to);
	free((void *)options->gid_to);
}

bool idmap_any(const struct varve_chown_options *options)
{
	return options->uid_from_count || options->gid_from_count || options->uid_to_count ||
	       options->gid_to_count;
}
