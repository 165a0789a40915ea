#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: backend=either
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
quietly create c
run status --metrics
[[ "$status" == 0 && ! -s "$scratch/err" ]] || lib_fail "status --metrics: $status" "$(cat "$scratch/err")"
samples "$scratch/out" >"$scratch/samples" || lib_fail "not OpenMetrics:" "$(cat "$scratch/out")"
for line in "varve_layers 3" "varve_layers_with_record 0" "varve_quota_mode mode=off 1" "varve_quota_mode mode=full 0" \
	"varve_quota_inconsistent 0" "varve_version version=$("$varve" version | sed -n '1s/.* //p') 1" "varve_kernel release=$(uname -r) 1"; do
	grep -qxF "$line" "$scratch/samples" || lib_fail "no '$line' in" "$(cat "$scratch/samples")"
done
grep -qx 'varve_cleaner_backlog_subvolumes [0-9]*' "$scratch/samples" || lib_fail "no backlog"
grep -qx 'varve_filesystem_size_bytes [1-9][0-9]*' "$scratch/samples" || lib_fail "no space"
[[ "$(tail -n 1 "$scratch/out")" == "# EOF" ]] || lib_fail "no end"

# To a file, which takes the place of another, and no part of it stays beside.
mkdir "$scratch/collector"
echo old >"$scratch/collector/varve.prom"
quietly status --metrics --output "$scratch/collector/varve.prom"
samples "$scratch/collector/varve.prom" >"$scratch/samples"
grep -qxF "varve_layers 3" "$scratch/samples" || lib_fail "the file:" "$(cat "$scratch/collector/varve.prom")"
[[ "$(ls -A "$scratch/collector")" == varve.prom ]] || lib_fail "left beside:" "$(ls -A "$scratch/collector")"
run status --output "$scratch/collector/varve.prom"
expect 2 "" "varve: status: --output takes --metrics"*

# A home whose name has to be escaped, and is no UTF-8.
odd="$VARVE_TEST_MOUNT/a\"b\\c"$'\n'"d"$'\xff'
"$varve" --home "$odd" create x >/dev/null
"$varve" --home "$odd" status --metrics >"$scratch/odd"
samples "$scratch/odd" >"$scratch/samples"
grep -qxF "varve_layers 1" "$scratch/samples" || lib_fail "an odd home:" "$(cat "$scratch/odd")"
