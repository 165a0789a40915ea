#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tests of the command, on the oldest kernel.
# vm-options: --limit 3600
set -euo pipefail
. tests/vm/guest/common.sh

for script in tests/cli/test_*.sh; do
	check_mounted uring "$script"
done
finish
