# SPDX-License-Identifier: Apache-2.0
# Builds and runs the tests.
#
# Each tests/SUITE/test_*.c is one Check program, $(B)/tests/SUITE/test_*. Of the other files tests/SUITE/*.c, those with a
# main() are programs that tests start, and the rest is linked into every program of the suite. tests/SUITE/suite.mk, if
# there, may set TEST_CFLAGS_SUITE and TEST_LIBS_SUITE. See tests/lib/test.h for what programs share, tests/run for how
# they are run.

# These see the library's insides; the other suites see varve.h and tests/lib, and link what is installed.
TEST_SUITES_INTERNAL := attack crash faults fuzz ops sim unit
# One job more than there are processors, unless the user has said how many.
TEST_JOBS = $(if $(findstring -j,$(MAKEFLAGS)),,-j$$(($$(nproc) + 1)))
# The suites of which one program in SANITIZED_PART also runs under the address and undefined-behaviour sanitizers in `make check`: others
# with each commit, and the same ones when a commit is checked again. SANITIZED_PART=1, and `make check-asan`: all.
TEST_SUITES_SANITIZED := api ops serve snapshots unit
SANITIZED_PART ?= 5
SOAK_SECONDS ?= 300
# check-asan and check-tsan start no test later than this, and name those that are left. 0: they run all.
SAN_SECONDS ?= 3600
# Of the debug information a sanitizer prints lines alone: without the rest, a large file compiles in two thirds of the time.
ifneq ($(SAN),)
SANFLAGS += $(if $(filter file,$(origin CFLAGS)),-g1)
endif
# SAN_TRAP=yes: undefined behaviour is a signal (SIGILL), not a message. Code is smaller, and a leak check has half as much memory to
# scan without libubsan. `make check-asan` prints the message.
SAN_TRAP ?=
ifneq ($(SAN_TRAP),)
SANFLAGS += $(if $(CC_IS_CLANG),-fsanitize-trap=undefined,-fsanitize-undefined-trap-on-error)
endif

