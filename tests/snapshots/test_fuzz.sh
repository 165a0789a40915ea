#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The fuzzer of filters and records finds nothing: the corpus, and a few seconds of new inputs.
# varve-test: backend=any mount=no root=no timeout=120
set -euo pipefail

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
scratch="$(mktemp -d)"
trap 'rm -r -- "$scratch"' EXIT
mkdir "$scratch/corpus"

# Print MESSAGE as the reason, and end with STATUS.
finish() {
	echo "$2"
	exit "$1"
}

flags=(-g -O1 -std=gnu11 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
# Not every clang brings what fuzzers link.
echo 'int LLVMFuzzerTestOneInput(const void *d, unsigned long n) { return 0; }' >"$scratch/empty.c"
clang "${flags[@]}" -w -o "$scratch/empty" "$scratch/empty.c" 2>/dev/null || finish 77 "clang cannot build a fuzzer here"
sources=("$repository"/tests/snapshots/fuzz/texts.c "$repository"/api/serve/{text,labels,index,record,filter}.c
	"$VARVE_BUILD/api/serve/record.pb-c.c")
clang "${flags[@]}" -iquote "$repository/api/serve" -I"$repository/api/include" -I"$VARVE_BUILD" -o "$scratch/texts" "${sources[@]}" \
	-lprotobuf-c -lpcre2-8 >"$scratch/out" 2>&1 || finish 1 "the fuzzer does not build: $(head -n 5 "$scratch/out")"
cp "$repository"/tests/snapshots/fuzz/corpus/* "$scratch/corpus/"
cd "$scratch"
./texts -max_total_time="${VARVE_FUZZ_SECONDS:-2}" -timeout=20 -max_len=4096 -print_final_stats=1 corpus >out 2>&1 ||
	finish 1 "the fuzzer found something: $(grep -m 5 -E 'ERROR|runtime error|SUMMARY' out)"
grep -E 'number_of_executed_units|peak_rss' out
