#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The file system goes away under load: remounted read-only, its disk fails writes, fails everything, vanishes, or stalls. Every
# request must end, close must end, nothing may hang; and what was promised before must be on the disk.
# varve-test: mount=no btrfs-errors=yes timeout=300
set -euo pipefail
. "$(dirname -- "$0")/common.sh"

churn=$(program churn)
verify=$(program verify)
logstore=$(program logstore)
mnt=$work/mnt
record=$work/record

# Start the load, let it get on, then call the function $1, which makes the file system fail. $2: more options.
fail_under_load() {
	churn_start "$mnt/home" "$record" --seed "$((seed + RANDOM))" --failing --seconds 60 "${@:2}"
	churn_running "$record"
	churn_moment "$record" 300
	"$1"
	churn_end "$child" "$record" 0
	grep -q ' [1-9][0-9]* failed' "$record.out" || fail "$1: no request noticed: $(cat "$record.out")"
	say "$1 ${*:2}: $(tail -n 1 "$record.out")"
}

# Take write access away. Files that are open for writing make it fail, and nothing tells when there is none: try again.
remount_read_only() {
	wait_until "" mount -o remount,ro "$mnt" 2>/dev/null || fail "cannot remount read-only"
}

writes_fail() { kill -USR1 "$server"; }
all_fails() { kill -USR2 "$server"; }
disk_vanishes() { kill -9 "$server"; }

# A file system whose disk is sound is remounted: nothing is lost, not even what was relaxed.
read_only_case() {
	image_make "$work/image" 1G
	mount_at "$work/image" "$mnt" -o loop
	"$churn" --prepare --home "$mnt/home"
	fail_under_load remount_read_only "$@"
	mount -o remount,rw "$mnt"
	verify_all --home "$mnt/home" --record "$record"
	umount_soon "$mnt"
	image_check "$work/image"
	rm -f "$work/image" "$record"*
}

# The disk fails as $1 says. What was durable by then is found when the image is mounted without the faulty server.
disk_case() {
	image_make "$work/image" 1G
	logstore_start "$work/image" || { say "left out: $1"; return 0; }
	mount_at "$work/disk" "$mnt" -o loop
	"$churn" --prepare --home "$mnt/home"
	fail_under_load "$@"
	umount_soon "$mnt"
	logstore_end "$([ "$1" != disk_vanishes ] || echo killed)"
	image_check "$work/image"
	mount_at "$work/image" "$mnt" -o loop
	verify_all --home "$mnt/home" --record "$record" --model cut
	umount_soon "$mnt"
	rm -f "$work/image" "$record"*
}

# Wait until the disk owes an answer: until FUSE holds a request for the program that serves it. What /sys says of the loop device above
# does not tell: a flush is not counted there, and nothing else may follow one that gets no answer. FUSE tells nobody, either.
await_stall() {
	waiting=$work/fusectl/$(findmnt -nro MAJ:MIN "$work/disk" | cut -d: -f2)/waiting
	wait_until "" disk_owes || fail "the disk is asked for nothing"
}
disk_owes() { (($(<"$waiting") != 0)); }

# The disk answers nothing for a while, and then goes on: so does the load, and no request fails for it.
stall_case() {
	image_make "$work/image" 1G
	logstore_start "$work/image" || { say "left out: a disk that stalls"; return 0; }
	mount_at "$work/disk" "$mnt" -o loop
	mount_at fusectl "$work/fusectl" -t fusectl
	"$churn" --prepare --home "$mnt/home"
	churn_start "$mnt/home" "$record" --seed "$seed"
	churn_running "$record"
	churn_moment "$record" 300
	kill -STOP "$server"
	await_stall
	kill -CONT "$server"
	kill -TERM "$child"
	churn_end "$child" "$record" 0
	verify_all --home "$mnt/home" --record "$record"
	say "a disk that stalls: $(tail -n 1 "$record.out")"
	umount_soon "$mnt"
	logstore_end
	rm -f "$work/image" "$record"*
}

say "seed $seed; the kernel log will show the errors that are made here"
read_only_case
disk_case writes_fail
disk_case all_fails --close-busy
disk_case disk_vanishes
stall_case
