#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: backend=any mount=no root=no
# The page of results has a section for each machine, and what moved is listed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start
cd "$scratch"

# What moved: by more than both spreads, and by more than rounding; new jobs and those that are gone.
{
	section "one" "slower|iops against ioctl|6.00 (5.80 to 6.20)" "within|iops against ioctl|6.00 (5.00 to 7.00)" \
		"reaches|iops against ioctl|6.00 (5.90 to 6.10)" "unit|p50_ns|1.20 ms (1.10 ms to 1.30 ms)" \
		"zero|caller_fs_calls|0 (0 to 0)" "once|sustained against reference|1.29 (1.29 to 1.29)" "gone|rate|16.5M (15.4M to 17.0M)" \
		"lost|iops against libuv|3.00 (2.90 to 3.10)" "size|rss_kib|7.5 MiB (7.2 MiB to 7.7 MiB)"
	section "other" "slower|iops against ioctl|1.00 (1.00 to 1.00)"
} >before.md
{
	section "one" "slower|iops against ioctl|3.00 (2.80 to 3.20)" "within|iops against ioctl|6.90 (6.80 to 6.95)" \
		"reaches|iops against ioctl|5.00 (4.00 to 6.05)" "unit|p50_ns|600 us (500 us to 700 us)" \
		"zero|caller_fs_calls|2 (1 to 3)" "once|sustained against reference|1.31 (1.31 to 1.31)" "new|rate|31.5k (30.0k to 32.0k)" \
		"lost|iops against libuv|not measured: libuv is not there" "size|rss_kib|15.0 MiB (14.9 MiB to 15.1 MiB)"
	section "strange" "slower|iops against ioctl|9.00 (9.00 to 9.00)"
} >now.md
run_well compare before.md now.md
cat >expected <<'T'
moved on one: job, figure, before, now, ratio
gone rate only before: 16.5M
lost iops against libuv only before: 3.00
slower iops against ioctl 6.00 -> 3.00 0.500
unit p50_ns 1.20 ms -> 600 us 0.500
zero caller_fs_calls 0 -> 2 -
new rate only now: 31.5k
size rss_kib 7.5 MiB -> 15.0 MiB 2.000
no earlier results of strange: nothing to compare with
T
diff expected <(tr -s ' ' <out) >difference || fail "what moved:" "$(cat difference)"
run_well compare now.md now.md
(($(grep -c '^nothing moved by more than its spread$' out) == 2)) || fail "the same page moved"
run compare before.md missing.md
((status == 2)) || fail "compare with a page that is not there: status $status"

# A run writes the section of its machine, leaves those of others as they are, and tells what moved. That is no failure.
printf '# Results\n\nOld words.\n\n' >r.md
section "Another processor, 8 cores, Linux 6.1" "t|iops against libuv|2.00 (1.90 to 2.10)" >>r.md
section "Another processor, 8 cores, Linux 6.1" "t|iops against libuv|2.00 (1.90 to 2.10)" >other
tiny=(--results=r.md --repeat=2 --rw=noop --number_ios=1000 --pair=noop,libuv '--claim=iops>=0.001' --name=t)
run_well "${tiny[@]}"
expect err '^no earlier results of .* cores, Linux .*: nothing to compare with$'
(($(grep -c '^## ' r.md) == 2)) || fail "sections: $(grep '^## ' r.md)"
own="$(sed -n 's/^## //p' r.md | grep -v '^Another processor')"
if grep -q 'Old words' r.md || ! grep -q '^- processor: ' r.md; then
	fail "the page: $(cat r.md)"
fi
{
	printf '# Results\n\n'
	section "$own" "t|iops against libuv|900000.00 (900000.00 to 900000.00)" "gone|p50_ns|1.00 ms (1.00 ms to 1.00 ms)"
	cat other
} >r.md
run_well "${tiny[@]}"
expect err '^t +iops against libuv +900000.00 -> '
expect err '^gone +p50_ns +only before: 1.00 ms$'
[[ "$(sed -n 's/^## //p' r.md)" == "$own"$'\n'"Another processor, 8 cores, Linux 6.1" ]] || fail "the order: $(grep '^## ' r.md)"
diff other <(sed -n '/^## Another/,$p' r.md; printf '\n') >difference || fail "another machine's section changed:" "$(cat difference)"
if grep -q '| gone |' r.md; then
	fail "a row of the earlier run is left"
fi
# A page that cannot be read is not replaced.
mkdir dir.md
run "${tiny[@]/r.md/dir.md}"
((status == 1)) || fail "a directory as the page: status $status"
