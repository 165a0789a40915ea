#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Bugs that are put into the engine on purpose are found within ten thousand schedules: the checks of the simulated kernel
# find what they are there for.
# varve-test: backend=any mount=no root=no
set -euo pipefail

build=${VARVE_BUILD:-$(cd -- "$(dirname -- "$0")/../.." && pwd)/build}
readonly schedules=10000

for bug in $("$build/tests/sim/sim" --bugs); do
	status=0
	found=$("$build/tests/sim/sim" --bug "$bug" --count "$schedules" 2>/dev/null) || status=$?
	if ((status == 77)); then
		printf '%s\n' "$found"
		exit 77
	fi
	if ((status != 1)); then
		printf '%s was not found: status %d, %s\n' "$bug" "$status" "$found"
		exit 1
	fi
	printf '%s: %s\n' "$bug" "$found"
done
