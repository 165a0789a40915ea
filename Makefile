# SPDX-License-Identifier: Apache-2.0
# varve: container layers on btrfs.  `make help` lists the targets.

VERSION := 0.2.0
# Counts the releases that are incompatible with the one before: see varve_abi(7).
SOVERSION := 1

# Everything that is built lands below $(B); B=/some/where builds out of tree.
B ?= build
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
DESTDIR ?=

CC ?= gcc
CXX ?= g++
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wno-unused-parameter
# SAN=address,undefined or SAN=thread builds with sanitizers, into a directory of its own.
SAN ?=
ifneq ($(SAN),)
SANFLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=undefined
endif

LIB_PACKAGES := liburing libbtrfsutil libselinux
# Loaded at run time, by the first archive that needs them: their headers only. Without libisal zlib takes its place; libbz2 has no .pc.
LOADED_PACKAGES := libarchive libisal liblzma libzstd zlib
CLI_PACKAGES := jansson smartcols
TEST_PACKAGES := check

pkg = $(shell $(PKG_CONFIG) $(1) $(2) 2>/dev/null)

BASE_CFLAGS := -std=gnu11 -D_GNU_SOURCE -DVARVE_VERSION='"$(VERSION)"' $(WARN) -fPIC -fvisibility=hidden -pthread -MMD -MP
ALL_CFLAGS = $(BASE_CFLAGS) $(CFLAGS) $(SANFLAGS)
LIB_CFLAGS := -Iapi/include -I. $(foreach p,$(LIB_PACKAGES) $(LOADED_PACKAGES),$(call pkg,--cflags,$(p)))
LIB_LIBS = $(call pkg,--libs,$(LIB_PACKAGES)) -ldl -pthread
# The command and the bench see varve.h and their own folder, nothing else.
CLI_CFLAGS = -Iapi/include $(call pkg,--cflags,$(CLI_PACKAGES))
CLI_LIBS = $(call pkg,--libs,$(CLI_PACKAGES))

LIB_SRC := $(wildcard api/*.c engine/*/*.c)
CLI_SRC := $(wildcard api/cli/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(B)/%.o)
SONAME := libvarve.so.$(SOVERSION)

.PHONY: all
all: lib $(B)/varve

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: deps
deps: ## install what the build and the demo need (root, Debian)
	@./tests/deps

# ---- library and command ---------------------------------------------------------------------------------------------

.PHONY: lib
lib: $(B)/libvarve.a $(B)/$(SONAME) $(B)/varve.pc

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(if $(filter api/cli/%,$<),$(CLI_CFLAGS),$(LIB_CFLAGS)) -c -o $@ $<

# What the tests of internals link against: every symbol is there.
$(B)/libvarve-internal.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

# What is installed: one object, in which only the public symbols are left, so that ours cannot clash with a program's.
$(B)/libvarve.a: $(LIB_OBJ)
	@rm -f $@
	$(LD) -r -o $(B)/libvarve.o $^
	objcopy --localize-hidden $(B)/libvarve.o
	$(AR) rcs $@ $(B)/libvarve.o

$(B)/$(SONAME): $(LIB_OBJ) api/varve.map
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=api/varve.map -Wl,-z,now -Wl,--as-needed -o $@ $(LIB_OBJ) $(LIB_LIBS)
	@ln -sf $(SONAME) $(B)/libvarve.so

$(B)/varve: $(CLI_OBJ) $(B)/libvarve.a
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,--as-needed -o $@ $(CLI_OBJ) $(B)/libvarve.a $(LIB_LIBS) $(CLI_LIBS)

# Made anew each time: PREFIX may have changed since.
.PHONY: $(B)/varve.pc
$(B)/varve.pc: api/varve.pc.in
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' $< >$@

include $(wildcard bench/bench.mk tests/tests.mk docs/docs.mk)

# ---- install ---------------------------------------------------------------------------------------------------------

.PHONY: install
install: all ## install into DESTDIR/PREFIX
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(COMPLETIONDIR)
	install -m 644 api/include/varve.h $(DESTDIR)$(INCLUDEDIR)/
	install -m 644 $(B)/libvarve.a $(DESTDIR)$(LIBDIR)/
	install -m 755 $(B)/$(SONAME) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libvarve.so
	install -m 644 $(B)/varve.pc $(DESTDIR)$(LIBDIR)/pkgconfig/
	install -m 755 $(B)/varve $(DESTDIR)$(BINDIR)/
	if [ -x $(B)/varve-bench ]; then install -m 755 $(B)/varve-bench $(DESTDIR)$(BINDIR)/; fi
	install -m 644 api/cli/varve.bash $(DESTDIR)$(COMPLETIONDIR)/varve
	for s in 1 3 5 7; do install -d $(DESTDIR)$(MANDIR)/man$$s; \
	    for m in docs/man/*.$$s; do install -m 644 $$m $(DESTDIR)$(MANDIR)/man$$s/; done; done

.PHONY: clean
clean: ## remove what was built
	rm -rf ./build

-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
