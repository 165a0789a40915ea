#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tests of every operation, on the oldest kernel. The programs make the file systems that they need.
# vm-options: --limit 5400
set -euo pipefail
. tests/vm/guest/common.sh

for program in build/tests/{unit,ops,api,faults}/test_*; do
	if [[ -f "$program" && -x "$program" ]]; then
		check uring "$program"
	fi
done
# Without io_uring nothing of it is left to differ between kernels: the two that change most are enough.
for program in build/tests/api/test_{create,remove}; do
	check threads "$program"
done
finish
