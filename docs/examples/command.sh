#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The example of varve(1): a pool in DIR, a base, layers from it, and all of it away again. `varve` is found in PATH.
set -euo pipefail

dir="${1:?usage: command.sh DIR}"
# example: begin
varve pool create "$dir/pool.img" --size 512m --mount "$dir/pool"
export VARVE_HOME="$dir/pool/store"

varve create base
echo hello >"$(varve get base)/hello"
varve create --parent base web-1 web-2
seq -f job-%g 100 | varve create --parent base -
varve ls -l

seq -f job-%g 100 | varve rm -
varve rm --wait web-1 web-2 base
varve pool umount "$dir/pool"
# example: end
rm -- "$dir/pool.img"
rmdir -- "$dir/pool"
