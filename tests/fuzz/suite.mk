# SPDX-License-Identifier: Apache-2.0
# The fuzz targets, built once with libFuzzer where there is a clang, in a directory of their own; without one, replay.c runs
# their corpus all the same.
FUZZ_CC ?= $(firstword $(foreach c,clang $(patsubst %,clang-%,21 20 19 18 17 16 15 14),$(shell command -v $(c))))
FUZZ_SECONDS ?= 60

# The target of the daemon, with the server that it runs.
ifeq ($(SERVE_MISSING),)
FUZZ_SERVE := $(B)/tests/serve/frames.o $(B)/tests/serve/rig.o $(B)/tests/libtest.a $(B)/libserve.a $(B)/libvarve-internal.a
TEST_LIBS_fuzz = $(FUZZ_SERVE) $(SERVE_LIBS) $(TEST_LIBS)
$(B)/tests/fuzz/replay: $(FUZZ_SERVE)
endif

$(B)/tests/fuzz/fuzzer: $(patsubst %,$(B)/tests/fuzz/%.o,apply compress fuzzer) $(FUZZ_SERVE) $(B)/libvarve-internal.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $(LDFLAGS) -o $@ $(filter-out $(FUZZ_SERVE),$^) $(or $(TEST_LIBS_fuzz),$(LIB_LIBS))

.PHONY: fuzz-programs
fuzz-programs:
ifneq ($(FUZZ_CC),)
	@$(MAKE) --no-print-directory CC='$(FUZZ_CC)' CFLAGS='-O1 -g' SAN=address,undefined,fuzzer-no-link B=$(B)/fuzz \
		$(B)/fuzz/tests/fuzz/fuzzer
else
	@echo "skipped: the fuzzers need clang"
endif

.PHONY: fuzz
fuzz: test-deps ## look for inputs that break the library, for FUZZ_SECONDS (60)
	@$(MAKE) $(TEST_JOBS) --no-print-directory check-programs fuzz-programs
	@VARVE_FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run --build $(B) --timeout-scale $$(($(FUZZ_SECONDS) / 60 + 1)) fuzz
