/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota_churn: what size limits cost, and what the reference driver's order of steps costs, on one
 * file system in one run.
 *
 *	quota_churn HOME [SECONDS [BACKLOG [ROUNDS [MODE|FIGURE]...]]]
 *
 * With 64 layers in flight, snapshots of one small base, in each mode of quota (off, simple, full;
 * all by default):
 *
 *	creates		layers made a second, with a limit where quota is on
 *	cleaner		what the kernel's cleaner alone sustains: dropped layers a second, of 1 MiB each, nothing else going on
 *	churn		create with a limit, write 1 MiB, remove; the time until all is dropped counts
 *	reference	the same, in the order of steps of the reference driver, one ioctl at a time in each of 64 threads: create,
 *			turn quota on, limit, record; destroy the group, walk, destroy, wait for a rescan
 *
 * The rounds are run one after the other, each with all modes and figures, so that what disturbs
 * the machine disturbs all; the last lines give the median of each figure and of each quotient
 * within a round, and the least and the most of them.
 */
#include <varve.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHURN_IN_FLIGHT 64
#define CHURN_FILE_BYTES (1 << 20)
#define CHURN_LIMIT "size=64m"
#define CHURN_LIMIT_BYTES (64ull << 20)
#define CHURN_ID_SIZE 32
#define CHURN_POLL_MS 100
#define CHURN_BASE_FILES 16
#define CHURN_ROUNDS_MAX 32

/* One run. */
struct churn {
	struct varve_store *store;
	const char *home;
	/* What a create is given. */
	struct varve_create_options options;
	/* When no more is begun. */
	uint64_t end_ns;
	/* Layers begun; done; in flight. */
	_Atomic unsigned begun;
	unsigned done, in_flight;
	/* Remove what was made? */
	bool removes;
	/* Most removed layers that awaited the cleaner. */
	uint64_t backlog_max;
	/* Layers to be filled, by threads as jobs would; the end of it. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct layer *queue;
	bool over;
};

/* One layer on its way. */
struct layer {
	struct churn *churn;
	/* Behind it in the queue of those to be filled. */
	struct layer *next;
	char id[CHURN_ID_SIZE];
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* End the program, because of FAILURE or, without one, ERROR. */
static void __attribute__((noreturn))
die(const char *what, const struct varve_failure *failure, int error)
{
	char text[2048];

	fprintf(stderr, "quota_churn: %s: %s\n", what,
		failure ? varve_strerror(failure, text, sizeof(text)) : strerror(-error));
	exit(1);
}

/* Write the file of a layer. */
static void write_file(const char *home, const char *id)
{
	static const char content[CHURN_FILE_BYTES];
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/subvolumes/%s/file", home, id);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, content, sizeof(content)) != sizeof(content))
		die(path, NULL, -errno);
	close(fd);
}

/* ---- by the library -------------------------------------------------------------------------- */

static void begin(struct churn *churn, struct layer *layer);

/* A layer has gone: the next one. */
static void removed(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	struct layer *layer = user_data;

	if (result->error)
		die("remove", result->failure, result->error);
	layer->churn->done++;
	begin(layer->churn, layer);
}

/* A layer is there: fill it and remove it, or leave it. */
static void created(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	struct layer *layer = user_data;
	struct churn *churn = layer->churn;

	if (result->error)
		die("create", result->failure, result->error);
	if (!churn->removes) {
		churn->done++;
		begin(churn, layer);
		return;
	}
	pthread_mutex_lock(&churn->lock);
	layer->next = churn->queue;
	churn->queue = layer;
	pthread_cond_signal(&churn->changed);
	pthread_mutex_unlock(&churn->lock);
}

/* Take a layer to be filled; NULL at the end. */
static struct layer *take(struct churn *churn)
{
	struct layer *layer;

