# SPDX-License-Identifier: Apache-2.0
# Builds varve-bench, and runs its jobs.

BENCH_PACKAGES := jansson libuv libbtrfsutil
BENCH_SRC := $(wildcard bench/*.c bench/engines/*.c)
BENCH_SRC := $(filter-out bench/engines/skeleton.c,$(BENCH_SRC))
# Until there is a library to link, the bench does without.
ifeq ($(wildcard api/*.c),)
BENCH_SRC := $(filter-out bench/engines/varve.c,$(BENCH_SRC))
BENCH_DEFINES := -DBENCH_WITHOUT_VARVE
BENCH_ARCHIVE :=
else
BENCH_ARCHIVE := $(B)/libvarve.a
endif
BENCH_OBJ := $(BENCH_SRC:%.c=$(B)/%.o)
# It sees varve.h and its own folder, nothing else. -rdynamic is not needed: external engines call back by pointer.
BENCH_CFLAGS = -Iapi/include $(BENCH_DEFINES) $(call pkg,--cflags,$(BENCH_PACKAGES))
BENCH_LIBS = $(LIB_LIBS) $(call pkg,--libs,$(BENCH_PACKAGES)) -lm -ldl -pthread

all: $(B)/varve-bench

$(B)/bench/%.o: bench/%.c Makefile bench/bench.mk
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(BENCH_CFLAGS) -c -o $@ $<

# What its tests link: all but main().
$(B)/libbench.a: $(filter-out $(B)/bench/main.o,$(BENCH_OBJ))
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/varve-bench: $(B)/bench/main.o $(B)/libbench.a $(BENCH_ARCHIVE)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,--as-needed -o $@ $^ $(BENCH_LIBS)

-include $(BENCH_OBJ:.o=.d)
