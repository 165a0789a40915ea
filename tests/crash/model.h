/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the records of the loads (record.h) say of each id: the set of states that it may be in
 * after a crash, absent, or present with a given look. A request that ended well leaves one state
 * (when power was lost only a durable one does, else it adds one); one without an answer adds one;
 * one that failed adds none, but for a remove, which may have got half way.
 */
#ifndef VARVE_TESTS_CRASH_MODEL_H
#define VARVE_TESTS_CRASH_MODEL_H

#include "content.h"
#include "record.h"

#include "varve.h"

/* One state that an id may be in. */
struct state {
	bool present;
	struct look look; /* If present. */
	bool nesting;     /* Nested subvolumes may be in it. */
	bool nested;      /* ... and must, */
	unsigned more;    /* ... with so many beside the pair. */
};

/* States of one id; its history is short, but under "cut" it may be relaxed for long. */
#define STATES_MAX 64

/* What the records tell of one id. */
struct subject {
	char id[VARVE_ID_MAX + 1];
	struct state states[STATES_MAX];
	size_t states_count;
	bool visible;         /* There is a layer of that name. */
	uint64_t digest;      /* Of that layer, to see whether the sweep changed it. */
	struct subject *next; /* In the same bucket. */
};

/* One item of a record. */
struct event {
	bool create;
	bool durable;
	bool ended; /* ... before the moment that counts. */
	bool refused;
	int error;
	struct look look;
	struct subject *subject;
};

/* Buckets of the table of ids. */
#define SUBJECTS_BUCKETS 1024

/* All that is known. */
struct model {
	/* Power was lost. */
	bool cut;
	/* Only what ended before `before` is sure; nothing that was submitted after `after` was. */
	uint64_t before, after;
	struct subject *buckets[SUBJECTS_BUCKETS];
	/* How many. */
	size_t subjects;
};

/* Find the subject ID; make it when MAKE. */
static inline struct subject *model_subject(struct model *model, const char *id, bool make)
{
	struct subject **bucket =
			       &model->buckets[content_hash(1, id, strlen(id)) % SUBJECTS_BUCKETS],
		       *subject;

	for (subject = *bucket; subject; subject = subject->next)
		if (strcmp(subject->id, id) == 0)
			return subject;
	subject = make ? calloc(1, sizeof(*subject)) : NULL;
	if (!subject)
		return NULL;
	snprintf(subject->id, sizeof(subject->id), "%s", id);
	subject->states_count = 1;
	subject->next = *bucket;
	*bucket = subject;
	model->subjects++;
	return subject;
}

/* Does LOOK look like OTHER? */
static inline bool look_equal(const struct look *look, const struct look *other)
{
	return look->base == other->base && look->mode == other->mode &&
	       look->read_only == other->read_only && look->size_mib == other->size_mib;
}

/* Add STATE to those that SUBJECT may be in. */
static inline void state_add(struct subject *subject, const struct state *state)
{
	for (size_t i = 0; i < subject->states_count; i++) {
		struct state *known = &subject->states[i];

		if (known->present == state->present && known->nesting == state->nesting &&
		    known->nested == state->nested &&
		    (!state->present || look_equal(&known->look, &state->look)))
			return;
	}
	if (subject->states_count == STATES_MAX) {
		fprintf(stderr, "verify: %s: more than %d states: the model is too small\n",
			subject->id, STATES_MAX);
		exit(2);
	}
	subject->states[subject->states_count++] = *state;
}

/*
 * Is EVENT a remove that failed and may nevertheless have taken the layer out of sight? One that
 * was cancelled has not.
 */
static inline bool remove_half_way(const struct model *model, const struct event *event)
{
	return !event->create && event->error != -ENOENT &&
	       (model->cut || event->error != -ECANCELED);
}

/* Let EVENT work on the states of its subject. */
static inline void model_event(struct model *model, const struct event *event)
{
	struct subject *subject = event->subject;
	struct state state = { .present = event->create, .look = event->look };
	bool done = event->ended && event->error == 0;

	if (event->refused)
		return;
	if (done && (!model->cut || event->durable)) {
		subject->states_count = 0;
		state_add(subject, &state);
	} else if (done || !event->ended || remove_half_way(model, event)) {
		state_add(subject, &state);
	} else if (model->cut && (event->error == -ECANCELED || event->error == -EIO)) {
		/*
		 * It may have been in place, and its undoing not on disk yet, or no more possible
		 * on a disk that fails.
		 */
		state_add(subject, &state);
	}
}

/*
 * Subvolumes are about to be nested in ID (or, if DONE, are, with MORE beside the pair): whatever
 * layer it is has them.
 */
static inline void model_nesting(struct model *model, const char *id, bool done, unsigned more)
{
	struct subject *subject = model_subject(model, id, false);

	for (size_t i = 0; subject && i < subject->states_count; i++) {
		if (!subject->states[i].present)
			continue;
		subject->states[i].nesting = true;
		subject->states[i].nested = done && !model->cut;
		subject->states[i].more = more;
	}
}

