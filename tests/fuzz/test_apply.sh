#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Archives that mean harm are unpacked, and nothing outside of the layer is touched: the corpus as it is, cut off and damaged in
# each block; and, in the soak and with VARVE_FUZZ_SECONDS, what libFuzzer makes of it where it was built.
# varve-test: backend=any timeout=180
set -euo pipefail

corpus="$(cd "$(dirname "$0")" && pwd)/corpus"
seconds="${VARVE_FUZZ_SECONDS:-${VARVE_TEST_SOAK:+60}}"

# What looks for leaks wants /proc, which these programs leave behind.
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"

# The corpus.
btrfs -q subvolume create "$VARVE_TEST_MOUNT/replay"
VARVE_TEST_MOUNT="$VARVE_TEST_MOUNT/replay" "$VARVE_BUILD/tests/fuzz/replay" --cut apply "$corpus"/*

# New inputs. The fuzzer changes its root to the subvolume, so that its corpus has to lie there, by the same relative path.
if [[ -z "$seconds" ]]; then
	exit 0
fi
fuzzer="$VARVE_BUILD/fuzz/tests/fuzz/fuzzer"
if [[ ! -x "$fuzzer" ]]; then
	echo "the fuzzer was not built: there is no clang"
	exit 0
fi
root="$VARVE_TEST_MOUNT/fuzz"
btrfs -q subvolume create "$root"
cp -r "$corpus" "$root/corpus"
cd "$root"
status=0
VARVE_TEST_MOUNT="$root" VARVE_FUZZ_TARGET=apply "$fuzzer" -max_total_time="$seconds" -timeout=20 -detect_leaks=0 -max_len=16384 -print_final_stats=1 corpus \
	>"$VARVE_TEST_MOUNT/log" 2>&1 || status=$?
grep -E 'number_of_executed_units|new_units_added|peak_rss' "$VARVE_TEST_MOUNT/log" || true
if ((status)); then
	grep -m 20 -E 'ERROR|runtime error|SUMMARY|apply:|    #' "$VARVE_TEST_MOUNT/log" || tail -n 20 "$VARVE_TEST_MOUNT/log"
	for input in "$root"/crash-* "$root"/leak-* "$root"/timeout-* "$root"/oom-*; do
		[[ ! -e "$input" ]] || { echo "${input##*/}:"; base64 -w 0 "$input"; echo; }
	done
	exit 1
fi
if [[ -n "${VARVE_FUZZ_KEEP:-}" ]]; then
	cp -r corpus "$VARVE_FUZZ_KEEP"
fi
