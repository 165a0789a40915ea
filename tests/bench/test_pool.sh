#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Pools: made, kept with their parent layers from run to run, unmounted; the same seed makes the same tree; aging ages.
# varve-test: backend=any mount=no
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start
(($(id -u) == 0)) || skip "needs root to mount an image"
command -v mkfs.btrfs >/dev/null || skip "mkfs.btrfs is missing"
export TMPDIR="$scratch"
pool="$scratch/pool.img"

# Mount the pool on $scratch/look, with the fixtures in sight.
look() {
	mkdir -p "$scratch/look"
	mount -o loop "$pool" "$scratch/look"
	own_mount="$scratch/look"
}

# Unmount it.
unlook() {
	umount "$scratch/look"
	own_mount=""
}

# Print what the parent layer $1 is made of: paths, sizes and content.
content() {
	(cd "$1" && find . -printf '%p %y %s\n' | grep -v ' d ' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

job=(--name=x --rw=snapshot --ioengine=ioctl --number_ios=3 --fixture=image --nrfiles=400 --randseed=7)
run_well "${job[@]}" "--pool=$pool,512m"
[[ -f "$pool" ]] || fail "no image was kept"
if grep -q "$scratch" /proc/self/mountinfo; then
	fail "still mounted"
fi
[[ -z "$(find "$scratch" -maxdepth 1 -name 'varve-bench-pool*')" ]] || fail "the mount point is left"
look
first=("$scratch"/look/fixtures/parent-image-400-*)
[[ -d "${first[0]}" ]] || fail "no parent layer was kept"
inode="$(btrfs subvolume show "${first[0]}" | sed -n 's/.*UUID: *//p' | head -n 1)"
content "${first[0]}" >"$scratch/one"
(($(grep -c ' f ' "$scratch/one") == 400)) || fail "not 400 files"
[[ -z "$(find "$scratch/look" -maxdepth 1 -name 'varve-bench.*')" ]] || fail "the run's directory is left in the pool"
# The shape of images: some directories deep, sizes over three orders of magnitude.
depth="$(awk -F/ '{ if (NF > most) most = NF } END { print most }' "$scratch/one")"
((depth >= 5)) || fail "no directory is deep: $depth"
awk '$2 == "f" { if ($3 < 1024) small++; if ($3 > 65536) large++ } END { exit !(small > 20 && large > 10) }' "$scratch/one" ||
	fail "the sizes are all alike"
unlook

# A second run takes the same parent.
run_well "${job[@]}" "--pool=$pool,512m"
look
[[ "$(btrfs subvolume show "${first[0]}" | sed -n 's/.*UUID: *//p' | head -n 1)" == "$inode" ]] || fail "it was made anew"
unlook

# Another pool, the same seed: the same tree. Another seed: another. Aged: another, with as many files.
rm "$pool"
run_well "${job[@]}" "--pool=$pool,512m"
run_well "${job[@]}" --randseed=8 "--pool=$pool,512m"
run_well "${job[@]}" --aged=3 "--pool=$pool,512m"
look
content "$scratch"/look/fixtures/parent-image-400-*-7-0-v*/ >"$scratch/two"
cmp "$scratch/one" "$scratch/two" || fail "the same seed made another tree"
content "$scratch"/look/fixtures/parent-image-400-*-8-0-v*/ >"$scratch/three"
if cmp -s "$scratch/one" "$scratch/three"; then
	fail "another seed made the same tree"
fi
content "$scratch"/look/fixtures/parent-image-400-*-7-3-v*/ >"$scratch/aged"
(($(grep -c ' f ' "$scratch/aged") == 400)) || fail "aging lost files"
(($(find "$scratch/look/fixtures" -maxdepth 1 -name '.*' | wc -l) <= 1)) || fail "aging left something"
unlook

# Where little is free, parents of other jobs make room, and the job's own stays: two parents of more than half a pool, in turn.
rm "$pool"
large=(--rw=snapshot --ioengine=ioctl --number_ios=3 --fixture=flat --filesize=4m "--pool=$pool,640m")
run_well --name=a --nrfiles=90 "${large[@]}"
run_well --name=b --nrfiles=91 "${large[@]}"
look
one=("$scratch"/look/fixtures/parent-flat-91-*)
[[ -d "${one[0]}" ]] || fail "no parent layer was kept of a large one"
[[ -z "$(find "$scratch/look/fixtures" -name 'parent-flat-90-*')" ]] || fail "a parent that no job has fills the pool"
inode="$(btrfs subvolume show "${one[0]}" | sed -n 's/.*UUID: *//p' | head -n 1)"
unlook
run_well --name=b --nrfiles=91 "${large[@]}"
look
[[ "$(btrfs subvolume show "${one[0]}" | sed -n 's/.*UUID: *//p' | head -n 1)" == "$inode" ]] || fail "the job's own parent was made anew"
unlook

# Quota runs for the time of its job, in either mode, and never outside a pool.
for mode in full simple; do
	run --name=q --rw=quota "--quota=$mode" --pair=varve,reference --repeat=1 --live=4 --number_ios=10 "--pool=$pool,512m"
	if ((status != 0)) && [[ "$mode" == simple ]] && grep -q 'quota: Invalid argument' "$scratch/err"; then
		# Linux before 6.7 has no simple quotas.
		continue
	fi
	((status == 0)) || fail "quota=$mode: status $status"
	expect out '^  quota: IOPS=.* 10 layers'
done
look
if btrfs qgroup show "$scratch/look" >/dev/null 2>&1; then
	fail "quota was left on"
fi
mkdir "$scratch/look/dir"
run --name=q --rw=quota --quota=full "--directory=$scratch/look/dir"
((status == 1)) || fail "quota outside a pool: status $status"
expect err 'needs --pool'
rmdir "$scratch/look/dir"
unlook

# Limits and what fills the layers, beside the reference's order of steps; the rest is dropped in the end.
run --name=q --rw=churn --quota=full --limit=16m --fill=64k --pair=varve,reference --repeat=1 --iodepth=4 --number_ios=12 --nrfiles=3 \
	'--claim=sustained>=0.0001,backlog<=100' "--pool=$pool,512m"
((status == 0)) || fail "limits: status $status"
expect out 'claim sustained >= 0.0001: .*: kept'
expect out 'claim backlog <= 100: .*: kept'
run --name=q --rw=churn --quota=full --limit=16k --fill=1m --number_ios=2 --nrfiles=0 "--pool=$pool,512m"
((status == 1)) || fail "filled beyond its limit: status $status"
expect out 'err=122'
run --name=q --rw=churn --limit=16m "--pool=$pool,512m"
((status == 2)) || fail "a limit without quota: status $status"

# Bad pools.
run "${job[@]}" "--pool=$pool"
((status == 1)) || fail "no size: status $status"
expect err 'not FILE,SIZE'
run "${job[@]}" "--pool=$scratch/small,1m"
((status == 1)) || fail "too small: status $status"
[[ ! -e "$scratch/small" ]] || fail "a pool that failed is left"
printf 'no file system\n' >"$scratch/text"
run "${job[@]}" "--pool=$scratch/text,512m"
((status == 1)) || fail "no file system: status $status"
[[ "$(cat "$scratch/text")" == "no file system" ]] || fail "a foreign file was changed"

# Cold: what is looked at is read from the disk again, each time.
traceable || skip "strace cannot watch this build: whether cold is cold was not looked at; the rest passed"
cold=(--name=c --rw=usage --pair=varve,varve@hot --varve@hot.cold=0 --cold --repeat=2 --nrfiles=300 --number_ios=1)
strace -f -qq -e trace=umount2 -e signal=none -o "$scratch/trace" "$bench" "${cold[@]}" "--pool=$pool,512m" >"$scratch/out" ||
	fail "cold: status $?"
(($(grep -c 'umount2(.*= 0$' "$scratch/trace") == 3)) || fail "not unmounted twice and at the end: $(cat "$scratch/trace")"
expect out '^  varve@hot +iops=.* runs=2'
if grep -q "$scratch" /proc/self/mountinfo; then
	fail "still mounted"
fi
look
[[ -z "$(find "$scratch/look" -maxdepth 1 -name 'varve-bench.*')" ]] || fail "the run's directory is left in the pool"
unlook

# Without privilege each file of a layer is unlinked: as often as there are files.
strace -f -qq -e trace=unlinkat -e signal=none -o "$scratch/trace" "$bench" --name=u --rw=remove --ioengine=varve-threads \
	--unprivileged --nrfiles=300 --number_ios=1 "--pool=$pool,512m" >"$scratch/out" || fail "unprivileged: status $?"
(($(grep -c 'unlinkat(.*"f[0-9]*", 0' "$scratch/trace") == 300)) || fail "300 files were not unlinked"
run --name=c --rw=usage --cold "--directory=$scratch"
((status == 1)) || fail "cold outside a pool: status $status"
expect err 'need --pool'
