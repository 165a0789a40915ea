#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command changes: text, NUL, JSON, parents, failures.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool

quietly create base
mkdir "$home/subvolumes/base/d"
echo one >"$home/subvolumes/base/d/one"
echo two >"$home/subvolumes/base/two"
quietly create --parent base top
run changes top
expect 0 "" ""
echo more >>"$home/subvolumes/top/d/one"
rm "$home/subvolumes/top/two"
echo three >"$home/subvolumes/top/"$'th\nree'
run changes top
expect 0 $'M /d\nM /d/one\nA /th\nree\nD /two\n' ""
run changes --walk --parent base top
expect 0 $'M /d\nM /d/one\nA /th\nree\nD /two\n' ""
run changes --parent "" base
expect 0 $'A /d\nA /d/one\nA /two\n' ""
run changes base
expect 0 $'A /d\nA /d/one\nA /two\n' ""
run changes --parent top base
expect 0 $'M /d\nM /d/one\nD /th\nree\nA /two\n' ""
run changes top --json
expect 0 '{"id":"top","ok":true,"kind":"M","path":"/d"}
{"id":"top","ok":true,"kind":"M","path":"/d/one"}
{"id":"top","ok":true,"kind":"A","path":"/th\nree"}
{"id":"top","ok":true,"kind":"D","path":"/two"}
' ""
"$varve" "${lib_options[@]}" changes -z top | tr '\0\n' '\n/' >"$scratch/out"
[[ "$(cat "$scratch/out")" == $'M /d\nM /d/one\nA /th/ree\nD /two' ]] || lib_fail "with -z: $(cat "$scratch/out")"

# The child of a parent that is gone has no changes to tell, but all of it where that is asked for.
quietly create --parent top orphan
quietly rm top
for command in changes diffsize "diff -o $scratch/orphan.tar"; do
	# shellcheck disable=SC2086 # words
	run $command orphan
	expect 1 "" "varve: *not in the store any more*"
done
[[ ! -e "$scratch/orphan.tar" ]] || lib_fail "an archive without a parent"
run changes --parent "" orphan
expect 0 $'A /d\nA /d/one\nA /th\nree\n' ""
run changes --parent base orphan
expect 0 $'M /d\nM /d/one\nA /th\nree\nD /two\n' ""
quietly create --parent base top

run changes none
expect 1 "" "varve: no layer none"
run changes --parent none top
expect 1 "" "varve: no parent none"
run changes top base
expect 2 "" "varve: changes: one operand too many: 'base'*"
