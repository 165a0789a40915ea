#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A run that is interrupted, at any stage, tells what it has and removes what it made. Failures do, too.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start mount

# shellcheck source=tests/lib/wait.sh
. "$bench_repository/tests/lib/wait.sh"

# Interrupt a run of the arguments with signal $1 once $2 is true.
interrupt() {
	local signal="$1" when="$2"
	shift 2
	env --default-signal=INT,TERM "$bench" "--directory=$mnt" "$@" >"$scratch/out" 2>"$scratch/err" &
	pid=$!
	# The run tells of nothing before its end: its files are looked at.
	wait_until "$pid" eval "$when" || fail "never: $when"
	kill -s "$signal" "$pid"
	# As from a terminal and from make, both of which pass it on.
	kill -s "$signal" "$pid" 2>/dev/null || true
	status=0
	wait "$pid" || status=$?
	expect_clean
}

# shellcheck disable=SC2016
made='compgen -G "$mnt/varve-bench.*/home/subvolumes/j0.t0.[2-9][0-9]" >/dev/null'
for signal in INT TERM; do
	interrupt "$signal" "$made" --name=long --rw=churn --live=8 "--ioengine=$engine" --iodepth=8 --nrfiles=5 --runtime=60 \
		--time_based --stonewall --name=never --rw=snapshot --runtime=60 --time_based --stonewall
	expect out '^long: .groupid=0'
	expect out '^  snapshot: IOPS='
	expect out 'interrupted'
	if grep -q '^never:' "$scratch/out"; then
		fail "the second job was begun"
	fi
done
# Half a run does not replace the page of a whole one.
printf '# Results\n\n## A machine\n\nwhole\n' >"$scratch/r.md"
cp "$scratch/r.md" "$scratch/before.md"
interrupt INT "$made" --name=half --rw=churn --live=8 --nrfiles=5 --runtime=60 --time_based "--pair=$engine,ioctl" \
	"--$engine.iodepth=8" "--results=$scratch/r.md"
expect err 'r\.md stays as it was$'
cmp "$scratch/r.md" "$scratch/before.md" || fail "an interrupted run has written the page of results"
# One at a time, with a start delay, amid the making of a fixture.
interrupt INT "$made" --name=slow --rw=snapshot --ioengine=ioctl --nrfiles=5 --runtime=60 --time_based
interrupt INT 'compgen -G "$mnt/varve-bench.*/home/subvolumes/*" >/dev/null' --name=late --rw=snapshot --ioengine=ioctl \
	--nrfiles=5 --startdelay=60
interrupt INT 'compgen -G "$mnt/varve-bench.*/fixtures/.making*" >/dev/null' --name=fixture --rw=snapshot \
	--nrfiles=1000000 --filesize=4k
((status != 0)) || fail "an unfinished fixture is no success"

# The place: not on btrfs, not there. A foreign file in the directory stays.
printf 'mine\n' >"$mnt/foreign"
run --name=x --rw=snapshot --ioengine=ioctl --number_ios=3 "--directory=$scratch"
((status == 1)) || fail "not on btrfs: status $status"
expect err 'not on btrfs'
run --name=x --rw=snapshot --ioengine=ioctl --number_ios=3 "--directory=$mnt/none"
((status == 1)) || fail "no such directory: status $status"
run --name=x --rw=snapshot --ioengine=ioctl --number_ios=3
((status == 1)) || fail "no directory: status $status"
expect err 'give --directory'
run_well --name=x --rw=snapshot --ioengine=ioctl --number_ios=3 "--directory=$mnt"
[[ "$(cat "$mnt/foreign")" == mine ]] || fail "a foreign file was touched"
rm "$mnt/foreign"
expect_clean
