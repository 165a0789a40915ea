#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# create, rm, ls, info, get and exists: what they do, print and return, as text and as JSON.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool

# ---- create ----------------------------------------------------------------------------------------------------------

quietly create base
[[ -d "$home/subvolumes/base" && "$(stat -c %i "$home/subvolumes/base")" == 256 ]] || lib_fail "base is not a subvolume"
echo content >"$home/subvolumes/base/file"
quietly create --parent base web-1 web-2
[[ "$(cat "$home/subvolumes/web-2/file")" == content ]] || lib_fail "web-2 is not a snapshot of base"
quietly create frozen --parent base --read-only
if touch "$home/subvolumes/frozen/new" 2>/dev/null; then
	lib_fail "frozen can be written"
fi
quietly create --template web-1 from-template
[[ -f "$home/subvolumes/from-template/file" ]] || lib_fail "from-template is not a snapshot of web-1"
quietly create --relaxed -- -dash
expect_layers -dash base from-template frozen web-1 web-2

# One that fails does not keep the others from being made, and each failure is reported.
run create one web-1 two base
expect 1 "" "varve: there are 2 of the layers already: web-1, base"
run create --parent missing three four
expect 1 "" "varve: no parent missing, for 2 layers: three, four"
run create --opt colour=red five
expect 1 "" "varve: create five: *colour*"
run create a/b .. .varve-x '' "$(printf '%0256d' 0)" six
expect 1 "" "varve: create a/b: an id *
varve: create ..: *
varve: create .varve-x: *
varve: create: *
varve: create 0000*: *"
expect_layers -dash base from-template frozen one six two web-1 web-2

# With JSON there is an object for each id, in the order given.
run --json create json-1 web-1 json-2
[[ "$status" == 1 ]] || lib_fail "status $status"
sed -n 2p "$scratch/out" >"$scratch/failure"
grep -Eq '^\{"id":"web-1","ok":false,"error":"EEXIST","errno":17,"message":"there is a layer web-1 already","operation":"create","step":"[A-Z_]+",.*\}$' \
	"$scratch/failure" || lib_fail "the failure is" "$(cat "$scratch/failure")"
sed -i 2d "$scratch/out"
expect 1 '{"id":"json-1","ok":true}'$'\n''{"id":"json-2","ok":true}'$'\n' "varve: there is a layer web-1 already"

# ---- ls --------------------------------------------------------------------------------------------------------------

run ls --json
expect 0 "$(printf '{"id":"%s","ok":true}\n' -dash base from-template frozen json-1 json-2 one six two web-1 web-2)"$'\n' ""
run ls -l
sed -i -E -e 1d -e 's/ +/ /g; s/^ //' -e 's/^[0-9]+ ([-0-9T:]+Z)/N TIME/' "$scratch/out"
expect 0 "N TIME rw -dash -
N TIME rw base -
N TIME rw from-template web-1
N TIME ro frozen base
N TIME rw json-1 -
N TIME rw json-2 -
N TIME rw one -
N TIME rw six -
N TIME rw two -
N TIME rw web-1 base
N TIME rw web-2 base
" ""
run ls --long --json
masked "$scratch/out"
[[ "$(grep -c '^{"id":.*,"read_only":' "$scratch/out")" == 11 ]] || lib_fail "ls --long --json:" "$(cat "$scratch/out")"
grep -Fxq '{"id":"frozen","ok":true,"parent":"base","subvolume_id":N,"uuid":"UUID","parent_uuid":"UUID","generation":N,"created_generation":N,"created":"TIME_NS","changed":"TIME_NS","read_only":true}' \
	"$scratch/out" || lib_fail "ls --long --json:" "$(cat "$scratch/out")"

# ---- info ------------------------------------------------------------------------------------------------------------

number="$(btrfs subvolume show "$home/subvolumes/frozen" | sed -n 's/^\s*Subvolume ID:\s*//p')"
uuid="$(btrfs subvolume show "$home/subvolumes/frozen" | sed -n 's/^\s*UUID:\s*//p')"
parent_uuid="$(btrfs subvolume show "$home/subvolumes/base" | sed -n 's/^\s*UUID:\s*//p')"
run info frozen
grep -q "^Subvolume ID: *$number\$" "$scratch/out" || lib_fail "not the number that btrfs tells: $number"
grep -q "^UUID: *$uuid\$" "$scratch/out" || lib_fail "not the uuid that btrfs tells: $uuid"
grep -q "^Parent UUID: *$parent_uuid\$" "$scratch/out" || lib_fail "not the parent uuid that btrfs tells: $parent_uuid"
created="$(sed -n 's/^Created: *//p' "$scratch/out")"
age=$(($(date +%s) - $(date -d "$created" +%s)))
((age >= 0 && age < 3600)) || lib_fail "created $age seconds ago: $created"
for id in base frozen; do
	run info "$id"
	cat "$scratch/out" >>"$scratch/blocks"
