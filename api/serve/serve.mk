# SPDX-License-Identifier: Apache-2.0
# Builds varve-serve, the daemon for containerd.

SERVE_PACKAGES := jansson libnghttp2 libpcre2-8 libprotobuf-c smartcols
SERVE_SRC := $(wildcard api/serve/*.c)
SERVE_PROTO := $(wildcard api/serve/*.proto)
SERVE_MESSAGES := $(SERVE_PROTO:%.proto=$(B)/%.pb-c)
SERVE_OBJ := $(SERVE_SRC:%.c=$(B)/%.o) $(SERVE_MESSAGES:%=%.o)
# It sees varve.h, its own folder, and the messages that were made, as "api/serve/NAME.pb-c.h".
SERVE_CFLAGS := -Iapi/include -I$(B) $(call pkg,--cflags,$(SERVE_PACKAGES))
SERVE_LIBS := $(LIB_LIBS) $(call pkg,--libs,$(SERVE_PACKAGES))

# The library and the command build without what only the daemon needs; `varve serve` then says what is missing.
SERVE_MISSING := $(strip $(foreach p,$(SERVE_PACKAGES),$(shell $(PKG_CONFIG) --exists $(p) || echo $(p))) \
	$(shell command -v protoc-c >/dev/null || echo protoc-c))
ifeq ($(SERVE_MISSING),)
all: $(B)/varve-serve
endif

$(CLI_OBJ): CLI_CFLAGS += -DSERVE_MISSING='"$(SERVE_MISSING)"'

$(B)/%.pb-c.c: %.proto
	@mkdir -p $(@D)
	$(call say,PROTO)
	$(Q)protoc-c -Iapi/serve --c_out=$(@D) $<

# Made by the same run.
$(SERVE_MESSAGES:%=%.h): %.h: %.c ;

$(SERVE_MESSAGES:%=%.o): %.o: %.c
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) $(SERVE_CFLAGS) -c -o $@ $<

$(B)/api/serve/%.o: api/serve/%.c api/serve/serve.mk Makefile | libraries $(SERVE_MESSAGES:%=%.h)
	$(call say,CC)
	$(Q)$(CC) $(ALL_CFLAGS) $(SERVE_CFLAGS) -c -o $@ $<

# What its tests link: all but main().
$(B)/libserve.a: $(filter-out $(B)/api/serve/main.o,$(SERVE_OBJ))
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $^

$(B)/varve-serve: $(B)/api/serve/main.o $(B)/libserve.a $(B)/libvarve.a
	$(call say,LD)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,--as-needed -o $@ $^ $(SERVE_LIBS)

-include $(SERVE_OBJ:.o=.d)
