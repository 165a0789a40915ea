/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Make parent layers. A plan draws directories and sizes file by file, from the seed alone; making
 * a layer follows the plan, and so does counting its bytes.
 */
#include "place/fixture.h"
#include "load/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engines/engines.h"

/* Part of each name; raise it when the same options come to make another tree. */
#define FIXTURE_VERSION 1
#define IMAGE_FILES 8
#define IMAGE_DEPTH_Q 0.8
#define IMAGE_SIZE_MEDIAN 4096.0
#define IMAGE_SIZE_SIGMA 2.02
#define IMAGE_SIZE_MAX (64u << 20)
#define PATH_SIZE 256
/* The time of change of all that is in an archive; the same in each run. */
#define ARCHIVE_TIME "@1500000000"

/* How an archive is compressed, by compress=: the end of its name, and tar's option. */
static const struct {
	const char *suffix;
	char *option;
} formats[COMPRESSIONS] = {
	[COMPRESS_NONE] = { ".tar", NULL },
	[COMPRESS_GZIP] = { ".tar.gz", "--gzip" },
	[COMPRESS_ZSTD] = { ".tar.zst", "--zstd" },
};

/* One directory of the tree. */
struct folder {
	uint32_t parent; /* Index of the one it lies in; 0 is the root. */
	uint32_t depth;  /* 0 is the root. */
};

/* A tree that is drawn file by file. */
struct plan {
	const struct options *options; /* What shapes it. */
	uint64_t random;               /* State of the random numbers. */
	struct folder *folders;        /* Directories so far. */
	uint32_t folders_count;        /* How many. */
	uint32_t folders_capacity;     /* Room. */
	uint32_t folder;               /* Where the next file lies. */
	uint64_t number;               /* Number of the next file. */
	uint64_t bytes;                /* Bytes of all before. */
};

/* One file. */
struct planned {
	uint32_t folder; /* Where it lies. */
	uint64_t number; /* Its number: it is called f<number>. */
	uint64_t size;   /* Its bytes. */
};

void fixture_name(const struct options *options, char *name)
{
	char content[24] = "";

	if (options->compressible)
		snprintf(content, sizeof(content), "-z%llu",
			 (unsigned long long)options->compressible);
	snprintf(name, FIXTURE_NAME_SIZE, "parent-%s-%llu-%llu-%llu-%llu-%llu-%llu-%llu-%llu%s-v%d",
		 options->fixture == FIXTURE_IMAGE ? "image" : "flat",
		 (unsigned long long)options->nrfiles, (unsigned long long)options->dirfiles,
		 (unsigned long long)options->filesize.low,
		 (unsigned long long)options->filesize.high, (unsigned long long)options->size,
		 (unsigned long long)options->bs, (unsigned long long)options->randseed,
		 (unsigned long long)options->aged, content, FIXTURE_VERSION);
}

/* Add a directory in PARENT and go there. Returns 0 or -ENOMEM. */
static int plan_folder(struct plan *plan, uint32_t parent, uint32_t depth)
{
	if (plan->folders_count == plan->folders_capacity) {
		uint32_t capacity = plan->folders_capacity ? plan->folders_capacity * 2 : 64;
		struct folder *folders = realloc(plan->folders, capacity * sizeof(*folders));

		if (!folders)
			return -ENOMEM;
		plan->folders = folders;
		plan->folders_capacity = capacity;
	}
	plan->folder = plan->folders_count;
	plan->folders[plan->folders_count++] = (struct folder){ parent, depth };
	return 0;
}

