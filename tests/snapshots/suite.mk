# SPDX-License-Identifier: Apache-2.0
# The snapshots of `varve serve`, without a client and a socket: these programs see the insides of the daemon, and have a gRPC of
# their own, fake.c, in place of the one in libserve.a.
TEST_CFLAGS_snapshots = -iquote api/serve $(SERVE_CFLAGS)
# fake.c can let a change of a record fail after it was made, and change a home behind a reading of it.
TEST_LIBS_snapshots = -Wl,--wrap=varve_layer_label -Wl,--wrap=varve_layer_find $(B)/libserve.a $(B)/libvarve.a $(SERVE_LIBS)

$(patsubst %.c,$(B)/%,$(wildcard tests/snapshots/test_*.c)): $(B)/libserve.a
$(patsubst %.c,$(B)/%.o,$(wildcard tests/snapshots/*.c)): | $(SERVE_MESSAGES:%=%.h)
