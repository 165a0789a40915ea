#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What fio's own tools read: JSON, json+ and logs; and the fields that JSON must have.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start mount
command -v jq >/dev/null || skip "jq is missing"
cd "$scratch"

run_well --name=first --rw=churn --live=8 "--ioengine=$engine" --iodepth=8 --nrfiles=10 --number_ios=400 \
	"--directory=$mnt" --write_lat_log=t --write_iops_log=t --write_bw_log=t --log_avg_msec=20 \
	--percentile_list=50:99.9 --output-format=json+ --output=o.json

# By the names that fio uses.
for path in '."fio version"' .timestamp .time '.jobs[0].jobname' '.jobs[0].groupid' '.jobs[0].error' '.jobs[0]."job options".rw' \
	'.jobs[0].write.io_bytes' '.jobs[0].write.bw' '.jobs[0].write.iops' '.jobs[0].write.runtime' \
	'.jobs[0].write.total_ios' '.jobs[0].write.slat_ns.mean' '.jobs[0].write.clat_ns.stddev' \
	'.jobs[0].write.clat_ns.percentile."99.900000"' '.jobs[0].write.clat_ns.bins' '.jobs[0].write.lat_ns.N' \
	'.jobs[0].write.iops_min' '.jobs[0].write.iops_stddev' '.jobs[0].trim.iops' '.jobs[0].read.iops' \
	'.jobs[0].usr_cpu' '.jobs[0].ctx' '.jobs[0].iodepth_level."8"' '.jobs[0].latency_us."1000"' \
	'.jobs[0].latency_ms.">=2000"' '.jobs[0].operations.remove.iops' '.jobs[0].figures.dispatch_max_ns'; do
	jq -e "$path != null" o.json >/dev/null || fail "no $path in the JSON"
done
jq -e '.jobs[0].write.total_ios + .jobs[0].trim.total_ios == 400' o.json >/dev/null || fail "the sum is not 400"
jq -e '([.jobs[0].write.clat_ns.bins[]] | add) == .jobs[0].write.clat_ns.N' o.json >/dev/null || fail "bins do not add up"
jq -e '.jobs[0].write.io_bytes == .jobs[0].write.total_ios * 40960' o.json >/dev/null || fail "io_bytes"
jq -e '.jobs[0].write.clat_ns.percentile | keys == ["50.000000", "99.900000"]' o.json >/dev/null || fail "percentiles"

# Both formats at once: a report for people, then one JSON document.
run_well --name=first --rw=noop --ioengine=noop --number_ios=100 --output-format=normal,json
expect out '^first: .groupid=0'
sed -n '/^{/,$p' out | jq -e .jobs >/dev/null || fail "no JSON after the report"

# The logs: ascending times, five columns.
for what in slat clat lat iops bw; do
	awk -F', ' 'NF != 5 || $1 < last || $3 > 2 { exit 1 } { last = $1 } END { exit NR < 2 }' "t_$what.1.log" ||
		fail "t_$what.1.log: $(head -n 3 "t_$what.1.log")"
done
# Without averaging, one line an operation.
run_well --name=all --rw=noop --ioengine=noop --number_ios=500 --write_lat_log=all
(($(wc -l <all_lat.1.log) == 500)) || fail "all_lat.1.log has $(wc -l <all_lat.1.log) lines"

missing=""
if command -v fio_jsonplus_clat2csv >/dev/null; then
	fio_jsonplus_clat2csv o.json o.csv >converted || fail "fio_jsonplus_clat2csv" "$(cat converted)"
	fio_jsonplus_clat2csv o.json o.csv --validate >converted || fail "fio_jsonplus_clat2csv --validate" "$(cat converted)"
else
	missing=fio
fi
if command -v fio_generate_plots >/dev/null && command -v gnuplot >/dev/null; then
	fio_generate_plots t >plots 2>&1 || fail "fio_generate_plots" "$(cat plots)"
	for what in slat clat lat iops bw; do
		grep -q '<path' "t-$what.svg" || fail "t-$what.svg is empty"
	done
	fio2gnuplot -i -g -p 't_iops.*.log' >plots 2>&1 || fail "fio2gnuplot" "$(cat plots)"
	[[ -s t_iops.1-2Draw.png ]] || fail "fio2gnuplot drew nothing"
else
	missing="fio or gnuplot"
fi
[[ -z "$missing" ]] || skip "$missing is not installed: its tools were not tried; the rest passed"
