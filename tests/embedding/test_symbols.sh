#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The libraries show exactly the functions that varve.h declares, and nothing else.
# varve-test: backend=any mount=no root=no
set -euo pipefail
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/embedding.sh"

# Expect the list of names on standard input to be that of the header.
expect_declared() {
	diff "$tmp/declared" <(sort) || fail "$1: what varve.h declares (<) and what it shows (>) differ"
}

if is_sanitized; then
	skip "the library is built with a sanitizer"
fi
sed -n '/^typedef/d; s/^[a-z].*\b\(varve_[a-z_]*\)(.*/\1/p' "$root/api/include/varve.h" | sort >"$tmp/declared"
(($(wc -l <"$tmp/declared") > 20)) || fail "hardly any function was found in varve.h"
nm --dynamic --defined-only "$build/libvarve.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | expect_declared libvarve.so
nm --extern-only --defined-only "$build/libvarve.a" | awk 'NF == 3 { print $3 }' | expect_declared libvarve.a
readelf -d "$build/libvarve.so" | grep 'SONAME.*\[libvarve\.so\.[0-9]*\]' >/dev/null || fail "libvarve.so has no soname"
echo "$(wc -l <"$tmp/declared") functions, and nothing else"
