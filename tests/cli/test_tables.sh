#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tables of ls, info and usage: columns, headings, sizes, totals, colours; and what all JSON objects have in common.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
quietly create base $'esc\e[31m'
quietly create --parent base --read-only child
head -c 3000000 /dev/zero >"$home/subvolumes/base/file"

# Print the last output with one space between columns.
columns() {
	sed -E 's/ +/ /g; s/^ //; s/ $//' "$scratch/out"
}

run ls -o id,parent,mode
[[ "$status" == 0 && "$(columns)" == "ID PARENT MODE
base - rw
child base ro
esc\\x1b[31m - rw" ]] || lib_fail "ls -o:" "$(cat "$scratch/out")"
run ls -l --noheadings -o Id
[[ "$(columns)" == $'base\nchild\nesc\\x1b[31m' ]] || lib_fail "ls --noheadings:" "$(cat "$scratch/out")"
run ls -l -z -o id,mode
printf 'base rw\0child ro\0esc\e[31m rw\0' | cmp -s - "$scratch/out" || lib_fail "ls -z:" "$(cat -v "$scratch/out")"
run ls -o id,colour
expect 2 "" "varve: ls: no column 'colour': there are SUBVOLUME,CREATED,*"
run info base child
[[ "$(columns | head -n 1)" == "SUBVOLUME CREATED MODE ID PARENT" && "$(wc -l <"$scratch/out")" == 3 ]] || lib_fail "info:" "$(cat "$scratch/out")"
run info -o uuid,parent-uuid child
[[ "$(columns | tail -n 1)" =~ ^[0-9a-f-]{36}\ [0-9a-f-]{36}$ ]] || lib_fail "info -o:" "$(cat "$scratch/out")"
run info -o uuid,generation - <<<base
[[ "$(wc -l <"$scratch/out")" == 2 ]] || lib_fail "info -:" "$(cat "$scratch/out")"

# usage: sizes as people read them, a total; or all bytes.
run usage base child
[[ "$(columns)" == "BYTES INODES DISK ID
2.9M 2 "*" base
0 1 0 child
2.9M 3 "*" total" ]] || lib_fail "usage:" "$(cat "$scratch/out")"
run usage --bytes --noheadings -o id,bytes base child
[[ "$(columns)" == $'base 3000000\nchild 0' ]] || lib_fail "usage --bytes:" "$(cat "$scratch/out")"
run usage base
grep -Eq '^Bytes: +3000000$' "$scratch/out" || lib_fail "usage of one:" "$(cat "$scratch/out")"
# What a snapshot has of its own, by both ways.
printf 12345 >"$home/subvolumes/base/more"
run create --parent base --json delta
printf 1234567 >"$home/subvolumes/delta/new"
run usage --delta --bytes --noheadings -o id,bytes,inodes delta base
[[ "$(columns)" == $'delta 7 1\nbase 3000005 3' ]] || lib_fail "usage --delta:" "$(cat "$scratch/out")"
run usage --delta --method walk delta
grep -Eq '^Bytes: +7$' "$scratch/out" || lib_fail "usage --delta --method walk:" "$(cat "$scratch/out")"
run usage --delta --no-flush --json delta
grep -q '"bytes":7,"inodes":1,.*"method":"search"' "$scratch/out" || lib_fail "usage --delta --json:" "$(cat "$scratch/out")"
run rm delta
rm "$home/subvolumes/base/more"
run usage -o id,colour base
expect 2 "" "varve: usage: no column 'colour': *"
# What fails is reported, the rest is in the table.
run usage base missing child
[[ "$status" == 1 && "$(cat "$scratch/err")" == "varve: no layer missing" && "$(wc -l <"$scratch/out")" == 4 ]] ||
	lib_fail "usage:" "$(cat "$scratch/out" "$scratch/err")"
run usage missing other
expect 1 "" "varve: no layer of 2 ids: missing, other"

# Colours: on a terminal only, and not under NO_COLOR.
printf -v command '%q ' "$varve" "${lib_options[@]}"
for environment in "TERM=xterm" "TERM=xterm NO_COLOR=" "TERM=dumb" "TERM=xterm NO_COLOR=1"; do
	env -u NO_COLOR SHELL=/bin/bash script --quiet --return --flush --command "$environment $command ls -l" "$scratch/terminal" \
		</dev/null >/dev/null 2>&1
	coloured=no
	if grep -q $'\e\\[1m' "$scratch/terminal"; then
		coloured=yes
	fi
	[[ "$coloured" == "$([[ "$environment" == *dumb || "$environment" == *=1 ]] && echo no || echo yes)" ]] ||
		lib_fail "$environment:" "$(cat -v "$scratch/terminal")"
	! grep -q $'esc\e\\[31m' "$scratch/terminal" || lib_fail "a name steers the terminal"
done
run ls -l
! grep -q $'\e' "$scratch/out" || lib_fail "colours in a file"

# JSON: the head is the same everywhere, and numbers are numbers.
touch "$home/subvolumes/base/new"
quietly create other
for words in ls "ls -l" "info base" "usage base child" "get base" "exists base" "changes base" "diffsize base" status sync gc version \
	"quota status" "diff base -o /dev/null" "create made" "rm made" "info missing"; do
	# shellcheck disable=SC2086 # Words.
	run --json $words
	[[ -s "$scratch/out" ]] || lib_fail "$words writes nothing"
	! grep -Ev '^\{"id":("[^"]*"(,"id_hex":"[0-9a-f]*")?|null),"ok":(true|false)[,}]' "$scratch/out" ||
		lib_fail "$words: another head"
	! grep -E '":"[1-9][0-9]*"' "$scratch/out" || lib_fail "$words: a number in quotes"
done
run --json status
grep -q '"cleaner_backlog_max":4096' "$scratch/out" || lib_fail "status:" "$(cat "$scratch/out")"
