# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The waits of all scripts: the lint allows `sleep` in this file alone. What tells of itself is waited for by that: a process by `wait`, a
# file that grows by wait_written, a service by its READY=1 (tests/serve/ready.py). For the rest there is wait_until.

# How long a wait may take: only a hang reaches it, unless the caller has a limit of its own.
: "${WAIT_S:=600}"
# How long it is between two looks at what tells nobody.
readonly WAIT_PAUSE_S=0.02

# Call what follows until it succeeds: for what tells nobody, each caller says what that is. 1: it does not within WAIT_S seconds, or the
# process PID ($1; "": none) has ended before.
wait_until() {
	local wait_pid="$1" wait_end=$((SECONDS + WAIT_S)) wait_status=0 silent=""
	shift
	until "$@"; do
		if ((SECONDS >= wait_end)) || { [[ -n "$wait_pid" ]] && ! kill -0 "$wait_pid" 2>/dev/null; }; then
			# It may have come between the two looks.
			"$@" || wait_status=1
			break
		fi
		# A pause without a process for it: on a busy machine each costs tens of milliseconds.
		[[ -n "$silent" ]] || exec {silent}<> <(:)
		read -r -t "$WAIT_PAUSE_S" -u "$silent" || true
	done
	[[ -z "$silent" ]] || exec {silent}<&-
	return "$wait_status"
}

# Call what follows $2 until it succeeds, each time that the file $2 has grown. 1: it does not, and the process $1, which writes the file,
# has ended.
wait_written() {
	local wait_pid="$1" wait_file="$2" wait_status=0 bytes tail
	shift 2
	! "$@" || return 0
	# It waits by inotify, also for the file itself. From the first byte on: what is written before the watch stands is not missed.
	exec {bytes}< <(exec tail -c +1 -F --pid="$wait_pid" -- "$wait_file" 2>/dev/null)
	tail=$!
	until "$@"; do
		if (($(dd bs=64K count=1 status=none <&"$bytes" | wc -c) == 0)); then
			"$@" || wait_status=1
			break
		fi
	done
	exec {bytes}<&-
	kill "$tail" 2>/dev/null || true
	wait "$tail" 2>/dev/null || true
	return "$wait_status"
}

# Let a random time of less than $1 milliseconds pass: where each moment is as good as another one, and nothing tells of any.
wait_moment() {
	local ms=$(((RANDOM * 32768 + RANDOM) % $1))
	sleep "$((ms / 1000)).$(printf '%03d' $((ms % 1000)))"
}
