#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every engine does what it says it does, on real layers, without an error and without a leftover.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start mount

common=("--directory=$mnt" --nrfiles=20 --filesize=1k-8k --number_ios=24 --live=4)

for name in "$engine" reference ioctl libbtrfsutil btrfs-progs coreutils; do
	for shape in set forkjoin pipeline; do
		run_well --name=churn --rw=churn "--churn=$shape" --width=3 --iodepth=4 "--ioengine=$name" "${common[@]}"
		expect out "err= 0: engine=$name, rw=churn"
		expect out '^  snapshot: IOPS=.* 1[2-6] layers'
		expect_clean
	done
	run_well --name=mix --rwmix=create:30,remove:20,get:50 "--ioengine=$name" "${common[@]}"
	expect out '^  get: IOPS='
	expect_clean
done

# Batches, several threads, durable.
for name in "$engine" ioctl; do
	run_well --name=batch --rw=remove --batch=8 --numjobs=2 --group_reporting --durability=durable "--ioengine=$name" \
		"${common[@]}"
	expect out '^  remove: IOPS=.* 48 layers'
	run_well --name=create --rw=create --batch=5 --iodepth=3 --durability=durable "--ioengine=$name" "${common[@]}"
	expect out '^  create: IOPS=.* 24 layers'
done

# Trees: the walks see every entry. 20 files in one directory, and the root.
for kind in usage walk chown relabel; do
	for name in reference coreutils "$engine"; do
		# Without SELinux the library has nothing to label; and it does not walk for nothing.
		if [[ "$name" == "$engine" && ("$kind" == walk || ("$kind" == relabel && ! -e /sys/fs/selinux/enforce)) ]]; then
			continue
		fi
		if [[ "$kind" == relabel && "$name" == coreutils ]] && ! command -v chcon >/dev/null; then
			continue
		fi
		run_well --name=walk "--rw=$kind" "--ioengine=$name" "${common[@]}" --number_ios=3
		expect out "^  $kind: IOPS=.* 3 layers"
		if [[ "$name" == reference ]]; then
			expect out 'entries_walked=66'
		fi
	done
done

# Ten edits are listed by both; the library also lists the directory above them.
for name in reference "$engine"; do
	run_well --name=diff --rw=diff "--ioengine=$name" "${common[@]}" --live=1 --edits=3 --number_ios=2
	expect out '^  diff: IOPS=.* 2 layers'
	run_well --name=changes --rw=changes "--ioengine=$name" "${common[@]}" --filesize=4k --live=1 --edits=10 --number_ios=1
	listed="$(sed -n 's/.*changes_listed=\([0-9]*\).*/\1/p' "$scratch/out")"
	((listed >= 5 && listed <= 11)) || fail "$name listed $listed changes of ten edits"
done

# Archives: a layer from one, all of a layer as one, by the library and by tar. And what else the library can be asked.
for name in tar "$engine"; do
	run_well --name=apply --rw=apply "--ioengine=$name" "${common[@]}" --number_ios=3
	expect out '^  apply: IOPS=.* 3 layers'
	run_well --name=diff --rw=diff --full "--ioengine=$name" "${common[@]}" --number_ios=2
	expect out '^  diff: IOPS=.* 2 layers'
	expect_clean
done
# Compressed ones, with digests, on disk when it ends.
for format in gzip zstd; do
	for name in tar "$engine"; do
		run_well --name=apply --rw=apply "--compress=$format" --digests --durability=durable "--ioengine=$name" "${common[@]}" \
			--buffer_compress_percentage=50 --number_ios=2
		expect out '^  apply: IOPS=.* 2 layers'
		expect_clean
	done
done
for kind in info exists list sync sweep diffsize; do
	run_well --name=ask "--rw=$kind" "--ioengine=$engine" "${common[@]}" --number_ios=5 --iodepth=2
	expect out "^  $kind: IOPS=.* 5 layers"
done
# Flushes: each layer is written to before, and as many ioctls are made at once as there are layers.
for name in "$engine" ioctl; do
	run_well --name=flush --rw=flush "--ioengine=$name" "${common[@]}" --fill=8k --batch=4 --iodepth=2
	expect out '^  flush: IOPS=.* 24 layers'
	expect_clean
done
if traceable; then
	strace -f -qq -e trace=write,ioctl -e signal=none -o "$scratch/trace" "$bench" --name=x --rw=flush --ioengine=ioctl \
		"${common[@]}" --fill=96k --batch=4 >/dev/null
	(($(grep -c 'BTRFS_IOC_SYNC' "$scratch/trace") >= 24)) || fail "not an ioctl for each of 24 flushes"
	# Four layers at the start, and one before each flush.
	(($(grep -c '= 98304$' "$scratch/trace") == 28)) || fail "not as much was written as is flushed"
fi
for kind in exists list diffsize; do
	run_well --name=ask "--rw=$kind" --ioengine=reference "${common[@]}" --number_ios=5
	expect out "^  $kind: IOPS=.* 5 layers"
