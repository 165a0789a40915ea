# SPDX-License-Identifier: Apache-2.0
# What the tests of the fuzz targets share. Sourced, after `set -euo pipefail`.
# shellcheck shell=bash

# How long libFuzzer searches: VARVE_FUZZ_SECONDS, a minute in the soak; else not at all.
fuzz_seconds="${VARVE_FUZZ_SECONDS:-${VARVE_TEST_SOAK:+60}}"

# Print the corpus $1, which lies beside the tests.
fuzz_corpus() {
	printf '%s\n' "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/$1"
}

# Search for new inputs of target $1 in directory $2, whose folder `corpus` has the old ones; more arguments go to libFuzzer. The log
# lies beside the directory: a target may have changed its root to it. Fails, with each input, where one was found.
fuzz_search() {
	local target="$1" directory="$2" fuzzer="$VARVE_BUILD/fuzz/tests/fuzz/fuzzer" log="$2.log" status=0 input
	shift 2
	if [[ ! -x "$fuzzer" ]]; then
		echo "the fuzzer was not built: there is no clang"
		return
	fi
	# By a relative path, which is the same below another root.
	(cd "$directory" && VARVE_FUZZ_TARGET="$target" "$fuzzer" -max_total_time="$fuzz_seconds" -print_final_stats=1 "$@" corpus) >"$log" 2>&1 || status=$?
	grep -E 'number_of_executed_units|new_units_added|peak_rss' "$log" || true
	if ((status == 0)); then
		return
	fi
	grep -m 20 -E "ERROR|runtime error|SUMMARY|Assertion|not so|$target:|    #" "$log" || tail -n 20 "$log"
	for input in "$directory"/crash-* "$directory"/leak-* "$directory"/timeout-* "$directory"/oom-*; do
		[[ ! -e "$input" ]] || { echo "${input##*/}:"; base64 -w 0 "$input"; echo; }
	done
	return 1
}

# The same in a directory of its own, with a copy of corpus $2.
fuzz_search_copy() {
	local target="$1" corpus="$2" scratch
	shift 2
	if [[ -z "$fuzz_seconds" ]]; then
		return
	fi
	scratch="$(mktemp -d)"
	# shellcheck disable=SC2064
	trap "rm -rf -- '${scratch:?}'" EXIT
	mkdir "$scratch/fuzz"
	cp -r "$corpus" "$scratch/fuzz/corpus"
	fuzz_search "$target" "$scratch/fuzz" "$@"
}
