#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ids from standard input: thousands of them, as they come, any bytes, bad ones among good ones.
# shellcheck disable=SC2016,SC2217 # Names hold what is not to expand; "rm" is a command of ours.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
readonly COUNT=5000
# So long that the lines together are several times what is read at once.
pad="-$(printf '%050d' 0)"

# ---- thousands -------------------------------------------------------------------------------------------------------

seq -f "layer-%05.0f$pad" "$COUNT" >"$scratch/ids"
quietly create --relaxed - <"$scratch/ids"
run ls
cmp -s "$scratch/out" "$scratch/ids" || lib_fail "not all layers are there: $(wc -l <"$scratch/out")"
run info --json - <"$scratch/ids"
[[ "$status" == 0 ]] || lib_fail "info: $(head -n 3 "$scratch/err")"
sed -E 's/^\{"id":"([^"]*)","ok":true,.*/\1/' "$scratch/out" | cmp -s - "$scratch/ids" || lib_fail "info is not in order"
run get - <"$scratch/ids"
sed "s|^|$home/subvolumes/|" "$scratch/ids" | cmp -s - "$scratch/out" || lib_fail "get is not in order"
quietly exists - <"$scratch/ids"
{ cat "$scratch/ids"; echo missing; } >"$scratch/more"
run exists - <"$scratch/more"
expect 1 "" ""

# Bad ones fail alone, in their place.
sed '1000s/.*/a\/b/; 2000s/.*/missing/; 3000s/.*//' "$scratch/ids" >"$scratch/some-bad"
run rm --json --relaxed - <"$scratch/some-bad"
expect 1 "$(cat "$scratch/out")"$'\n' "varve: remove a/b: *
varve: no layer missing
varve: remove: *"
[[ "$(wc -l <"$scratch/out")" == "$COUNT" ]] || lib_fail "not an object for each id"
[[ "$(grep -n '"ok":false' "$scratch/out" | cut -d : -f 1 | xargs)" == "1000 2000 3000" ]] || lib_fail "not in order"
expect_layers "layer-01000$pad" "layer-02000$pad" "layer-03000$pad"

# ---- operands and lines together; the last line needs no end -----------------------------------------------------------

printf '%s\n%s' "layer-01000$pad" "layer-02000$pad" >"$scratch/ids"
quietly rm "layer-03000$pad" - <"$scratch/ids"
printf 'x\n-\n' >"$scratch/ids"
quietly create first - last <"$scratch/ids"
expect_layers - first last x
# What stands in a line is an id, also "-"; a second "-" finds nothing more to read.
printf -- '-\nfirst\n' >"$scratch/ids"
quietly rm - - last x <"$scratch/ids"
expect_layers
quietly create - </dev/null
quietly rm -f - </dev/null

# ---- as they come ------------------------------------------------------------------------------------------------------

mkfifo "$scratch/fifo"
"$varve" "${lib_options[@]}" create --json - <"$scratch/fifo" >"$scratch/stream" &
child=$!
exec {writer}>"$scratch/fifo"
printf 'early\nhal' >&"$writer"
# The input is still open: the first one must be made, and reported, now.
await_written "the first of a stream" "$scratch/stream" grep -Fxq '{"id":"early","ok":true}' "$scratch/stream"
[[ -d "$home/subvolumes/early" ]] || lib_fail "early is not there"
printf 'f\n' >&"$writer"
await_written "the second of a stream" "$scratch/stream" grep -Fxq '{"id":"half","ok":true}' "$scratch/stream"
exec {writer}>&-
wait "$child" || lib_fail "create from a stream: $?"
quietly rm early half

# ---- any bytes ---------------------------------------------------------------------------------------------------------

odd=(' ' 'a b' $'tab\there' $'cr\r' '*' '$(false)' "quote'" '"' "\\" $'\x01' $'\x7f' $'caf\xc3\xa9' $'\xff\xfe' $'cut\xc3'
	$'\xf0\x9f\x98\x80' $'\xed\xa0\x80' '-f' '--help' "$(printf '%0255d' 0)")
