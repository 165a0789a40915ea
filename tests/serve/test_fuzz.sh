#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What libFuzzer makes of frames, in the soak and with VARVE_FUZZ_SECONDS, where it was built; test_frames has random ones always.
# varve-test: backend=any mount=no root=no timeout=180
set -euo pipefail

seconds="${VARVE_FUZZ_SECONDS:-${VARVE_TEST_SOAK:+60}}"
if [[ -z "$seconds" ]]; then
	exit 0
fi
fuzzer="$VARVE_BUILD/fuzz/tests/serve/frames-fuzzer"
if [[ ! -x "$fuzzer" ]]; then
	echo "the fuzzer was not built: there is no clang"
	exit 0
fi
directory="$(mktemp -d)"
trap 'rm -rf -- "${directory:?}"' EXIT
mkdir "$directory/corpus"
# To begin with: a call of each method, with a message, and what ends it.
number=0
for payload in 0 1 2 3 4 5 6; do
	for message in 0 1 3 5; do
		printf -v headers '%02x' "$((128 + payload))"
		printf -v data '%02x' "$((136 + message))"
		printf '%b' "\\x10\\x01\\x04\\x01\\x$headers\\x00\\x01\\x01\\x$data\\x03\\x00\\x01\\x8f" >"$directory/corpus/$number"
		number=$((number + 1))
	done
done
cd "$directory"
status=0
"$fuzzer" -max_total_time="$seconds" -timeout=20 -max_len=4096 -print_final_stats=1 corpus >log 2>&1 || status=$?
grep -E 'number_of_executed_units|new_units_added|peak_rss' log || true
if ((status)); then
	grep -m 20 -E 'ERROR|runtime error|SUMMARY|Assertion|    #' log || tail -n 20 log
	for input in crash-* leak-* timeout-* oom-*; do
		[[ ! -e "$input" ]] || { echo "$input:"; base64 -w 0 "$input"; echo; }
	done
	exit 1
fi
