/* SPDX-License-Identifier: Apache-2.0 */
#include "layers.h"
#include "engine/base/util.h"
#include "kernel.h"
#include "schedule.h"

#include <string.h>

/* Where a record has the uuid of its subvolume. */
#define RECORD_UUID 8

struct layers layers;

bool layer_sized(const char *id)
{
	return *id == 's' || *id == 'q';
}

bool layer_resized(const char *id)
{
	return *id == 'q';
}

bool layer_extended(const char *id)
{
	return *id == 'e';
}

bool layer_labelled(const char *id)
{
	return *id == 's' || *id == 'l';
}

bool layer_unpacked(const char *id)
{
	return *id == 'a';
}

/* ---- what is there, and is checked ----------------------------------------------------------- */

int layers_find(const struct model_image *image, const char *path)
{
	const struct model_entry *entry = model_find(image, MODEL_TOP, &SCHEDULE_HOME[1]);
	char name[MODEL_NAME_BYTES];

	while (entry && *path) {
		size_t length = strcspn(path, "/");

		memcpy(name, path, length);
		name[length] = '\0';
		path += length + (path[length] == '/');
		entry = model_find(image, entry->inode, name);
	}
	return entry ? entry->inode : MODEL_NONE;
}

bool layers_has(const struct model_image *image, const char *id)
{
	int subvolumes = layers_find(image, "subvolumes");

	return subvolumes != MODEL_NONE && model_find(image, subvolumes, id);
}

/* Is there a record of ID in IMAGE, and is it that of the subvolume UUID? */
static bool layers_has_record(const struct model_image *image, const char *id, uint64_t uuid)
{
	int records = layers_find(image, RECORDS);
	const struct model_entry *entry = records == MODEL_NONE ? NULL
								: model_find(image, records, id);
	const struct model_inode *inode = entry ? &image->inodes[entry->inode] : NULL;

	return inode && inode->xattr_size > RECORD_UUID + sizeof(uuid) &&
	       !memcmp(inode->xattr, "vrec", 4) &&
	       !memcmp(inode->xattr + RECORD_UUID, &uuid, sizeof(uuid));
}

/* Check that the layer ID of IMAGE has its size recorded; DISK: as far as that is written. */
static void layers_check_size(const struct model_image *image, bool disk, const char *id)
{
	int quotas = layers_find(image, "quotas");
	const struct model_entry *entry = quotas == MODEL_NONE ? NULL
							       : model_find(image, quotas, id);
	const struct model_inode *inode = entry ? &image->inodes[entry->inode] : NULL;
	const char *data;

	if (!entry)
		sim_fail("%s: layer %s has no size", disk ? "durable" : "visible", id);
	data = disk ? inode->tree : inode->data;
	if ((disk ? inode->disk_size : inode->size) != strlen(LIMIT_TEXT) ||
	    (memcmp(data, LIMIT_TEXT, strlen(LIMIT_TEXT)) &&
	     (!layer_resized(id) || memcmp(data, LIMIT_OTHER_TEXT, strlen(LIMIT_OTHER_TEXT)))))
		sim_fail("%s: the size of layer %s is not whole", disk ? "durable" : "visible", id);
}

void layers_check_content(const struct model_image *image, bool disk, const char *id, int top)
{
	const struct model_entry *entry = top == MODEL_NONE ? NULL
							    : model_find(image, top, ARCHIVE_FILE);
	const struct model_inode *inode = entry ? &image->inodes[entry->inode] : NULL;
	const char *where = disk ? "durable" : "visible";

	if (layers.emptied_in_sight)
		return;
	if (!inode)
		sim_fail("%s: layer %s has not what was in its archive", where, id);
	if ((disk ? inode->disk_size : inode->size) != strlen(ARCHIVE_CONTENT) ||
	    memcmp(disk ? inode->tree : inode->data, ARCHIVE_CONTENT, strlen(ARCHIVE_CONTENT)))
		sim_fail("%s: a file of layer %s is not whole", where, id);
}

/* Check all layers of IMAGE. */
static void layers_check(struct model_image *image, bool disk)
{
	int subvolumes = layers_find(image, "subvolumes");
	const char *where = disk ? "durable" : "visible";

	if (subvolumes == MODEL_NONE)
		return;
	for (uint16_t i = image->inodes[subvolumes].first; i != MODEL_NONE;
	     i = image->entries[i].next) {
		const struct model_entry *entry = &image->entries[i];
		const struct model_inode *inode = &image->inodes[entry->inode];
		const struct model_group *group = model_group(image, image->roots[inode->root].id);
		uint64_t wanted = layer_sized(entry->name) ? LAYER_LIMIT : 0;

		if (*entry->name == '.')
			continue;
		if (inode->ino != MODEL_ROOT_INO)
			sim_fail("%s: %s is no subvolume", where, entry->name);
		if ((group ? group->limit : 0) != wanted &&
		    !(layer_resized(entry->name) && group && group->limit == LIMIT_OTHER))
			sim_fail("%s: layer %s has the limit %llu, not %llu", where, entry->name,
				 (unsigned long long)(group ? group->limit : 0),
				 (unsigned long long)wanted);
		if (wanted)
			layers_check_size(image, disk, entry->name);
		if (layer_unpacked(entry->name))
			layers_check_content(image, disk, entry->name, entry->inode);
		if (layers_has_record(image, entry->name, image->roots[inode->root].id) !=
		    layer_labelled(entry->name))
			sim_fail("%s: layer %s has %s", where, entry->name,
				 layer_labelled(entry->name) ? "no label" : "a label");
	}
}

