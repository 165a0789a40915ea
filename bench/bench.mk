# SPDX-License-Identifier: Apache-2.0
# Builds varve-bench, and runs its jobs.

BENCH_PACKAGES := jansson libuv libbtrfsutil
BENCH_SRC := $(wildcard bench/*.c bench/*/*.c)
BENCH_SRC := $(filter-out bench/engines/skeleton.c bench/fuzz/%,$(BENCH_SRC))
# Without nghttp2 there is no engine that speaks to snapshotters.
BENCH_SNAPSHOTTER := $(shell $(PKG_CONFIG) --exists libnghttp2 && echo libnghttp2)
ifeq ($(BENCH_SNAPSHOTTER),)
BENCH_SRC := $(filter-out bench/engines/snapshotter.c bench/engines/grpc_client.c,$(BENCH_SRC))
endif
# main() is by itself, since its tests link the rest.
BENCH_OBJ := $(call unity,bench/main.c) $(call unity,$(filter-out bench/main.c,$(BENCH_SRC)))
# It sees varve.h and its own folder, nothing else. -rdynamic is not needed: external engines call back by pointer.
BENCH_CFLAGS := -Iapi/include -Ibench $(call pkg,--cflags,$(BENCH_PACKAGES) $(BENCH_SNAPSHOTTER)) $(if $(BENCH_SNAPSHOTTER),-DBENCH_SNAPSHOTTER)
BENCH_LIBS := $(LIB_LIBS) $(call pkg,--libs,$(BENCH_PACKAGES) $(BENCH_SNAPSHOTTER)) -lm -ldl -pthread

# The library and the command build without what only the bench needs.
ifneq ($(shell $(PKG_CONFIG) --exists $(BENCH_PACKAGES) && echo yes),)
all: $(B)/varve-bench
endif

$(BENCH_OBJ): Makefile bench/bench.mk | libraries
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) $(BENCH_CFLAGS) $(unity_input)

# What its tests link: all but main().
$(B)/libbench.a: $(filter-out $(B)/bench/main.o,$(BENCH_OBJ))
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

$(B)/varve-bench: $(B)/bench/main.o $(B)/libbench.a $(B)/libvarve.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,--as-needed -o $@ $^ $(BENCH_LIBS)

$(patsubst %.c,$(B)/%,$(wildcard tests/bench/test_*.c)): $(B)/libbench.a

# The image stays, with the parent layers in it, so that a second run begins sooner. It grows to some 4 GiB.
BENCH_POOL ?= $(B)/bench-pool.img,8g
BENCH_REPEAT ?= 5
# How long all jobs may take together: each is repeated as often as its share allows, and none runs on when it is over.
BENCH_BUDGET ?= 30m
# Keys for all jobs, such as --nrfiles=1000 for a quick look.
BENCH_OPTIONS ?=
# Memory first: what later jobs leave behind in the process would count against it.
BENCH_MEMORY_JOBS := bench/jobs/memory.fio bench/jobs/memory-trees.fio
BENCH_JOBS ?= $(BENCH_MEMORY_JOBS) $(filter-out $(BENCH_MEMORY_JOBS),$(wildcard bench/jobs/*.fio))
# The page of results, which has a section for each machine, and from which README's table of claims is computed. A quick look, or a
# part of the jobs, has a copy of its own.
BENCH_WHOLE := $(if $(BENCH_OPTIONS)$(filter-out file,$(origin BENCH_JOBS)),,yes)
BENCH_RESULTS ?= $(if $(BENCH_WHOLE),docs/results.md,$(B)/results.md)

.PHONY: bench
# All of the build: jobs start the daemon, and compare it with containerd's snapshotters (tests/serve/suite.mk).
bench: all $(B)/varve-bench ## run the jobs of all claims in half an hour, renew this machine in docs/results.md, print what moved (root)
	$(if $(BENCH_WHOLE),,cp docs/results.md $(B)/results.md)
	$(B)/varve-bench --pool=$(BENCH_POOL) --repeat=$(BENCH_REPEAT) --budget=$(BENCH_BUDGET) --results=$(BENCH_RESULTS) \
		--report=$(B)/bench.html --output-format=json --output=$(B)/bench.json $(BENCH_OPTIONS) $(BENCH_JOBS); \
		status=$$?; $(if $(BENCH_WHOLE),$(B)/varve-bench claims $(BENCH_RESULTS) README.md --write;) exit $$status

-include $(BENCH_OBJ:.o=.d)