-include $(wildcard tests/*/suite.mk)

TEST_LIB_SRC := $(filter-out tests/lib/test_%.c,$(wildcard tests/lib/*.c))
TEST_LIB_OBJ := $(TEST_LIB_SRC:%.c=$(B)/%.o)
TEST_SRC := $(wildcard tests/*/test_*.c)
TEST_OTHER_SRC := $(filter-out $(TEST_SRC) tests/lib/%,$(wildcard tests/*/*.c))
# What cannot be built for want of a package is not; tests/run then skips its tests and says what is missing.
ifneq ($(shell $(PKG_CONFIG) --exists $(TEST_PACKAGES) && echo yes),yes)
TEST_SRC :=
else ifneq ($(shell $(PKG_CONFIG) --exists $(BENCH_PACKAGES) && echo yes),yes)
TEST_SRC := $(filter-out tests/bench/%,$(TEST_SRC))
endif
ifneq ($(SERVE_MISSING),)
TEST_SRC := $(filter-out tests/serve/% tests/snapshots/%,$(TEST_SRC))
TEST_OTHER_SRC := $(filter-out tests/serve/% tests/snapshots/%,$(TEST_OTHER_SRC))
endif
TEST_HELPER_SRC := $(if $(TEST_OTHER_SRC),$(shell grep -l '^int main\>' $(TEST_OTHER_SRC)))
TEST_SHARED_SRC := $(filter-out $(TEST_HELPER_SRC),$(TEST_OTHER_SRC))
TEST_PROGRAMS := $(TEST_SRC:%.c=$(B)/%)
TEST_HELPERS := $(TEST_HELPER_SRC:%.c=$(B)/%)

TEST_SANITIZED = $(eval TEST_SANITIZED := $(shell printf '%s\n' $(sort $(patsubst tests/%.c,%,$(filter \
	$(TEST_SUITES_SANITIZED:%=tests/%/%),$(TEST_SRC)))) | awk -v part=$(SANITIZED_PART) \
	-v turn="$$(git log -1 --format=%ct 2>/dev/null)" 'NR % part == turn % part'))$(TEST_SANITIZED)

# The suite of a file tests/SUITE/..., $(B)/tests/SUITE/...
test_suite = $(notdir $(patsubst %/,%,$(dir $(1))))
test_internal = $(filter $(TEST_SUITES_INTERNAL),$(call test_suite,$(1)))
test_archive = $(B)/$(if $(call test_internal,$(1)),libvarve-internal.a,libvarve.a)
test_shared = $(patsubst %.c,$(B)/%.o,$(filter tests/$(call test_suite,$(1))/%,$(TEST_SHARED_SRC)))
TEST_CFLAGS := -Iapi/include -Itests/lib $(call pkg,--cflags,$(TEST_PACKAGES))
TEST_CFLAGS_INTERNAL := -I. $(call pkg,--cflags,$(LIB_PACKAGES))
TEST_LIBS := $(call pkg,--libs,$(TEST_PACKAGES))
test_cflags = $(TEST_CFLAGS) -Itests/$(call test_suite,$(1)) $(if $(call test_internal,$(1)),$(TEST_CFLAGS_INTERNAL)) \
	$(TEST_CFLAGS_$(call test_suite,$(1)))
# There are some two hundred programs: the fastest linker that there is, unless LDFLAGS names another; and without debug information,
# which takes half of its time, unless CFLAGS on the command line ask for that, or a sanitizer prints lines.
TEST_LDFLAGS = $(eval TEST_LDFLAGS := $(shell echo 'int main(void) { return 0; }' | \
	$(CC) -fuse-ld=mold -x c -o /dev/null - 2>/dev/null && echo -fuse-ld=mold) \
	$(if $(SAN),,$(if $(filter file,$(origin CFLAGS)),-Xlinker -S)))$(TEST_LDFLAGS)

# Tests are built more often than they are run: without optimisation, and with line numbers only, unless the user asks for more.
$(B)/tests/%.o: tests/%.c Makefile tests/tests.mk | libraries
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) $(if $(filter file,$(origin CFLAGS)),-O0 -g1) $(call test_cflags,$<) -c -o $@ $<

$(B)/tests/libtest.a: $(TEST_LIB_OBJ)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

.SECONDEXPANSION:
$(TEST_PROGRAMS): %: %.o $(B)/tests/libtest.a $$(call test_shared,$$@) $$(call test_archive,$$@)
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(TEST_LDFLAGS) $(LDFLAGS) -o $@ $< $(call test_shared,$@) $(B)/tests/libtest.a $(call test_archive,$@) \
		$(LIB_LIBS) $(TEST_LIBS) $(TEST_LIBS_$(call test_suite,$@))

$(TEST_HELPERS): %: %.o $$(call test_shared,$$@) $$(call test_archive,$$@)
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(TEST_LDFLAGS) $(LDFLAGS) -o $@ $< $(call test_shared,$@) $(call test_archive,$@) $(LIB_LIBS) \
		$(TEST_LIBS_$(call test_suite,$@))

.PHONY: test-deps
test-deps: ## install what the tests and the benchmark need, too (root, Debian)
	@./tests/deps --tests

.PHONY: tests
tests: $(TEST_PROGRAMS) $(TEST_HELPERS) ## build the tests

# Everything that `make check` builds; other makefiles add to it.
.PHONY: check-programs
check-programs: all lib $(B)/libvarve-internal.a tests

.PHONY: check
check: test-deps ## run all tests: as root on images of their own, less without
	@$(MAKE) $(TEST_JOBS) --no-print-directory check-programs
	@$(MAKE) $(TEST_JOBS) --no-print-directory SAN=address,undefined SAN_TRAP=yes UNITY=99 B=$(B)/san-trap sanitized-programs
	@tests/run --build $(B) --sanitized $(B)/san-trap '$(TEST_SANITIZED)'

# Those that `make check` runs under the sanitizers in the plain ones' place.
.PHONY: sanitized-programs
sanitized-programs: $(TEST_SANITIZED:%=$(B)/tests/%)

.PHONY: check-asan
check-asan: ## run the tests under the address and undefined-behaviour sanitizers, for SAN_SECONDS (3600)
	@$(MAKE) $(TEST_JOBS) --no-print-directory SAN=address,undefined B=$(B)/san-address check-programs
	@tests/run --build $(B)/san-address --timeout-scale 4 --within $(SAN_SECONDS)

.PHONY: check-tsan
check-tsan: ## run the tests under the thread sanitizer, for SAN_SECONDS (3600)
	@$(MAKE) $(TEST_JOBS) --no-print-directory SAN=thread B=$(B)/san-thread check-programs
	@tests/run --build $(B)/san-thread --timeout-scale 6 --within $(SAN_SECONDS)

BATS_SOURCE ?=
.PHONY: check-bats
check-bats: all ## run containers/storage's bats tests of the tree BATS_SOURCE with the driver in docs/examples/go (root, Debian)
	@./tests/deps --bats
	@VARVE_BUILD=$(abspath $(B)) tests/bats '$(BATS_SOURCE)'

.PHONY: check-debian
check-debian: all ## put a debootstrapped Debian through layers and archives (root, Debian, network; minutes)
	@./tests/deps --debian
	@VARVE_BUILD=$(abspath $(B)) tests/debian

# With DEBIAN_SUITE, check-containerd and check-systemd take containerd, runc and systemd of that suite, in a root directory that is made
# once and kept with the build.
debian_root = $(if $(1),@./tests/deps --debian && tests/serve/debian_root $(1) $(B)/debian-$(1))
debian_variable = $(if $(1),VARVE_TEST_ROOT=$(abspath $(B))/debian-$(1))

.PHONY: check-containerd
check-containerd: ## run a node of containerd on the daemon: images, containers, pods, restarts, kills (root, Debian; minutes)
	@./tests/deps --containerd
	@$(MAKE) --no-print-directory all $(if $(SERVE_GO_FOUND),$(B)/tests/serve/pull)
	$(call debian_root,$(DEBIAN_SUITE))
	@VARVE_BUILD=$(abspath $(B)) $(call debian_variable,$(DEBIAN_SUITE)) tests/serve/containerd

.PHONY: check-systemd
check-systemd: ## boot a real systemd in a container and put the units through starts, calls, kills and stops (root, Debian; a minute)
	@./tests/deps --containerd
	@$(MAKE) --no-print-directory all
	$(call debian_root,$(DEBIAN_SUITE))
	@VARVE_BUILD=$(abspath $(B)) $(call debian_variable,$(DEBIAN_SUITE)) tests/serve/systemd

.PHONY: check-docker
check-docker: ## run Docker with its BuildKit on the daemon, of the suite DEBIAN_SUITE (forky) (root, Debian, network; minutes)
	@./tests/deps --containerd
	@$(MAKE) --no-print-directory all
	$(call debian_root,$(or $(DEBIAN_SUITE),forky))
	@VARVE_BUILD=$(abspath $(B)) $(call debian_variable,$(or $(DEBIAN_SUITE),forky)) tests/serve/docker

.PHONY: soak
soak: test-deps ## run the tests again and again, for SOAK_SECONDS (300)
	@$(MAKE) $(TEST_JOBS) --no-print-directory check-programs fuzz-programs
	@VARVE_TEST_SOAK=1 tests/run --build $(B) --timeout-scale 4 --for $(SOAK_SECONDS)

.PHONY: check-builds
check-builds: ## build as distributions do: with -flto, by clang, for another machine; install, uninstall, clean
	@tests/builds

CRASH_CUTS ?= 1000
.PHONY: crash-cuts
crash-cuts: check-programs ## CRASH_CUTS (1000) power cuts, each of a new file system; images that fail are kept
	@VARVE_TEST_ROUNDS=$(CRASH_CUTS) VARVE_BUILD=$(abspath $(B)) tests/crash/test_cuts.sh

.PHONY: lint
lint: lib ## check what the compiler does not: includes, sizes, globals, names
	@tests/lint --build $(B)

.PHONY: format
format: ## write all C as .clang-format says (clang-format 14)
	@clang-format-14 -i $$(git ls-files '*.c' '*.h' | grep -v '^docs/')

.PHONY: distcheck
distcheck: test-deps ## build, test and install a clean copy of what is committed
	@CC='$(CC)' CXX='$(CXX)' tests/lib/distcheck

.PHONY: demo
demo: ## the whole thing in two minutes, on an image file (root, Debian)
	@tests/demo

.PHONY: demo-containerd
demo-containerd: ## containerd on varve, beside its own snapshotters, in three minutes (root, Debian)
	@tests/demo-containerd

-include $(TEST_LIB_OBJ:.o=.d) $(TEST_SRC:%.c=$(B)/%.d) $(TEST_HELPER_SRC:%.c=$(B)/%.d) $(TEST_SHARED_SRC:%.c=$(B)/%.d)
