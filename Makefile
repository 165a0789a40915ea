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
# The command looks here for the daemon: in ../libexec, seen from BINDIR.
LIBEXECDIR ?= $(PREFIX)/libexec
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
DESTDIR ?=

CC ?= gcc
CXX ?= g++
PKG_CONFIG ?= pkg-config
# What a sanitizer watches is built in half the time with -O1, and runs as fast.
CFLAGS ?= $(if $(SAN),-O1,-O2) -g
CPPFLAGS ?=
# One line a step; V=1 prints the commands.
V ?= 0
ifeq ($(V),0)
Q := @
say = $(info $(empty)  $(1)	$(patsubst $(B)/%,%,$@))
else
Q :=
say =
endif
# The compiler names the tools that belong to it, also one for another machine; gcc-ar and the like know objects of -flto.
tool = $(or $(shell $(CC) -print-prog-name=$(1) 2>/dev/null),$(1))
AR := $(if $(filter default,$(origin AR)),$(call tool,ar),$(AR))
CC_IS_CLANG := $(findstring clang,$(shell $(CC) --version))
ifneq ($(findstring -flto,$(CFLAGS)),)
AR := $(if $(CC_IS_CLANG),llvm-ar,$(or $(shell command -v $(dir $(firstword $(CC)))$(patsubst %gcc,%gcc-ar,$(notdir $(lastword $(CC))))),gcc-ar))
PARTIAL_FLAGS := $(if $(CC_IS_CLANG),-fuse-ld=lld,-flinker-output=nolto-rel)
endif
OBJCOPY ?= $(call tool,objcopy)
WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wno-unused-parameter
# What gcc lets pass: fields left out behind given ones, a structure of the kernel's with a flexible end within another, -pthread where it links.
ifneq ($(CC_IS_CLANG),)
WARN += -Wno-missing-field-initializers -Wno-gnu-variable-sized-type-not-at-end -Wno-unused-command-line-argument
endif
# SAN=address,undefined or SAN=thread builds with sanitizers, into a directory of its own.
SAN ?=
ifneq ($(SAN),)
SANFLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=undefined
endif

LIB_PACKAGES := liburing libbtrfsutil libselinux
# Loaded at run time, by the first archive that needs them: their headers only. Without libisal zlib takes its place; libbz2 has no .pc.
LOADED_PACKAGES := libarchive libcrypto libisal liblzma libzstd zlib
CLI_PACKAGES := jansson smartcols
TEST_PACKAGES := check

pkg = $(shell $(PKG_CONFIG) $(1) $(2) 2>/dev/null)

