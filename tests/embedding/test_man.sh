#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The man pages are well-formed and agree with header, examples and command; and the check that says so notices when not.
# varve-test: backend=any mount=no root=no
set -euo pipefail
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/embedding.sh"

# Change a copy of header and pages with the sed script $2 for the file $1; expect the check to complain as in $3.
expect_complaint() {
	local status=0
	rm -rf -- "$tmp/tree"
	mkdir -- "$tmp/tree"
	cp -r -- "$root/docs/man" "$tmp/tree/man"
	cp -- "$root/api/include/varve.h" "$tmp/tree/varve.h"
	sed -i "$2" "$tmp/tree/$1"
	if cmp -s "$tmp/tree/$1" "$root/docs/$1" || cmp -s "$tmp/tree/$1" "$root/api/include/$1"; then
		fail "nothing was changed in $1"
	fi
	"$root/docs/man-check" --build "$build" --header "$tmp/tree/varve.h" --man "$tmp/tree/man" >"$tmp/output" 2>&1 || status=$?
	((status == 1)) || fail "the check did not notice: $1: $2"
	expect_line "$tmp/output" "$3"
}

expect_status 0 "$tmp/output" "$root/docs/man-check" --build "$build"
cat "$tmp/output"
expect_complaint varve.h 's/^int varve_wait(.*/&\nint varve_extra(int number);/' '^-int varve_extra'
expect_complaint varve.h 's/unsigned max);/unsigned long max);/' '^-int varve_dispatch'
expect_complaint varve.h 's/^#define VARVE_BATCH_MAX.*/&\n#define VARVE_OTHER_MAX 3/' 'no page tells of VARVE_OTHER_MAX'
expect_complaint varve.h 's/^\tuint32_t requests_peak;/&\n\tuint32_t requests_other;/' 'no page tells of requests_other'
expect_complaint man/varve_noop.3 's/^\.Fa "varve_request \*ret_request"/.Fa "varve_request *request"/' '^[+]int varve_noop'
expect_complaint man/varve_pool_create.3 's/uint64_t size_bytes;/uint64_t bytes;/' 'an example differs'
expect_complaint man/varve_noop.3 's/^\.Sh THREADS/.Sh THREAD/' 'has other sections'
expect_complaint man/varve_noop.3 's/varve_errors 7/varve_error 7/' 'refers to varve_error.7'
expect_complaint man/varve_wait.3 's/varve_dispatch/varve_noop/' 'does not name varve_wait'
if command -v mandoc >/dev/null; then
	expect_complaint man/varve_open.3 's/^\.El$/.Ed/' 'mandoc: '
fi
if [[ -x "$build/varve" ]]; then
	expect_complaint man/varve.1 's/wait\\-clean/wait\\-cleaned/' '^[+]--wait-cleaned'
fi
