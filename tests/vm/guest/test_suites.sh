#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The tests of every operation, on the oldest kernel, with SELinux on and not enforced. An emulated machine runs the core of
# them, with both backends where that makes a difference, and of the others what it comes to.
# vm-options: --permissive --btrfs-errors --memory 6144 --disk-size 20G --limit 5400
# vm-options-emulated: --limit 900
set -euo pipefail
. tests/vm/guest/common.sh

# By operation: what is too large for an emulator, or does not depend on the kernel, is not among them.
readonly core=(unit ops/test_chown ops/test_empty ops/test_relabel ops/test_usage ops/test_clock api/test_create api/test_remove
	api/test_quota api/test_nested api/test_sweep api/test_info api/test_list api/test_get api/test_sync api/test_durability
	api/test_processes api/test_fork api/test_changes api/test_stream cli/test_layers cli/test_quota)
readonly core_threads=(ops/test_chown ops/test_relabel api/test_remove)
# Seconds after which no more of the others is started where the machine is emulated.
readonly OTHERS_S=10

mapfile -t others < <(tests/run --list --backend uring api | cut -d ' ' -f 1 | grep -vxF -f <(printf '%s\n' "${core[@]}"))
if [[ "$VARVE_VM_ACCEL" != tcg ]]; then
	run_tests "${core[@]}" "${others[@]}" cli/test_changes cli/test_diff cli/test_apply
	finish
fi
run_tests --backend uring "${core[@]}"
run_tests --backend threads "${core_threads[@]}"
run_tests --backend uring --within "$OTHERS_S" "${others[@]}"
finish