/* Check that the layers of IMAGE that were made from the parent of spare copies are snapshots. */
static void layers_check_births(const struct model_image *image)
{
	for (unsigned i = 0; spares_parent() && i < layers.count; i++)
		spares_check(image, layers.all[i].id, &layers.all[i].birth);
}

void layers_changed(void)
{
	spares_changed();
	layers_check(&model.now, false);
	layers_check_births(&model.now);
}

void layers_committed(void)
{
	layers_check(&model.disk, true);
	layers_check_births(&model.disk);
}

/* Check that the layers are as one of their STATES says; DURABLE: after a cut. */
static void layers_check_states(bool durable)
{
	for (unsigned i = 0; i < layers.count; i++) {
		struct layer *layer = &layers.all[i];
		struct states *states = durable ? &layer->durable : &layer->live;
		bool present = layers_has(&model.now, layer->id);

		if (!(present ? states->present : states->absent))
			sim_fail("layer %s is %s, and may not be", layer->id,
				 present ? "there" : "missing");
		layer->live = (struct states){ present, !present };
		if (durable)
			layer->durable = layer->live;
	}
}

void layers_check_cut(void)
{
	layers_changed();
	layers_check_states(true);
}

/* Check that the directory PATH below the home is empty, or missing. */
static void layers_check_empty(const char *path)
{
	int slot = layers_find(&model.now, path);
	const struct model_entry *entry = slot == MODEL_NONE ? NULL : model_next_entry(slot, 0);

	if (entry)
		sim_fail("the sweep has left %s/%s", path, entry->name);
}

/* Is the subvolume ROOT a layer, or in one? SUBVOLUMES is where layers are. */
static bool layers_belongs(const struct model_root *root, int subvolumes)
{
	while (root->in_root != MODEL_TOP && !model.now.roots[root->in_root].dead)
		root = &model.now.roots[root->in_root];
	return root->in_root == MODEL_TOP && root->in_dir == subvolumes;
}

/* Check that each subvolume is a layer, or in one. */
static void layers_check_places(void)
{
	int subvolumes = layers_find(&model.now, "subvolumes");

	for (unsigned i = 1; i < model.now.roots_used; i++) {
		const struct model_root *root = &model.now.roots[i];

		if (root->id && !root->dead && !layers_belongs(root, subvolumes))
			sim_fail("a subvolume is in no place of layers");
	}
}

void layers_check_end(void)
{
	layers_check_states(false);
	/* A store that is closed has no spare copies. */
	if (spares_parent() && !kernel.errors && !sim.kill_number)
		layers_check_places();
}

void layers_check_swept(void)
{
	int subvolumes = layers_find(&model.now, "subvolumes"),
	    quotas = layers_find(&model.now, "quotas"), records = layers_find(&model.now, RECORDS);

	layers_check_empty(".varve/staging");
	layers_check_empty(".varve/trash");
	for (const struct model_entry *entry = model_next_entry(subvolumes, 0); entry;
	     entry = model_next_entry(subvolumes, entry->index + 1))
		if (*entry->name == '.')
			sim_fail("the sweep has left %s", entry->name);
	for (const struct model_entry *entry = quotas == MODEL_NONE ? NULL
								    : model_next_entry(quotas, 0);
	     entry; entry = model_next_entry(quotas, entry->index + 1))
		if (!layers_has(&model.now, entry->name))
			sim_fail("the size of %s is without its layer", entry->name);
	for (const struct model_entry *entry = records == MODEL_NONE ? NULL
								     : model_next_entry(records, 0);
	     entry; entry = model_next_entry(records, entry->index + 1)) {
		const struct model_entry *layer = model_find(&model.now, subvolumes, entry->name);

		if (!layer ||
		    !layers_has_record(&model.now, entry->name, model_root_of(layer->inode)->id))
			sim_fail("the record of %s is without its layer", entry->name);
	}
	layers_check_places();
	for (unsigned i = 0; i < model.now.groups_used; i++) {
		uint64_t id = model.now.groups[i].id;

		if (id && !model_root_by_id(&model.now, id))
			sim_fail("the quota group of subvolume %llu, which is gone, is left",
				 (unsigned long long)id);
	}
}

/* ---- what is known --------------------------------------------------------------------------- */

void layer_begin(struct layer *layer, bool present)
{
	layer->busy = true;
	layer->version++;
	if (present)
		layer->live.present = layer->durable.present = true;
	else
		layer->live.absent = layer->durable.absent = true;
}

void layer_known(struct layer *layer, bool present, bool is_durable)
{
	layer->live = (struct states){ present, !present };
	if (!is_durable)
		return;
	layer->durable = layer->live;
	if (layers_has(&model.disk, layer->id) != present)
		sim_fail("layer %s: its durable %s is not durable", layer->id,
			 present ? "create" : "removal");
}
