#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Pairs, claims, compare and its exit status, on figures that are known and on real ones.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start mount
command -v jq >/dev/null || skip "jq is missing"
cd "$scratch"

# Two engines in turn, three times, each with a key of its own.
cat >pair.fio <<'J'
[p]
rw=snapshot
nrfiles=5
number_ios=40
ioctl.number_ios=20
claim=iops>=0.001,iops<=0.0001,lat_p50<=0.1+60s,nosuch_figure<=1
J
run_well "--pair=$engine,ioctl" --repeat=3 "--directory=$mnt" --output-format=normal,json --results=r.md pair.fio
expect out "^  $engine +iops=.* runs=3"
expect out "^  ioctl +iops=.* runs=3"
expect out 'claim iops >= 0.001: .*: kept'
expect out 'claim iops <= 0.0001: .*: NOT KEPT'
expect out 'claim lat_p50 <= 0.1 \+ 6e\+07 us: .*: kept'
expect out 'claim nosuch_figure <= 1: .*: NOT MEASURED'
expect_clean
sed -n '/^{/,$p' out >p.json
jq -e '[.jobs[].engine] == ["'"$engine"'", "ioctl", "ioctl", "'"$engine"'", "'"$engine"'", "ioctl"]' p.json >/dev/null ||
	fail "the engines did not take turns: $(jq -c '[.jobs[].engine]' p.json)"
jq -e '.pairs[0].iops_ratio.runs == 3' p.json >/dev/null || fail "no ratio in the JSON"
# The ratio is the median of the ratios of each repetition.
jq -e '[range(3) as $r | [.jobs[] | select(.round == $r)] | (map(select(.engine != "ioctl"))[0].iops_total /
	map(select(.engine == "ioctl"))[0].iops_total)] | sort | .[1] as $m | $m' p.json >expected
jq -e --argjson m "$(cat expected)" '(.pairs[0].iops_ratio.median / $m - 1) | fabs < 0.001' p.json >/dev/null ||
	fail "median of the ratios: $(cat expected), told $(jq .pairs[0].iops_ratio p.json)"
grep -q '^| p | .* | iops against ioctl at least 0.001000 | .* | yes |' r.md || fail "r.md: $(cat r.md)"
grep -q '^| p | .* | iops against ioctl at most 0.000100 | .* | \*\*no\*\* |' r.md || fail "r.md: $(cat r.md)"
if grep -qF -e "$(uname -n)" -e "$mnt" r.md; then
	fail "the page of results names this machine or a path"
fi

# One engine twice, under a label, with keys of its own; the label is its name in every report.
run_well "--pair=$engine,$engine@two" "--$engine@two.number_ios=6" --repeat=2 "--directory=$mnt" --output-format=normal,json+ \
	--name=l --rw=snapshot --nrfiles=5 --number_ios=12 "--claim=iops/$engine@two>=0.001" --report=l.html
expect out "^  $engine@two +iops=.* runs=2"
expect out "claim iops/$engine@two >= 0.001: .*: kept"
sed -n '/^{/,$p' out | jq -e '[.jobs[] | .write.total_ios] | sort == [6, 6, 12, 12]' >/dev/null || fail "keys of a label"
grep -qF "l ($engine@two)" l.html || fail "the page does not have the label"
run --name=l --rw=noop --ioengine=noop "--nosuch@two.iodepth=1"
((status == 2)) || fail "a label of no engine: status $status"

# A peer that is not there, and one that cannot: the others go on, and the page says why. That is no failure.
cat >peer.fio <<'J'
[global]
nrfiles=5
number_ios=4
[lacks]
rw=diff
full
pair=varve,tar
claim=iops>=0.001
[cannot]
rw=usage
pair=varve,ioctl
claim=iops>=0.001,p50_ns<=60000000000
[goes-on]
rw=noop
pair=varve,noop
number_ios=100
claim=iops>=0.000001
J
status=0
PATH=/nowhere "$bench" --repeat=2 "--directory=$mnt" --results=r.md peer.fio >out 2>err || status=$?
((status == 0)) || fail "a peer that is not there: status $status"
expect err '^varve-bench: lacks on tar: .*the command tar is not there$'
(($(grep -c 'lacks on tar' err) == 1)) || fail "it was tried again"
expect err '^varve-bench: 3 of 3: goes-on: [0-9.]+ s$'
grep -q '^| lacks | .* | not measured: tar: .*the command tar is not there | ? |$' r.md || fail "r.md: $(cat r.md)"
grep -q '^| cannot | .* | not measured: ioctl: .*does no usage | ? |$' r.md || fail "r.md: $(cat r.md)"
grep -Eq '^\| cannot \| .* \| p50_ns at most 60.* s \| [0-9.]+ [mu]s \(.* to .*\) \| yes \|$' r.md || fail "r.md: $(cat r.md)"
grep -Eq '^\| goes-on \| .* \| yes \|$' r.md || fail "r.md: $(cat r.md)"
grep -Eq '^\| goes-on \| varve \| 2 \| .* \| [0-9.]+ \|$' r.md || fail "no row by engine: $(cat r.md)"
# What fails is reported in its row, too, and the run fails.
mkdir so
printf '%s\n' '#include "engine.h"' 'static int open_(const struct bench_env *env, void **ret, char *error, size_t size) { *ret = 0; return 0; }' \
	'static int queue(void *context, struct bench_op *op) { return -5; }' 'static void close_(void *context) { }' \
	'const struct bench_engine bench_engine = { BENCH_ENGINE_VERSION, 1, "bad", "fails", true, open_, queue, .close = close_ };' |
	cc -shared -fPIC -I"$bench_repository/bench" -x c -o so/bad.so -
