#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The example of varve_containerd(7) works as it stands there, in namespaces whose /var/lib, /run and /etc/containerd are its own.
# varve-test: backend=any mount=no root=yes timeout=120
set -euo pipefail
if [[ "${1:-}" != --inside && "$(id -u)" == 0 ]]; then
	exec unshare --mount --pid --net --fork --kill-child --mount-proc -- "$0" --inside
fi
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/../embedding/embedding.sh"
(($(id -u) == 0)) || skip "needs root"
[[ -d /etc/containerd ]] || skip "needs containerd"
for program in containerd ctr runc mkfs.btrfs python3 mandoc; do
	command -v "$program" >/dev/null || skip "needs $program"
done
[[ -x "$build/varve-serve" ]] || skip "needs libnghttp2-dev, libprotobuf-c-dev and protobuf-c-compiler, with which to build"
PATH="$(cd "$build" && pwd):$PATH"

# Print the commands of the example, as a reader sees them.
example() {
	awk -v name="$1" '
	$0 == ".\\\" serve-example: " name { wanted = 1; next }
	wanted && /^\.Bd/ { inside = 1; next }
	inside && /^\.Ed/ { exit }
	inside { gsub(/\\-/, "-"); gsub(/\\e/, "\\"); print }' "$root/docs/man/varve_containerd.7"
}

mkdir "$tmp/lib" "$tmp/etc"
mount --bind "$tmp/lib" /var/lib
mount -t tmpfs tmpfs /run
mount --bind "$tmp/etc" /etc/containerd
cd "$tmp"
"$root/tests/serve/own_image" image.tar docker.io/library/own:1 --layers 1 --files 10
for part in pool daemon config run look; do
	example "$part" >"$tmp/$part"
	[[ -s "$tmp/$part" ]] || fail "the page has no example '$part'"
done

# shellcheck disable=SC1091
. ./pool
# Become what follows $1, with its output in $1.log, and wait until it says that it is ready, as it would to systemd.
mkfifo ready
start() {
	local name="$1" state=""
	shift
	/usr/bin/python3 -B "$root/tests/serve/ready.py" ready "$tmp/notify" "$@" >"$name.log" 2>&1 &
	read -r state <ready || true
	[[ "$state" == ready ]] || fail "$name: $(cat "$name.log")"
}
# The example puts the daemon into the background.
start daemon bash -c '. ./daemon; trap "kill $!" TERM; wait; wait'
daemon=$!
printf 'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >/etc/containerd/config.toml
# shellcheck disable=SC1091
. ./config
start containerd containerd
containerd=$!
bash -e ./run >output 2>&1 || fail "$(cat run output containerd.log daemon.log)"
expect_line output '^bin$'
bash -e ./look >output 2>&1 || fail "$(cat look output)"
(($(grep -c . output) >= 4)) || fail "nothing to see: $(cat output)"
ctr image rm --sync docker.io/library/own:1 >/dev/null
kill "$containerd" "$daemon"
wait || true
umount -l /var/lib/varve
