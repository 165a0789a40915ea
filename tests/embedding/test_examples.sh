#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each example of the man pages does what it says; those of the event loops embed a store in a loop that goes on ticking.
# varve-test: timeout=120
set -euo pipefail
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/embedding.sh"

# The package that an example of a loop needs.
declare -A packages=([embed_libuv]=libuv [embed_libevent]=libevent [embed_glib]=glib-2.0)

# Run an example of a loop: all of its layers come and go, in flight together, while the timer ticks.
run_embed() {
	local name="$1" backend="$2" home="$mount/$1-$2"
	expect_status 0 "$tmp/output" "$build/docs/examples/$name" "$home" "$backend"
	cat "$tmp/output"
	expect_line "$tmp/output" 'created 201, listed 201, removed 201, left 0; 64 in flight'
	expect_line "$tmp/output" '; [0-9]+ ticks'
}

# Expect an example of a loop to fail when one of its layers cannot be made, and to say which.
run_embed_failing() {
	local name="$1" backend="$2" home="$mount/failing-$1-$2"
	mkdir -p -- "$home/subvolumes/embed-7"
	expect_status 1 "$tmp/output" "$build/docs/examples/$name" "$home" "$backend" 20
	expect_line "$tmp/output" '^create embed-7: .*: File exists$'
}

# Expect the messages in the output of the example strerror, whose home is $1, to be those of varve_errors(7).
check_messages() {
	sed -n '/example: begin/,/example: end/{/example: /d;p;}' "$root/docs/examples/strerror.out" >"$tmp/messages"
	[[ -s "$tmp/messages" ]] || fail "strerror.out has no messages"
	while read -r line; do
		sed "s|$1|/pool|" "$tmp/output" | grep -Fx -- "$line" >"$tmp/found" || fail "strerror does not print: $line"
	done <"$tmp/messages"
}

need_mount
for source in "$root"/docs/examples/*.c; do
	name="$(basename "$source" .c)"
	grep -q '^int main(' "$source" || continue
	package="${packages[$name]:-}"
	if [[ -n "$package" ]] && ! pkg-config --exists "$package"; then
		echo "skipped: $name needs $package"
		continue
	fi
	need_built "docs/examples/$name"
	for backend in "${backends[@]}"; do
		if [[ "$name" == embed_* ]]; then
			run_embed "$name" "$backend"
			run_embed_failing "$name" "$backend"
		elif [[ "$name" == pool ]]; then
			mkdir -p -- "$tmp/pool-$backend"
			expect_status 0 "$tmp/output" "$build/docs/examples/$name" "$tmp/pool-$backend"
		else
			expect_status 0 "$tmp/output" "$build/docs/examples/$name" "$mount/$name-$backend" "$backend"
			sed "s/^/$name: /" "$tmp/output"
		fi
		if [[ "$name" == strerror ]]; then
			check_messages "$mount/$name-$backend"
		fi
	done
done
