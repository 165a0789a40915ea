/* SPDX-License-Identifier: Apache-2.0 */
#include "spares.h"
#include "engine/base/util.h"
#include "engine/store/stock.h"
#include "kernel.h"
#include "layers.h"
#include "schedule.h"
#include "tasks.h"
#include "wrap.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Subvolumes that the parent may be one after another, and times that it may be missing. */
#define STATES_MAX 512
/* Overwrites in a schedule: four for each request that there may be. */
#define OVERWRITES_MAX (4 * PROGRAMS_MAX * SCHEDULE_REQUESTS_MAX)

static struct {
	const char *id;
	/* What the parent was, in order: the number of its subvolume; 0: it was missing. */
	uint64_t states[STATES_MAX];
	unsigned count;
	/* Data may be lost: what was written need not be in a snapshot. */
	bool losses;
	/* Each overwrite has a number, that it writes; and when it was made, 0: not yet. */
	uint32_t numbers;
	unsigned overwrites, when[OVERWRITES_MAX + 1];
	/* Files stay open. The one that each process overwrites, open for that; -1: none. */
	bool hold;
	int pages[SIM_PROCESSES_MAX];
} spares;

/* The root directory of layer ID in IMAGE; MODEL_NONE: it is missing. */
static int spares_top(const struct model_image *image, const char *id)
{
	char path[MODEL_NAME_BYTES];

	snprintf(path, sizeof(path), "subvolumes/%s", id);
	return layers_find(image, path);
}

/* The bytes of the file in the layer at TOP of IMAGE; WRITTEN: as far as they are in the tree. */
static uint64_t spares_bytes(const struct model_image *image, int top, bool written)
{
	const struct model_entry *entry = model_find(image, top, SPARES_FILE);
	const struct model_inode *inode = entry ? &image->inodes[entry->inode] : NULL;

	return !inode ? 0 : written ? inode->disk_size : inode->size;
}

/* When the file in the layer at TOP of IMAGE was overwritten last; TREE: as far as that tells. */
static unsigned spares_overwritten(const struct model_image *image, int top, bool tree)
{
	const struct model_entry *entry = model_find(image, top, SPARES_PAGE);
	const struct model_inode *inode = entry ? &image->inodes[entry->inode] : NULL;
	uint32_t number = 0;

	if (inode)
		memcpy(&number, tree ? inode->tree : inode->data, sizeof(number));
	return spares.when[number];
}

void spares_begin(const char *id)
{
	spares.id = id;
	spares.count = 0;
	spares.numbers = 0;
	spares.overwrites = 0;
	memset(spares.when, 0, sizeof(spares.when));
	memset(spares.pages, -1, sizeof(spares.pages));
	spares.losses = model.loss_chance;
	spares.hold = id && sim_random(2);
	spares_changed();
}

const char *spares_parent(void)
{
	return spares.id;
}

bool spares_keep_open(void)
{
	return spares.hold;
}

void spares_changed(void)
{
	int top = spares.id ? spares_top(&model.now, spares.id) : MODEL_NONE;
	uint64_t state = top == MODEL_NONE ? 0 : model_root_of(top)->id;

	if (!spares.id || (spares.count && spares.states[spares.count - 1] == state))
		return;
	if (spares.count == STATES_MAX)
		sim_fail("the parent changes too often");
	spares.states[spares.count++] = state;
}

struct spares_birth spares_birth(void)
{
	int top = spares_top(&model.now, spares.id);
	struct spares_birth birth = { .known = true, .since = spares.count - 1 };

	if (top == MODEL_NONE)
		return birth;
	birth.parent = model_root_of(top)->id;
	if (spares.losses)
		return birth;
	birth.bytes = spares_bytes(&model.now, top, false);
	birth.overwrite = spares_overwritten(&model.now, top, false);
	return birth;
}

bool spares_missed(const struct spares_birth *birth)
{
	for (unsigned i = birth->since; birth->known && i < spares.count; i++)
		if (!spares.states[i])
			return true;
	return false;
}

void spares_check(const struct model_image *image, const char *id, const struct spares_birth *birth)
{
	int top = birth->known ? spares_top(image, id) : MODEL_NONE;
	uint64_t parent, bytes;
	unsigned i = birth->since, overwrite;

	if (top == MODEL_NONE)
		return;
	parent = image->roots[image->inodes[top].root].parent_uuid;
	while (i < spares.count && spares.states[i] != parent)
		i++;
	if (i == spares.count)
		sim_fail("layer %s is a snapshot of another parent", id);
	bytes = spares_bytes(image, top, true);
	if (parent == birth->parent && bytes < birth->bytes)
		sim_fail("layer %s has %llu bytes of the %llu that its parent had", id,
			 (unsigned long long)bytes, (unsigned long long)birth->bytes);
	overwrite = spares_overwritten(image, top, true);
	if (parent == birth->parent && overwrite < birth->overwrite)
		sim_fail("layer %s has overwrite %u of the %u that its parent had", id, overwrite,
			 birth->overwrite);
}

/* The file that is overwritten, open: that of the parent as it is, or as it was some time. */
static int spares_page(void)
{
	int *page = &spares.pages[sim.current->process->number - 1], fd;
	char path[2 * MODEL_NAME_BYTES];

	if (*page >= 0 && sim_random(4))
		return *page;
	snprintf(path, sizeof(path), SCHEDULE_HOME "/subvolumes/%s/" SPARES_PAGE, spares.id);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return *page;
	fd_close(*page);
	*page = fd;
	return fd;
}

/* Overwrite the file, by a call or by a mapping. */
static void spares_overwrite(void)
{
	bool maps = sim_random(2), done;
	int fd = spares_page();
	struct stat stat;
	uint32_t number;

	if (fd < 0 || spares.numbers == OVERWRITES_MAX)
		return;
	number = ++spares.numbers;
	/* A page behind the end of the file cannot be stored to. */
	if (maps && (fstat(fd, &stat) || stat.st_size < (off_t)sizeof(number)))
		maps = false;
	done = maps ? kernel_store(fd, &number, sizeof(number), 0)
		    : pwrite(fd, &number, sizeof(number), 0) == sizeof(number);
	if (!done)
		return;
	spares.when[number] = ++spares.overwrites;
	schedule_statistics.overwrites++;
	sim_trace("overwrite %u, %s", spares.overwrites, maps ? "mapped" : "written");
	if (sim_random(8) == 0)
		fsync(fd);
}

/* Overwrite the file once or twice; the second time a mapped page can be stored to at once. */
static void spares_overwrite_some(void)
{
	int *page = &spares.pages[sim.current->process->number - 1];

	spares_overwrite();
	if (sim_random(2))
		spares_overwrite();
	if (!spares.hold)
		fd_close(TAKE_FD(*page));
}

void spares_touch(void)
{
	char path[2 * MODEL_NAME_BYTES];
	struct stat stat;
	int fd;

	if (sim_random(2))
		return spares_overwrite_some();
	snprintf(path, sizeof(path), SCHEDULE_HOME "/subvolumes/%s/" SPARES_FILE, spares.id);
	sim_trace("%s is changed", path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	if (sim_random(4) == 0)
		fchmod(fd, 0600 + sim_random(2));
	else if (!fstat(fd, &stat) && pwrite(fd, "x", 1, stat.st_size) == 1 && !sim_random(4))
		fsync(fd);
	close(fd);
}

/* Count those that are taken. */
WRAP(void, stock_taken, (struct varve_store * store, const char *source, struct stock_copy *copy))
{
	schedule_statistics.spares++;
	__real_stock_taken(store, source, copy);
}
