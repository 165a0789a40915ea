# SPDX-License-Identifier: Apache-2.0
# The simulated kernel: each function that a line of these files begins to define with WRAP or UNKNOWN is put in the place of the
# one of its name.
SIM_WRAPPED := $(shell grep -hoE '^(WRAP|UNKNOWN).[^,]*, [a-z0-9_]+' tests/sim/*.c | sed 's/.*, //')
TEST_LIBS_sim = $(SIM_WRAPPED:%=-Wl,--wrap=%)
# It runs for a minute in `make check`.
TEST_CFLAGS_sim := -O2 $(call pkg,--cflags,libarchive)
