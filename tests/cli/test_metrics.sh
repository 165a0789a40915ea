#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# status --metrics: OpenMetrics text that its own parser takes, with the numbers of the store; written whole to a file.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
python=/usr/bin/python3
"$python" -c 'import prometheus_client.openmetrics.parser' 2>/dev/null || lib_skip "needs python3-prometheus-client"

# Parse the file $1, and print each sample: its name, its labels but for home, its value.
samples() {
	"$python" - "$1" <<'END'
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(open(sys.argv[1], encoding="utf-8").read()):
	assert family.documentation and family.type != "unknown", family
	assert not family.name.endswith("_bytes") or family.unit == "bytes", family
	for sample in family.samples:
		assert sample.labels.pop("home"), sample
		print(sample.name, *(f"{key}={value}" for key, value in sample.labels.items()), int(sample.value))
END
}

quietly create a b
quietly create --label job=17 c
run status --metrics
[[ "$status" == 0 && ! -s "$scratch/err" ]] || lib_fail "status --metrics: $status" "$(cat "$scratch/err")"
samples "$scratch/out" >"$scratch/samples" || lib_fail "not OpenMetrics:" "$(cat "$scratch/out")"
for line in "varve_layers 3" "varve_layers_with_record 1" "varve_quota_mode mode=off 1" "varve_quota_mode mode=full 0" \
	"varve_quota_inconsistent 0" "varve_version version=$("$varve" version | sed -n '1s/.* //p') 1" "varve_kernel release=$(uname -r) 1"; do
	grep -qxF "$line" "$scratch/samples" || lib_fail "no '$line' in" "$(cat "$scratch/samples")"
done
grep -qx 'varve_cleaner_backlog_subvolumes [0-9]*' "$scratch/samples" || lib_fail "no backlog"
grep -qx 'varve_filesystem_size_bytes [1-9][0-9]*' "$scratch/samples" || lib_fail "no space"
[[ "$(tail -n 1 "$scratch/out")" == "# EOF" ]] || lib_fail "no end"

# What node_exporter's textfile collector takes of the file $1: the older text format, each name once, gauges without times.
collect() {
	"$python" - "$1" <<'END'
import sys
from prometheus_client.parser import text_string_to_metric_families
text = open(sys.argv[1], encoding="utf-8").read()
assert text.endswith("\n"), "no newline at the end"
names = set()
for family in text_string_to_metric_families(text):
	assert family.type == "gauge" and family.documentation and family.name not in names, family
	names.add(family.name)
	for sample in family.samples:
		assert sample.timestamp is None and sample.name == family.name, sample
		print(sample.name, *(f"{key}={value}" for key, value in sample.labels.items() if key != "home"), int(sample.value))
END
}

# To a file: a new one that the collector may read.
mkdir "$scratch/collector"
prom="$scratch/collector/varve.prom"
(umask 022 && quietly status --metrics --output "$prom")
[[ "$(stat -c %a "$prom")" == 644 ]] || lib_fail "its mode is $(stat -c %a "$prom")"
collect "$prom" >"$scratch/samples" || lib_fail "not for the collector:" "$(cat "$prom")"
grep -qxF "varve_layers_with_record 1" "$scratch/samples" || lib_fail "the file:" "$(cat "$prom")"

# It takes the place of another: a reader that has opened that one reads it to its end, and nothing is left beside.
echo old >"$prom"
exec {reader}<"$prom"
quietly status --metrics --output "$prom"
[[ "$(cat <&"$reader")" == old ]] || lib_fail "a reader has seen a change"
exec {reader}<&-
collect "$prom" >"$scratch/samples"
grep -qxF "varve_layers 3" "$scratch/samples" || lib_fail "the file:" "$(cat "$prom")"
# What fails, before it writes or while, leaves what was there.
echo old >"$prom"
if "$varve" --home "$scratch/missing" status --metrics --output "$prom" 2>/dev/null ||
	(ulimit -f 0 && trap '' XFSZ && exec "$varve" --home "$home" status --metrics --output "$prom" 2>/dev/null); then
	lib_fail "it has not failed"
fi
[[ "$(cat "$prom")" == old ]] || lib_fail "after a failure:" "$(cat "$prom")"
[[ "$(ls -A "$scratch/collector")" == varve.prom ]] || lib_fail "left beside:" "$(ls -A "$scratch/collector")"
run status --output "$prom"
expect 2 "" "varve: status: --output needs --metrics"*

# A home whose name has to be escaped, is no UTF-8, and would change the colour of a terminal.
odd="$VARVE_TEST_MOUNT/a\"b\\c"$'\n'"d"$'\xff\r\033[31m'
"$varve" --home "$odd" create x >/dev/null
"$varve" --home "$odd" status --metrics >"$scratch/odd"
collect "$scratch/odd" >"$scratch/samples"
samples "$scratch/odd" >"$scratch/samples"
grep -qxF "varve_layers 1" "$scratch/samples" || lib_fail "an odd home:" "$(cat "$scratch/odd")"
if LC_ALL=C grep -q $'[\001-\011\013-\037\177]' "$scratch/odd"; then
	lib_fail "control characters:" "$(cat -A "$scratch/odd")"
fi
