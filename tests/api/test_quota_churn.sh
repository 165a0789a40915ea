#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: size=4G timeout=120 alone=yes
# Churn with limits under simple quotas, beside the reference driver's order of steps: both work. Which one is faster, and how much, is
# for the benchmark to say: here a machine that is busy with other things must pass.
set -euo pipefail
if [[ "$(printf '%s\n' 6.7 "$(uname -r)" | sort -V | head -n 1)" != 6.7 ]]; then
	echo "no simple quotas before Linux 6.7"
	exit 77
fi
program="${VARVE_BUILD:?}/tests/api/quota_churn"
figures="$("$program" "${VARVE_TEST_MOUNT:?}/store" 1 256 1 simple)"
printf '%s\n' "$figures"
awk '$1 == "simple" && $2 == "churn/reference" { seen = 1; if ($3 <= 0) { print "nothing was measured"; exit 1 } } END { exit !seen }' <<<"$figures"
