#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# SIGINT and SIGTERM: what is in flight is cancelled, what was done stays and is reported, the status names the signal.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
mkfifo "$scratch/fifo"

# Start the command with the arguments in the background, reading $scratch/fifo; its pid is $child, our end is $writer.
start() {
	: >"$scratch/out"
	env --default-signal=INT,TERM,HUP "$varve" "${lib_options[@]}" "$@" <"$scratch/fifo" >"$scratch/out" 2>"$scratch/err" &
	child=$!
	exec {writer}>"$scratch/fifo"
}

# Send signal $1 and wait for the end.
interrupt() {
	kill -s "$1" "$child"
	status=0
	wait "$child" || status=$?
	exec {writer}>&-
}

# ---- idle, waiting for more ids ------------------------------------------------------------------------------------------

for signal in INT:130 TERM:143 HUP:129; do
	start create --json -
	printf 'one\ntwo\n/bad\n' >&"$writer"
	await_written "the third answer" "$scratch/out" grep -q '"id":"/bad"' "$scratch/out"
	interrupt "${signal%:*}"
	sed -i /bad/d "$scratch/out"
	expect "${signal#*:}" '{"id":"one","ok":true}'$'\n''{"id":"two","ok":true}'$'\n' "varve: create /bad: *
varve: create: stopped by SIG${signal%:*}: 2 created, 1 failed, 0 cancelled"
	expect_layers one two
	quietly rm one two
done

# ---- busy ----------------------------------------------------------------------------------------------------------------

# What was reported as done is done, what was reported as cancelled has left nothing, and the sums are right. $1 is the operation and
# what its layers were, $2 how many failed.
check_busy() {
	local word="$1" failed="$2" ok cancelled
	ok="$(grep -c '"ok":true' "$scratch/out" || true)"
	cancelled="$(grep -c '"error":"ECANCELED"' "$scratch/out" || true)"
	[[ "$status" == 130 ]] || lib_fail "status $status" "$(head -n 3 "$scratch/err")"
	[[ "$(tail -n 1 "$scratch/err")" == "varve: ${word%% *}: stopped by SIGINT: $ok ${word#* }, $failed failed, $cancelled cancelled" ]] ||
		lib_fail "$ok ok, $cancelled cancelled, but" "$(head -n 3 "$scratch/err")"
	[[ "$(wc -l <"$scratch/out")" == $((ok + cancelled + failed)) ]] ||
		lib_fail "other objects:" "$(grep -v -e true -e ECANC "$scratch/out")"
	sed -n -E 's/^\{"id":"([^"]*)","ok":true\}$/\1/p' "$scratch/out" | sort >"$scratch/done"
}

start create --json -
# An endless stream: it cannot be at its end when the signal comes.
seq 1000000 1>&"$writer" 2>/dev/null &
feeder=$!
await_written "the first answer" "$scratch/out" test -s "$scratch/out"
interrupt INT
wait "$feeder" || true
check_busy "create created" 0
run ls
sort "$scratch/out" | cmp -s - "$scratch/done" || lib_fail "the layers are not those that were reported"
cp "$scratch/out" "$scratch/before"
run status
[[ "$status" == 0 ]] || lib_fail "status: $(cat "$scratch/err")"
# Nothing half-made is left.
run gc
grep -Eq '^staging_removed +0$' "$scratch/out" || lib_fail "gc found" "$(cat "$scratch/out")"

# Where the kernel is slow, what waits for it is cancelled, not done: each ioctl takes 10 ms more here, and what is in
# flight when the signal comes would take seconds. The bad id is answered as soon as the others are on their way.
if command -v strace >/dev/null; then
	{ echo /bad; seq -f 'slow-%g' 4000; } >"$scratch/slow"
	: >"$scratch/out"
	# The leak checker cannot run in a process that is traced.
	ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" env --default-signal=INT,TERM strace -D -f -qq -o /dev/null -e trace=ioctl \
		-e inject=ioctl:delay_enter=10000 "$varve" "${lib_options[@]}" create --json - \
		<"$scratch/slow" >"$scratch/out" 2>"$scratch/err" &
	child=$!
	await_written "the first answer" "$scratch/out" test -s "$scratch/out"
	kill -s INT "$child"
	status=0
	wait "$child" || status=$?
	check_busy "create created" 1
	grep -q '"error":"ECANCELED"' "$scratch/out" || lib_fail "nothing was cancelled"
	sort "$scratch/done" "$scratch/before" >"$scratch/expected"
	run ls
	sort "$scratch/out" | cmp -s - "$scratch/expected" || lib_fail "the layers are not those that were reported"
fi

