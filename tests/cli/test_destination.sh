#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# diff -o FILE: what was there survives a request that fails; links, modes, devices; nothing is left beside.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
quietly create a
echo content >"$home/subvolumes/a/file"
quietly diff a -o "$scratch/expected"
mkdir "$scratch/files"
cd "$scratch/files"

# The file $1 holds $2, and nothing else is in the directory but the other arguments.
holds() {
	[[ "$(cat "$1")" == "$2" ]] || lib_fail "$1 holds" "$(head -c 100 "$1" | cat -v)"
	shift 2
	[[ "$(ls -A)" == "$(printf '%s\n' "$@" | LC_ALL=C sort)" ]] || lib_fail "beside it" "$(ls -A)"
}

# ---- a request that fails ------------------------------------------------------------------------------------------------

echo precious >old
ln -s old link
for file in old ./old "$PWD/old" link; do
	run diff nothere -o "$file"
	expect 1 "" "varve: *nothere*"
	holds old precious old link
	[[ -L link ]] || lib_fail "the link is gone"
done
run diff nothere -o new
expect 1 "" "varve: *nothere*"
holds old precious old link

# ---- a request that is done ----------------------------------------------------------------------------------------------

chmod 0640 old
if ((EUID == 0)); then
	chown 12:34 old
fi
before="$(stat -c '%a %u %g' old)"
quietly diff a -o link
cmp old "$scratch/expected" || lib_fail "not the archive"
[[ -L link && "$(stat -c '%a %u %g' old)" == "$before" ]] || lib_fail "link and old became" "$(ls -l)"
(umask 027 && quietly diff a -o new)
cmp new "$scratch/expected" || lib_fail "not the archive"
[[ "$(stat -c %a new)" == 640 ]] || lib_fail "the mode of a new file is $(stat -c %a new)"
rm new

# An archive with an entry left out is whole, and takes the place.
run diff a --uidmap 1:1:1 -o old
[[ "$status" == 1 ]] || lib_fail "status $status"
tar -tf old >/dev/null || lib_fail "no archive"

# ---- places that take none -----------------------------------------------------------------------------------------------

rm old
run diff a -o link
expect 1 "" "varve: diff: link: No such file or directory"
run diff a -o none/x
expect 1 "" "varve: diff: none/x: No such file or directory"
run diff a -o .
expect 1 "" "varve: diff: .: Is a directory"
run diff a -o ''
expect 1 "" "varve: diff: : No such file or directory"
[[ "$(ls -A)" == link ]] || lib_fail "left" "$(ls -A)"
quietly diff a -o /dev/null
[[ -c /dev/null ]] || lib_fail "/dev/null was replaced"
mkfifo fifo
cat fifo >got &
child=$!
quietly diff a -o fifo
wait "$child"
cmp got "$scratch/expected" || lib_fail "through a pipe came another archive"
[[ -p fifo ]] || lib_fail "the pipe was replaced"
rm fifo got link

# ---- signals -------------------------------------------------------------------------------------------------------------

# Is there a file beside whose writer has written some of it?
writing() {
	[[ -n "$(find . -name '.varve-*' -size +0)" ]]
}
# Each write takes a while more, so that the archive is not done before the signal comes.
if command -v strace >/dev/null; then
	head -c 4000000 /dev/urandom >"$home/subvolumes/a/large"
	for signals in INT "INT INT"; do
		echo precious >old
		ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" env --default-signal=INT,TERM strace -D -f -qq -o /dev/null \
			-e trace=write -e inject=write:delay_enter=200000 "$varve" "${lib_options[@]}" diff a -o old \
			>"$scratch/out" 2>"$scratch/err" &
		child=$!
		await "the file beside" writing
		for signal in $signals; do
			kill -s "$signal" "$child" 2>/dev/null || true
		done
		status=0
		wait "$child" || status=$?
		[[ "$status" == 130 ]] || lib_fail "$signals: status $status" "$(cat "$scratch/err")"
		holds old precious old
	done
fi
