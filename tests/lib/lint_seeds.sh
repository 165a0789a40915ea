# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Does tests/lint find what it is to find? One violation of each rule is seeded in a copy; tests/lint --self-test sources this file.
# shellcheck disable=SC2016,SC2034,SC2154,SC2164 # The variables are those of tests/lint, which sets -e.

# Seed a file ($1, its text on standard input) in the tree; judge() then expects the finding $2 (a regular expression), or none, in
# the file $3 (that file). A name "x" gets a number, so that one look at the tree judges many seeds.
expect() {
	local file="$1" text
	if [[ "${file##*/}" == x.* ]]; then
		file="${file%/*}/x${#seeded[@]}.${file##*.}"
	elif [[ -n "${seeded[$file]:-}" ]]; then
		judge
	fi
	# Without a process of its own, as there are hundreds of seeds.
	IFS= read -r -d '' text || true
	[[ -d "./${file%"${file##*/}"}" ]] || mkdir -p "./${file%"${file##*/}"}"
	printf '%s' "$text" >"$file"
	seeded["$file"]="${2//x.[ch]:/${file##*/}:}"
	places["$file"]="${3:-$file}"
}

# Look at the tree once; see that each seed has its finding or none, and nothing else has one. Then remove the seeds.
judge() {
	local file line wanted place
	local -A found=()
	while read -r line; do
		if [[ -n "$line" ]]; then
			found["${line%%:*}"]+="$line"$'\n'
		fi
	done < <(check_tree)
	for file in "${!seeded[@]}"; do
		wanted="${seeded[$file]}" place="${places[$file]}"
		if [[ (-z "$wanted" && -n "${found[$place]:-}") || (-n "$wanted" && ! "${found[$place]:-}" =~ $wanted) ]]; then
			failures=$((failures + 1))
			printf 'lint --self-test: %s: expected %s, found %s\n' "$file" "${wanted:-nothing}" "${found[$place]:-nothing}"
		fi
	done
	rm -- "${!seeded[@]}"
	for file in "${!seeded[@]}"; do
		unset "found[${places[$file]}]"
	done
	if ((${#found[@]})); then
		failures=$((failures + 1))
		printf 'lint --self-test: findings where nothing was seeded: %s\n' "${found[*]}"
	fi
	seeded=() places=()
}

# Print COUNT ($1) lines of $2.
repeated() {
	local i
	for ((i = 0; i < $1; i++)); do
		printf '%s\n' "$2"
	done
}

self_test() {
	local c="/* $LICENCE */" i directory bench="${build:+$build/varve-bench}"
	local -A seeded=() places=()
	failures=0
	directory="$(mktemp -d)"
	# shellcheck disable=SC2064
	trap "rm -rf -- '${directory:?}'" EXIT
	cd "$directory"
	machine_path=/srv/somebody/checkout
	build=""
	mkdir -p engine/ops engine/base
	printf '%s\n' "$c" >engine/ops/freeze.h
	printf '%s\n' "$c" >engine/base/list.h
	expect engine/ops/freeze.c '' <<<"$c
#include \"engine/ops/freeze.h\"
#include \"engine/base/list.h\"
#include <stdio.h>

/* Not code: system(\"x\"), #ifdef IORING_X, alloca(1). */
#ifndef BTRFS_IOC_NEW
#define BTRFS_IOC_NEW 1
#endif
static const char text[] = \"system(1) sleep(2)\";"
	expect engine/ops/x.c 'x.c:2: comment' <<<"$c
/** A comment of the public header. */"
	expect engine/ops/create.c 'create.c:2: include' <<<"$c
#include \"engine/ops/freeze.h\""
	expect engine/base/list.c 'list.c:3: include' <<<"$c
#include \"engine/base/list.h\"
#include \"engine/io/ring.h\""
	expect engine/core/x.c 'include' <<<"$c
#include \"engine/ops/freeze.h\""
	expect engine/btrfs/x.c 'include' <<<"$c
#include \"engine/walk/walk.h\""
	expect engine/base/x.c 'include' <<<"$c
#include \"bench/job.h\""
	expect api/layer.c 'include' <<<"$c
#include \"engine/btrfs/subvolume.h\""
	expect api/cli/main.c 'include' <<<"$c
#include \"engine/core/op.h\""
	expect bench/main.c 'include' <<<"$c
#include \"engine/core/op.h\""
	expect bench/engines/x.c '' <<<"$c
#include \"../engine.h\""
	expect bench/engines/x.c 'include' <<<"$c
#include \"../../engine/core/op.h\""
	expect docs/examples/x.c 'include' <<<"$c
#include \"../../engine/core/op.h\""
	expect tests/api/test_x.c 'include' <<<"$c
#include \"engine/core/op.h\""
	expect tests/unit/test_x.c '' <<<"$c
#include \"engine/core/op.h\""
	expect engine/base/list.c 'list.c:2: own-header' <<<"$c
#include <stdio.h>
#include \"engine/base/list.h\""
	expect engine/base/x.c 'public' <<<"$c
int varve_new(void)
{
	return 0;
}"
	expect engine/ops/x.c 'layout' <<<"$c
static const char place[] = \".varve/trash\";"
	printf '%s\n' "$c" >engine/base/x_circle_b.h
	expect engine/base/x_circle_b.c 'x_circle_b.c:3: circle' <<<"$c
#include \"engine/base/x_circle_b.h\"
#include \"engine/base/x_circle_c.h\""
	expect engine/base/x_circle_a.h 'x_circle_a.h:2: circle' <<<"$c
#include \"engine/base/x_circle_b.h\""
	expect engine/base/x_circle_c.h 'x_circle_c.h:2: circle' <<<"$c
#include \"engine/base/x_circle_a.h\""
	expect bench/load/x_circle.h 'x_circle.h:2: circle' <<<"$c
#include \"place/x_circle.h\""
	expect bench/place/x_circle.h 'x_circle.h:2: circle' <<<"$c
#include \"load/x_circle.h\""
	judge
	# It leads into a circle, and is in none.
	expect engine/base/x_circle_a.h '' <<<"$c
#include \"engine/base/x_circle_b.h\""
	judge
	rm -- engine/base/x_circle_b.h
	for i in 'call_function(\&op->call, LANE_FS, "openat2", x_run)' 'call_function(call, LANE_FS, wide ? "a" : "b",
		x_run)' 'call_function(call, lane, "openat2", x_run)' 'call_function(call, wide ? LANE_LONG : LANE_FS, "a", x_run)' \
		'call->lane = LANE_FS'; do
		expect engine/ops/x.c 'x.c:2: short-lane' <<<"$c
int x = $i;"
	done
	for i in 'call_function(call, LANE_LONG, wide ? "a" : "b", x_run)' 'threads_max[LANE_FS] + 1'; do
		expect engine/ops/x.c '' <<<"$c
int x = $i;"
	done
	expect engine/ops/info.c 'info.c:1: short-lane: engine/ops/info.c:info_ask_run is among' <<<"$c"
	judge
	expect engine/ops/info.c '' <<<"$c
int x = call_function(\&op->call, LANE_FS, \"openat2\", info_ask_run);"
	printf '%s\nint sync_a(int fd)\n{\n\treturn fsync(fd);\n}\n' "$c" >engine/btrfs/x_sync.c
	printf '%s\nint sync_b(int fd)\n{\n\treturn sync_a(fd) + btrfs_util_sync_fd(fd);\n}\n' "$c" >engine/core/x_sync.c
	for i in 'op->call.name = "fsync"' 'call->name = wide ? NULL : "BTRFS_IOC_SYNC"' 'call_function(call, LANE_LONG, "fsync", sync_b)' \
		'call_function(call, LANE_LONG, "sweep", NULL)'; do
		expect engine/ops/x.c '' <<<"$c
int f(int fd)
{
	$i;
	return sync_b(fd);
}"
	done
	for i in 'op->call.name = "fdatasync"' 'call->name = wide ? "fsync" : "BTRFS_IOC_CLONE"' 'call_function(call, LANE_LONG,
		"unlinkat", sync_b)'; do
		expect engine/ops/x.c 'x.c:4: call-name' <<<"$c
int f(int fd)
{
	$i;
	/* fdatasync() unlinkat() BTRFS_IOC_CLONE */
	return sync_b(fd);
}"
	done
	judge
	rm -- engine/btrfs/x_sync.c engine/core/x_sync.c
	printf '%s\nstruct tag {\n\tint x;\n};\n' "$c" >engine/base/tag.h
	expect engine/ops/x.c 'unique' <<<"$c
struct tag {
	int x;
};"
	expect engine/base/x.c 'licence' <<<"int x;"
	expect tests/x.sh 'licence' <<<"#!/bin/bash
set -euo pipefail"
	expect tests/tool 'licence' <<<"#!/usr/bin/python3"
	expect tests/x.sh 'script' <<<"#!/bin/bash
# $LICENCE"
	expect engine/base/x.c 'x.c:3: call' <<<"$c
int f(void) {
	return system(\"true\");
}"
	expect engine/base/x.c 'call' <<<"$c
char *p = alloca(3);"
	for i in 'usleep(3)' 'sleep(1)' 'nanosleep(&time, NULL)' 'clock_nanosleep(clock, 0, &time, NULL)' 'poll(NULL, 0, 10)'; do
		expect tests/api/x.c 'x.c:2: call: waits' <<<"$c
int y = $i;"
	done
	expect tests/crash/churn.c '' <<<"$c
int y = nanosleep(&time, NULL);"
	expect engine/base/x.c '' <<<"$c
int y = poll(fds, 1, 10) + test_nanosleep(3);"
	for i in 's%s 0.1' '	while true; do s%s "$pause"; done' 'x || s%s $pause' '    time.s%s(PAUSE_S)' '	time.S%s(time.Second)'; do
		# shellcheck disable=SC2059
		expect tests/x.sh 'x[0-9]*.sh:2: sleep: waits' <<<"# $LICENCE
$(printf "$i" leep)"
	done
	for i in '# s%s 1' '["/bin/s%s", "infinity"]' 'usleep 3' 'random_s%s 50'; do
		# shellcheck disable=SC2059
		expect tests/x.sh '' <<<"# $LICENCE
$(printf "$i" leep)"
	done
	expect tests/lib/wait.sh '' <<<"# $LICENCE
$(printf 's%s 1' leep)"
	for i in 'fchmodat(fd, name, 0644, 0)' 'chmod(path, 0)' 'fchownat(fd, name, 0, 0, 0)' 'utimensat(fd, name, times, 0)' \
		'setxattr(path, "user.x", "", 0, 0)' 'getxattr(path, "user.x", NULL, 0)' 'listxattr(path, NULL, 0)' 'open(path, O_RDONLY)' \
		'openat(fd, name, O_RDONLY)' 'stat(path, &s)' 'access(path, 0)' 'linkat(fd, "", fd, name, AT_SYMLINK_FOLLOW)' \
		'fstatat(fd, name, &s, 0)' 'statx(fd, name, 0, 0, &s)' 'RET_NERRNO(openat(fd, name,
		O_RDONLY | O_CLOEXEC))'; do
		expect engine/dir/x.c 'x.c:2: follow' <<<"$c
int x = $i;"
	done
	for i in 'fchmod(fd, 0)' 'opath_chmod(fd, 0)' 'fchownat(fd, name, 0, 0, AT_SYMLINK_NOFOLLOW)' 'fsetxattr(fd, "user.x", "", 0, 0)' \
		'lgetxattr(path, "user.x", NULL, 0)' 'openat(fd, ".", O_RDONLY)' 'openat(fd, name,
		O_RDONLY | O_NOFOLLOW)' 'linkat(fd, name, fd, name, 0)' 'statx(fd, "", AT_EMPTY_PATH, 0, &s)' 'class->open(path, 0)'; do
		expect engine/dir/x.c '' <<<"$c
int x = $i;"
	done
	expect engine/archive/stream.c '' <<<"$c
int x = open(path, O_RDONLY);"
	expect engine/base/x.c 'x.c:2: twice' <<<"$c
int x(int a) { return MIN(a, y(a)); }"
	expect api/x.c 'x.c:4: twice' <<<"$c
int x(int a)
{
	return MAX(sizeof(a),
		y(a));
}"
	expect engine/base/x.c '' <<<"$c
int x(int a) { return MIN(sizeof(a), (size_t)(a + 1)) + y(a); }"
	expect engine/base/x.c 'ifdef' <<<"$c
#ifdef IORING_OP_UNLINKAT
#endif"
	expect engine/base/x.c 'ifdef' <<<"$c
#ifndef BTRFS_IOC_NEW
int without;
#endif"
	expect engine/base/x.c 'ifdef' <<<"$c
#if LINUX_VERSION_CODE > 3
#endif"
	expect engine/base/x.c 'x.c:2: space' <<<"$c
int x; "
	expect engine/base/x.c 'space' <<<"$c
    int x;"
	expect engine/base/x.c 'space' <<<"$c
  	int x;"
	expect engine/base/x.c 'space' < <(printf '%s\nint x;' "$c")
	expect engine/base/x.c 'columns' <<<"$c
$(printf '\t%.0s' {1..12})12345"
	expect engine/base/x.c '' <<<"$c
static const char text[] = \"$(printf 'x%.0s' {1..120})\";
/*
 *	a table $(printf 'x%.0s' {1..120})
 */"
	expect engine/base/x.c '' <<<"$c
$(printf '\t%.0s' {1..12})1234"
	for i in 'int f(void) {' $'int f(void)\n{'; do
		expect engine/base/x.c 'function-length' < <(printf '%s\n%s\n' "$c" "$i"; repeated 81 $'\tx++;'; echo '}')
		expect engine/base/x.c 'note' < <(printf '%s\n%s\n' "$c" "$i"; repeated 75 $'\tx++;'; echo '}')
		expect engine/base/x.c '' < <(printf '%s\n%s\n' "$c" "$i"; repeated 60 $'\tx++;'; echo '}')
	done
	expect engine/base/x.c '' < <(printf '%s\nstatic const int table[] = {\n' "$c"; repeated 150 $'\t1,'; echo '};')
	expect engine/base/x.c 'file-length' < <(printf '%s\n' "$c"; repeated 1200 'int x;')
	expect engine/base/x.h 'x.h:1201: note' < <(printf '%s\n' "$c"; repeated 1200 'int x;')
	expect engine/base/x.c 'note' < <(printf '%s\n' "$c"; repeated 1100 'int x;')
	expect notes.txt 'top' <<<"x"
	for i in who whoever whosoever told beats 'so much the better' "is the sweep's" 'gets nowhere' 'a life of its own'; do
		expect engine/base/x.c 'x.c:3: words' <<<"$c
int x; /* one line
 * which says $i here */"
		expect docs/man/x.7 'x[0-9]*.7:1: words' <<<"It $i it."
	done
	expect api/x.c 'x.c:2: words' <<<"$c
int x; /* Who waits */"
	expect README.md 'README.md:3: words' <<<"# A title

Whoever reads this is told."
	expect engine/base/x.c '' <<<"$c
/* The whole of \`beats\`, and those whose value is known. */
int told, beats; const char *who = \"who is told\";"
	expect docs/man/x.3 '' <<<".It Fa beats
whole, whose, toldest"
	expect docs/x.md 'machine' <<<"look in /srv/somebody/checkout/x"
	expect docs/x.md 'machine' <<<"or in /srv/somebody/other"
	judge
	printf '| file | what |\n| base/known, list | files |\n| ops/ | operations |\n' >engine/README.md
	expect engine/base/known.c '' engine/README.md <<<"$c"
	judge
	expect engine/base/strange.c 'README.md:1: map' engine/README.md <<<"$c"
	judge
	rm -- engine/README.md
	# Objects: what is mutable is found, what is read-only is not.
	build="$directory/build"
	mkdir -p "$build/engine"
	gcc -x c -fPIC -c -o "$build/engine/bss.o" - <<<'static int counter; int count(void) { return ++counter; }'
	gcc -x c -fPIC -c -o "$build/engine/data.o" - <<<'int set = 3;'
	gcc -x c -fPIC -c -o "$build/engine/tbss.o" - <<<'static __thread int mine; int *get(void) { return &mine; }'
	gcc -x c -fPIC -c -o "$build/engine/good.o" - <<<'const char *const table[] = {"a", "b"}; const int n = 2;'
	expect docs/bss.md 'bss.o:0: global: counter in .bss' engine/bss.o <<<""
	expect docs/data.md 'data.o:0: global: set in .data' engine/data.o <<<""
	expect docs/tbss.md 'tbss.o:0: global: mine in .tbss' engine/tbss.o <<<""
	expect docs/good.md '' engine/good.o <<<""
	judge
	# One object alone.
	rm -- "$build"/engine/{bss,tbss,good}.o
	expect docs/data.md 'data.o:0: global: set in .data' engine/data.o <<<""
	judge
	rm -- "$build"/engine/data.o
	if [[ -x "$bench" ]]; then
		ln -s -- "$bench" "$build/varve-bench"
		expect bench/jobs/good.fio '' <<<$'; Why these numbers.\n[noop]\nrw=noop\nioengine=noop'
		expect bench/jobs/comment.fio 'comment.fio:2: job: ' <<<$'; Why these numbers,\nin two lines.\n[noop]\nrw=noop'
		expect bench/jobs/large/value.fio 'value.fio:3: job: ' <<<$'; Why.\n[noop]\nrw=nop'
		expect bench/jobs/none.fio 'none.fio:1: job: ' <<<'; Nothing but a comment.'
		expect docs/man/varve-bench-job.5 'job.5:5: job: ' <<<$'.Sh EXAMPLES\n.Bd -literal -offset indent\n[noop]\nrw=noop\nno-such-key=1\n.Ed'
		judge
		expect docs/man/varve-bench-job.5 '' <<<$'.Sh EXAMPLES\n.Bd -literal -offset indent\n[noop]\nrw=noop\n.Ed\ntext'
		judge
	fi
	build=""
	if [[ -n "$(format_tool)" ]]; then
		format="$(format_tool)"
		cp -- "$here/.clang-format" .
		expect engine/base/x.c 'x.c:2: format' <<<"$c
int  x;"
		expect engine/base/x.c '' <<<"$c
int x;"
		judge
	fi
	cd /
	if ((failures)); then
		return 1
	fi
	echo "lint --self-test: every seeded violation was found"
}
