#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: mount=yes root=yes backend=any
# An archive has what the caller may open, by search as by walk: to a caller with CAP_SYS_ADMIN alone the tree shows more than that. There
# are more files than are looked at before the tree is searched for them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
setpriv --bounding-set=-all true 2>/dev/null || { echo "needs setpriv"; exit 77; }
lib_start pool
readonly FILES=3000 SECRETS=1000 STRANGER=4711
layer="$home/subvolumes/layer"

quietly create layer
(cd "$layer" && seq "$FILES" | split -l 1 -a 4 -d - open-)
(cd "$layer" && seq "$SECRETS" | sed 's/^/secret /' | split -l 1 -a 4 -d - secret- && chmod 600 secret-* && chown "$STRANGER" secret-*)

# Run the command as root with no other capabilities than $capabilities.
tool="$varve"
varve_with() {
	setpriv --bounding-set="-all,$capabilities" "$tool" "$@"
}
varve=varve_with

# Write the archives of both ways to $scratch/search.tar and walk.tar, with the capabilities $1; $2 entries are to be left out.
archives() {
	local way kept more
	capabilities="$1"
	for way in search walk; do
		if [[ "$way" == search ]]; then
			run diff --parent "" layer
		else
			run diff --parent "" --walk layer
		fi
		mv "$scratch/out" "$scratch/$way.tar"
		kept="$(grep -c "Permission denied (left out)" "$scratch/err")" || true
		more="$(sed -nE 's/^varve: ([0-9]+) more entries were left out.*/\1/p' "$scratch/err")"
		((kept + more == $2)) || lib_fail "$way with $1: $status $(tail -n 3 "$scratch/err")"
	done
	cmp "$scratch/search.tar" "$scratch/walk.tar" || lib_fail "the archives differ with $1"
}

archives +sys_admin "$SECRETS"
if grep -qa "secret [0-9]" "$scratch/search.tar"; then
	lib_fail "files are in the archive that the caller may not open"
fi
archives +sys_admin,+dac_read_search 0
[[ "$(grep -ao 'secret [0-9]*' "$scratch/search.tar" | wc -l)" == "$SECRETS" ]] || lib_fail "what the caller may read is missing"