# rm: what was not reported as removed is still there.
run ls
cp "$scratch/out" "$scratch/before"
seq -f 'more-%g' 5000 >"$scratch/more"
quietly create --relaxed - <"$scratch/more"
cat "$scratch/more" "$scratch/before" | sort >"$scratch/all"
start rm --json -
cat "$scratch/all" 1>&"$writer" 2>/dev/null &
feeder=$!
await_written "the first answer" "$scratch/out" test -s "$scratch/out"
interrupt INT
wait "$feeder" || true
check_busy "remove removed" 0
run ls
sort "$scratch/out" >"$scratch/left"
comm -23 "$scratch/all" "$scratch/done" | cmp -s - "$scratch/left" || lib_fail "the layers left are not those that were not removed"

# ---- standard output that stalls -------------------------------------------------------------------------------------------

# The first signal ends the command, whatever it waits for. A reader that takes nothing more loses what it did not take.
mkfifo "$scratch/stalled"
run ls
(($(wc -c <"$scratch/out") > 0)) || lib_fail "there are no layers"
seq -f "$(printf '%0200d' 0)%g" 1000 >"$scratch/more"
quietly create --relaxed - <"$scratch/more"
# Is process $1 asleep in poll() on its main thread?
asleep() {
	[[ "$(cat "/proc/$1/wchan" 2>/dev/null)" == *poll* ]]
}
for command in "INT 130 ls" "TERM 143 ls -l" "HUP 129 info --json -" "INT 130 get -"; do
	read -r signal code words <<<"$command"
	exec {reader}<>"$scratch/stalled"
	# shellcheck disable=SC2086 # Words.
	env --default-signal=INT,TERM,HUP "$varve" "${lib_options[@]}" $words <"$scratch/more" >"$scratch/stalled" 2>"$scratch/err" &
	child=$!
	read -r -N 1 -t "$WAIT_S" -u "$reader" || lib_fail "no bytes in the pipe"
	await "the command to wait" asleep "$child"
	kill -s "$signal" "$child"
	status=0
	wait "$child" || status=$?
	exec {reader}<&-
	[[ "$status" == "$code" ]] || lib_fail "$words: status $status" "$(cat "$scratch/err")"
	[[ ! -s "$scratch/err" || "$(cat "$scratch/err")" == "varve: "*": stopped by SIG$signal: "* ]] || lib_fail "$(cat "$scratch/err")"
done

# ---- a caller that ignores signals -----------------------------------------------------------------------------------------

: >"$scratch/out"
(
	trap '' INT
	exec "$varve" "${lib_options[@]}" create --json - <"$scratch/fifo" >"$scratch/out" 2>"$scratch/err"
) &
child=$!
exec {writer}>"$scratch/fifo"
printf 'kept\n' >&"$writer"
await_written "the first answer" "$scratch/out" test -s "$scratch/out"
kill -s INT "$child"
printf 'going\n' >&"$writer"
exec {writer}>&-
status=0
wait "$child" || status=$?
expect 0 '{"id":"kept","ok":true}'$'\n''{"id":"going","ok":true}'$'\n' ""

# ---- another process holds the lock of the records, and is stopped --------------------------------------------------------

run create sized --size 8m
expect 0 "" "varve: note: *quotas were turned on*"
(
	exec {lock}>>"$home/.varve/records"
	flock -x "$lock"
	kill -s STOP "$BASHPID"
) &
holder=$!
stopped() {
	[[ "$(cut -d ' ' -f 3 "/proc/$holder/stat" 2>/dev/null)" == T ]]
}
await "the holder to stop" stopped
for signal in INT:130 TERM:143 HUP:129; do
	env --default-signal=INT,TERM,HUP VARVE_DEBUG=op "$varve" "${lib_options[@]}" create another --size 8m </dev/null \
		>"$scratch/out" 2>"$scratch/err" &
	child=$!
	await_written "the command to wait for the lock" "$scratch/err" grep -q 'another process holds the lock' "$scratch/err"
	kill -s "${signal%:*}" "$child"
	status=0
	wait "$child" || status=$?
	[[ "$status" == "${signal#*:}" ]] || lib_fail "${signal%:*}: status $status" "$(tail -n 3 "$scratch/err")"
	run ls
	[[ "$status" == 0 ]] || lib_fail "ls: status $status" "$(cat "$scratch/err")"
	grep -qx sized "$scratch/out" || lib_fail "no layer of before"
	[[ "$(grep -cx another "$scratch/out")" == 0 ]] || lib_fail "it was made without the lock"
done
kill -s CONT "$holder"
wait "$holder"
quietly create another --size 8m
