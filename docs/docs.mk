# SPDX-License-Identifier: Apache-2.0
# The examples, each linked against the library through its public header only, and the checks of the man pages.

DOCS_EMBED := embed_epoll embed_libuv embed_libevent embed_glib
# Every other file with a main().
DOCS_EXAMPLES := $(filter-out $(DOCS_EMBED),$(patsubst docs/examples/%.c,%,$(shell grep -l '^int main\>' docs/examples/*.c)))

# The library that an example needs beside ours; without it the example is skipped.
DOCS_PACKAGE_embed_libuv := libuv
DOCS_PACKAGE_embed_libevent := libevent
DOCS_PACKAGE_embed_glib := glib-2.0

docs_have = $(if $(DOCS_PACKAGE_$(1)),$(shell $(PKG_CONFIG) --exists $(DOCS_PACKAGE_$(1)) && echo yes),yes)
docs_package = $(if $(DOCS_PACKAGE_$(1)),$(call pkg,$(2),$(DOCS_PACKAGE_$(1))))
DOCS_EMBED_FOUND := $(foreach e,$(DOCS_EMBED),$(if $(call docs_have,$(e)),$(e)))
DOCS_EMBED_SKIPPED := $(filter-out $(DOCS_EMBED_FOUND),$(DOCS_EMBED))

# What an example links against.
DOCS_LINK = $(CC) $(ALL_CFLAGS) $(TEST_LDFLAGS) $(LDFLAGS) -Wl,--as-needed -o $@ $(filter %.o %.a,$^) $(LIB_LIBS)

.PHONY: docs-examples
docs-examples: $(addprefix $(B)/docs/examples/,$(DOCS_EXAMPLES) $(DOCS_EMBED_FOUND) first) ## build the examples
	@$(foreach e,$(DOCS_EMBED_SKIPPED),echo "skipped: $(e) needs $(DOCS_PACKAGE_$(e))";)

# The tests run the examples, so they have to be there.
check-programs: docs-examples

$(B)/docs/examples/%.o: docs/examples/%.c docs/docs.mk Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) -Iapi/include $(call docs_package,$*,--cflags) -c -o $@ $<

$(addprefix $(B)/docs/examples/,$(DOCS_EXAMPLES)): %: %.o $(B)/docs/examples/example.o $(B)/libvarve.a
	$(call say,LD)
	$(Q)$(DOCS_LINK)

$(addprefix $(B)/docs/examples/,$(DOCS_EMBED)): %: %.o $(B)/docs/examples/churn.o $(B)/docs/examples/example.o $(B)/libvarve.a
	$(call say,LD)
	$(Q)$(DOCS_LINK) $(call docs_package,$(@F),--libs)

# README.md's first program, cut out of it.
$(B)/docs/examples/first.c: README.md docs/first-program
	@mkdir -p $(@D)
	$(Q)docs/first-program README.md >$@.new
	@mv $@.new $@

$(B)/docs/examples/first.o: $(B)/docs/examples/first.c
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) -Iapi/include -c -o $@ $<

$(B)/docs/examples/first: $(B)/docs/examples/first.o $(B)/libvarve.a
	$(call say,LD)
	$(Q)$(DOCS_LINK)

.PHONY: docs-check
docs-check: ## check the man pages: lint, examples, prototypes
	docs/man-check --build $(B)

-include $(wildcard $(B)/docs/examples/*.d)
