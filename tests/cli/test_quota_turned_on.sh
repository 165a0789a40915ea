#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: kernel-says=unexpected.qgroup.mode
# Quota that is turned on because a size is asked for: it is said once, with what stays; --keep-quota refuses instead.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
if ((EUID != 0)); then
	lib_skip "quota takes root"
fi

quietly create plain
# Refused: nothing is made, and quota stays off.
for words in "create --size 10m a" "create --group g a" "create --opt size=10m a" "quota limit plain 10m"; do
	# shellcheck disable=SC2086 # Words.
	run --keep-quota $words
	expect 1 "" "varve: *quota is off, and the store is not to turn it on*"
	run quota status
	grep -Eq '^mode +off$' "$scratch/out" || lib_fail "$words turned quota on"
done
expect_layers plain
run create b --keep-quota
expect 0 "" ""

run create --size 10m a c
if grep -q 'simple quotas' "$scratch/err"; then
	expect 0 "" "varve: note: simple quotas were turned on, for the whole file system*simple_quota stays*btrfs-progs before 6.7*--keep-quota*"
else
	expect 0 "" "varve: note: full quotas were turned on, for the whole file system*--keep-quota*"
fi
[[ "$(wc -l <"$scratch/err")" == 1 ]] || lib_fail "more than once:" "$(cat "$scratch/err")"
# Once: it is on now.
quietly create --size 10m d
quietly --keep-quota create --size 10m e
# Asked for by name it is no surprise.
quietly quota disable
run quota enable --simple
if [[ "$status" != 0 ]]; then
	run quota enable
fi
expect 0 "" ""
quietly quota disable
# A recorded size turns it on, too.
run get a
[[ "$status" == 0 && "$(cat "$scratch/err")" == "varve: note: "*" quotas were turned on"* ]] || lib_fail "get: $(cat "$scratch/err")"
