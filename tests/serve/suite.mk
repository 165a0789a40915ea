# SPDX-License-Identifier: Apache-2.0
# The programs of this suite see the insides of the daemon, and link it.
# By -iquote, since a limits.h is among the headers.
TEST_CFLAGS_serve = -iquote api/serve -iquote tests/fuzz $(SERVE_CFLAGS)
TEST_LIBS_serve = $(B)/libserve.a $(B)/libvarve.a $(SERVE_LIBS)

$(patsubst %.c,$(B)/%,$(wildcard tests/serve/test_*.c)): $(B)/libserve.a
$(patsubst %.c,$(B)/%.o,$(wildcard tests/serve/*.c)): | $(SERVE_MESSAGES:%=%.h)

# containerd's own snapshotters behind a server, and its suite for snapshotters: built by Go from Debian's packages, where those are.
SERVE_GO_PATH := /usr/share/gocode
SERVE_GO_FOUND := $(and $(shell command -v go),$(wildcard $(SERVE_GO_PATH)/src/github.com/containerd/containerd/snapshots/testsuite))
# What was compiled is kept with the build, and shared with tests/embedding/test_go.sh.
# By the compiler that Go knows, as that test does: another would be asked to compile all anew.
SERVE_GO = cd tests/serve/go && env -u CC -u CXX GO111MODULE=off GOFLAGS=-p=2 GOPATH=$(SERVE_GO_PATH) GOPROXY=off GOCACHE=$(abspath $(B))/go-cache go

# What is tested is not optimised: Go compiles it in two thirds of the time. The standard library is compiled already.
SERVE_GO_PLAIN := $(foreach p,github.com golang.org google.golang.org gopkg.in go.etcd.io,'-gcflags=$(p)/...=-N -l -dwarf=false')

ifneq ($(SERVE_GO_FOUND),)
check-programs: $(B)/tests/serve/snapshotter-peer $(B)/tests/serve/snapshotter.test
bench: $(B)/tests/serve/snapshotter-server
endif

# The server that jobs compare with.
$(B)/tests/serve/snapshotter-server: tests/serve/go/server.go
	@mkdir -p $(@D)
	$(call say,GO)
	$(Q)$(SERVE_GO) build -ldflags='-s -w' -o $(abspath $@) .

# The same for tests.
$(B)/tests/serve/snapshotter-peer: tests/serve/go/server.go
	@mkdir -p $(@D)
	$(call say,GO)
	$(Q)$(SERVE_GO) build $(SERVE_GO_PLAIN) -ldflags='-s -w' -o $(abspath $@) .

# After the server, so that no package is compiled twice at once.
$(B)/tests/serve/snapshotter.test: $(wildcard tests/serve/go/*.go) | $(B)/tests/serve/snapshotter-peer
	$(call say,GO)
	$(Q)$(SERVE_GO) test $(SERVE_GO_PLAIN) -vet=off -ldflags='-s -w' -c -o $(abspath $@) .

# A client that takes images from a registry, for tests/serve/containerd.
$(B)/tests/serve/pull: tests/serve/go/pull/main.go
	@mkdir -p $(@D)
	$(call say,GO)
	$(Q)$(SERVE_GO:tests/serve/go=tests/serve/go/pull) build -ldflags='-s -w' -o $(abspath $@) .
