#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Random operations have the same answers as from containerd's own btrfs snapshotter: errors, information, lists by filters, files.
# VARVE_TEST_SEED=N runs one sequence again.
# varve-test: timeout=120 size=2G options=nobarrier
set -euo pipefail
# shellcheck source=tests/serve/go.sh
. "$(dirname "${BASH_SOURCE[0]}")/go.sh"
go_start

export SNAPSHOTTER_SEEDS="${VARVE_TEST_SEED:-1 2 3}" SNAPSHOTTER_STEPS=300
if [[ -n "${VARVE_TEST_SOAK:-}" ]]; then
	export SNAPSHOTTER_STEPS=3000
	SNAPSHOTTER_SEEDS="${VARVE_TEST_SEED:-$RANDOM $RANDOM}"
fi
go_run TestModel "$tmp/output"