done
mv "$scratch/blocks" "$scratch/out"
masked "$scratch/out"
expect 0 "ID:                 base
Parent:             -
Subvolume ID:       N
UUID:               UUID
Parent UUID:        -
Generation:         N
Created generation: N
Created:            TIME_NS
Changed:            TIME_NS
Read-only:          no
ID:                 frozen
Parent:             base
Subvolume ID:       N
UUID:               UUID
Parent UUID:        UUID
Generation:         N
Created generation: N
Created:            TIME_NS
Changed:            TIME_NS
Read-only:          yes
" ""
run info missing base
[[ "$(wc -l <"$scratch/out")" == 2 && "$(tail -n 1 "$scratch/out")" == *" base "* ]] || lib_fail "info:" "$(cat "$scratch/out")"
[[ "$status" == 1 && "$(cat "$scratch/err")" == "varve: no layer missing" ]] ||
	lib_fail "info of a missing layer: $status, $(cat "$scratch/err")"
run --json info base missing
masked "$scratch/out"
[[ "$status" == 1 && "$(head -n 1 "$scratch/out")" == '{"id":"base","ok":true,"parent":null,"subvolume_id":N,"uuid":"UUID","parent_uuid":null,"generation":N,"created_generation":N,"created":"TIME_NS","changed":"TIME_NS","read_only":false}' ]] ||
	lib_fail "info --json:" "$(cat "$scratch/out")"
[[ "$(tail -n +2 "$scratch/out")" == '{"id":"missing","ok":false,"error":"ENOENT","errno":2,'*'}' ]] ||
	lib_fail "info --json:" "$(cat "$scratch/out")"

# ---- get and exists --------------------------------------------------------------------------------------------------

run get web-1
expect 0 "$home/subvolumes/web-1"$'\n' ""
run get -o ro web-1 -o ro
expect 0 "$home/subvolumes/web-1"$'\n' ""
run get web-1 --json
expect 0 "{\"id\":\"web-1\",\"ok\":true,\"path\":\"$home/subvolumes/web-1\"}"$'\n' ""
run get -o noatime web-1
expect 1 "" "varve: get web-1: *mount option*"
run get missing
expect 1 "" "varve: no layer missing"
run get ../web-1
expect 1 "" "varve: get ../web-1: an id *"
quietly exists web-1
run exists missing
expect 1 "" ""
run exists missing --json
expect 1 '{"id":"missing","ok":true,"exists":false}'$'\n' ""
run exists --json web-1
expect 0 '{"id":"web-1","ok":true,"exists":true}'$'\n' ""
# 1 is the answer no; what could not be looked at is 2.
run exists a/b
expect 2 "" "varve: exists a/b: an id *"
run exists --json a/b
[[ "$status" == 2 ]] || lib_fail "status $status"
run exists --store-opt colour=red web-1
expect 2 "" "varve: open: *"
status=0
"$varve" "${lib_options[@]}" exists --json web-1 >/dev/full 2>"$scratch/err" || status=$?
[[ "$status" == 2 ]] || lib_fail "an answer that is not taken: $status"

# The home can come from the environment; the option outdoes it.
VARVE_HOME="$home" "$varve" exists web-1 || lib_fail "VARVE_HOME does not name the home"
VARVE_HOME=/nonexistent "$varve" --home "$home" exists web-1 || lib_fail "--home does not outdo VARVE_HOME"

# A home that does not exist is not made by commands that only look, or remove.
for command in ls status sync gc "info a" "get a" "exists a" "rm -f a"; do
	# shellcheck disable=SC2086 # Words.
	run --home "$VARVE_TEST_MOUNT/typo" $command
	expect "$([[ "$command" == exists* ]] && echo 2 || echo 1)" "" "varve: open*$VARVE_TEST_MOUNT/typo*: No such file or directory*"
	[[ ! -e "$VARVE_TEST_MOUNT/typo" ]] || lib_fail "$command made the home"
done

# ---- rm --------------------------------------------------------------------------------------------------------------

quietly rm -- -dash
quietly rm one
quietly rm --background two
run rm six missing json-1
expect 1 "" "varve: no layer missing"
expect_layers base from-template frozen json-2 web-1 web-2
quietly rm -f missing json-2 also-missing
run rm -f a/b from-template
expect 1 "" "varve: remove a/b: an id *"
run rm --json web-1 missing web-2
[[ "$status" == 1 && "$(sed -n 2p "$scratch/out")" == '{"id":"missing","ok":false,"error":"ENOENT",'* ]] ||
	lib_fail "rm --json:" "$(cat "$scratch/out")"
sed -i 2d "$scratch/out"
expect 1 '{"id":"web-1","ok":true}'$'\n''{"id":"web-2","ok":true}'$'\n' "varve: no layer missing"
run rm -f --json missing
expect 0 '{"id":"missing","ok":true}'$'\n' ""
btrfs subvolume create "$home/subvolumes/base/nested" >/dev/null
quietly rm --wait base frozen
expect_layers
[[ -z "$(btrfs subvolume list -d "$VARVE_TEST_MOUNT")" ]] || lib_fail "rm --wait did not wait for the cleaner"
