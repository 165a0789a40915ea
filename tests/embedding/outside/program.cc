// SPDX-License-Identifier: Apache-2.0
// A C++ program outside the tree: make layers from a base, list, remove; see test_install.sh.
#include <cerrno>
#include <iostream>
#include <memory>
#include <string>
#include <varve.h>

namespace {

// Closes a store at the end of its scope.
struct Closer {
	void operator()(varve_store *store) const { varve_close(store); }
};
using Store = std::unique_ptr<varve_store, Closer>;

// What the callbacks have seen.
struct Seen {
	unsigned created = 0;
	std::string first;
	std::string failure;
};

// Note the layers that were made.
void on_created(varve_store *, const varve_result *result, void *user_data) {
	auto *seen = static_cast<Seen *>(user_data);
	char line[2048];

	for (size_t i = 0; i < result->outcomes_count; i++) {
		if (result->outcomes[i].error == 0)
			seen->created++;
	}
	if (result->failure != nullptr)
		seen->failure = varve_strerror(result->failure, line, sizeof(line));
}

// Run callbacks until nothing is in flight.
bool drain(varve_store *store) {
	int ret = 0;

	while (varve_pending(store) > 0 && (ret >= 0 || ret == -EINTR))
		ret = varve_wait(store, -1);
	return ret >= 0;
}

}

int main(int argc, char **argv) {
	static const char *const ids[] = { "cxx-1", "cxx-2", "cxx-3", "cxx" };
	varve_config config = VARVE_CONFIG_INIT;
	varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	varve_store *opened = nullptr;
	Seen seen;

	config.home = argc > 1 ? argv[1] : nullptr;
	if (varve_open(&config, &opened, nullptr) < 0)
		return 1;
	Store store(opened);
	options.parent = "cxx";
	if (varve_layer_create(store.get(), "cxx", nullptr, on_created, &seen, nullptr) < 0 ||
	    varve_layer_create_batch(store.get(), ids, 3, &options, on_created, &seen, nullptr) < 0)
		return 1;
	auto on_listed = [](varve_store *, const varve_result *result, void *user_data) {
		if (result->ids_count > 0)
			static_cast<Seen *>(user_data)->first = result->ids[0];
	};
	if (!drain(store.get()) || varve_layer_list(store.get(), on_listed, &seen, nullptr) < 0 || !drain(store.get()) ||
	    varve_layer_remove_batch_wait(store.get(), ids, 4, VARVE_RELAXED, nullptr, nullptr) < 0)
		return 1;
	std::cout << seen.created << " layers, the first is " << seen.first << ' ' << seen.failure << std::endl;
	return seen.created == 4 && seen.first == "cxx" ? 0 : 1;
}
