#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Random schedules of up to three processes in a simulated kernel, with power cuts, kills and errors on purpose: what
# varve_durability(7) promises holds in each. A seed that fails is replayed with a trace by `sim --seed N --trace`.
# VARVE_TEST_ROUNDS: how many (100,000; in the soak ten million, others each time).
# varve-test: backend=any mount=no root=no timeout=120
set -euo pipefail

build=${VARVE_BUILD:-$(cd -- "$(dirname -- "$0")/../.." && pwd)/build}
rounds=${VARVE_TEST_ROUNDS:-100000}
seed=${VARVE_TEST_SEED:-1}
if [[ -n "${VARVE_TEST_SOAK:-}" ]]; then
	rounds=${VARVE_TEST_ROUNDS:-10000000}
	seed=${VARVE_TEST_SEED:-$(date +%s%N)}
fi
half=$((rounds / 2))

"$build/tests/sim/sim" --seed "$((seed + half))" --count "$half" &
other=$!
trap 'kill "$other" 2>/dev/null || true' EXIT
"$build/tests/sim/sim" --seed "$seed" --count "$half"
trap - EXIT
wait "$other"
