#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# containerd's own suite for snapshotters passes over the socket, also when the daemon is stopped and killed all the while.
# varve-test: timeout=120 size=2G options=nobarrier
set -euo pipefail
# shellcheck source=tests/serve/go.sh
. "$(dirname "${BASH_SOURCE[0]}")/go.sh"
go_start

# Of 21 tests one skips itself, for all snapshotters.
check_result() {
	local passed skipped
	passed="$(grep -c '^    --- PASS: TestSuite/' "$1" || true)"
	skipped="$(grep '^    --- SKIP: TestSuite/' "$1" || true)"
	[[ "$passed" == 20 && "$skipped" == '    --- SKIP: TestSuite/Rename '* ]] || {
		grep -e '^ *---' "$1" || true
		fail "$passed passed, not 20; skipped: $skipped"
	}
}

go_run TestSuite "$tmp/once"
check_result "$tmp/once"
SNAPSHOTTER_RESTART=5 go_run TestSuite "$tmp/restarted"
check_result "$tmp/restarted"
