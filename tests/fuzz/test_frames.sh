#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Frames of clients harm no server of `varve serve`: the corpus, cut off and damaged; and, in the soak and with VARVE_FUZZ_SECONDS,
# what libFuzzer makes of it where it was built. serve/test_frames has random ones always.
# varve-test: backend=any mount=no root=no timeout=180
set -euo pipefail

corpus="$(cd "$(dirname "$0")" && pwd)/corpus-frames"
seconds="${VARVE_FUZZ_SECONDS:-${VARVE_TEST_SOAK:+60}}"

if [[ ! -x "$VARVE_BUILD/varve-serve" ]]; then
	echo "varve-serve was not built"
	exit 77
fi
"$VARVE_BUILD/tests/fuzz/replay" --cut frames "$corpus"/*

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
VARVE_FUZZ_TARGET=frames "$fuzzer" -max_total_time="$seconds" -timeout=20 -max_len=4096 -print_final_stats=1 corpus >log 2>&1 || status=$?
grep -E 'number_of_executed_units|new_units_added|peak_rss' log || true
if ((status)); then
	grep -m 20 -E 'ERROR|runtime error|SUMMARY|Assertion|not so|    #' log || tail -n 20 log
	for input in crash-* leak-* timeout-* oom-*; do
		[[ ! -e "$input" ]] || { echo "$input:"; base64 -w 0 "$input"; echo; }
	done
	exit 1
fi