run --repeat=2 --results=r.md --name=f --rw=noop --number_ios=4 "--pair=noop,external:$PWD/so/bad.so" '--claim=iops>=1'
((status == 1)) || fail "an engine that fails: status $status"
grep -q '^| f | .* | not measured: external.*: Input/output error | ? |$' r.md || fail "r.md: $(cat r.md)"
expect_clean

# The page tells what was compared with.
if command -v tar >/dev/null; then
	grep -q '^- compared with: .*tar' r.md || fail "no versions: $(cat r.md)"
fi

# A budget cuts the repetitions first: each job has its share. Here each thread that starts puts the clock forward by 100 s, which is what
# a run takes then, whatever else the machine does.
cat >so/clock.c <<'C'
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static _Atomic time_t ahead_s;
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
	int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
	ahead_s += 100;
	return next(thread, attributes, start, argument);
}
int clock_gettime(clockid_t id, struct timespec *now)
{
	int r = syscall(SYS_clock_gettime, id, now);
	now->tv_sec += id == CLOCK_MONOTONIC ? ahead_s : 0;
	return r;
}
C
cc -shared -fPIC -D_GNU_SOURCE -o so/clock.so so/clock.c
status=0
# No job is to look stalled when the clock goes forward. The sanitizer would be the first library.
LD_PRELOAD="$PWD/so/clock.so" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" "$bench" --budget=10000s --repeat=1000 \
	--output-format=json --rw=noop --number_ios=200 --overtime=0 --pair=noop,libuv --name=a --name=b >out 2>err || status=$?
((status == 0)) || fail "a budget: status $status"
[[ "$(jq -c '[.jobs[].jobname] | unique' out)" == '["a","b"]' ]] || fail "a budget: $(jq -c '[.jobs[].jobname]' out)"
# At most one run for each 100 s.
(($(jq '.jobs | length' out) <= 100)) || fail "a budget cuts too little: $(jq '.jobs | length' out) runs"
# When it is over nothing runs on: what has not come to its end is not measured, which is no failure.
run_well --budget=1s --repeat=2 --results=r.md --rw=noop --pair=noop,libuv '--claim=iops>=1' --name=long --runtime=100000 \
	--time_based --name=never --number_ios=1
grep -q '^| long | .* | not measured: the budget was spent | ? |$' r.md || fail "r.md: $(cat r.md)"
grep -q '^| never | .* | not measured: the budget was spent | ? |$' r.md || fail "r.md: $(cat r.md)"
run_well --budget=10000s --repeat=3 --output-format=json --rw=noop --number_ios=1000 --pair=noop,libuv --name=a --name=b
(($(jq '.jobs | length' out) == 12)) || fail "a budget that is enough cuts"
run --budget=x --name=a --rw=noop
((status == 2)) || fail "--budget=x: status $status"

# compare: matched by name and engine, medians, status.
make_report() {
	printf '{"jobs": ['
	local first="" rate
	for rate in "$@"; do
		printf '%s{"jobname": "j", "engine": "e", "read": {"iops": 0}, "write": {"iops": %s}, "trim": {"iops": 0}}' \
			"$first" "$rate"
		first=", "
	done
	printf ']}\n'
}
make_report 100 90 110 >a.json
make_report 150 140 1000 >b.json
run compare a.json b.json --fail-below 1.5
((status == 0)) || fail "1.5 is not below 1.5: status $status"
expect out '^j +e +100/s -> +150/s +1.500 \(1.400..10.000, runs 3 and 3\)$'
run compare a.json b.json --fail-below=1.51
((status == 1)) || fail "1.5 is below 1.51: status $status"
expect out 'BELOW$'
run compare b.json a.json
((status == 0)) || fail "without --fail-below: status $status"
for arguments in "a.json" "a.json b.json c.json" "a.json missing.json" "a.json b.json --fail-below=x" "a.json b.json --nosuch"; do
	# shellcheck disable=SC2086
	run compare $arguments
	((status == 2)) || fail "compare $arguments: status $status"
done
printf 'not json' >c.json
run compare a.json c.json
((status == 2)) || fail "no JSON: status $status"
expect err 'c.json:1:'
printf '{"jobs": [{"jobname": "other", "read": {"iops": 1}}]}' >c.json
run compare a.json c.json
((status == 2)) || fail "nothing in common: status $status"
expect err 'no job in common'
# What has gone missing, or does nothing any more, is no success.
printf '{"jobs": [{"jobname": "j", "engine": "e", "read": {"iops": 9}}, {"jobname": "k", "engine": "e", "read": {"iops": 1}}]}' >d.json
run compare d.json a.json
((status == 0)) || fail "nothing asked for: status $status"
expect out '^k +e +only in d.json$'
run compare d.json a.json --fail-below=0.5
((status == 1)) || fail "a job is missing: status $status"