printf '%s\n' "${odd[@]}" >"$scratch/ids"
quietly create - <"$scratch/ids"
LC_ALL=C sort "$scratch/ids" >"$scratch/sorted"
run ls
cmp -s "$scratch/out" "$scratch/sorted" || lib_fail "ls:" "$(cat -v "$scratch/out")"
run ls --json
# The bytes come back from the JSON: from "id_hex" where there is one, else from "id".
if command -v jq >/dev/null && command -v xxd >/dev/null; then
	while IFS= read -r line; do
		if hex="$(jq -er .id_hex <<<"$line")"; then
			xxd -r -p <<<"$hex"
			echo
		else
			jq -r .id <<<"$line"
		fi
	done <"$scratch/out" >"$scratch/back"
	cmp -s "$scratch/back" "$scratch/sorted" || lib_fail "from JSON came" "$(cat -v "$scratch/back")"
fi
grep -Fxq $'{"id":"\xef\xbf\xbd\xef\xbf\xbd","id_hex":"fffe","ok":true}' "$scratch/out" || lib_fail "no id_hex:" "$(cat -v "$scratch/out")"
grep -Fxq $'{"id":"cut\xef\xbf\xbd","id_hex":"637574c3","ok":true}' "$scratch/out" || lib_fail "no id_hex:" "$(cat -v "$scratch/out")"
grep -Fxq $'{"id":"caf\xc3\xa9","ok":true}' "$scratch/out" || lib_fail "UTF-8 is not taken as it is"
run get $'\xff\xfe' --json
expect 0 "{\"id\":\"$(printf '\xef\xbf\xbd\xef\xbf\xbd')\",\"id_hex\":\"fffe\",\"ok\":true,\"path\":\"$home/subvolumes/$(printf '\xef\xbf\xbd\xef\xbf\xbd')\",\"path_hex\":\"$(printf '%s' "$home/subvolumes/" | od -An -v -tx1 | tr -d ' \n')fffe\"}"$'\n' ""
quietly create --parent $'\xff\xfe' child
run info child --json
grep -Fq $'"parent":"\xef\xbf\xbd\xef\xbf\xbd","parent_hex":"fffe",' "$scratch/out" || lib_fail "info:" "$(cat "$scratch/out")"
quietly rm child
quietly rm - <"$scratch/ids"
# An id with a line end can be an operand.
quietly create $'two\nlines'
run ls
expect 0 $'two\nlines\n' ""
quietly rm $'two\nlines'

# ---- with -z ids end with NUL, on both sides -------------------------------------------------------------------------------

printf '%s\0' $'two\nlines' plain $'\n' >"$scratch/ids"
LC_ALL=C sort -z "$scratch/ids" >"$scratch/sorted"
quietly create -z - <"$scratch/ids"
run ls -z
cmp -s "$scratch/out" "$scratch/sorted" || lib_fail "ls -z:" "$(cat -v "$scratch/out")"
run get --null - <"$scratch/sorted"
sed -z "s|^|$home/subvolumes/|" "$scratch/sorted" | cmp -s - "$scratch/out" || lib_fail "get -z:" "$(cat -v "$scratch/out")"
quietly -z exists - <"$scratch/ids"
for command in info usage "chown --uidmap 0:0:65536"; do
	# shellcheck disable=SC2086 # Words.
	run -z $command - <"$scratch/ids"
	[[ "$status" == 0 && ! -s "$scratch/err" ]] || lib_fail "$command -z:" "$(cat "$scratch/err")"
done
# The last one needs no end.
printf 'plain\0%s' $'two\nlines' | "$varve" "${lib_options[@]}" rm -z - $'\n' || lib_fail "rm -z: $?"
run ls
expect 0 "" ""

# ---- what no id can be -------------------------------------------------------------------------------------------------

printf 'a\0b\ngood\n%s\n%s\n' "$(printf '%0256d' 0)" "$(printf '%0200000d' 0)" >"$scratch/ids"
run create --json - <"$scratch/ids"
[[ "$(grep -c '"error":"ENAMETOOLONG"' "$scratch/out")" == 2 ]] || lib_fail "long lines:" "$(cut -c 1-400 "$scratch/out")"
grep -Fxq '{"id":"good","ok":true}' "$scratch/out" || lib_fail "good was not made"
expect 1 "$(cat "$scratch/out")"$'\n' "varve: create a: *NUL*
varve: create of 2 layers: *255 bytes*000*"
expect_layers good

# ---- input that cannot be read -----------------------------------------------------------------------------------------

run rm good - <"$scratch"
expect 1 "" "varve: remove: standard input: Is a directory"
run create - <&-
expect 1 "" "varve: create: standard input: Bad file descriptor"
expect_layers
