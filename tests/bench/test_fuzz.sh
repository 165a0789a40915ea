#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The fuzzer of job files finds nothing: the corpus, and new inputs, so many or for VARVE_FUZZ_SECONDS.
# varve-test: backend=any mount=no root=no timeout=120
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start
command -v clang >/dev/null || skip "clang is missing"

sources=("$bench_repository"/bench/fuzz/job.c "$bench_repository"/bench/job/{job,options,claim}.c
	"$bench_repository"/bench/engines/engine.c)
# The table of engines alone, without what they need: one that has a name.
mkdir "$scratch/engines"
printf '' >"$scratch/engines/list.h"
cp "$bench_repository/bench/engines/engines.h" "$scratch/engines/"
sed 's/^static const struct bench_engine \*const engines\[\] = {/static const struct bench_engine lone = {.name = "varve"};\n&\n\t\&lone,/' "${sources[4]}" >"$scratch/engines/engine.c"
sources[4]="$scratch/engines/engine.c"
flags=(-g -O1 -std=gnu11 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
# Not every clang brings what fuzzers link.
printf 'int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return 0; }\n' >"$scratch/empty.c"
clang "${flags[@]}" -o "$scratch/empty" "$scratch/empty.c" 2>"$scratch/err" || skip "clang cannot build a fuzzer here"
clang "${flags[@]}" -I"$scratch/engines" -I"$bench_repository/bench" -o "$scratch/fuzz" "${sources[@]}" -lm -ldl \
	>"$scratch/out" 2>&1 || fail "the fuzzer does not build"
mkdir "$scratch/corpus"
cp "$bench_repository"/bench/fuzz/corpus/* "$bench_repository"/bench/jobs/*.fio "$scratch/corpus/"
cd "$scratch"
bound=(-runs=2000)
[[ -z "${VARVE_FUZZ_SECONDS:-}" ]] || bound=(-max_total_time="$VARVE_FUZZ_SECONDS")
./fuzz "${bound[@]}" -timeout=120 -max_len=8192 -print_final_stats=1 corpus >out 2>&1 ||
	fail "the fuzzer found something" "$(grep -m 5 -E 'ERROR|runtime error|SUMMARY' out)"
grep -Eq 'number_of_executed_units: *[1-9][0-9]{3}' out || fail "the fuzzer ran next to nothing"