	pthread_mutex_lock(&churn->lock);
	while (!churn->queue && !churn->over)
		pthread_cond_wait(&churn->changed, &churn->lock);
	layer = churn->queue;
	if (layer)
		churn->queue = layer->next;
	pthread_mutex_unlock(&churn->lock);
	return layer;
}

/* Fill layers and remove them: one of the jobs. */
static void *fill(void *data)
{
	struct churn *churn = data;
	struct layer *layer;

	while ((layer = take(churn))) {
		int r;

		write_file(churn->home, layer->id);
		r = varve_layer_remove(churn->store, layer->id, VARVE_RELAXED, removed, layer,
				       NULL);
		if (r)
			die("remove", NULL, r);
	}
	return NULL;
}

/* Begin a layer in LAYER, unless the time is over. */
static void begin(struct churn *churn, struct layer *layer)
{
	int r;

	if (now_ns() >= churn->end_ns) {
		churn->in_flight--;
		return;
	}
	snprintf(layer->id, sizeof(layer->id), "layer-%u", churn->begun++);
	r = varve_layer_create(churn->store, layer->id, &churn->options, created, layer, NULL);
	if (r)
		die("create", NULL, r);
}

/* Keep CHURN_IN_FLIGHT layers going until the time is over. */
static void fly(struct churn *churn, double seconds)
{
	struct layer layers[CHURN_IN_FLIGHT] = { 0 };
	struct pollfd pollfd = { .fd = varve_fd(churn->store), .events = POLLIN };
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;

	churn->end_ns = now_ns() + (uint64_t)(seconds * 1e9);
	churn->done = 0;
	churn->in_flight = CHURN_IN_FLIGHT;
	for (unsigned i = 0; i < CHURN_IN_FLIGHT; i++) {
		layers[i].churn = churn;
		begin(churn, &layers[i]);
	}
	while (churn->in_flight) {
		/*
		 * Not varve_wait(): while all layers are being filled there is no request to wait
		 * for.
		 */
		poll(&pollfd, 1, CHURN_POLL_MS);
		varve_dispatch(churn->store, 0);
		varve_statistics(churn->store, &statistics);
		if (statistics.cleaner_backlog > churn->backlog_max)
			churn->backlog_max = statistics.cleaner_backlog;
	}
}

/* Wait until all that was removed is dropped. */
static void drain(struct churn *churn)
{
	struct varve_failure failure;

	if (varve_sync_wait(churn->store, VARVE_SYNC_CLEAN, &failure))
		die("sync", &failure, 0);
}

/* Remove the layers FIRST to LAST. */
static void remove_all(struct churn *churn, unsigned first, unsigned last)
{
	unsigned count = last - first;
	const char **ids = calloc(count + 1, sizeof(*ids));
	char(*names)[CHURN_ID_SIZE] = calloc(count + 1, sizeof(*names));
	struct varve_failure failure;

	for (unsigned i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "layer-%u", first + i);
		ids[i] = names[i];
	}
	if (count &&
	    varve_layer_remove_batch_wait(churn->store, ids, count, VARVE_RELAXED, NULL, &failure))
		die("remove", &failure, 0);
	free(names);
	free(ids);
}

/* Layers made a second. */
static double measure_creates(struct churn *churn, double seconds)
{
	unsigned first = churn->begun;
	uint64_t begin_ns = now_ns();
	double rate;

	churn->removes = false;
	fly(churn, seconds);
	rate = churn->done / ((double)(now_ns() - begin_ns) / 1e9);
	remove_all(churn, first, churn->begun);
	drain(churn);
	return rate;
}

/* Layers that the cleaner alone drops a second: COUNT of them, removed at once. */
static double measure_cleaner(struct churn *churn, unsigned count)
{
	struct varve_failure failure;
	unsigned first = churn->begun;
	uint64_t begin_ns;

	for (unsigned i = 0; i < count; i++) {
		char id[CHURN_ID_SIZE];

		snprintf(id, sizeof(id), "layer-%u", churn->begun++);
		if (varve_layer_create_wait(churn->store, id, &churn->options, &failure))
			die("create", &failure, 0);
		write_file(churn->home, id);
	}
	if (varve_sync_wait(churn->store, 0, &failure))
		die("sync", &failure, 0);
	begin_ns = now_ns();
	remove_all(churn, first, churn->begun);
	drain(churn);
	return count / ((double)(now_ns() - begin_ns) / 1e9);
}

/* Layers a second that are made, filled, removed and dropped. */
static double measure_churn(struct churn *churn, double seconds)
{
	pthread_t threads[CHURN_IN_FLIGHT];
	uint64_t begin_ns = now_ns();

	churn->removes = true;
	churn->over = false;
	churn->backlog_max = 0;
	for (unsigned i = 0; i < CHURN_IN_FLIGHT; i++)
		if (pthread_create(&threads[i], NULL, fill, churn))
			die("thread", NULL, -EAGAIN);
	fly(churn, seconds);
	pthread_mutex_lock(&churn->lock);
	churn->over = true;
	pthread_cond_broadcast(&churn->changed);
	pthread_mutex_unlock(&churn->lock);
	for (unsigned i = 0; i < CHURN_IN_FLIGHT; i++)
		pthread_join(threads[i], NULL);
	drain(churn);
	return churn->done / ((double)(now_ns() - begin_ns) / 1e9);
}

/* ---- in the reference driver's order --------------------------------------------------------- */

/* Make ioctl REQUEST on a descriptor of PATH. */
static int reference_ioctl(const char *path, unsigned long request, void *args)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = ioctl(fd, request, args) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* Create, turn quota on, limit, record. */
static int reference_create(const char *home, const char *id, bool quota)
{
	struct btrfs_ioctl_vol_args_v2 snapshot = { 0 };
	struct btrfs_ioctl_qgroup_limit_args limit = {
		.lim = { .flags = BTRFS_QGROUP_LIMIT_MAX_RFER, .max_rfer = CHURN_LIMIT_BYTES },
	};
	char path[4096], base[4096];
	FILE *file;
	int r;

	snprintf(base, sizeof(base), "%s/subvolumes/base", home);
	snapshot.fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(snapshot.name, sizeof(snapshot.name), "%s", id);
	snprintf(path, sizeof(path), "%s/subvolumes", home);
	r = reference_ioctl(path, BTRFS_IOC_SNAP_CREATE_V2, &snapshot);
	close((int)snapshot.fd);
	if (r || !quota)
		return r;
	/* It has looked once that quota is on, and remembers. */
	snprintf(path, sizeof(path), "%s/subvolumes/%s", home, id);
	r = reference_ioctl(path, BTRFS_IOC_QGROUP_LIMIT, &limit);
	if (r)
		return r;
	snprintf(path, sizeof(path), "%s/quotas/%s", home, id);
	file = fopen(path, "we");
	if (!file)
		return -errno;
	fprintf(file, "%llu", CHURN_LIMIT_BYTES);
	return fclose(file) ? -errno : 0;
}

/* Look at one entry, as the reference driver's walk does. */
static int reference_visit(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	return 0;
}

/* Remove the record, destroy the group, walk, destroy, wait for a rescan. */
static int reference_remove(const char *home, const char *id, bool quota)
{
	struct btrfs_ioctl_ino_lookup_args lookup = { .objectid = BTRFS_FIRST_FREE_OBJECTID };
	struct btrfs_ioctl_qgroup_create_args group = { 0 };
	struct btrfs_ioctl_vol_args args = { 0 };
	char path[4096], dir[4096];
	int r;

	snprintf(dir, sizeof(dir), "%s/subvolumes", home);
	snprintf(path, sizeof(path), "%s/quotas/%s", home, id);
	unlink(path);
	snprintf(path, sizeof(path), "%s/subvolumes/%s", home, id);
	nftw(path, reference_visit, 16, FTW_PHYS | FTW_MOUNT);
	if (quota && !reference_ioctl(path, BTRFS_IOC_INO_LOOKUP, &lookup)) {
		group.qgroupid = lookup.treeid;
		/* It goes on when that fails, as it does on newer kernels. */
		reference_ioctl(dir, BTRFS_IOC_QGROUP_CREATE, &group);
	}
	snprintf(args.name, sizeof(args.name), "%s", id);
	r = reference_ioctl(dir, BTRFS_IOC_SNAP_DESTROY, &args);
	if (!r && quota)
		r = reference_ioctl(home, BTRFS_IOC_QUOTA_RESCAN_WAIT, NULL);
	return r;
}

/* What the threads of a reference run share. */
struct reference {
	struct churn *churn;
	bool quota;
	_Atomic unsigned done;
};

/* One of CHURN_IN_FLIGHT callers of the reference driver. */
static void *reference_run(void *data)
{
	struct reference *reference = data;
	struct churn *churn = reference->churn;

	while (now_ns() < churn->end_ns) {
		char id[CHURN_ID_SIZE];
		int r;

		snprintf(id, sizeof(id), "layer-%u", churn->begun++);
		r = reference_create(churn->home, id, reference->quota);
		if (r)
			die("reference: create", NULL, r);
		write_file(churn->home, id);
		r = reference_remove(churn->home, id, reference->quota);
		if (r)
			die("reference: remove", NULL, r);
		reference->done++;
	}
	return NULL;
}

/* The same as measure_churn(), the reference driver's way. */
static double measure_reference(struct churn *churn, double seconds, bool quota)
{
	struct reference reference = { .churn = churn, .quota = quota };
	pthread_t threads[CHURN_IN_FLIGHT];
	uint64_t begin_ns = now_ns();

	churn->end_ns = begin_ns + (uint64_t)(seconds * 1e9);
	for (unsigned i = 0; i < CHURN_IN_FLIGHT; i++)
		if (pthread_create(&threads[i], NULL, reference_run, &reference))
			die("reference: thread", NULL, -EAGAIN);
	for (unsigned i = 0; i < CHURN_IN_FLIGHT; i++)
		pthread_join(threads[i], NULL);
	drain(churn);
	return reference.done / ((double)(now_ns() - begin_ns) / 1e9);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Turn quota to MODE. */
static void set_mode(struct churn *churn, enum varve_quota_mode mode)
{
	struct varve_failure failure;

	if (varve_quota_disable_wait(churn->store, &failure))
		die("quota", &failure, 0);
	if (mode != VARVE_QUOTA_OFF && varve_quota_enable_wait(churn->store, mode, &failure))
		die("quota", &failure, 0);
	if (mode == VARVE_QUOTA_FULL &&
	    varve_quota_rescan_wait(churn->store, VARVE_QUOTA_WAIT, &failure))
		die("quota", &failure, 0);
}

/* Make the base. */
static void make_base(struct churn *churn)
{
	struct varve_failure failure;
	char path[4096];

	if (varve_layer_create_wait(churn->store, "base", NULL, &failure))
		die("base", &failure, 0);
	for (unsigned i = 0; i < CHURN_BASE_FILES; i++) {
		snprintf(path, sizeof(path), "%s/subvolumes/base/base-%u", churn->home, i);
		close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	}
}

/* How quota runs, in words. */
static const char *const mode_names[] = {
	[VARVE_QUOTA_OFF] = "off",
	[VARVE_QUOTA_SIMPLE] = "simple",
	[VARVE_QUOTA_FULL] = "full",
};

/* What is measured. */
enum figure { FIGURE_CREATES, FIGURE_CLEANER, FIGURE_CHURN, FIGURE_REFERENCE, FIGURES };

static const char *const figure_names[] = { "creates", "cleaner", "churn", "reference" };

/* What was measured: layers a second, by mode and round; 0: not measured. */
struct table {
	double figures[VARVE_QUOTA_SIMPLE + 1][FIGURES][CHURN_ROUNDS_MAX];
	unsigned rounds;
};

/* A quotient of two figures that is of interest. */
struct quotient {
	const char *name;
	enum figure over, under;
	/* The one below is that with quota off. */
	bool off;
};

static const struct quotient quotients[] = {
	{ "creates/off", FIGURE_CREATES, FIGURE_CREATES, true },
	{ "churn/cleaner", FIGURE_CHURN, FIGURE_CLEANER, false },
	{ "churn/reference", FIGURE_CHURN, FIGURE_REFERENCE, false },
};

/* Measure FIGURE in the mode of quota that runs. */
static double measure(struct churn *churn, enum varve_quota_mode mode, enum figure figure,
		      double seconds)
{
	/* As many as that cleaner drops in a second or a few. */
	static const unsigned counts[] = {
		[VARVE_QUOTA_OFF] = 1000, [VARVE_QUOTA_SIMPLE] = 400, [VARVE_QUOTA_FULL] = 200
	};

	switch (figure) {
	case FIGURE_CREATES:
		return measure_creates(churn, seconds / 2);
	case FIGURE_CLEANER:
		return measure_cleaner(churn, counts[mode]);
	case FIGURE_CHURN:
		return measure_churn(churn, seconds);
	default:
		return measure_reference(churn, seconds, mode != VARVE_QUOTA_OFF);
	}
}

/* Is NAME among the COUNT words at NAMES, or none of the words of KIND? */
static bool wanted(const char *name, const char *const *kind, size_t kind_count, char **names,
		   int count)
{
	bool any = false;

	for (int i = 0; i < count; i++) {
		if (!strcmp(names[i], name))
			return true;
		for (size_t j = 0; j < kind_count; j++)
			any |= !strcmp(names[i], kind[j]);
	}
	return !any;
}

/* Measure what of MODE is wanted, and print its line. */
static void measure_mode(struct churn *churn, enum varve_quota_mode mode, double seconds,
			 struct table *table, char **names, int count)
{
	static const char *const size[] = { CHURN_LIMIT, NULL };

	set_mode(churn, mode);
	churn->options.storage_options = mode == VARVE_QUOTA_OFF ? NULL : size;
	printf("%-8s", mode_names[mode]);
	for (size_t i = 0; i < FIGURES; i++) {
		double *figure = &table->figures[mode][i][table->rounds];

		if (wanted(figure_names[i], figure_names, FIGURES, names, count))
			*figure = measure(churn, mode, i, seconds);
		printf(" %9.1f", *figure);
		fflush(stdout);
	}
	printf(" %9" PRIu64 "\n", churn->backlog_max);
}

static int compare_figures(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Print the median, the least and the most of the COUNT numbers at VALUES, which are sorted. */
static void print_spread(const char *mode, const char *name, double *values, unsigned count)
{
	qsort(values, count, sizeof(*values), compare_figures);
	printf("%-8s %-16s %9.2f  (%.2f to %.2f)\n", mode, name, values[count / 2], values[0],
	       values[count - 1]);
}

/* Print the medians of MODE. */
static void print_mode(struct table *table, enum varve_quota_mode mode)
{
	for (size_t i = 0; i < sizeof(quotients) / sizeof(quotients[0]); i++) {
		const double *over = table->figures[mode][quotients[i].over];
		const double *under = table->figures[quotients[i].off ? VARVE_QUOTA_OFF : mode]
						    [quotients[i].under];
		double values[CHURN_ROUNDS_MAX];

		for (unsigned round = 0; round < table->rounds; round++)
			values[round] = over[round] / under[round];
		if (over[0] > 0 && under[0] > 0 && over != under)
			print_spread(mode_names[mode], quotients[i].name, values, table->rounds);
	}
}

/* Print the medians of all. */
static void print_table(struct table *table)
{
	for (size_t mode = 0; mode <= VARVE_QUOTA_SIMPLE; mode++)
		print_mode(table, mode);
	/* Only now, as this sorts them. */
	for (size_t mode = 0; mode <= VARVE_QUOTA_SIMPLE; mode++)
		for (size_t i = 0; i < FIGURES; i++)
			if (table->figures[mode][i][0] > 0)
				print_spread(mode_names[mode], figure_names[i],
					     table->figures[mode][i], table->rounds);
}

int main(int argc, char **argv)
{
	static const enum varve_quota_mode modes[] = { VARVE_QUOTA_OFF, VARVE_QUOTA_SIMPLE,
						       VARVE_QUOTA_FULL };
	static struct churn churn;
	static struct table table;
	struct varve_config config = VARVE_CONFIG_INIT;
	struct varve_failure failure;
	double seconds = argc > 2 ? atof(argv[2]) : 4;
	unsigned rounds = argc > 4 ? (unsigned)atoi(argv[4]) : 1;

	if (argc < 2 || rounds < 1 || rounds > CHURN_ROUNDS_MAX) {
		fprintf(stderr,
			"usage: quota_churn HOME [SECONDS [BACKLOG [ROUNDS [MODE|FIGURE]...]]]\n");
		return 2;
	}
	churn.options = (struct varve_create_options)VARVE_CREATE_OPTIONS_INIT;
	churn.options.parent = "base";
	churn.options.flags = VARVE_RELAXED;
	pthread_mutex_init(&churn.lock, NULL);
	pthread_cond_init(&churn.changed, NULL);
	churn.home = config.home = argv[1];
	config.backlog_max = argc > 3 ? (uint32_t)atoi(argv[3]) : 0;
	if (varve_open(&config, &churn.store, &failure))
		die("open", &failure, 0);
	make_base(&churn);
	printf("%-8s %9s %9s %9s %9s %9s\n", "quota", "creates/s", "cleaner/s", "churn/s", "ref./s",
	       "backlog");
	for (; table.rounds < rounds; table.rounds++)
		for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
			if (wanted(mode_names[modes[i]], mode_names,
				   sizeof(mode_names) / sizeof(mode_names[0]), argv + 5, argc - 5))
				measure_mode(&churn, modes[i], seconds, &table, argv + 5, argc - 5);
	print_table(&table);
	varve_close(churn.store);
	return 0;
}
