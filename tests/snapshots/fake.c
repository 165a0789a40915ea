/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include <stdarg.h>

/* ---- what the service sees of gRPC ----------------------------------------------------------- */

void grpc_call_on_cancel(struct grpc_call *call,
			 void (*cancelled)(struct grpc_call *call, void *data), void *data)
{
	call->cancelled = cancelled;
	call->cancelled_data = data;
}

bool grpc_call_cancelled(const struct grpc_call *call)
{
	return call->cancel;
}

int grpc_call_send(struct grpc_call *call, const ProtobufCMessage *message)
{
	size_t at = call->answers_count++;

	ck_assert(!call->ended);
	ck_assert_uint_lt(at, TEST_COUNT(call->answers));
	call->answers[at].count = protobuf_c_message_get_packed_size(message);
	call->answers[at].bytes = test_alloc(call->answers[at].count + 1);
	protobuf_c_message_pack(message, call->answers[at].bytes);
	return 0;
}

void grpc_call_on_room(struct grpc_call *call, void (*room)(struct grpc_call *call, void *data),
		       void *data)
{
	call->room = room;
	call->room_data = data;
}

void grpc_call_end(struct grpc_call *call, enum grpc_status status, const char *format, ...)
{
	char text[8192] = "";
	va_list arguments;

	ck_assert(!call->ended);
	if (format) {
		va_start(arguments, format);
		vsnprintf(text, sizeof(text), format, arguments);
		va_end(arguments);
	}
	call->ended = true;
	call->status = status;
	call->text = test_strdup(text);
	call->cancelled = NULL;
	call->room = NULL;
	/* Nothing may look at it any more. */
	protobuf_c_message_free_unpacked(call->message, NULL);
	call->message = NULL;
}

/* ---- what the service sees of the library ---------------------------------------------------- */

int node_label_fault;
unsigned node_label_failures;

int __real_varve_layer_label(struct varve_store *store, const char *id,
			     const struct varve_label_options *options, varve_callback *callback,
			     void *user_data, varve_request *ret_request);
int __wrap_varve_layer_label(struct varve_store *store, const char *id,
			     const struct varve_label_options *options, varve_callback *callback,
			     void *user_data, varve_request *ret_request);

/* A callback whose result is to be a failure. */
struct label_fault {
	varve_callback *callback;
	void *user_data;
	struct varve_failure failure;
};

static void label_fault_done(struct varve_store *store, const struct varve_result *result,
			     void *user_data)
{
	struct label_fault *fault = user_data;
	struct varve_result failed = *result;

	ck_assert_int_eq(result->error, 0);
	node_label_failures++;
	failed.error = fault->failure.error;
	failed.failure = &fault->failure;
	failed.record = NULL;
	fault->callback(store, &failed, fault->user_data);
}

int __wrap_varve_layer_label(struct varve_store *store, const char *id,
			     const struct varve_label_options *options, varve_callback *callback,
			     void *user_data, varve_request *ret_request)
{
	struct label_fault *fault = test_alloc(sizeof(*fault));

	fault->callback = callback;
	fault->user_data = user_data;
	fault->failure.error = node_label_fault;
	fault->failure.operation = "label";
	fault->failure.step = "DURABLE";
	return __real_varve_layer_label(store, id, options,
					node_label_fault ? label_fault_done : callback,
					node_label_fault ? (void *)fault : user_data, ret_request);
}

void (*node_after_find)(void);
const char *node_hidden;

/* What a find is for. */
struct find {
	varve_found *found;
	void *data;
};

/* Pass on what was found, but the hidden layer. */
static int find_found(struct varve_store *store, varve_request request, const char *id,
		      const struct varve_layer_record *record, void *found_data)
{
	const struct find *find = found_data;

	return node_hidden && !strcmp(node_hidden, id)
		       ? 0
		       : find->found(store, request, id, record, find->data);
}

int __real_varve_layer_find(struct varve_store *store, const struct varve_find_options *options,
			    varve_callback *callback, void *user_data, varve_request *ret_request);
int __wrap_varve_layer_find(struct varve_store *store, const struct varve_find_options *options,
			    varve_callback *callback, void *user_data, varve_request *ret_request);

int __wrap_varve_layer_find(struct varve_store *store, const struct varve_find_options *options,
			    varve_callback *callback, void *user_data, varve_request *ret_request)
{
	struct find find = { options->found, options->found_data };
	struct varve_find_options hiding = *options;
	int r;

	if (node_after_find) {
		hiding.found = find_found;
		hiding.found_data = &find;
	}
	r = __real_varve_layer_find(store, &hiding, callback, user_data, ret_request);
	if (r || !node_after_find)
		return r;
	test_error(varve_wait_for(store, *ret_request, -1), 0);
	node_after_find();
	return 0;
}

/* ---- a node ---------------------------------------------------------------------------------- */

static void node_said(void *data, const char *line)
{
	struct node *node = data;

	node->said = test_strdup(line);
}

