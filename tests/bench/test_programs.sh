#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a program writes to standard error appears once: its first line is the reason of the failure, however many follow.
# varve-test: backend=any
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start mount

# A chcon that fails on each file, as on a file system that is full.
mkdir "$scratch/bin"
cat >"$scratch/bin/chcon" <<'END'
#!/bin/sh
for file in 1 2 3; do
	echo "chcon: failed to change context of 'f$file': No space left on device" >&2
done
exit 1
END
chmod +x "$scratch/bin/chcon"
PATH="$scratch/bin:$PATH"

run --name=relabel --rw=relabel --ioengine=coreutils "--directory=$mnt" --nrfiles=3 --number_ios=3
((status == 1)) || fail "status $status"
expect out "failed: relabel .*: chcon: failed to change context of 'f1': No space left on device$"
lines="$(cat "$scratch/out" "$scratch/err" | grep -c 'chcon: failed')"
((lines == 1)) || fail "$lines lines for one failure"
expect_clean
