#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: backend=any size=1G
# The engine of nodes of containerd, on a server that only answers: operations in any order, failures with their reasons, a figure, and
# servers that cannot be had. What bench/engines/containerd-node does is measured, not tested.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start mount

cat >"$scratch/server" <<'SERVER'
#!/usr/bin/env python3
import os, socket, sys
def notify(text):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text, os.environ["NOTIFY_SOCKET"])
path, depth, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if what == "refuse":
    notify(b"STATUS=needs a program, which is not installed")
    sys.exit(1)
with open(os.path.dirname(sys.argv[0]) + "/sockets", "a", encoding="utf-8") as file:
    print(path, file=file)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(1)
notify(b"READY=1")
connection, _ = listener.accept()
waiting = []
for line in connection.makefile():
    words = line.split()
    if words[0] == "figures":
        connection.sendall(b"daemon_cpu_percent 1.25\n")
        continue
    assert words[1] in ("create", "apply"), line
    waiting.append(words[0])
    # The last one first, in pieces.
    if len(waiting) == depth:
        for number in reversed(waiting):
            connection.sendall(number.encode() + b" ")
            connection.sendall(b"ok\n" if what == "good" else b"no pod today\n")
        waiting = []
SERVER
chmod +x "$scratch/server"
common=("--directory=$mnt" --ioengine=containerd --nrfiles=1)

run_well --name=pods --rw=create --iodepth=8 --number_ios=32 "--server=$scratch/server {socket} 8 good" "${common[@]}"
expect out '^  create: IOPS=.* 32 layers'
expect out 'daemon_cpu_percent=1\.25'
run_well --name=images --rw=apply --number_ios=3 "--server=$scratch/server {socket} 1 good" "${common[@]}"
expect out '^  apply: IOPS=.* 3 layers'
expect_clean
run --name=pods --rw=create --iodepth=2 --number_ios=4 "--server=$scratch/server {socket} 2 bad" "${common[@]}"
((status == 1)) || fail "pods that do not start: status $status"
expect out 'no pod today'
# What is not installed is a reason, and no failure of a pair.
run --name=x --rw=create "--server=$scratch/server {socket} 1 refuse" "${common[@]}"
((status == 1)) || fail "a server that refuses: status $status"
expect err 'needs a program, which is not installed'
run_well --name=x --rw=create --number_ios=1 --pair=containerd,containerd@none "--server=$scratch/server {socket} 1 good" \
	"--containerd@none.server=$scratch/server {socket} 1 refuse" --repeat=1 "${common[@]}"
run --name=x --rw=create "${common[@]}"
((status == 1)) || fail "without a server: status $status"
expect err 'needs server='
# The node itself says what it lacks.
if ! command -v containerd >/dev/null; then
	run --name=x --rw=create "--server=$bench_repository/bench/engines/containerd-node varve {root} {socket} {bin} 0" "${common[@]}"
	expect err 'needs containerd, which is not installed'
fi
while read -r socket; do
	[[ ! -e "${socket%/*}" ]] || fail "left: $socket"
done <"$scratch/sockets"