/* Go to a new directory, whose depth is drawn from the distribution of images. */
static int plan_image_folder(struct plan *plan)
{
	uint32_t depth = 1, parent, tries;

	while (depth < FIXTURE_DEPTH_MAX && random_share(&plan->random) < IMAGE_DEPTH_Q)
		depth++;
	/* Take any directory one level up; where none is found, make the chain down to there. */
	for (tries = 0; tries < 32; tries++) {
		parent = (uint32_t)(random_next(&plan->random) % plan->folders_count);
		if (plan->folders[parent].depth == depth - 1)
			return plan_folder(plan, parent, depth);
	}
	parent = plan->folder;
	while (plan->folders[parent].depth >= depth)
		parent = plan->folders[parent].parent;
	while (plan->folders[parent].depth < depth) {
		int r = plan_folder(plan, parent, plan->folders[parent].depth + 1);

		if (r < 0)
			return r;
		parent = plan->folder;
	}
	return 0;
}

/* Begin the plan of OPTIONS. Returns 0 or -ENOMEM. */
static int plan_init(struct plan *plan, const struct options *options)
{
	*plan = (struct plan){ .options = options, .random = random_begin(options->randseed) };
	return plan_folder(plan, 0, 0);
}

/* Draw the size of the next file. */
static uint64_t plan_size(struct plan *plan)
{
	const struct options *options = plan->options;
	uint64_t low = options->filesize.low, span = options->filesize.high - low + 1, size;

	if (options->fixture == FIXTURE_IMAGE) {
		double value = IMAGE_SIZE_MEDIAN *
			       exp(IMAGE_SIZE_SIGMA * random_normal(&plan->random));

		size = value < IMAGE_SIZE_MAX ? (uint64_t)value : IMAGE_SIZE_MAX;
	} else {
		size = span > 1 ? low + random_next(&plan->random) % span : low;
	}
	/* size= caps the whole layer, as fio's does the whole job. */
	if (options->size && plan->bytes + size > options->size)
		size = options->size - plan->bytes;
	return size;
}

/* Draw the next file. Returns 1, 0 after the last, or -ENOMEM. */
static int plan_next(struct plan *plan, struct planned *ret)
{
	bool turn;
	int r = 0;

	if (plan->number == plan->options->nrfiles)
		return 0;
	if (plan->options->fixture == FIXTURE_IMAGE) {
		turn = !plan->number || random_share(&plan->random) * IMAGE_FILES < 1;
		r = turn ? plan_image_folder(plan) : 0;
	} else if (plan->number % plan->options->dirfiles == 0) {
		r = plan_folder(plan, 0, 1);
	}
	if (r < 0)
		return r;
	*ret = (struct planned){ plan->folder, plan->number++, plan_size(plan) };
	plan->bytes += ret->size;
	return 1;
}

uint64_t fixture_bytes(const struct options *options)
{
	struct planned file;
	struct plan plan;
	uint64_t bytes;

	if (plan_init(&plan, options) == 0)
		while (plan_next(&plan, &file) > 0)
			;
	bytes = plan.bytes;
	free(plan.folders);
	return bytes;
}

/* Write the path of directory FOLDER into PATH (PATH_SIZE bytes). */
static void folder_path(const struct plan *plan, uint32_t folder, char *path)
{
	uint32_t chain[FIXTURE_DEPTH_MAX + 1], depth = 0;
	size_t length = 0;

	for (; folder; folder = plan->folders[folder].parent)
		chain[depth++] = folder;
	strcpy(path, ".");
	while (depth)
		length += (size_t)snprintf(path + length, PATH_SIZE - length, "%sd%x",
					   length ? "/" : "", chain[--depth]);
}

/* Fill the SIZE bytes at FILLER with numbers drawn from *RANDOM, PERCENT of them with zeros. */
static void draw_content(uint64_t *random, char *filler, uint64_t size, uint64_t percent)
{
	for (uint64_t i = 0; i + sizeof(uint64_t) <= size; i += sizeof(uint64_t)) {
		/* Runs of 100 numbers: zeros, then others. */
		bool zero = i / sizeof(uint64_t) % 100 < percent;
		uint64_t value = zero ? 0 : random_next(random);

		memcpy(filler + i, &value, sizeof(value));
	}
}

