# SPDX-License-Identifier: Apache-2.0
# The programs of this suite see the insides of the bench, and link it.
TEST_CFLAGS_bench = -Ibench
TEST_LIBS_bench = $(B)/libbench.a $(B)/libvarve.a $(BENCH_LIBS)
