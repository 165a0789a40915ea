#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# That the policy is enforced here, knows the labels of containers, and does not stop a store from working.
# vm-options: --selinux --limit 600
set -euo pipefail
. tests/vm/guest/common.sh

fail() {
	echo "FAIL: $*"
	exit 1
}

readonly label=system_u:object_r:container_file_t:s0:c1,c2
[[ "$(getenforce)" == Enforcing ]] || fail "SELinux is $(getenforce)"
mkdir /disk/store
build/tests/crash/churn --prepare --home /disk/store/home
layers=/disk/store/home/subvolumes
chcon -R "$label" "$layers/base-2" || fail "the label of a container cannot be set"
if chcon system_u:object_r:no_such_type_t:s0 "$layers/base-2/d00" 2>/dev/null; then
	fail "a label that is not in the policy can be set"
fi
build/varve --home /disk/store/home create --parent base-2 copy
for path in copy copy/d00/f000 copy/d01/link; do
	[[ "$(stat -c %C "$layers/$path")" == "$label" ]] || fail "a snapshot lost its label: $(stat -c '%n %C' "$layers/$path")"
done
build/varve --home /disk/store/home rm copy
check uring build/tests/crash/churn --home /disk/store/home --record /tmp/record --seconds 4 --limit 200
check uring build/tests/crash/verify --home /disk/store/home --record /tmp/record
finish
