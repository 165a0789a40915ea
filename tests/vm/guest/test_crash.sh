#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The crash tests, few rounds of each, on the oldest kernel.
# vm-options: --limit 1200 --disk-size 20G
set -euo pipefail
. tests/vm/guest/common.sh

VARVE_TEST_ROUNDS=4 check uring tests/crash/test_kill.sh
VARVE_TEST_ROUNDS=2 check threads tests/crash/test_kill.sh
VARVE_TEST_ROUNDS=3 check uring tests/crash/test_powercut.sh
VARVE_TEST_ROUNDS=3 check uring tests/crash/test_powercut_torn.sh
finish
