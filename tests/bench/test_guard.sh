#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The caller's thread makes no file-system call while layers are created and removed; and the trap that says so works.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start mount

common=("--directory=$mnt" --nrfiles=5 --number_ios=300 --guard_calls)

run --name=g --rw=snapshot --ioengine=ioctl "${common[@]}"
((status == 1)) || fail "the bare ioctl was not trapped"
expect out 'caller_fs_calls=1$'
run_well --name=g --rwmix=snapshot:90,remove:10 --live=50 --remove_batch=50 --iodepth=16 "--ioengine=$engine" "${common[@]}"
expect out 'caller_fs_calls=0$'
expect out 'dispatch_max_ns='
expect_clean
