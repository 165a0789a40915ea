#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Archives that mean harm are unpacked, and nothing outside of the layer is touched: the corpus as it is, cut off and damaged in
# each block; and, in the soak and with VARVE_FUZZ_SECONDS, what libFuzzer makes of it where it was built.
# varve-test: backend=any timeout=180
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

corpus="$(fuzz_corpus corpus)"

# What looks for leaks wants /proc, which these programs leave behind.
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"

# The corpus.
btrfs -q subvolume create "$VARVE_TEST_MOUNT/replay"
VARVE_TEST_MOUNT="$VARVE_TEST_MOUNT/replay" "$VARVE_BUILD/tests/fuzz/replay" --cut apply "$corpus"/*

# New inputs. The fuzzer changes its root to the subvolume, so that its corpus lies there.
if [[ -z "$fuzz_seconds" ]]; then
	exit 0
fi
root="$VARVE_TEST_MOUNT/fuzz"
btrfs -q subvolume create "$root"
cp -r "$corpus" "$root/corpus"
VARVE_TEST_MOUNT="$root" fuzz_search apply "$root" -timeout=20 -detect_leaks=0 -max_len=16384
if [[ -n "${VARVE_FUZZ_KEEP:-}" ]]; then
	cp -r "$root/corpus" "$VARVE_FUZZ_KEEP"
fi