/* Write what FILE of PLAN holds to FD: FILLER, or content of its own, which is drawn there. */
static int fill_file(const struct plan *plan, const struct planned *file, int fd, char *filler)
{
	uint64_t size = file->size, bs = plan->options->bs, random = random_begin(file->number);

	while (size) {
		uint64_t length = size < bs ? size : bs;
		ssize_t n;

		if (plan->options->compressible)
			draw_content(&random, filler, length, plan->options->compressible);
		n = write(fd, filler, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		size -= (uint64_t)n;
	}
	return 0;
}

/* Make or replace FILE below FD. */
static int make_file(const struct plan *plan, int fd, const struct planned *file, char *filler)
{
	char path[PATH_SIZE], folder[PATH_SIZE];
	int child, r;

	folder_path(plan, file->folder, folder);
	if (snprintf(path, sizeof(path), "%s/f%llu", folder, (unsigned long long)file->number) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	child = openat(fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (child < 0)
		return -errno;
	memcpy(filler, &file->number, sizeof(file->number));
	r = fill_file(plan, file, child, filler);
	close(child);
	return r;
}

/* Make the whole tree of PLAN below FD, and keep each file in FILES. */
static int make_tree(struct plan *plan, int fd, struct planned *files, char *filler,
		     const volatile int *stop)
{
	char path[PATH_SIZE];
	uint32_t made = 1;
	int r;

	while ((r = plan_next(plan, files)) > 0) {
		for (r = 0; r == 0 && made < plan->folders_count; made++) {
			folder_path(plan, made, path);
			r = mkdirat(fd, path, 0755) < 0 ? -errno : 0;
		}
		if (r == 0)
			r = make_file(plan, fd, files++, filler);
		if (r == 0 && *stop)
			r = -EINTR;
		if (r < 0)
			return r;
	}
	return r;
}

/*
 * Age the tree below TREE, which lies in FD: in each round a snapshot is taken, one file in a
 * hundred is written anew, and the snapshot of the round before is dropped, so that extents and
 * nodes are shared, split and moved.
 */
static int age_tree(struct plan *plan, int fd, int tree, const struct planned *files, char *filler,
		    const volatile int *stop)
{
	uint64_t count = plan->options->nrfiles, changes = (count + 99) / 100;
	char name[2][32];
	int r = 0;

	snprintf(name[0], sizeof(name[0]), ".aging-%d-a", (int)getpid());
	snprintf(name[1], sizeof(name[1]), ".aging-%d-b", (int)getpid());
	for (uint64_t round = 0; r == 0 && round < plan->options->aged; round++) {
		r = layer_snapshot(fd, name[round & 1], tree);
		for (uint64_t i = 0; r == 0 && i < changes; i++)
			r = make_file(plan, tree, &files[random_next(&plan->random) % count],
				      filler);
		if (round)
			layer_destroy(fd, name[~round & 1]);
		if (r == 0 && *stop)
			r = -EINTR;
	}
	layer_destroy(fd, name[0]);
	layer_destroy(fd, name[1]);
	return r;
}

/* Make the parent of OPTIONS in the new subvolume TREE, which lies in FD. */
static int make_parent(int fd, int tree, const struct options *options, const volatile int *stop)
{
	struct planned *files = calloc(options->nrfiles + 1, sizeof(*files));
	char *filler = calloc(1, options->bs);
	uint64_t random = random_begin(options->randseed);
	struct plan plan;
	int r = plan_init(&plan, options);

	if (!files || !filler)
		r = -ENOMEM;
	if (r == 0)
		draw_content(&random, filler, options->bs, 0);
	if (r == 0)
		r = make_tree(&plan, tree, files, filler, stop);
	if (r == 0 && options->nrfiles && options->aged)
		r = age_tree(&plan, fd, tree, files, filler, stop);
	free(plan.folders);
	free(files);
	free(filler);
	return r;
}

int fixture_edit(int tree, const struct options *options, uint64_t count, uint64_t seed)
{
	struct planned *files = calloc(options->nrfiles + 1, sizeof(*files));
	char *filler = calloc(1, options->bs);
	uint64_t random = seed * 2 + 1, all = 0;
	struct plan plan;
	int r = plan_init(&plan, options);

	if (!files || !filler)
		r = -ENOMEM;
	while (r == 0 && plan_next(&plan, &files[all]) > 0)
		all++;
	for (uint64_t i = 0; r == 0 && all && i < count; i++) {
		struct planned *file = &files[random_next(&random) % all];

		file->size++;
		r = make_file(&plan, tree, file, filler);
	}
	free(plan.folders);
	free(files);
	free(filler);
	return r;
}

int fixture_open(int fd, const struct options *options, const volatile int *stop)
{
	char name[FIXTURE_NAME_SIZE], making[64];
	int tree, r;

	fixture_name(options, name);
	tree = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (tree >= 0 || errno != ENOENT)
		return tree >= 0 ? tree : -errno;
	snprintf(making, sizeof(making), ".making-%d", (int)getpid());
	r = layer_create(fd, making);
	if (r < 0)
		return r;
	tree = openat(fd, making, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = tree < 0 ? -errno : make_parent(fd, tree, options, stop);
	if (r == 0 && syncfs(tree) < 0)
		r = -errno;
	if (r == 0 && renameat(fd, making, fd, name) < 0)
		r = -errno;
	if (r == 0)
		return tree;
	if (tree >= 0)
		close(tree);
	layer_destroy(fd, making);
	return r;
}

/* Is NAME the parent, or an archive of the parent, of one of the COUNT jobs at USED? */
static bool is_used(const char *name, const struct options *const *used, size_t count)
{
	char parent[FIXTURE_NAME_SIZE];

	for (size_t i = 0; i < count; i++) {
		fixture_name(used[i], parent);
		if (!strncmp(name, parent, strlen(parent)))
			return true;
	}
	return false;
}

int fixture_drop(int fd, const struct options *const *used, size_t count)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	int first = 0;

	if (!directory) {
		first = -errno;
		if (copy >= 0)
			close(copy);
		return first;
	}
	while ((entry = readdir(directory))) {
		int r;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    is_used(entry->d_name, used, count))
			continue;
		r = unlinkat(fd, entry->d_name, 0) < 0 ? -errno : 0;
		if (r == -EISDIR || r == -EPERM)
			r = layer_destroy(fd, entry->d_name);
		if (r < 0 && !first)
			first = r;
	}
	closedir(directory);
	return first;
}

const char *fixture_archive_suffix(const struct options *options)
{
	return formats[options->compress].suffix;
}

int fixture_archive(const char *directory, const struct options *options)
{
	char name[FIXTURE_NAME_SIZE], program[PATH_MAX], tree[PATH_MAX], making[PATH_MAX],
		done[PATH_MAX], why[PROGRAM_WHY_SIZE] = "";
	char *arguments[] = { program,
			      "--create",
			      "--file",
			      making,
			      "--directory",
			      tree,
			      "--sort=name",
			      "--numeric-owner",
			      "--mtime=" ARCHIVE_TIME,
			      ".",
			      formats[options->compress].option,
			      NULL };
	int r;

	fixture_name(options, name);
	if (snprintf(making, sizeof(making), "%s/.packing-%d", directory, (int)getpid()) >=
		    (int)sizeof(making) ||
	    snprintf(tree, sizeof(tree), "%s/%s", directory, name) >= (int)sizeof(tree) ||
	    snprintf(done, sizeof(done), "%s%s", tree, fixture_archive_suffix(options)) >=
		    (int)sizeof(done))
		return -ENAMETOOLONG;
	if (access(done, F_OK) == 0)
		return 0;
	r = program_find("tar", program, sizeof(program));
	if (r == 0)
		r = program_run(arguments, why);
	if (r < 0 && *why)
		fprintf(stderr, "varve-bench: %s\n", why);
	if (r == 0 && rename(making, done) < 0)
		r = -errno;
	if (r < 0)
		unlink(making);
	return r;
}
