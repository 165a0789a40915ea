#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Kill `create --apply` at a random moment, and as it enters one of its calls for the Nth time: then the layer is there whole,
# or not at all, and the next command sweeps what was left out of sight.
# VARVE_TEST_ROUNDS: how often (12, so that each call has its turn, and half as often at a random moment; in the soak 300).
# varve-test: backend=any size=2G timeout=180
set -euo pipefail
. "$(dirname -- "$0")/common.sh"

rounds=$(rounds_get 12 300)
varve=$build/varve
mnt=${VARVE_TEST_MOUNT:-}
if [ -z "$mnt" ]; then
	mnt=$work/mnt
	image_make "$work/image" 2G
	mount_at "$work/image" "$mnt" -o loop
fi
home=$mnt/apply
layers=$home/subvolumes
options=(--home "$home")

# A layer with some of everything, its archive, and one made from that in peace.
"$varve" "${options[@]}" create base >/dev/null
mkdir "$layers/base/old"
touch "$layers/base/old/"{1..50}
"$varve" "${options[@]}" create --parent base model >/dev/null
rm -r "$layers/model/old"
mkdir "$layers/model/d"{1..20}
for d in "$layers/model/d"*; do
	for f in {1..20}; do
		printf '%s\n' "$d/$f" >"$d/$f"
	done
	ln "$d/1" "$d/link"
	ln -s ../d1 "$d/symlink"
	touch -d @1000000 "$d"
done
head -c 3M /dev/urandom >"$layers/model/large"
"$varve" "${options[@]}" diff model -o "$work/archive.tar"

# What became of the layer of round $1: whole, or nothing. Counts.
whole=0 absent=0 leftovers=0
judge() {
	local id=$1 staged
	staged=$(find "$home/.varve/staging" -mindepth 3 -maxdepth 3 2>/dev/null | wc -l)
	leftovers=$((leftovers + (staged > 0)))
	if [ -e "$layers/$id" ]; then
		[ -z "$("$varve" "${options[@]}" changes --walk --parent model "$id")" ] || fail "$id is there, but not whole"
		cmp "$layers/model/large" "$layers/$id/large" || fail "$id has other content"
		diff -r --no-dereference "$layers/model" "$layers/$id" >"$work/diff" || fail "$id: $(head -n 3 "$work/diff")"
		whole=$((whole + 1))
		"$varve" "${options[@]}" rm "$id" >/dev/null
	else
		absent=$((absent + 1))
		# What looks only does not sweep.
		"$varve" "${options[@]}" gc >/dev/null
	fi
	[ -z "$(find "$home/.varve/staging" -mindepth 3 -maxdepth 3 2>/dev/null)" ] || fail "$id: a leftover was not swept"
	[ "$("$varve" "${options[@]}" ls | sort | paste -s -d ' ')" = "base model" ] || fail "$id: other layers are there"
}

# How long it takes in peace bounds the random moments.
began=$(date +%s%N)
"$varve" "${options[@]}" create --parent base --apply "$work/archive.tar" peace >/dev/null
took_ms=$((($(date +%s%N) - began) / 1000000 + 1))
judge peace
[ "$whole" = 1 ] || fail "a create in peace leaves nothing"

for ((round = 1; round <= (rounds + 1) / 2; round++)); do
	"$varve" "${options[@]}" create --parent base --apply "$work/archive.tar" "random-$round" >/dev/null 2>&1 &
	child=$!
	children[$child]=create
	wait_moment $((took_ms * 5 / 4))
	kill -9 "$child" 2>/dev/null || true
	wait "$child" 2>/dev/null || true
	unset "children[$child]"
	judge "random-$round"
done
say "$(((rounds + 1) / 2)) kills within $took_ms ms: $whole whole, $absent absent, $leftovers with something left; seed $seed"

if command -v strace >/dev/null; then
	calls=(openat openat2 mkdirat linkat symlinkat fchown utimensat pwrite64 unlinkat renameat2 ioctl syncfs)
	for ((round = 1; round <= rounds; round++)); do
		call=${calls[round % ${#calls[@]}]}
		status=0
		ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" strace -f -o /dev/null -e trace="$call" \
			-e inject="$call:signal=KILL:when=$((1 + RANDOM % 40))" \
			"$varve" "${options[@]}" create --parent base --apply "$work/archive.tar" "call-$round" >/dev/null 2>&1 || status=$?
		[[ "$status" =~ ^(0|137)$ ]] || fail "$call: status $status"
		judge "call-$round"
	done
	say "$rounds kills at a call: $whole whole, $absent absent, $leftovers with something left"
else
	say "no strace: no kills at a call"
fi
[ "$absent" -gt 0 ] || fail "no kill ever came before the end"
[ "$leftovers" -gt 0 ] || fail "no kill ever left anything out of sight"