struct node *node_open_with(char *home, const struct snapshots_options *options,
			    const char *const *store)
{
	struct node *node = test_alloc(sizeof(*node));
	struct varve_config config = test_config(home);
	struct snapshots_options mine = options ? *options : (struct snapshots_options){ 0 };
	struct varve_failure failure;

	config.options = store;
	node->home = home;
	node->said = "";
	node->store = test_open_config(&config);
	mine.home = home;
	mine.say = node_said;
	mine.say_data = node;
	test_ok(snapshots_open(node->store, &mine, &node->snapshots, &failure), &failure);
	return node;
}

struct node *node_open(char *home)
{
	return node_open_with(home, NULL, NULL);
}

void node_close(struct node *node)
{
	for (struct grpc_call *call = node->calls; call; call = call->next)
		if (!call->ended)
			node_cancel(call);
	test_close(node->store);
	for (struct grpc_call *call = node->calls; call; call = call->next)
		ck_assert_msg(call->ended, "%s has not ended", call->method->path);
	ck_assert(!snapshots_busy(node->snapshots));
	snapshots_close(node->snapshots);
}

struct node *node_again(struct node *node)
{
	node_close(node);
	return node_open(node->home);
}

/* ---- calls ----------------------------------------------------------------------------------- */

struct grpc_call *node_call(struct node *node, const char *method, const ProtobufCMessage *message)
{
	struct grpc_call *call = test_alloc(sizeof(*call));
	uint8_t *bytes = test_alloc(protobuf_c_message_get_packed_size(message) + 1);
	size_t count = protobuf_c_message_pack(message, bytes);

	call->method = snapshots_methods;
	while (strcmp(strrchr(call->method->path, '/') + 1, method) != 0)
		call->method++;
	call->message = protobuf_c_message_unpack(call->method->request, NULL, count, bytes);
	ck_assert_ptr_nonnull(call->message);
	call->text = "";
	call->next = node->calls;
	node->calls = call;
	call->method->start(call, call->message, node->snapshots);
	return call;
}

static ProtobufCBinaryData field_of(const char *text)
{
	return (ProtobufCBinaryData){ text ? strlen(text) : 0, (uint8_t *)(uintptr_t)text };
}

/* LABELS ("KEY=VALUE") as fields; *COUNT of them. */
static Snapshots__Label **fields_of(const char *const *labels, size_t *count)
{
	Snapshots__Label **fields;

	for (*count = 0; labels && labels[*count]; (*count)++)
		;
	fields = test_alloc((*count + 1) * sizeof(*fields));
	for (size_t i = 0; i < *count; i++) {
		char *key = test_strdup(labels[i]), *value = strchr(key, '=');

		*value++ = 0;
		fields[i] = test_alloc(sizeof(*fields[i]));
		snapshots__label__init(fields[i]);
		fields[i]->key = field_of(key);
		fields[i]->value = field_of(value);
	}
	return fields;
}

struct grpc_call *node_create(struct node *node, const char *method, const char *key,
			      const char *parent, const char *const *labels)
{
	Snapshots__CreateRequest request = SNAPSHOTS__CREATE_REQUEST__INIT;

	request.key = field_of(key);
	request.parent = field_of(parent);
	request.labels = fields_of(labels, &request.n_labels);
	return node_call(node, method, &request.base);
}

struct grpc_call *node_commit(struct node *node, const char *name, const char *key,
			      const char *const *labels)
{
	Snapshots__CommitRequest request = SNAPSHOTS__COMMIT_REQUEST__INIT;

	request.name = field_of(name);
	request.key = field_of(key);
	request.labels = fields_of(labels, &request.n_labels);
	return node_call(node, "Commit", &request.base);
}

struct grpc_call *node_key(struct node *node, const char *method, const char *key)
{
	Snapshots__KeyRequest request = SNAPSHOTS__KEY_REQUEST__INIT;

	request.key = field_of(key);
	return node_call(node, method, &request.base);
}

struct grpc_call *node_update(struct node *node, const char *key, const char *const *fields,
			      const char *const *labels)
{
	Snapshots__UpdateRequest request = SNAPSHOTS__UPDATE_REQUEST__INIT;
	Snapshots__Info info = SNAPSHOTS__INFO__INIT;
	Snapshots__FieldMask mask = SNAPSHOTS__FIELD_MASK__INIT;
	ProtobufCBinaryData paths[16];

	info.name = field_of(key);
	info.labels = fields_of(labels, &info.n_labels);
	for (mask.n_paths = 0; fields && fields[mask.n_paths]; mask.n_paths++)
		paths[mask.n_paths] = field_of(fields[mask.n_paths]);
	mask.paths = paths;
	request.info = &info;
	request.update_mask = fields ? &mask : NULL;
	return node_call(node, "Update", &request.base);
}

struct grpc_call *node_list(struct node *node, const char *const *filters)
{
	Snapshots__ListRequest request = SNAPSHOTS__LIST_REQUEST__INIT;
	ProtobufCBinaryData fields[16];

	for (; filters && filters[request.n_filters]; request.n_filters++)
		fields[request.n_filters] = field_of(filters[request.n_filters]);
	request.filters = fields;
	return node_call(node, "List", &request.base);
}

