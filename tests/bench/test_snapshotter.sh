#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: backend=any size=2G
# The engine that speaks to snapshotters of containerd: every workload on containerd's own, and on the daemon; what is left behind.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start mount

"$bench" --help=engines | grep -q '^ *snapshotter ' || skip "varve-bench was built without libnghttp2-dev"
(($(id -u) == 0)) || skip "needs root"
peer="$VARVE_BUILD/tests/serve/snapshotter-peer"
[[ -x "$peer" ]] || skip "needs golang-go and golang-github-containerd-containerd-dev, with which to build"
common=("--directory=$mnt" --ioengine=snapshotter --nrfiles=20 --filesize=1k-8k --number_ios=24)

# Note where the socket is, and become the server.
# shellcheck disable=SC2016
printf '#!/bin/sh\necho "$1" >>"%s"\nshift\nexec "$@"\n' "$scratch/sockets" >"$scratch/noted"
chmod +x "$scratch/noted"

# Every workload, on the server whose command is $1.
check_server() {
	set -- "$scratch/noted {socket} $1"
	run_well --name=churn --rw=churn --iodepth=8 "--server=$1" "${common[@]}"
	expect out '^  snapshot: IOPS=.* 1[2-6] layers'
	expect_clean
	run_well --name=commit --rw=commit --iodepth=8 --fill=64k "--server=$1" "${common[@]}"
	expect out '^  commit: IOPS=.* 24 layers'
	expect_clean
	run_well --name=look --rwmix=usage:40,get:30,info:30 --live=2 --edits=3 "--server=$1" "${common[@]}"
	expect out '^  usage: IOPS='
	expect_clean
}

check_server "$peer btrfs {root}/btrfs {socket}"
# As an overlay cannot be on all file systems, in one of its own.
check_server "$bench_repository/bench/engines/in-image ext4 {root} $peer overlayfs {root}/overlayfs {socket}"
if [[ -x "$VARVE_BUILD/varve-serve" ]]; then
	check_server "{bin}/varve serve --home {root} --socket {socket}"
fi
while read -r socket; do
	[[ ! -e "${socket%/*}" ]] || fail "left: $socket"
done <"$scratch/sockets"

# A server of others has what it had, once the run has ended.
mkfifo "$scratch/ready"
/usr/bin/python3 -B "$bench_repository/tests/serve/ready.py" "$scratch/ready" "$scratch/notify" "$peer" native "$scratch/native" "$scratch/socket" &
server=$!
[[ "$(<"$scratch/ready")" == ready ]] || fail "the server does not start"
run_well --name=x --rw=churn --iodepth=4 --live=3 "--socket=$scratch/socket" "${common[@]}"
run_well --name=x --rw=commit --live=3 "--socket=$scratch/socket" "${common[@]}"
[[ -z "$(ls "$scratch/native/snapshots")" ]] || fail "snapshots are left: $(ls "$scratch/native/snapshots")"
# What the server says of a failure is in the report.
run --name=x --rw=remove --live=0 "--socket=$scratch/nothing" "${common[@]}"
((status == 1)) || fail "no server: status $status"
expect err 'nothing: No such file'
kill "$server"
wait "$server" || true

# A server that is not there, or ends, is no failure of a pair.
run_well --name=x --rw=churn --pair=snapshotter,snapshotter@none "--server=$peer btrfs {root}/btrfs {socket}" \
	"--snapshotter@none.server={bin}/nothing" --repeat=1 "${common[@]}"
run --name=x --rw=churn "--server=/bin/true {root}" "${common[@]}"
((status == 1)) || fail "a server that ends: status $status"
expect err 'has ended before it was ready'
