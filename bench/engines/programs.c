/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands as engines: btrfs (of btrfs-progs) for layers; du, rm, chown, chcon, find and cp for
 * trees; tar for archives; bfs, fd and gdu for usage: as they are found at run time. This is what
 * scripts do, at the price of a process for each operation.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engines.h"

#define ARGUMENTS_MAX 8
#define OWNER "1000:1000"
#define LABEL "system_u:object_r:container_file_t:s0"

/* The command of a kind. @ stands for the layer's path, ^ for the parent's, % for the archive's. */
struct recipe {
	/* The kind. */
	enum bench_kind kind;
	/* The command. */
	const char *program;
	/* The program's arguments, NULL last. */
	const char *arguments[ARGUMENTS_MAX - 1];
	/* DESTROYS: it removes the layer, after permit(). MAKES: it needs an empty layer. */
	enum { PLAIN, DESTROYS, MAKES } what;
};

static const struct recipe btrfs_recipes[] = {
	{ BENCH_CREATE, "btrfs", { "subvolume", "create", "@" }, PLAIN },
	{ BENCH_SNAPSHOT, "btrfs", { "subvolume", "snapshot", "^", "@" }, PLAIN },
	{ BENCH_REMOVE, "btrfs", { "subvolume", "delete", "@" }, DESTROYS },
	{ BENCH_GET, "btrfs", { "subvolume", "show", "@" }, PLAIN },
};

static const struct recipe coreutils_recipes[] = {
	{ BENCH_CREATE, "mkdir", { "@" }, PLAIN },
	{ BENCH_SNAPSHOT, "cp", { "-a", "--reflink=auto", "^", "@" }, PLAIN },
	{ BENCH_REMOVE, "rm", { "-rf", "--one-file-system", "@" }, DESTROYS },
	{ BENCH_GET, "stat", { "@" }, PLAIN },
	{ BENCH_USAGE, "du", { "-sb", "@" }, PLAIN },
	{ BENCH_WALK, "find", { "@", "-xdev", "-newermt", "2100-01-01" }, PLAIN },
	{ BENCH_CHOWN, "chown", { "-R", "-h", OWNER, "@" }, PLAIN },
	{ BENCH_RELABEL, "chcon", { "-R", "-h", LABEL, "@" }, PLAIN },
};

/*
 * An archive of all of a layer goes to /dev/zero: with /dev/null tar skips the content, and reads
 * no files.
 */
static const struct recipe tar_recipes[] = {
	{ BENCH_DIFF, "tar", { "-c", "-f", "/dev/zero", "-C", "@", "." }, PLAIN },
	{ BENCH_APPLY, "tar", { "-x", "-p", "-f", "%", "-C", "@" }, MAKES },
};

/* bfs and fd look at the status of each file for a size that none has; gdu sums up. */
static const struct recipe bfs_recipes[] = {
	{ BENCH_USAGE, "bfs", { "@", "-xdev", "-size", "+1000000G" }, PLAIN },
};

static const struct recipe fd_recipes[] = {
	{ BENCH_USAGE,
	  "fdfind",
	  { "--unrestricted", "--one-file-system", "--size", "+1000000g", ".", "@" },
	  PLAIN },
};

static const struct recipe gdu_recipes[] = {
	{ BENCH_USAGE,
	  "gdu",
	  { "--non-interactive", "--no-progress", "--summarize", "--no-cross", "@" },
	  PLAIN },
};

/* A context. */
struct programs {
	const struct bench_env *env;               /* What the harness said. */
	int subvolumes_fd;                         /* The directory of layers. */
	const struct recipe *recipes[BENCH_KINDS]; /* By kind; NULL: not done. */
	char paths[BENCH_KINDS][PATH_MAX];         /* Their commands; "" when not found. */
	char sync[PATH_MAX];                       /* The command sync, where it is needed. */
};

static void programs_close(void *context)
{
	struct programs *programs = context;

	if (programs->subvolumes_fd >= 0)
		close(programs->subvolumes_fd);
	free(programs);
}

/*
 * Make a context of the COUNT recipes at RECIPES. Each command that will be needed must be there.
 */
static int programs_open(const struct bench_env *env, const struct recipe *recipes, size_t count,
			 void **ret_context, char *error, size_t size)
{
	struct programs *programs = calloc(1, sizeof(*programs));
	int r = 0;

	if (!programs)
		return -ENOMEM;
	programs->env = env;
	programs->subvolumes_fd = env->subvolumes ? open(env->subvolumes,
							 O_RDONLY | O_DIRECTORY | O_CLOEXEC)
						  : -EBADF;
	if (env->subvolumes && programs->subvolumes_fd < 0)
		r = -errno;
	for (size_t i = 0; r == 0 && i < count; i++) {
		enum bench_kind kind = recipes[i].kind;

		programs->recipes[kind] = &recipes[i];
		if (!(env->kinds & BENCH_BIT(kind)) ||
		    program_find(recipes[i].program, programs->paths[kind], PATH_MAX) == 0)
			continue;
		snprintf(error, size, "the command %s is not there", recipes[i].program);
		r = -ENOPKG;
	}
	/* The files that tar has unpacked are only in memory. */
	if (r == 0 && env->flags & BENCH_DURABLE && env->kinds & BENCH_BIT(BENCH_APPLY) &&
	    program_find("sync", programs->sync, PATH_MAX) < 0) {
		snprintf(error, size, "the command sync is not there");
		r = -ENOPKG;
	}
	if (r < 0)
		programs_close(programs);
	else
		*ret_context = programs;
	return r;
}

