# SPDX-License-Identifier: Apache-2.0
# What the tests inside the machine share. Sourced, after `set -euo pipefail`, with /varve as working directory.
# shellcheck shell=bash disable=SC2034

export VARVE_BUILD=/varve/build
# An emulated processor is slow, and the machine that emulates may be busy: so many times the usual limits.
readonly TCG_SCALE=12 KVM_SCALE=3
emulated=no scale=$KVM_SCALE
if [[ "$VARVE_VM_ACCEL" == tcg ]]; then
	emulated=yes scale=$TCG_SCALE
fi
failed=0
passed=0
skipped=0

# Run tests/run with the arguments, and count what it counts.
run_tests() {
	local output=/tmp/run_tests line
	# Images lie in memory: a disk on a disk is slow. There is room for those of so many tests at once.
	TMPDIR=/tmp tests/run --build build --jobs "$(($(nproc) + 2))" --timeout-scale "$scale" "$@" 2>&1 | tee "$output" | grep --line-buffered -v '^[0-9]* passed,' || true
	line=$(grep '^[0-9]* passed,' "$output" || echo "0 passed, 1 failed, 0 skipped")
	passed=$((passed + $(cut -d ' ' -f 1 <<<"$line")))
	failed=$((failed + $(cut -d ' ' -f 3 <<<"$line")))
	skipped=$((skipped + $(cut -d ' ' -f 5 <<<"$line")))
}

# Sum up; exit with 1 when something failed, or nothing ran.
finish() {
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	((failed == 0 && passed > 0))
	exit
}
