/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands as engines: btrfs (of btrfs-progs) for layers, and du, rm, chown, chcon, find and cp for trees, as they are
 * found at run time. What people's scripts do, with the price of a process for each.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines.h"

#define ARGUMENTS_MAX 8
#define OWNER "1000:1000"
#define LABEL "system_u:object_r:container_file_t:s0"

/* How one kind is done. @ stands for the layer's path, ^ for the parent's. */
struct recipe {
	enum bench_kind kind;				/* What. */
	const char *program;				/* Which command. */
	const char *arguments[ARGUMENTS_MAX - 1];	/* What it is told, NULL last. */
	bool destroys;					/* It removes the layer: ask first. */
};

static const struct recipe btrfs_recipes[] = {
	{BENCH_CREATE, "btrfs", {"subvolume", "create", "@"}, false},
	{BENCH_SNAPSHOT, "btrfs", {"subvolume", "snapshot", "^", "@"}, false},
	{BENCH_REMOVE, "btrfs", {"subvolume", "delete", "@"}, true},
	{BENCH_GET, "btrfs", {"subvolume", "show", "@"}, false},
};

static const struct recipe coreutils_recipes[] = {
	{BENCH_CREATE, "mkdir", {"@"}, false},
	{BENCH_SNAPSHOT, "cp", {"-a", "--reflink=auto", "^", "@"}, false},
	{BENCH_REMOVE, "rm", {"-rf", "--one-file-system", "@"}, true},
	{BENCH_GET, "stat", {"@"}, false},
	{BENCH_USAGE, "du", {"-sb", "@"}, false},
	{BENCH_WALK, "find", {"@", "-xdev", "-newermt", "2100-01-01"}, false},
	{BENCH_CHOWN, "chown", {"-R", "-h", OWNER, "@"}, false},
	{BENCH_RELABEL, "chcon", {"-R", "-h", LABEL, "@"}, false},
};

/* A context. */
struct programs {
	const struct bench_env *env;		/* What the harness said. */
	const struct recipe *recipes[BENCH_KINDS];	/* By kind; NULL: not done. */
	char paths[BENCH_KINDS][PATH_MAX];	/* Their commands; "" when not found. */
};

/* Make a context of the COUNT recipes at RECIPES. */
static int programs_open(const struct bench_env *env, const struct recipe *recipes, size_t count, void **ret_context)
{
	struct programs *programs = calloc(1, sizeof(*programs));

	if (!programs)
		return -ENOMEM;
	programs->env = env;
	for (size_t i = 0; i < count; i++) {
		enum bench_kind kind = recipes[i].kind;

		programs->recipes[kind] = &recipes[i];
		if (program_find(recipes[i].program, programs->paths[kind], PATH_MAX) < 0)
			programs->paths[kind][0] = '\0';
	}
	*ret_context = programs;
	return 0;
}

static int btrfs_open(const struct bench_env *env, void **ret_context, char *error, size_t size)
{
	return programs_open(env, btrfs_recipes, sizeof(btrfs_recipes) / sizeof(*btrfs_recipes), ret_context);
}

static int coreutils_open(const struct bench_env *env, void **ret_context, char *error, size_t size)
{
	return programs_open(env, coreutils_recipes, sizeof(coreutils_recipes) / sizeof(*coreutils_recipes),
			     ret_context);
}

/* Write the path of layer ID into PATH. */
static int layer_path(const struct programs *programs, const char *id, char *path)
{
	return snprintf(path, PATH_MAX, "%s/%s", programs->env->subvolumes, id) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Do RECIPE to layer ID. */
static int programs_one(struct programs *programs, const struct recipe *recipe, const char *id, const char *parent)
{
	char path[PATH_MAX], from[PATH_MAX], *arguments[ARGUMENTS_MAX + 1] = {programs->paths[recipe->kind]};
	int r = layer_path(programs, id, path);

	if (r == 0 && parent)
		r = layer_path(programs, parent, from);
	if (r == 0 && recipe->destroys)
		r = programs->env->permit(programs->env, path);
	if (r < 0)
		return r;
	for (size_t i = 0; recipe->arguments[i]; i++)
		arguments[i + 1] = *recipe->arguments[i] == '@' ? path :
				   *recipe->arguments[i] == '^' ? from : (char *)recipe->arguments[i];
	return program_run(arguments);
}

static int programs_queue(void *context, struct bench_op *op)
{
	struct programs *programs = context;
	const struct recipe *recipe = programs->recipes[op->kind];

	if (op->kind == BENCH_NOOP)
		return BENCH_DONE;
	if (!programs->paths[op->kind][0])
		return -ENOPKG;
	for (uint32_t i = 0; i < op->count; i++) {
		int r = programs_one(programs, recipe, op->ids[i], op->kind == BENCH_SNAPSHOT ? op->parent : NULL);

		if (r < 0 && !op->error)
			op->error = r;
	}
	return BENCH_DONE;
}

static void programs_close(void *context)
{
	free(context);
}

const struct bench_engine engine_btrfs_progs = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_NOOP) | BENCH_BIT(BENCH_CREATE) | BENCH_BIT(BENCH_SNAPSHOT) | BENCH_BIT(BENCH_REMOVE) |
		 BENCH_BIT(BENCH_GET),
	.name = "btrfs-progs",
	.description = "the command btrfs, a process for each layer",
	.open = btrfs_open,
	.queue = programs_queue,
	.close = programs_close,
};

const struct bench_engine engine_coreutils = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_CHANGES) - 1,
	.name = "coreutils",
	.description = "the commands cp, rm, du, find, chown and chcon on trees",
	.open = coreutils_open,
	.queue = programs_queue,
	.close = programs_close,
};
