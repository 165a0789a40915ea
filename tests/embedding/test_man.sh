#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The man pages are well-formed and agree with header, examples and command; and the check that says so notices when not.
# varve-test: backend=any mount=no root=no
set -euo pipefail
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/embedding.sh"

# Change a copy of header and pages: for each three arguments behind the first, the file $2 by the sed script $3. Expect the check $1 to
# complain of each change as in $4: one run of it for all of them.
expect_complaint() {
	local status=0 check="$1" pattern
	local -a patterns=()
	shift
	rm -rf -- "$tmp/tree"
	mkdir -- "$tmp/tree"
	cp -r -- "$root/docs/man" "$tmp/tree/man"
	cp -- "$root/api/include/varve.h" "$tmp/tree/varve.h"
	# Of a bad page each page is shown again, to name it: the others are of no use here.
	[[ "$check" != lint ]] || find "$tmp/tree/man" -type f ! -name "${1##*/}" -delete
	while (($#)); do
		cp -- "$tmp/tree/$1" "$tmp/before"
		sed -i "$2" "$tmp/tree/$1"
		! cmp -s "$tmp/tree/$1" "$tmp/before" || fail "nothing was changed in $1: $2"
		patterns+=("$3")
		shift 3
	done
	"$root/docs/man-check" --only "$check" --build "$build" --header "$tmp/tree/varve.h" --man "$tmp/tree/man" \
		>"$tmp/output" 2>&1 || status=$?
	((status == 1)) || fail "the check $check did not notice: ${patterns[*]}"
	for pattern in "${patterns[@]}"; do
		expect_line "$tmp/output" "$pattern"
	done
}

expect_status 0 "$tmp/output" "$root/docs/man-check" --build "$build"
cat "$tmp/output"
expect_complaint prototypes varve.h 's/^int varve_wait(.*/&\nint varve_extra(int number);/' '^-int varve_extra' \
	varve.h 's/unsigned max);/unsigned long max);/' '^-int varve_dispatch' \
	man/varve_noop.3 's/^\.Fa "varve_request \*ret_request"/.Fa "varve_request *request"/' '^[+]int varve_noop'
expect_complaint prototypes man/varve_wait.3 's/varve_dispatch/varve_noop/' 'does not name varve_wait'
expect_complaint names varve.h 's/^#define VARVE_BATCH_MAX.*/&\n#define VARVE_OTHER_MAX 3/' 'no page names VARVE_OTHER_MAX' \
	varve.h 's/^\tuint32_t requests_peak;/&\n\tuint32_t requests_other;/' 'no page names requests_other' \
	varve.h 's/^\tVARVE_FLUSH = 25,/&\n\tVARVE_OTHER = 26,/' 'no page names VARVE_OTHER$'
expect_complaint examples man/varve_pool_create.3 's/uint64_t size_bytes;/uint64_t bytes;/' 'an example differs'
expect_complaint sections man/varve_noop.3 's/^\.Sh THREADS/.Sh THREAD/' 'has other sections'
expect_complaint references man/varve_noop.3 's/varve_errors 7/varve_error 7/' 'refers to varve_error.7'
expect_complaint steps man/varve_errors.7 's/^\.It Li PUBLISH$/.It Li PUBLISHED/' 'does not name the step PUBLISH'
expect_complaint errors varve.h 's/-EUCLEAN/-EUNATCH/' 'does not name the error EUNATCH'
if command -v mandoc >/dev/null; then
	expect_complaint lint man/varve_open.3 's/^\.El$/.Ed/' 'mandoc: '
fi
if [[ -x "$build/varve" ]]; then
	expect_complaint command man/varve.1 's/wait\\-clean/wait\\-cleaned/' '^[+]--wait-cleaned' \
		man/varve.1 's/^\.Op Fl \\-selinux\\-label Ar label$/.Op Fl \\-shared/' '^-create --selinux-label$'
fi
