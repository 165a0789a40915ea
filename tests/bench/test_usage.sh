#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command line, help, and job files from disk: each mistake ends with status 2 and its place. Also the live rates.
# varve-test: backend=any mount=no root=no
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start

# Expect the arguments after $1 to be refused with $1 in the message.
refused() {
	local message="$1"
	shift
	run "$@"
	((status == 2)) || fail "$*: status $status"
	expect err "^varve-bench: .*$message"
}

run_well --version
expect out '^varve-bench [0-9]'
run_well --help
cp "$scratch/out" "$scratch/help"
for key in iodepth numjobs runtime time_based loops number_ios ramp_time rate_iops thinktime size nrfiles filesize bs directory \
	startdelay randseed group_reporting write_lat_log log_avg_msec percentile_list rw rwmix ioengine stonewall; do
	grep -q "^  $key " "$scratch/help" || fail "--help does not have $key"
	run_well "--help=$key"
	expect out "^$key: "
done
# The page tells of every key.
for key in $(sed -n '/^keys of jobs/,/^engines/s/^  \([a-z_]*\) .*/\1/p' "$scratch/help"); do
	grep -Eq "^\.It Ic .*\<$key\>" "$bench_repository/docs/man/varve-bench-job.5" || fail "no $key in varve-bench-job(5)"
done
run_well --help=engines
expect out '^  reference '
run --help=nosuch
((status == 2)) || fail "--help=nosuch: status $status"

refused 'no such option' -x
refused 'nosuch: no such key' --nosuch=1
refused 'out of range' --iodepth=0 --name=a
refused 'needs a value' --name=a --iodepth
refused 'not normal, json' --output-format=xml --name=a
refused 'not a number' --repeat=0 --name=a
refused 'takes no value' --version=1
refused 'No such file' /no/such/job
refused 'Is a directory' "$scratch"
printf '' >"$scratch/job"
refused 'no section' "$scratch/job"
head -c 5000 /dev/urandom >"$scratch/job"
run "$scratch/job"
((status == 2)) || fail "random bytes: status $status"
head -c 2000000 /dev/zero | tr '\0' '#' >"$scratch/job"
refused 'File too large' "$scratch/job"
printf '[a]\niodepth=4\n\n; fine so far\nnosuch=3\n' >"$scratch/job"
refused 'job:5: nosuch: no such key' "$scratch/job"
printf 'include %s\n' job >"$scratch/job"
refused 'includes itself' "$scratch/job"
printf '[a]\nrw=noop\nioengine=noop\nnumber_ios=10\n' | run_well -
expect out '^a: '

# Keys of the command line over those of a file; = or the next argument.
printf '[a]\nrw=noop\nioengine=noop\niodepth=4\nnumber_ios=10\n' >"$scratch/job"
run_well "$scratch/job" --iodepth 16 --number_ios=64
expect out 'iodepth=16'
expect out '^  noop: IOPS=.* 64 layers'
run_well --parse-only "$scratch/job"
[[ ! -s "$scratch/out" ]] || fail "--parse-only ran something"
for job in "$bench_repository"/bench/jobs/*.fio "$bench_repository"/bench/jobs/large/*.fio; do
	run_well --parse-only "$job"
	head -n 3 "$job" | grep -q '^; ' || fail "$job has no comment on why these numbers"
done

# Threads reported one by one, or together; jobs at the same time, or after a stonewall.
run_well --name=t --rw=noop --ioengine=noop --number_ios=100 --numjobs=3
(($(grep -c '^t: (groupid=0, jobs=1)' "$scratch/out") == 3)) || fail "not three reports"
run_well --name=t --rw=noop --ioengine=noop --number_ios=100 --numjobs=3 --group_reporting
expect out '^t: .groupid=0, jobs=3'
expect out ' 300 layers'
run_well --rw=noop --ioengine=noop --number_ios=100 --name=a --name=b --name=c --stonewall
expect out '^b: .groupid=0'
expect out '^c: .groupid=1'

# Live rates, when asked for; never into a file by itself.
run_well --name=t --rw=noop --ioengine=noop --runtime=1 --time_based --eta=always
tr '\r' '\n' <"$scratch/err" | grep -E 't \(noop\): jobs: 1  \[ *[0-9]+%\]  [0-9]+/s' >/dev/null || fail "no live rates"
run_well --name=t --rw=noop --ioengine=noop --number_ios=1000
[[ ! -s "$scratch/err" ]] || fail "live rates in a file"

# A report that cannot be written is a failure.
run --name=t --rw=noop --ioengine=noop --number_ios=1000 --output=/no/such/dir/file
((status == 1)) || fail "unwritable: status $status"
if [[ -w /dev/full ]]; then
	run --name=t --rw=noop --ioengine=noop --number_ios=1000 --output=/dev/full
	((status == 1)) || fail "a full disk: status $status"
fi
