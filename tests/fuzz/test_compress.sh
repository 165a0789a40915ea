#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is compressed on its way out is decompressed to the same bytes: the corpus, cut off and damaged; and, in the soak and with
# VARVE_FUZZ_SECONDS, what libFuzzer makes of it where it was built.
# varve-test: backend=any mount=no root=no timeout=180
set -euo pipefail

corpus="$(cd "$(dirname "$0")" && pwd)/corpus-compress"
seconds="${VARVE_FUZZ_SECONDS:-${VARVE_TEST_SOAK:+60}}"

"$VARVE_BUILD/tests/fuzz/replay" --cut compress "$corpus"/*

if [[ -z "$seconds" ]]; then
	exit 0
fi
fuzzer="$VARVE_BUILD/fuzz/tests/fuzz/fuzzer"
if [[ ! -x "$fuzzer" ]]; then
	echo "the fuzzer was not built: there is no clang"
	exit 0
fi
scratch="$(mktemp -d)"
trap 'rm -rf -- "${scratch:?}"' EXIT
cp -r "$corpus" "$scratch/corpus"
cd "$scratch"
status=0
VARVE_FUZZ_TARGET=compress "$fuzzer" -max_total_time="$seconds" -timeout=30 -max_len=4096 -print_final_stats=1 corpus >log 2>&1 || status=$?
grep -E 'number_of_executed_units|new_units_added|peak_rss' log || true
if ((status)); then
	grep -m 20 -E 'ERROR|runtime error|SUMMARY|compress:|    #' log || tail -n 20 log
	for input in crash-* leak-* timeout-* oom-*; do
		[[ ! -e "$input" ]] || { echo "$input:"; base64 -w 0 "$input"; echo; }
	done
	exit 1
fi
