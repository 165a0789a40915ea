#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tour ends in a table of what was promised, and leaves nothing.
# varve-test: backend=any mount=no timeout=120
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start
(($(id -u) == 0)) || skip "needs root to mount an image"
command -v mkfs.btrfs >/dev/null || skip "mkfs.btrfs is missing"
mkdir "$scratch/tmp"
# Shorter than what runs without arguments, which is the same but for the times.
TMPDIR="$scratch/tmp" run_well --tour --runtime=200ms --repeat=1
expect out '^ +today +varve +times faster'
(($(grep -Ec '^(create|remove).*/s, .*/s, .*[0-9]\.[0-9] \(' "$scratch/out") == 5)) || fail "not five rows"
[[ -z "$(ls -A "$scratch/tmp")" ]] || fail "left behind: $(ls -A "$scratch/tmp")"
