#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where output goes: full disks and broken pipes are failures, a terminal gets escaped names and a progress line.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool

# ---- output that is not taken ------------------------------------------------------------------------------------------

quietly create a b
no_space="varve: standard output: No space left on device"
for command in ls "ls -l" "ls --json" "info a b" "get a" "exists --json a" status gc version --help "create --json c" \
	"rm --json c" "sync --json"; do
	status=0
	# shellcheck disable=SC2086 # Words.
	"$varve" "${lib_options[@]}" $command >/dev/full 2>"$scratch/err" || status=$?
	: >"$scratch/out"
	expect "$([[ "$command" == exists* ]] && echo 2 || echo 1)" "" "$no_space"
done
# What was asked for is done all the same: c was made, and removed.
expect_layers a b
# A failure of the work is reported beside that of the output.
status=0
"$varve" "${lib_options[@]}" info a missing >/dev/full 2>"$scratch/err" || status=$?
: >"$scratch/out"
expect 1 "" "varve: no layer missing
$no_space"
status=0
"$varve" "${lib_options[@]}" ls >&- 2>"$scratch/err" || status=$?
expect 1 "" "varve: standard output: Bad file descriptor"
# Without output there is nothing to fail.
"$varve" "${lib_options[@]}" sync >&- 2>/dev/null || lib_fail "sync needs no output: $?"

# Nobody reads: the reader is gone before anything is written.
mkfifo "$scratch/fifo"
exec {both}<>"$scratch/fifo"
exec {writer}>"$scratch/fifo"
exec {both}>&-
for command in ls "info - a" "ls -l" "diff a" status "create --json made"; do
	exec {both}<>"$scratch/fifo"
	exec {again}>"$scratch/fifo"
	exec {both}>&-
	status=0
	# shellcheck disable=SC2086 # Words.
	echo a | "$varve" "${lib_options[@]}" $command 1>&"$again" 2>"$scratch/err" || status=$?
	exec {again}>&-
	expect 141 "" ""
done
exec {writer}>&-
# What was asked for is done all the same.
quietly rm made

# ---- a terminal --------------------------------------------------------------------------------------------------------

# Run the shell command $1 on a terminal; what appears there goes to the file $2.
on_terminal() {
	TERM=xterm SHELL=/bin/bash script --quiet --return --flush --command "$1" "$2" </dev/null >/dev/null 2>&1
}

# Print what appeared on the terminal in file $1, without the line that `script` adds before it, and the one it adds after it
# with a line end ahead.
terminal_bytes() {
	sed -e 1d -e '$d' "$1" | head -c -1
}

# The same, with line ends as in files.
terminal_text() {
	terminal_bytes "$1" | tr -d '\r'
}

printf -v command '%q ' "$varve" "${lib_options[@]}"
quietly create $'esc\e[31m' $'caf\xc3\xa9' $'\xff' 'back\slash' $'two\nlines' $'csi\xc2\x9b'
on_terminal "LC_ALL=C.UTF-8 $command ls" "$scratch/terminal"
terminal_text "$scratch/terminal" >"$scratch/out"
status=0
: >"$scratch/err"
expect 0 "a
b
back\\\\slash
caf$(printf '\xc3\xa9')
csi\\xc2\\x9b
esc\\x1b[31m
two\\x0alines
\\xff
" ""
# Where the locale has no such character it does not print.
on_terminal "LC_ALL=C $command get $'caf\xc3\xa9'" "$scratch/terminal"
[[ "$(terminal_text "$scratch/terminal")" == */caf\\xc3\\xa9 ]] || lib_fail "get:" "$(cat "$scratch/terminal")"
# In a message of a failure nothing but what prints.
on_terminal "$command get $'miss\e[31m\n\xff\xc2\x9b'" "$scratch/terminal" && lib_fail "get succeeded"
[[ "$(terminal_text "$scratch/terminal")" == 'varve: no layer miss\x1b[31m\x0a\xff\xc2\x9b' ]] || lib_fail "$(cat -v "$scratch/terminal")"

# ---- progress ----------------------------------------------------------------------------------------------------------

# Work that lasts shows a line, which goes away when a failure is reported, and at the end. It lasts as long as its input.
on_terminal "exec $command create - <$(printf %q "$scratch/fifo")" "$scratch/terminal" &
child=$!
exec {writer}>"$scratch/fifo"
printf 'p1\np2\n' >&"$writer"
await_written "a progress line" "$scratch/terminal" grep -Eq 'create: 2 done, [0-9]+/s, [0-9]+ s' "$scratch/terminal"
printf 'a\n' >&"$writer"
await_written "a failure" "$scratch/terminal" grep -q 'a layer a already' "$scratch/terminal"
await_written "another progress line" "$scratch/terminal" grep -Eq 'create: 3 done, 1 failed, [0-9]+/s, [0-9]+ s' "$scratch/terminal"
exec {writer}>&-
status=0
wait "$child" || status=$?
[[ "$status" == 1 ]] || lib_fail "status $status"
# Each line is erased before something else is written: no text follows one without \r ESC [ K between.
erase=$'\e[K\r\e[K'
text="$(terminal_bytes "$scratch/terminal")"
[[ "$text" == *" s${erase}varve: there is a layer a already"$'\r\n'* ]] || lib_fail "not erased:" "$(cat -v <<<"$text")"
[[ "$text" == *" s$erase" ]] || lib_fail "not erased at the end:" "$(cat -v <<<"$text")"

# Where files are looked at, how many that were.
quietly create counted
touch "$home/subvolumes/counted/"{1,2,3,4,5,6,7}
on_terminal "exec $command usage - <$(printf %q "$scratch/fifo")" "$scratch/terminal" &
child=$!
exec {writer}>"$scratch/fifo"
printf 'counted\ncounted\n' >&"$writer"
await_written "entries" "$scratch/terminal" grep -Eq 'usage: 2 done, [0-9]+/s, 14 entries, [0-9]+ s' "$scratch/terminal"
exec {writer}>&-
wait "$child"

# Where the space of removed layers is waited for, how many there are: an open file keeps one.
quietly create held
echo content >"$home/subvolumes/held/file"
exec {file}<"$home/subvolumes/held/file"
quietly rm held
on_terminal "exec $command sync --wait-clean" "$scratch/terminal" {file}<&- &
child=$!
await_written "the backlog" "$scratch/terminal" grep -Eq 'sync: [0-9]+ to be cleaned, [0-9]+ s' "$scratch/terminal"
exec {file}<&-
wait "$child"

# Short work shows none, nor does a terminal that cannot erase, nor a file.
on_terminal "$command rm p1" "$scratch/terminal"
[[ -z "$(terminal_text "$scratch/terminal")" ]] || lib_fail "short work:" "$(cat -v "$scratch/terminal")"
