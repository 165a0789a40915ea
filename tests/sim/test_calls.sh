#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each function of the C library that the engine calls has one of the simulated kernel in its place, or asks no kernel: a
# new one has to be added to tests/sim, or to the list here.
# varve-test: backend=any mount=no root=no
set -euo pipefail
export LC_ALL=C

build=${VARVE_BUILD:-$(cd -- "$(dirname -- "$0")/../.." && pwd)/build}

# What asks no kernel, or what schedules never come to: helpers of pools.
readonly HARMLESS='
_.*|environ|btrfs_util_.*|io_uring_opcode_supported|posix_spawn(attr|_file_actions)_.*|pthread_(attr|condattr|mutexattr)_.*
mem(cmp|cpy|move|rchr|set)|str.*|stpcpy|v?sn?printf|dprintf|qsort(_r)?|sig.*set|secure_getenv|getenv
fclose|fread|fwrite|fprintf|fputc|fputs|ferror|open_memstream|closedir|readdir
dl(close|sym|info|addr)|dl_iterate_phdr|iconv_(open|close)|freelocale|uselocale
clock_getres|getrusage|uname|getpwnam_r|is_selinux_enabled|security_check_context|waitpid
fs(config|mount)|timerfd_settime|ioctl|fstat|fstatfs
'

status=0
"$build/tests/sim/sim" --count 0 >/dev/null || status=$?
if ((status == 77)); then
	echo "a sanitized build calls other functions"
	exit 77
fi
for tool in nm awk; do
	if ! command -v "$tool" >/dev/null; then
		echo "needs $tool"
		exit 77
	fi
done

used=$(nm "$build/libvarve-internal.a" 2>/dev/null | awk '
	NF == 2 && $1 == "U" { used[$2] = 1 }
	NF == 3 { defined[$3] = 1 }
	END { for (name in used) if (!(name in defined)) print name }' | sort)
# The objects' symbols: a linker may leave those of the program out.
known=$(nm "$build"/tests/sim/*.o | awk '$3 ~ /^__wrap_/ { print substr($3, 8) }' | sort -u)
harmless=$(tr -s '\n' '|' <<<"$HARMLESS" | sed 's/^|//; s/|$//')
unknown=$(comm -23 <(printf '%s\n' "$used") <(printf '%s\n' "$known") | grep -vxE "$harmless" || true)
if [[ -n "$unknown" ]]; then
	printf 'the engine calls what tests/sim does not know:\n%s\n' "$unknown"
	exit 1
fi

# A call within an object stays as it is: so a file with a function that is replaced is compiled by itself, as NAME.o, not as one
# with others, as FIRST-LAST.o.
joined=$(nm -A "$build/libvarve-internal.a" 2>/dev/null | awk -F '[: ]+' '$(NF - 1) == "T" && $2 ~ /-/ { print $NF, $2 }' | sort |
	join - <(printf '%s\n' "$known"))
if [[ -n "$joined" ]]; then
	printf 'these are replaced in tests/sim, but their files are not in LIB_ALONE of the Makefile:\n%s\n' "$joined"
	exit 1
fi
