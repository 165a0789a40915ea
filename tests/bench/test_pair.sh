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
grep -q '^| p | .* | iops at least 0.001 | .* | yes |' r.md || fail "r.md: $(cat r.md)"
grep -q '^| p | .* | iops at most 0.0001 | .* | \*\*no\*\* |' r.md || fail "r.md: $(cat r.md)"
if grep -qF -e "$(uname -n)" -e "$mnt" r.md; then
	fail "the page of results names this machine or a path"
fi

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
