#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A file system that goes away under load, on the oldest kernel.
# vm-options: --limit 900 --btrfs-errors --disk-size 8G
set -euo pipefail
. tests/vm/guest/common.sh

check uring tests/crash/test_fs_gone.sh
finish