/*
 * The events of one record, by ordinal, and the lines that are no items, each bound to the ordinal
 * it came before.
 */
struct history {
	struct event *events;
	size_t count;
};

/* Take a "submit" line into HISTORY. */
static inline bool history_submit(struct model *model, struct history *history, const char *text)
{
	struct event event = { 0 };
	unsigned long long ordinal;
	char kind[16], id[VARVE_ID_MAX + 1];
	int read_only, durable;
	void *grown;

	if (sscanf(text, "%llu %15s %255s %d %o %d %u %d", &ordinal, kind, id, &event.look.base,
		   &event.look.mode, &read_only, &event.look.size_mib, &durable) != 8 ||
	    ordinal != history->count)
		return false;
	event.create = strcmp(kind, "create") == 0;
	event.look.read_only = read_only;
	event.durable = durable;
	event.subject = model_subject(model, id, true);
	grown = reallocarray(history->events, history->count + 1, sizeof(event));
	if (!grown || !event.subject)
		return false;
	history->events = grown;
	history->events[history->count++] = event;
	return true;
}

/* Take what came of an item: "end" or "refused". */
static inline bool history_outcome(struct history *history, bool refused, const char *text)
{
	unsigned long long ordinal;
	int error = 0;

	if (sscanf(text, "%llu %d", &ordinal, &error) < (refused ? 1 : 2) ||
	    ordinal >= history->count)
		return false;
	history->events[ordinal].refused = refused;
	history->events[ordinal].ended = !refused;
	history->events[ordinal].error = error;
	return true;
}

/* Take LINE of a record into HISTORY. Lines about nesting are left to model_replay(). */
static inline bool model_line(struct model *model, struct history *history, const char *line)
{
	unsigned long long ns;
	char word[16];
	int used;

	if (sscanf(line, "%llu %15s %n", &ns, word, &used) < 2)
		return false;
	if (strcmp(word, "submit") == 0)
		return ns > model->after || history_submit(model, history, line + used);
	if (strcmp(word, "end") == 0)
		return ns >= model->before || history_outcome(history, false, line + used);
	if (strcmp(word, "refused") == 0)
		return ns >= model->after || history_outcome(history, true, line + used);
	return strncmp(word, "nest", 4) == 0;
}

/* Go over the lines of TEXT: submissions and nestings, in this order, work on the states. */
static inline void model_replay(struct model *model, const struct history *history, char *text)
{
	size_t next = 0;

	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		unsigned long long ns;
		char word[16], id[VARVE_ID_MAX + 1];
		unsigned more = 0;

		if (sscanf(line, "%llu %15s %255s %u", &ns, word, id, &more) < 3 ||
		    ns > model->after)
			continue;
		if (strcmp(word, "submit") == 0)
			model_event(model, &history->events[next++]);
		else if (strncmp(word, "nest", 4) == 0)
			model_nesting(model, id, strcmp(word, "nested") == 0 && ns < model->before,
				      more);
	}
}

/* Read the whole of FILE; the text is the caller's to free. */
static inline char *file_read(const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text = NULL;
	ssize_t n;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0)
		text = malloc((size_t)st.st_size + 1);
	n = text ? pread(fd, text, (size_t)st.st_size, 0) : -1;
	if (n >= 0)
		text[n] = '\0';
	close(fd);
	return text;
}

/*
 * Read the record FILE and work out the states that it allows. Returns false when it makes no
 * sense.
 */
static inline bool model_read(struct model *model, const char *file)
{
	struct history history = { NULL, 0 };
	char *text = file_read(file);
	bool sound = text;

	for (char *line = text, *end; sound && (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		sound = model_line(model, &history, line);
		if (!sound)
			fprintf(stderr, "verify: %s: cannot make sense of \"%s\"\n", file, line);
		*end = '\n';
	}
	if (sound)
		model_replay(model, &history, text);
	free(history.events);
	free(text);
	return sound;
}

/* Describe the states that SUBJECT may be in. */
static inline const char *states_describe(const struct subject *subject, char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = '\0';
	for (size_t i = 0; i < subject->states_count && used + 64 < size; i++) {
		const struct state *state = &subject->states[i];

		if (!state->present)
			used += (size_t)snprintf(buffer + used, size - used, "%sabsent",
						 i ? " | " : "");
		else
			used += (size_t)snprintf(buffer + used, size - used,
						 "%sbase-%d %o %s size %uM%s", i ? " | " : "",
						 state->look.base, state->look.mode,
						 state->look.read_only ? "ro" : "rw",
						 state->look.size_mib,
						 state->nested    ? " nested"
						 : state->nesting ? " perhaps nested"
								  : "");
	}
	return buffer;
}

#endif
