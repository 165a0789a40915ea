#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: backend=any mount=no root=no
# The rules of tests/lint hold for this tree; and the checker finds what breaks them.
set -euo pipefail
here="$(cd "$(dirname "$0")/../.." && pwd)"
"$here/tests/lint" --build "$VARVE_BUILD" --self-test
"$here/tests/lint" --build "$VARVE_BUILD"