BASE_CFLAGS := -std=gnu11 -D_GNU_SOURCE -DVARVE_VERSION='"$(VERSION)"' $(WARN) -fPIC -fvisibility=hidden -pthread -MMD -MP
ALL_CFLAGS = $(BASE_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(SANFLAGS)
LIB_CFLAGS := -Iapi/include -I. $(foreach p,$(LIB_PACKAGES) $(LOADED_PACKAGES),$(call pkg,--cflags,$(p)))
LIB_LIBS := $(call pkg,--libs,$(LIB_PACKAGES)) -ldl -pthread
# The command and the bench see varve.h and their own folder, nothing else.
CLI_CFLAGS := -Iapi/include $(call pkg,--cflags,$(CLI_PACKAGES))
CLI_LIBS := $(call pkg,--libs,$(CLI_PACKAGES))

LIB_SRC := $(wildcard api/*.c engine/*/*.c)
CLI_SRC := $(wildcard api/cli/*.c)
# Up to UNITY files of a directory are compiled as one, which takes half the time: most of it goes to headers. Static names are unique in
# a directory therefore. UNITY=1 compiles each file by itself.
UNITY ?= 8
# The objects of the sources $(1): DIRECTORY/NAME.o, and DIRECTORY/FIRST-LAST.o of several.
unity = $(foreach d,$(sort $(dir $(1))),$(call unity_rest,$(foreach s,$(sort $(1)),$(if $(filter $(d),$(dir $(s))),$(s)))))
# $(1): those of a directory that have no object yet.
unity_rest = $(if $(1),$(call unity_object,$(wordlist 1,$(UNITY),$(1))) \
	$(call unity_rest,$(wordlist $(words x $(wordlist 1,$(UNITY),$(1))),$(words $(1)),$(1))))
unity_object = $(eval $(unity_name): $(1))$(eval $(unity_name): private unity_files := $(1))$(unity_name)
unity_name = $(B)/$(basename $(firstword $(1)))$(if $(word 2,$(1)),-$(basename $(notdir $(lastword $(1))))).o
# How the compiler is told of them: it compiles the last one as if that began by including the others.
unity_input = $(patsubst %,-include %,$(filter-out $(lastword $(unity_files)),$(unity_files))) -c -o $@ $(lastword $(unity_files))

# By themselves: tests/sim puts functions of its own in the place of some of theirs, which it can only where the callers are in another object.
LIB_ALONE := engine/base/library.c $(patsubst %,engine/btrfs/%.c,fs qgroup subvol) engine/core/id_lock.c engine/core/request.c \
	engine/io/io.c engine/store/group_commit.c engine/store/stock.c
LIB_OBJ := $(foreach s,$(LIB_ALONE),$(call unity,$(s))) $(call unity,$(filter-out $(LIB_ALONE),$(LIB_SRC)))
CLI_OBJ := $(call unity,$(CLI_SRC))
SONAME := libvarve.so.$(SOVERSION)

.PHONY: all
all: lib $(B)/varve

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: deps
deps: ## install what the build and the demo need (root, Debian)
	@./tests/deps

# What to install where a library is missing: its package of Debian, Fedora, Alpine.
define PACKAGE_NAMES
liburing liburing-dev liburing-devel liburing-dev
libbtrfsutil libbtrfsutil-dev libbtrfsutil-devel btrfs-progs-dev
libselinux libselinux1-dev libselinux-devel libselinux-dev
libarchive libarchive-dev libarchive-devel libarchive-dev
libcrypto libssl-dev openssl-devel openssl-dev
liblzma liblzma-dev xz-devel xz-dev
libzstd libzstd-dev libzstd-devel zstd-dev
zlib zlib1g-dev zlib-devel zlib-dev
bzlib.h libbz2-dev bzip2-devel bzip2-dev
jansson libjansson-dev jansson-devel jansson-dev
smartcols libsmartcols-dev libsmartcols-devel util-linux-dev
libnghttp2 libnghttp2-dev libnghttp2-devel nghttp2-dev
libprotobuf-c libprotobuf-c-dev protobuf-c-devel protobuf-c-dev
protoc-c protobuf-c-compiler protobuf-c-compiler protobuf-c-compiler
libpcre2-8 libpcre2-dev pcre2-devel pcre2-dev
endef
export PACKAGE_NAMES

# Where objects lie: made once, not by a process for each object.
OBJ_DIRS = $(sort $(dir $(LIB_OBJ) $(CLI_OBJ) $(SERVE_OBJ) $(BENCH_OBJ) $(TEST_LIB_OBJ) $(patsubst %.c,$(B)/%.o,$(TEST_SRC) $(TEST_OTHER_SRC))))

.PHONY: libraries
libraries:
	@mkdir -p $(OBJ_DIRS)
	@command -v $(firstword $(PKG_CONFIG)) >/dev/null || { echo "missing: pkg-config (or pkgconf)" >&2; exit 1; }
	@missing=$$(for name in $(LIB_PACKAGES) $(filter-out libisal,$(LOADED_PACKAGES)) $(CLI_PACKAGES); do \
			$(PKG_CONFIG) --exists $$name || echo $$name; done; \
		echo '#include <bzlib.h>' | $(CC) $(CPPFLAGS) -E - >/dev/null 2>&1 || echo bzlib.h); \
	[ -z "$$missing" ] || { printf '%s\n' "$$PACKAGE_NAMES" | awk -v missing="$$missing" '\
		BEGIN { n = split(missing, names, "\n") } \
		{ known[$$1] = $$2 " on Debian, " $$3 " on Fedora, " $$4 " on Alpine" } \
		END { for (i = 1; i <= n; i++) print "missing: " names[i] ", the package " known[names[i]] }' >&2; exit 1; }

# ---- library and command ---------------------------------------------------------------------------------------------

.PHONY: lib
lib: $(B)/libvarve.a $(B)/$(SONAME) $(B)/varve.pc

$(LIB_OBJ): Makefile | libraries
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) $(LIB_CFLAGS) $(unity_input)

$(CLI_OBJ): Makefile | libraries
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) $(CLI_CFLAGS) $(unity_input)

# What the tests of internals link against: every symbol is there.
$(B)/libvarve-internal.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

# What is installed: one object, in which only the public symbols are left, so that ours cannot clash with a program's.
$(B)/libvarve.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,AR)
	$(Q)$(CC) $(ALL_CFLAGS) $(PARTIAL_FLAGS) -r -nostdlib -o $(B)/libvarve.o $^
	$(Q)$(OBJCOPY) --localize-hidden $(B)/libvarve.o
	$(Q)$(AR) rcs $@ $(B)/libvarve.o

$(B)/$(SONAME): $(LIB_OBJ) api/varve.map
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=api/varve.map -Wl,-z,now -Wl,--as-needed -o $@ $(LIB_OBJ) $(LIB_LIBS)
	@ln -sf $(SONAME) $(B)/libvarve.so

$(B)/varve: $(CLI_OBJ) $(B)/libvarve.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,--as-needed -o $@ $(CLI_OBJ) $(B)/libvarve.a $(LIB_LIBS) $(CLI_LIBS)

# Made anew each time: PREFIX may have changed since.
.PHONY: $(B)/varve.pc
$(B)/varve.pc: api/varve.pc.in
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' $< >$@

include $(wildcard api/serve/serve.mk bench/bench.mk tests/tests.mk docs/docs.mk)

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
	if [ -x $(B)/varve-serve ]; then install -d $(DESTDIR)$(LIBEXECDIR)/varve; \
		install -m 755 $(B)/varve-serve $(DESTDIR)$(LIBEXECDIR)/varve/; \
		install -d $(DESTDIR)$(UNITDIR); install -m 644 api/serve/systemd/varve.socket $(DESTDIR)$(UNITDIR)/; \
		sed -e 's|@BINDIR@|$(BINDIR)|' api/serve/systemd/varve.service.in >$(DESTDIR)$(UNITDIR)/varve.service; fi
	install -m 644 api/cli/varve.bash $(DESTDIR)$(COMPLETIONDIR)/varve
	for s in 1 3 5 7 8; do install -d $(DESTDIR)$(MANDIR)/man$$s; \
	    for m in docs/man/*.$$s; do install -m 644 $$m $(DESTDIR)$(MANDIR)/man$$s/; done; done

.PHONY: uninstall
uninstall: ## remove what install has put there
	rm -f $(DESTDIR)$(INCLUDEDIR)/varve.h $(DESTDIR)$(LIBDIR)/libvarve.a $(DESTDIR)$(LIBDIR)/$(SONAME) $(DESTDIR)$(LIBDIR)/libvarve.so \
		$(DESTDIR)$(LIBDIR)/pkgconfig/varve.pc $(DESTDIR)$(BINDIR)/varve $(DESTDIR)$(BINDIR)/varve-bench $(DESTDIR)$(COMPLETIONDIR)/varve \
		$(DESTDIR)$(LIBEXECDIR)/varve/varve-serve $(DESTDIR)$(UNITDIR)/varve.socket $(DESTDIR)$(UNITDIR)/varve.service
	for m in docs/man/*.[13578]; do rm -f "$(DESTDIR)$(MANDIR)/man$${m##*.}/$${m##*/}"; done

.PHONY: clean
clean: ## remove what was built, in $(B)
	@case '$(abspath $(B))' in ''|/|'$(CURDIR)') echo "clean: not $(B)" >&2; exit 1;; esac
	rm -rf -- '$(abspath $(B))'

-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
