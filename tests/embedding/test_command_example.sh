#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The example of varve(1) runs as it stands there.
# varve-test: backend=any mount=no root=yes
set -euo pipefail
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/embedding.sh"

(($(id -u) == 0)) || skip "needs root"
need_built varve
PATH="$build:$PATH" expect_status 0 "$tmp/output" "$root/docs/examples/command.sh" "$tmp"
expect_line "$tmp/output" ' rw   base +-$'
expect_line "$tmp/output" ' rw   web-2 +base$'
expect_line "$tmp/output" ' rw   job-100 +base$'
lines="$(grep -c ' rw   ' "$tmp/output")"
((lines == 103)) || fail "ls listed $lines layers, not 103"
[[ ! -e "$tmp/pool.img" && ! -e "$tmp/pool" ]] || fail "the pool is still there"
