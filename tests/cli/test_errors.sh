#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Errors are for a person: in words, the same failure of many ids in one line; all the rest with --debug, and in JSON.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
quietly create a

run create a
expect 1 "" "varve: there is a layer a already"
for command in info get rm usage "chown --uidmap 0:1000:1" changes diffsize; do
	# shellcheck disable=SC2086 # Words.
	run $command nope
	expect 1 "" "varve: no layer nope"
done
run create --parent base b
expect 1 "" "varve: no parent base"
run create --template base b
expect 1 "" "varve: no template base"
run create --template base b --json
grep -q '"message":"no template base"' "$scratch/out" || lib_fail "$(cat "$scratch/out")"
for command in changes diff diffsize; do
	run "$command" a --parent base
	expect 1 "" "varve: no parent base"
done
# What was refused by its looks is said without the system's words; what the system said stays otherwise.
run create a/b
expect 1 "" "varve: create a/b: an id holds no '/'"
mkdir "$home/subvolumes/plain"
run info plain
expect 1 "" "varve: info plain: *"
run create $'miss\e' --parent $'\xff'
expect 1 "" 'varve: no parent \\xff'

# Step, system call and path: with --debug, and in JSON.
run create a --debug ring
[[ "$status" == 1 ]] || lib_fail "status $status"
grep -Eq "^varve: there is a layer a already \[create a: [A-Z]+: [a-z0-9_A-Z]+ $home/subvolumes/a: File exists\]$" "$scratch/err" ||
	lib_fail "--debug:" "$(cat "$scratch/err")"
run create a --json
grep -Eq '^\{"id":"a","ok":false,"error":"EEXIST","errno":17,"message":"there is a layer a already","operation":"create","step":"[A-Z]+","call":"[^"]+","path":"[^"]*/subvolumes/a"\}$' \
	"$scratch/out" || lib_fail "JSON:" "$(cat "$scratch/out")"

# Many: one line each, in the order of the first.
seq -f 'many-%g' 3000 >"$scratch/ids"
run rm - <"$scratch/ids"
expect 1 "" "varve: no layer of 3000 ids: many-1, many-2, many-3, ..."
run create --parent base - <"$scratch/ids"
expect 1 "" "varve: no parent base, for 3000 layers: many-1, many-2, many-3, ..."
sed -e '2s/.*/a/;4s|.*|x/y|;2999s|.*|z/z|' "$scratch/ids" >"$scratch/mixed"
run get - <"$scratch/mixed"
[[ "$status" == 1 && "$(cat "$scratch/err")" == "varve: no layer of 2997 ids: many-1, many-3, many-5, ...
varve: get of 2 layers: an id holds no '/': x/y, z/z" ]] || lib_fail "$(cat "$scratch/err")"
# In JSON each has its object.
run rm --json - <"$scratch/ids"
[[ "$(grep -c '"error":"ENOENT"' "$scratch/out")" == 3000 ]] || lib_fail "not an object each"
# With --debug each has its line.
run rm --debug ring nope-1 nope-2
[[ "$(grep -c '^varve: no layer nope-[12] \[remove ' "$scratch/err")" == 2 ]] || lib_fail "$(cat "$scratch/err")"