/* The open() of an engine that has the recipes TABLE. */
#define PROGRAMS_OPEN(name, table)                                                                 \
	static int name(const struct bench_env *env, void **ret_context, char *error, size_t size) \
	{                                                                                          \
		return programs_open(env, table, sizeof(table) / sizeof(*(table)), ret_context,    \
				     error, size);                                                 \
	}

PROGRAMS_OPEN(btrfs_progs_open, btrfs_recipes)
PROGRAMS_OPEN(coreutils_open, coreutils_recipes)
PROGRAMS_OPEN(tar_open, tar_recipes)
PROGRAMS_OPEN(bfs_open, bfs_recipes)
PROGRAMS_OPEN(fd_open, fd_recipes)
PROGRAMS_OPEN(gdu_open, gdu_recipes)

/* Write the path of layer ID into PATH. */
static int layer_path(const struct programs *programs, const char *id, char *path)
{
	return snprintf(path, PATH_MAX, "%s/%s", programs->env->subvolumes, id) >= PATH_MAX
		       ? -ENAMETOOLONG
		       : 0;
}

/* Do RECIPE to layer ID. */
static int programs_one(struct programs *programs, const struct recipe *recipe, const char *id,
			const char *parent)
{
	char path[PATH_MAX], from[PATH_MAX], why[PROGRAM_WHY_SIZE],
		*arguments[ARGUMENTS_MAX + 1] = { programs->paths[recipe->kind] };
	int r = layer_path(programs, id, path);

	if (r == 0 && parent)
		r = layer_path(programs, parent, from);
	if (r == 0 && recipe->what == DESTROYS)
		r = programs->env->permit(programs->env, path);
	if (r == 0 && recipe->what == MAKES)
		r = layer_create(programs->subvolumes_fd, id);
	if (r < 0)
		return r;
	for (size_t i = 0; recipe->arguments[i]; i++) {
		switch (*recipe->arguments[i]) {
		case '@':
			arguments[i + 1] = path;
			break;
		case '^':
			arguments[i + 1] = from;
			break;
		case '%':
			arguments[i + 1] = (char *)programs->env->archive;
			break;
		default:
			arguments[i + 1] = (char *)recipe->arguments[i];
		}
	}
	r = program_run(arguments, why);
	if (r == 0 && recipe->kind == BENCH_APPLY && *programs->sync)
		r = program_run((char *[]){ programs->sync, "-f", path, NULL }, why);
	if (r < 0)
		programs->env->explain(programs->env->thread, why);
	return r;
}

static int programs_queue(void *context, struct bench_op *op)
{
	struct programs *programs = context;
	const struct recipe *recipe = programs->recipes[op->kind];

	if (op->kind == BENCH_NOOP)
		return BENCH_DONE;
	/* tar has no parent to compare with. */
	if (op->kind == BENCH_DIFF && *op->parent)
		return -EOPNOTSUPP;
	for (uint32_t i = 0; i < op->count; i++) {
		int r = programs_one(programs, recipe, op->ids[i],
				     op->kind == BENCH_SNAPSHOT ? op->parent : NULL);

		if (r < 0 && !op->error)
			op->error = r;
	}
	return BENCH_DONE;
}

/* An engine of commands. */
#define PROGRAMS_ENGINE(symbol, title, does, text)       \
	const struct bench_engine engine_##symbol = {    \
		.version = BENCH_ENGINE_VERSION,         \
		.kinds = BENCH_BIT(BENCH_NOOP) | (does), \
		.name = title,                           \
		.description = text,                     \
		.open = symbol##_open,                   \
		.queue = programs_queue,                 \
		.close = programs_close,                 \
	}

PROGRAMS_ENGINE(btrfs_progs, "btrfs-progs",
		BENCH_BIT(BENCH_CREATE) | BENCH_BIT(BENCH_SNAPSHOT) | BENCH_BIT(BENCH_REMOVE) |
			BENCH_BIT(BENCH_GET),
		"the command btrfs, a process for each layer");
PROGRAMS_ENGINE(coreutils, "coreutils", BENCH_BIT(BENCH_CHANGES) - 1,
		"the commands cp, rm, du, find, chown and chcon on trees");
PROGRAMS_ENGINE(tar, "tar", BENCH_BIT(BENCH_DIFF) | BENCH_BIT(BENCH_APPLY),
		"the command tar: diff (with full) and apply");
PROGRAMS_ENGINE(bfs, "bfs", BENCH_BIT(BENCH_USAGE), "the command bfs, which looks at each file");
PROGRAMS_ENGINE(fd, "fd", BENCH_BIT(BENCH_USAGE), "the command fdfind, which looks at each file");
PROGRAMS_ENGINE(gdu, "gdu", BENCH_BIT(BENCH_USAGE),
		"the command gdu, which sums up sizes on several threads");
