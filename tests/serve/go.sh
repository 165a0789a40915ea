# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests share that have containerd's own code as a client of the daemon; they source it.
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/../embedding/embedding.sh"

# The server under test, in words; a test by hand may name another: "build/tests/serve/snapshotter-peer btrfs {root} {socket}".
go_start() {
	[[ -x "$build/tests/serve/snapshotter.test" ]] ||
		skip "needs golang-go and golang-github-containerd-containerd-dev, with which to build"
	need_mount
	mkdir "$mount/tmp"
	[[ -z "$(gofmt -l "$root/tests/serve/go")" ]] || fail "not as gofmt has it: $(gofmt -l "$root/tests/serve/go")"
	if [[ -z "${SNAPSHOTTER_COMMAND:-}" ]]; then
		[[ -x "$build/varve-serve" ]] || skip "needs libnghttp2-dev, libprotobuf-c-dev and protobuf-c-compiler, with which to build"
		SNAPSHOTTER_COMMAND="$(cd "$build" && pwd)/varve serve --home {root} --socket {socket} --access-log none --usage exact"
		if [[ "${VARVE_TEST_BACKEND:-uring}" == threads ]]; then
			SNAPSHOTTER_COMMAND+=" --no-uring"
		fi
	fi
	export SNAPSHOTTER_COMMAND TMPDIR="$mount/tmp"
}

# Run the test $1 of containerd's and ours, its output in the file $2.
go_run() {
	"$build/tests/serve/snapshotter.test" -test.root -test.v -test.run "^$1\$" >"$2" 2>&1 || {
		grep -v '^=== ' "$2"
		fail "$1 fails with the server: $SNAPSHOTTER_COMMAND"
	}
}
