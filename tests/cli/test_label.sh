#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Labels by the command: create --label, label, ls --filter, and where they are shown.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool

quietly create --label job=17 --label role=web web
quietly create --label job=17 --parent web db
quietly create --label job=18 other
quietly create plain

# ---- which have them ---------------------------------------------------------------------------------------------------

run ls
expect 0 $'db\nother\nplain\nweb\n' ""
run ls --filter label=job
expect 0 $'db\nother\nweb\n' ""
run ls --filter label=job=17
expect 0 $'db\nweb\n' ""
run ls --filter label=job=17 --filter label=role=web
expect 0 $'web\n' ""
run ls --filter label=job=1
expect 0 "" ""
run ls --noheadings -o id,labels --filter label=job=17
expect 0 $'db  job=17\nweb job=17,role=web\n' ""
run ls --filter job=17
expect 2 "" "varve: ls: --filter job=17: a filter is label=KEY or label=KEY=VALUE"
run ls --filter label==
expect 1 "" "varve: *a label begins with its key*"

# ---- how they change ---------------------------------------------------------------------------------------------------

run label web
expect 0 $'job=17\nrole=web\n' ""
quietly label web job=19 role- note="two words"
run label web
expect 0 $'job=19\nnote=two words\n' ""
quietly label web end-=1
quietly label web --delete end- --delete absent
quietly label --only web only=1
run label web
expect 0 $'only=1\n' ""
# Compare and replace.
run --json label web
# As what reads JSON takes it: as a double.
revision="$(jq -r .revision "$scratch/out")"
quietly label --revision "$revision" web only=2
run label --revision "$revision" web only=3
expect 1 "" "varve: *read them again*"
run label --revision x web only=3
expect 2 "" "varve: label: --revision x: not a number"
run label web
expect 0 $'only=2\n' ""
quietly label --only --delete only web
run label web
expect 0 "" ""

# ---- where they are shown ----------------------------------------------------------------------------------------------

run --json ls --filter label=role
expect 0 "" ""
run --json ls
[[ "$(sed -n 1p "$scratch/out")" == '{"id":"db","ok":true,"labels":[{"key":"job","value":"17"}]}' ]] || lib_fail "ls --json:" "$(cat "$scratch/out")"
grep -qx '{"id":"plain","ok":true}' "$scratch/out" || lib_fail "ls --json of a layer without:" "$(cat "$scratch/out")"
run info db
grep -qx 'Labels: *job=17' "$scratch/out" || lib_fail "info:" "$(cat "$scratch/out")"
run --json info db
grep -q '"labels":\[{"key":"job","value":"17"}\]' "$scratch/out" || lib_fail "info --json:" "$(cat "$scratch/out")"
quietly label db $'bytes=\xff\x01'
run --json label db
grep -q '"key":"bytes","value":"\\ufffd\\u0001","value_hex":"ff01"\|"key":"bytes","value":"'$'\xef\xbf\xbd''\\u0001","value_hex":"ff01"' "$scratch/out" ||
	lib_fail "bytes that are no text:" "$(cat "$scratch/out")"

# ---- records -------------------------------------------------------------------------------------------------------------

# Any bytes, by a file or by standard input, as they were given.
printf 'a\0\xff\n\nb' >"$scratch/record"
quietly create --record "$scratch/record" --label with=record recorded second
for layer in recorded second; do
	run label --print-record "$layer"
	cmp "$scratch/out" "$scratch/record" || lib_fail "--print-record $layer:" "$(od -c "$scratch/out")"
done
run label recorded
expect 0 $'with=record\n' ""
run --json label --print-record recorded
[[ "$(jq -r .record_hex "$scratch/out")" == 6100ff0a0a62 && "$(jq .record_bytes "$scratch/out")" == 6 ]] ||
	lib_fail "--json --print-record:" "$(cat "$scratch/out")"
quietly label --record - recorded more=1 <<<"new"
run label --print-record recorded
expect 0 $'new\n' ""
run label recorded
expect 0 $'more=1\nwith=record\n' ""
# Without one nothing is written; an empty file takes it away.
run label --print-record plain
expect 0 "" ""
: >"$scratch/empty"
quietly label --record "$scratch/empty" recorded
run label --print-record recorded
expect 0 "" ""
# The longest, and one byte more, of which no more is read.
head -c 49152 /dev/zero >"$scratch/record"
quietly label --record "$scratch/record" recorded
run label --print-record recorded
cmp "$scratch/out" "$scratch/record" || lib_fail "the longest record"
printf x >>"$scratch/record"
run label --record "$scratch/record" recorded
expect 1 "" "varve: label: $scratch/record: a record has up to 49152 bytes"
run create --record /dev/zero never
expect 1 "" "varve: create: /dev/zero: a record has up to 49152 bytes"
run label --record "$scratch/missing" recorded
expect 1 "" "varve: label: $scratch/missing: No such file or directory"
run label --record "$scratch" recorded
expect 1 "" "varve: label: $scratch: Is a directory"
run label --print-record --only recorded
expect 2 "" "varve: label: --print-record changes nothing: leave out what does"
run label --print-record missing
expect 1 "" "varve: no layer missing"
run exists never
expect 1 "" ""
quietly rm recorded second

# ---- what is wrong, and what goes with a layer ---------------------------------------------------------------------------

run create --label job never
expect 1 "" "varve: *a label is KEY=VALUE*"
run label missing a=1
expect 1 "" "varve: no layer missing"
run label db $'a\nb=1'
expect 1 "" "varve: *no control characters*"
quietly rename db renamed
run ls --filter label=job=17
expect 0 $'renamed\n' ""
quietly rm renamed
quietly create renamed
run label renamed
expect 0 "" ""
# A record without its layer, and one that is damaged.
setfattr -n user.vrec.0 -v damaged "$home/.varve/layers/web"
run label web
expect 1 "" "varve: *damaged*gc*"
btrfs subvolume delete "$home/subvolumes/other" >/dev/null
run check
[[ "$status" == 1 && "$(grep -c labels "$scratch/out")" == 2 ]] || lib_fail "check:" "$(cat "$scratch/out")"
run gc
[[ "$status" == 0 && -z "$(ls -A "$home/.varve/layers")" ]] || lib_fail "gc:" "$(cat "$scratch/out")"
run check
expect 0 "" ""
