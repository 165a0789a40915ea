#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The interface of the built library is that of the dump, or has functions more: see varve_abi(7). A member that is added at the
# end of a struct with a size, or a value of an enum, is reported, too: a person looks whether it is no more than that, and makes a
# new dump. Any other change takes a new soname as well, and before 1.0 a minor release.
# varve-test: backend=any mount=no root=no timeout=120
set -euo pipefail
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/embedding.sh"

readonly dump="$root/tests/abi/libvarve-0.2.abi"

# Compare the dump $1 with the library; what was added is fine.
compare() {
	abidiff --no-added-syms "$1" "$build/libvarve.so" >"$tmp/report" 2>&1
}

# Expect a dump in which $1, a sed expression, has changed something that differs from the library.
expect_told() {
	sed "$1" "$dump" >"$tmp/changed.abi"
	! cmp -s "$dump" "$tmp/changed.abi" || fail "nothing in the dump is like $1"
	! compare "$tmp/changed.abi" || fail "an interface that $1 changed passes"
}

if is_sanitized; then
	skip "the library is built with a sanitizer"
fi
command -v abidiff >/dev/null || skip "abidiff (abigail-tools) is missing"
# Not grep -q: readelf would be ended by a signal while it still writes, and that be taken for no match.
readelf --sections "$build/libvarve.so" | grep '\.debug_info' >/dev/null || skip "the library is built without debugging information"
grep -q "architecture='elf-amd-$(uname -m)'" "$dump" || skip "the dump is of another architecture"
compare "$dump" || {
	cat "$tmp/report"
	fail "the interface has changed. Where that is meant: abidw --exported-interfaces-only --no-show-locs --no-corpus-path \
--no-comp-dir-path --headers-dir api/include --drop-private-types --out-file $dump build/libvarve.so; and SOVERSION, unless members were added at an end"
}
expect_told 's/varve_noop_wait/varve_noop_gone/g'
expect_told "s/name='backlog_max' type-id='type-id-[0-9]*'/name='backlog_most' type-id='type-id-1'/"
expect_told "/<class-decl name='varve_id_map'/s/size-in-bits='96'/size-in-bits='64'/"
echo "$(grep -c "<elf-symbol name='varve_" "$dump") functions of the last release are there, unchanged"