done
# What tar writes of a layer holds all of it: as much goes to the archive as files have. (strace sees the writes.)
if traceable; then
	strace -f -qq -e trace=write -e signal=none -o "$scratch/trace" "$bench" --name=x --rw=diff --full --ioengine=tar \
		"${common[@]}" --filesize=64k --number_ios=1 >/dev/null
	bytes="$(awk '/write\(/ && $NF > 4096 { sum += $NF } END { print sum + 0 }' "$scratch/trace")"
	((bytes > 20 * 65536)) || fail "tar wrote $bytes bytes of 20 files of 64 KiB"
fi
if command -v containers-storage >/dev/null && (($(id -u) == 0)); then
	for kind in changes diff diffsize; do
		run_well --name=cs "--rw=$kind" --ioengine=containers-storage "${common[@]}" --live=2 --edits=3 --number_ios=3
		expect out "^  $kind: IOPS=.* 3 layers"
		expect_clean
	done
	run_well --name=cs --rw=apply --ioengine=containers-storage "${common[@]}" --compress=gzip --durability=durable --number_ios=2
	expect out '^  apply: IOPS=.* 2 layers'
	expect_clean
	if grep -q "containers-storage" /proc/self/mountinfo; then
		fail "containers-storage left a mount"
	fi
fi

# Layers with subvolumes in them: as many as asked for go with each.
for name in reference "$engine"; do
	run_well --name=nested --rw=remove --nested=3 "--ioengine=$name" "${common[@]}" --number_ios=2
	expect out '^  remove: IOPS=.* 2 layers'
	expect_clean
done
run --name=nested --rw=remove --nested=3 --ioengine=ioctl "${common[@]}" --number_ios=2
((status == 1)) || fail "the bare ioctl removes what is not empty: status $status"

# New layers are filled: as many bytes as asked for go into each.
if traceable; then
	strace -f -qq -e trace=write -e signal=none -o "$scratch/trace" "$bench" --name=x --rw=churn --fill=100k --ioengine=ioctl \
		"${common[@]}" --nrfiles=0 --live=0 --number_ios=6 >/dev/null
	(($(grep -c '= 102400$' "$scratch/trace") == 3)) || fail "three new layers were not filled"
fi

# What an engine cannot do is refused before anything is made.
run --name=x --rw=usage --ioengine=ioctl "${common[@]}"
((status == 1)) || fail "usage on ioctl: status $status"
expect err 'engine ioctl does no usage'
expect_clean

# The kernel counts the commits: one for each snapshot of the bare ioctl.
if compgen -G '/sys/fs/btrfs/*/commit_stats' >/dev/null; then
	run_well --name=c --rw=snapshot --ioengine=ioctl "${common[@]}"
	commits="$(sed -n 's/^  commits *: \([0-9]*\),.*/\1/p' "$scratch/out")"
	((commits >= 24)) || fail "24 snapshots made $commits commits"
fi

# The engine of a failed operation is named, and the run fails.
mkdir "$scratch/so"
cat >"$scratch/so/bad.c" <<'C'
#include "engine.h"
static int bad_open(const struct bench_env *env, void **ret, char *error, size_t size) { *ret = (void *)env; return 0; }
static int bad_queue(void *context, struct bench_op *op) { return -5; }
static void bad_close(void *context) { }
#ifndef VERSION
#define VERSION BENCH_ENGINE_VERSION
#endif
const struct bench_engine bench_engine = { .version = VERSION, .kinds = 1u << BENCH_SNAPSHOT, .name = "bad",
	.description = "fails", .open = bad_open, .queue = bad_queue, .close = bad_close };
C
cc -shared -fPIC -I"$bench_repository/bench" -o "$scratch/so/bad.so" "$scratch/so/bad.c"
run --name=x --rw=snapshot "--ioengine=external:$scratch/so/bad.so" "${common[@]}"
((status == 1)) || fail "a failing engine: status $status"
expect out 'err= 5: Input/output error'
expect_clean

# External engines: the skeleton works; another version, no engine, no file are refused.
cc -shared -fPIC -Wall -Werror -I"$bench_repository/bench" -o "$scratch/so/skeleton.so" \
	"$bench_repository/bench/engines/skeleton.c"
run_well --name=x --rw=snapshot --iodepth=8 "--ioengine=external:$scratch/so/skeleton.so" "${common[@]}"
expect out 'engine=skeleton'
cc -shared -fPIC -DVERSION=999 -I"$bench_repository/bench" -o "$scratch/so/old.so" "$scratch/so/bad.c"
run --name=x --rw=snapshot "--ioengine=external:$scratch/so/old.so" "${common[@]}"
((status == 1)) || fail "another version: status $status"
expect err 'version 999'
printf 'int nothing;\n' | cc -shared -fPIC -x c -o "$scratch/so/empty.so" -
run --name=x --rw=snapshot "--ioengine=external:$scratch/so/empty.so" "${common[@]}"
expect err 'exports no symbol'
run --name=x --rw=snapshot --ioengine=external:/no/such.so "${common[@]}"
((status == 1)) || fail "no such file: status $status"
run --name=x --ioengine=nosuch "${common[@]}"
expect err 'nosuch: no such engine'
expect_clean