void node_cancel(struct grpc_call *call)
{
	void (*cancelled)(struct grpc_call * call, void *data) = call->cancelled;

	call->cancel = true;
	call->cancelled = NULL;
	if (cancelled)
		cancelled(call, call->cancelled_data);
}

unsigned node_turn(struct node *node)
{
	unsigned count = 0;

	for (struct grpc_call *call = node->calls; call; call = call->next)
		call->due = call->room != NULL;
	for (struct grpc_call *call = node->calls; call; call = call->next) {
		void (*room)(struct grpc_call * call, void *data) = call->room;

		if (!call->due || !room)
			continue;
		call->room = NULL;
		room(call, call->room_data);
		count++;
	}
	return count;
}

enum grpc_status node_wait(struct node *node, struct grpc_call *call)
{
	while (!call->ended) {
		void (*room)(struct grpc_call * call, void *data) = call->room;

		call->room = NULL;
		if (room)
			room(call, call->room_data);
		else if (varve_pending(node->store))
			ck_assert_int_gt(varve_wait(node->store, TEST_WAIT_MS), 0);
		else
			ck_assert_uint_gt(node_turn(node), 0);
	}
	return call->status;
}

void node_wait_all(struct node *node)
{
	for (struct grpc_call *call = node->calls; call; call = call->next)
		node_wait(node, call);
	ck_assert(!snapshots_busy(node->snapshots));
}

void node_await_ready(struct node *node)
{
	ck_assert(test_readable(varve_fd(node->store), TEST_WAIT_MS));
}

/* ---- answers --------------------------------------------------------------------------------- */

static void *kept_allocate(void *data, size_t size)
{
	return test_alloc(size);
}

static void kept_free(void *data, void *piece)
{
}

void *node_unpack(const ProtobufCMessageDescriptor *descriptor, const void *bytes, size_t count)
{
	ProtobufCAllocator allocator = { kept_allocate, kept_free, NULL };
	ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &allocator, count, bytes);

	ck_assert_ptr_nonnull(message);
	return message;
}

const void *node_answer(const struct grpc_call *call, size_t number,
			const ProtobufCMessageDescriptor *descriptor)
{
	ck_assert_uint_lt(number, call->answers_count);
	return node_unpack(descriptor, call->answers[number].bytes, call->answers[number].count);
}

static char *text_of(ProtobufCBinaryData field)
{
	return test_path("%.*s", (int)field.len, (const char *)field.data);
}

char *node_stat(struct node *node, const char *key)
{
	static const char *const kinds[] = { "unknown", "view", "active", "committed" };
	struct grpc_call *call = node_key(node, "Stat", key);
	const Snapshots__InfoResponse *response;
	const Snapshots__Info *info;
	char *text;

	if (node_wait(node, call) == GRPC_NOT_FOUND)
		return NULL;
	ck_assert_msg(call->status == GRPC_OK, "%s", call->text);
	response = node_answer(call, 0, &snapshots__info_response__descriptor);
	info = response->info;
	ck_assert_int_gt(info->created_at->seconds, 0);
	ck_assert_int_gt(info->updated_at->seconds, 0);
	text = test_path("%s %s %s {", text_of(info->name), kinds[info->kind],
			 text_of(info->parent));
	for (size_t i = 0; i < info->n_labels; i++)
		text = test_path("%s%s%s=%s", text, i ? "," : "", text_of(info->labels[i]->key),
				 text_of(info->labels[i]->value));
	return test_path("%s}", text);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *node_keys(struct node *node, const char *const *filters)
{
	struct grpc_call *call = node_list(node, filters);
	char **keys = test_alloc(100000 * sizeof(*keys)), *text = test_strdup("");
	size_t count = 0;

	node_expect(node, call, GRPC_OK);
	for (size_t i = 0; i < call->answers_count; i++) {
		const Snapshots__ListResponse *response =
			node_answer(call, i, &snapshots__list_response__descriptor);

		for (size_t j = 0; j < response->n_info; j++)
			keys[count++] = text_of(response->info[j]->name);
	}
	qsort(keys, count, sizeof(*keys), by_text);
	for (size_t i = 0; i < count; i++)
		text = test_path("%s%s%s", text, i ? " " : "", keys[i]);
	return text;
}

char *node_mount(struct node *node, const struct grpc_call *call)
{
	const Snapshots__MountsResponse *response =
		node_answer(call, 0, &snapshots__mounts_response__descriptor);
	const Snapshots__Mount *mount = response->mounts[0];
	char *text;

	ck_assert_uint_eq(response->n_mounts, 1);
	ck_assert(test_is_subvolume(mount->source));
	ck_assert(!strncmp(mount->source, node->home, strlen(node->home)));
	text = test_path("%s %s ", mount->type, mount->source + strlen(node->home));
	for (size_t i = 0; i < mount->n_options; i++)
		text = test_path("%s%s%s", text, i ? "," : "", mount->options[i]);
	return text;
}

void node_make(struct node *node, const char *name, const char *parent)
{
	char *key = test_path("%s-key", name);

	node_expect(node, node_create(node, "Prepare", key, parent, NULL), GRPC_OK);
	node_expect(node, node_commit(node, name, key, NULL), GRPC_OK);
}
