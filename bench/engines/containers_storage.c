/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containers-storage, the command, with its btrfs driver: the reference driver itself, at the price
 * of a process for each operation. The command knows only its own layers. So at open it makes one
 * for each existing layer, and the engine replaces that by a snapshot of the run's layer: all
 * engines compare the same content.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engines.h"

#define PROGRAM "containers-storage"
#define ARGUMENTS_MAX 16
/* Most layers that are taken over; jobs compare a few. */
#define LAYERS_MAX 64

/* A context. */
struct containers {
	/* The harness's environment. */
	const struct bench_env *env;
	/* The command. */
	char program[PATH_MAX];
	/* Its store. */
	char graph[PATH_MAX];
	/* Its directory of run-time state. */
	char state[PATH_MAX];
	/* The directory of the run's layers. */
	int ours_fd;
	/* The directory of the command's layers; negative before it exists. */
	int theirs_fd;
};

/* Run the command with up to five arguments, NULL last. */
static int containers_run(const struct containers *containers, const char *const *words)
{
	const char *arguments[ARGUMENTS_MAX] = {
		containers->program, "--graph", containers->graph, "--run", containers->state,
		"--storage-driver",  "btrfs"
	};
	char why[PROGRAM_WHY_SIZE];
	size_t count = 7;
	int r;

	while (*words)
		arguments[count++] = *words++;
	arguments[count] = NULL;
	r = program_run((char *const *)arguments, why);
	if (r < 0)
		containers->env->explain(containers->env->thread, why);
	return r;
}

/*
 * Let the command make the layer NAME, a child of PARENT (NULL: of none), and replace it by a
 * snapshot of the run's layer.
 */
static int take_over(struct containers *containers, const char *name, const char *parent)
{
	int source, r = containers_run(containers, (const char *const[]){ "create-layer", "-i",
									  name, parent, NULL });
	char path[PATH_MAX];

	if (r < 0)
		return r;
	if (containers->theirs_fd < 0) {
		if (snprintf(path, sizeof(path), "%s/btrfs/subvolumes", containers->graph) >=
		    (int)sizeof(path))
			return -ENAMETOOLONG;
		containers->theirs_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (containers->theirs_fd < 0)
			return -errno;
	}
	source = openat(containers->ours_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (source < 0)
		return -errno;
	r = layer_destroy(containers->theirs_fd, name);
	if (r == 0)
		r = layer_snapshot(containers->theirs_fd, name, source);
	close(source);
	return r;
}

/* Take over the existing layers, the parent first. */
static int take_over_all(struct containers *containers)
{
	const char *parent = containers->env->parent;
	struct dirent **names;
	int r = take_over(containers, parent, NULL), count = 0;

	if (r == 0)
		count = scandir(containers->env->subvolumes, &names, NULL, alphasort);
	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		if (r == 0 && i < LAYERS_MAX && names[i]->d_name[0] != '.' &&
		    strcmp(names[i]->d_name, parent))
			r = take_over(containers, names[i]->d_name, parent);
		free(names[i]);
	}
	if (count)
		free(names);
	return r;
}

static void containers_close(void *context)
{
	struct containers *containers = context;

	/*
	 * The driver has mounted its directory on itself; this undoes that. The rest is removed
	 * with the run's directory.
	 */
	if (*containers->graph)
		containers_run(containers, (const char *const[]){ "shutdown", NULL });
	if (containers->theirs_fd >= 0)
		close(containers->theirs_fd);
	if (containers->ours_fd >= 0)
		close(containers->ours_fd);
	free(containers);
}

/* Make the directories of CONTAINERS, new ones each time, and let it take over the layers. */
static int containers_prepare(struct containers *containers, const char *home)
{
	char directory[PATH_MAX];

	if (snprintf(directory, sizeof(directory), "%s/" PROGRAM ".XXXXXX", home) >=
	    (int)sizeof(directory) - 8)
		return -ENAMETOOLONG;
	containers->ours_fd = open(containers->env->subvolumes, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (containers->ours_fd < 0 || !mkdtemp(directory))
		return -errno;
	snprintf(containers->graph, sizeof(containers->graph), "%.4080s/graph", directory);
	snprintf(containers->state, sizeof(containers->state), "%.4080s/run", directory);
	return take_over_all(containers);
}

static int containers_open(const struct bench_env *env, void **ret_context, char *error,
			   size_t size)
{
	struct containers *containers = calloc(1, sizeof(*containers));
	int r;

	if (!containers)
		return -ENOMEM;
	*containers = (struct containers){ .env = env, .ours_fd = -EBADF, .theirs_fd = -EBADF };
	if (program_find(PROGRAM, containers->program, sizeof(containers->program)) < 0) {
		snprintf(error, size, "the command " PROGRAM " is not there");
		r = -ENOPKG;
	} else {
		r = containers_prepare(containers, env->home);
	}
	if (r < 0)
		containers_close(containers);
	else
		*ret_context = containers;
	return r;
}

/* Make the layer NAME from the archive, durable where the job says so. Returns 0 or -errno. */
static int containers_apply(const struct containers *containers, const char *name)
{
	int r = containers_run(containers,
			       (const char *const[]){ "create-layer", "-i", name, NULL });

	if (r == 0)
		r = containers_run(containers,
				   (const char *const[]){ "apply-diff", "-f",
							  containers->env->archive, name, NULL });
	if (r == 0 && containers->env->flags & BENCH_DURABLE && syncfs(containers->ours_fd) < 0)
		r = -errno;
	return r;
}

static int containers_queue(void *context, struct bench_op *op)
{
	struct containers *containers = context;

	switch (op->kind) {
	case BENCH_CHANGES:
		op->error = containers_run(containers,
					   (const char *const[]){ "changes", op->ids[0], NULL });
		break;
	case BENCH_DIFF:
		op->error = containers_run(containers,
					   (const char *const[]){ "diff", "-u", "-f", "/dev/null",
								  op->ids[0], NULL });
		break;
	case BENCH_DIFFSIZE:
		op->error = containers_run(containers,
					   (const char *const[]){ "diffsize", op->ids[0], NULL });
		break;
	case BENCH_APPLY:
		op->error = containers_apply(containers, op->ids[0]);
		break;
	default:
		break;
	}
	return BENCH_DONE;
}

const struct bench_engine engine_containers_storage = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_NOOP) | BENCH_BIT(BENCH_CHANGES) | BENCH_BIT(BENCH_DIFF) |
		 BENCH_BIT(BENCH_DIFFSIZE) | BENCH_BIT(BENCH_APPLY),
	.name = "containers-storage",
	.description = "the command containers-storage with its btrfs driver",
	.open = containers_open,
	.queue = containers_queue,
	.close = containers_close,
};
