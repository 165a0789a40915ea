#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Kill a process at a random moment of a heavy load, again and again; after each kill the store must be whole. Then the
# same with a second process at work on the same store, which must not notice.
# VARVE_TEST_ROUNDS: how often (6; in the soak 250).
# Quota is turned on while layers come and go, of which Linux 6.18 complains without need.
# varve-test: size=2G timeout=300 kernel-says=unexpected.qgroup.mode.0
set -euo pipefail
. "$(dirname -- "$0")/common.sh"

rounds=$(rounds_get 6 250)
churn=$(program churn)
verify=$(program verify)
if [ -n "${VARVE_TEST_MOUNT:-}" ]; then
	mnt=$VARVE_TEST_MOUNT/kill
	mkdir "$mnt"
else
	mnt=$work/mnt
	image_make "$work/image" 2G
	mount_at "$work/image" "$mnt" -o loop
fi
home=$mnt/home
"$churn" --prepare --home "$home"

# Add up what the last verify saw.
count_swept() {
	layers=$((layers + $(sed -n 's/^verify: \([0-9]*\) layers.*/\1/p' "$work/verify.out")))
	staging=$((staging + $(sed -n 's/.* ids, \([0-9]*\) in staging.*/\1/p' "$work/verify.out")))
	trash=$((trash + $(sed -n 's/.* and \([0-9]*\) in trash.*/\1/p' "$work/verify.out")))
}

# Kill the load, with the options $2..., at a random moment: mostly while it is under way, sometimes while it opens the
# store. $1: number of the round.
kill_one() {
	local record=$work/record.$1 options=()
	churn_start "$home" "$record" --seed "$((seed + ${1##*.}))" "${@:2}"
	if [[ " $* " != *" --die "* ]]; then
		if ((RANDOM % 8)); then
			churn_running "$record"
			churn_moment "$record" 150
		else
			wait_moment 50
		fi
		kill -9 "$child" || true
	fi
	churn_end "$child" "$record" 137
	touch "$record"
	[ $((RANDOM % 2)) = 0 ] || options=(--unswept)
	verify_all --home "$home" --record "$record" --purge "${options[@]}"
	count_swept
	rm -f "$record"*
}

# Kill the load as one of its threads enters one of the calls that change the file system for the Nth time: between any two
# steps of an operation. One that does not come that far ends by itself.
kill_at_call() {
	local record=$work/record.call.$1 calls=(ioctl renameat2 unlinkat fsync mkdirat) call
	call=${calls[RANDOM % ${#calls[@]}]}
	: >"$record"
	: >"$record.out"
	ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" strace -f -o /dev/null -e trace="$call" \
		-e inject="$call:signal=KILL:when=$((1 + RANDOM % 30))" \
		"$churn" --home "$home" --record "$record" --seed "$((seed + $1))" --seconds 0.7 --limit 60 \
		>"$record.out" 2>"$record.err" &
	child=$!
	children[$child]=strace
	churn_end "$child" "$record" '0|137'
	verify_all --home "$home" --record "$record" --purge --unswept
	count_swept
	rm -f "$record"*
}

# Two processes, of which one is killed while the other goes on.
kill_one_of_two() {
	local one=$work/record.one.$1 other=$work/record.other.$1 victim
	churn_start "$home" "$other" --seed "$((seed + 2 * $1))" --prefix other- --depth 8
	survivor=$child
	churn_running "$other"
	churn_start "$home" "$one" --seed "$((seed + 2 * $1 + 1))" --prefix one- --depth 8
	victim=$child
	churn_running "$one"
	churn_moment "$one" 150
	kill -9 "$victim" || true
	churn_end "$victim" "$one" 137
	verify_all --home "$home" --record "$one" --ignore other-
	kill -TERM "$survivor" || true
	churn_end "$survivor" "$other" 0
	verify_all --home "$home" --record "$one" --record "$other" --purge
	rm -f "$one"* "$other"*
}

staging=0 trash=0 layers=0
for ((round = 1; round <= rounds; round++)); do
	if ((round % 4)); then
		kill_one "$round"
	else
		kill_one "$round" --die
	fi
done
say "$rounds kills: $layers layers whole, $staging layers swept from staging, $trash from the trash"
for ((round = 1; round <= (rounds + 3) / 4; round++)); do
	kill_one_of_two "$round"
done
say "$(((rounds + 3) / 4)) kills of one of two processes; seed $seed"
if command -v strace >/dev/null; then
	staging_before=$staging
	for ((round = 1; round <= (rounds + 1) / 2; round++)); do
		kill_at_call "$round"
	done
	say "$(((rounds + 1) / 2)) kills at a call: $((staging - staging_before)) swept from staging"
else
	say "no strace: no kills at a call"
fi
# Layers with sizes last: quota is the whole file system's and stays on.
staging_before=$staging
for ((round = 1; round <= (rounds + 2) / 3; round++)); do
	kill_one "sized.$round" --sized default
done
say "$(((rounds + 2) / 3)) kills with sizes: $((staging - staging_before)) swept from staging"
# A load that never has anything under way would prove nothing.
[ "$layers" -gt 0 ] || fail "no layer was ever there"
[ "$staging" -gt 0 ] || [ "$rounds" -lt 6 ] || fail "no kill ever left anything in staging"
[ "$trash" -gt 0 ] || [ "$rounds" -lt 40 ] || fail "no kill ever left anything in the trash"
