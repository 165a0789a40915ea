#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The test of the test: after a load that ended well, break one promise at a time, and see that verify notices each.
# varve-test: mount=no backend=any
set -euo pipefail
. "$(dirname -- "$0")/common.sh"

churn=$(program churn)
verify=$(program verify)
image_make "$work/image" 1G
mnt=$work/mnt
mount_at "$work/image" "$mnt" -o loop
home=$mnt/home
layers=$home/subvolumes
record=$work/record
"$churn" --prepare --home "$home"
"$churn" --home "$home" --record "$record" --seed "$seed" --seconds 2 --slots 96
verify_all --home "$home" --record "$record"
verify_all --home "$home" --record "$record" --model cut
say "untouched: $(cat "$work/verify.out")"

# The last line about a layer that is a writable snapshot with content ("rw"), or was removed ("gone"): its id. The former has no
# label: what is put in its place later has another uuid, and would have lost it.
ls "$home/.varve/layers" >"$work/labelled"
pick() {
	awk -v want="$1" '
		FNR == NR { labelled[$1] = 1; next }
		$2 == "submit" { id[$3] = $5; kind[$3] = $4; base[$3] = $6; ro[$3] = $8; last[$5] = $3 }
		$2 == "end" { error[$3] = $4 }
		$2 == "nesting" { nested[$3] = 1 }
		END {
			for (i in last) {
				n = last[i]
				if (!(n in error) || error[n] != 0) continue
				if (want == "rw" && kind[n] == "create" && base[n] > 1 && ro[n] == 0 && !nested[i] && !labelled[i]) { print i; exit }
				if (want == "gone" && kind[n] == "remove") { print i; exit }
			}
		}' "$work/labelled" "$record"
}

noticed=0
# Break something with the command line $2..., see verify fail with a word that matches $1, and restore with `mend`.
broken() {
	local words=$1 status=0
	shift
	"$@"
	"$verify" --home "$home" --record "${given:-$record}" "${options[@]}" >"$work/verify.out" 2>&1 || status=$?
	[ "$status" = 1 ] || fail "not noticed (status $status): $*"
	grep -Eq "$words" "$work/verify.out" || { cat "$work/verify.out"; fail "noticed for another reason: $*"; }
	noticed=$((noticed + 1))
	mend
}
options=()
mend() { :; }

layer=$(pick rw)
[ -n "$layer" ] || fail "the load left no writable layer"
btrfs -q subvolume snapshot "$layers/$layer" "$mnt/kept" >/dev/null
# Put the layer back as it was.
mend() {
	if [ -d "$layers/$layer" ]; then
		btrfs -q property set -f "$layers/$layer" ro false
		[ ! -d "$layers/$layer/nested" ] || btrfs -q subvolume delete "$layers/$layer/nested" >/dev/null
		btrfs -q subvolume delete "$layers/$layer" >/dev/null
	fi
	btrfs -q subvolume snapshot "$mnt/kept" "$layers/$layer" >/dev/null
}

flip_byte() { printf 'XYZ!' | dd of="$1" bs=1 seek=100 conv=notrunc status=none; }
broken "$layer: expected" rm "$layers/$layer/d01/f001"
broken "$layer: expected" touch "$layers/$layer/d00/more"
broken "$layer: expected" flip_byte "$layers/$layer/d05/f005"
broken "$layer: expected" chmod 600 "$layers/$layer/d01/f001"
broken "$layer: expected" chmod 711 "$layers/$layer"
broken "$layer: expected" btrfs -q property set "$layers/$layer" ro true
broken "$layer: expected" btrfs -q subvolume create "$layers/$layer/nested"
broken "$layer: absent; expected base" btrfs -q subvolume delete "$layers/$layer"
record_size() { printf 1048576 >"$home/quotas/$layer"; }
eval "$(declare -f mend | sed '1s/mend/mend_layer/')"
mend() { rm "$home/quotas/$layer"; }
broken "$layer: expected .* size \"1048576\"" record_size
mend() { mend_layer; }
options=(--model cut)
# Under the model "cut" only what was durable must be there: make it so in the record.
given=$work/record.durable
awk -v id="$layer" '$2 == "submit" && $5 == id { $10 = 1 } { print }' "$record" >"$given"
broken "$layer: absent; expected base" btrfs -q subvolume delete "$layers/$layer"
options=()

# A layer that has lost its label, and one that has another one's.
read -r labelled other < <(cd "$layers" && for id in $(cat "$work/labelled"); do [ ! -d "$id" ] || printf '%s ' "$id"; done; echo)
other=${other%% *}
[ -n "$other" ] || fail "the load left no two labelled layers"
lose_label() { mv "$home/.varve/layers/$labelled" "$mnt/label.kept"; }
mend() { mv "$mnt/label.kept" "$home/.varve/layers/$labelled"; }
broken "$labelled: expected the label look=.* it has none" lose_label
take_label() { lose_label; cp -a "$home/.varve/layers/$other" "$home/.varve/layers/$labelled"; }
broken "$labelled: expected the label look=.* it has none" take_label

# Records that tell another story than the disk.
mend() { :; }
given=$work/record.changed
without() { grep -v " $1 " "$record" >"$given" || true; }
forget() { awk -v id="$layer" '$2 == "submit" && $5 == id { gone[$3] = 1; next } gone[$3] { next } { print }' "$record" >"$given.1"
	# Ordinals must stay dense: number them anew.
	awk '$2 == "submit" { new[$3] = n++; $3 = new[$3] } $2 == "end" || $2 == "refused" { $3 = new[$3] } { print }' "$given.1" >"$given"; }
broken "$layer: visible, but nobody asked for it" forget
lie_removed() { cp "$record" "$given"
	local n; n=$(grep -c ' submit ' "$record"); printf '%s submit %s remove %s 0 0 0 0 1 -\n%s end %s 0\n' 1 "$n" "$layer" 2 "$n" >>"$given"; }
broken "$layer: expected absent" lie_removed
gone=$(pick gone)
if [ -n "$gone" ]; then
	lie_created() { cp "$record" "$given"
		local n; n=$(grep -c ' submit ' "$record"); printf '%s submit %s create %s 1 755 0 0 1 -\n%s end %s 0\n' 1 "$n" "$gone" 2 "$n" >>"$given"; }
	broken "$gone: absent; expected base-1 755 rw" lie_created
fi
given=$record

# Things that are none of the store's business, and leftovers that the sweep must have removed.
sentinel() { mv "$home/foreign.txt" "$work/kept.txt"; }
mend() { cp "$work/kept.txt" "$home/foreign.txt"; }
broken "foreign.txt: not as it was" sentinel
sentinel() { echo more >>"$mnt/beside-subvolume/d00/f000"; }
mend() { truncate -s -5 "$mnt/beside-subvolume/d00/f000"; }
broken "beside-subvolume: not as it was" sentinel
sentinel() { chmod 700 "$layers/base-1/d01"; }
mend() { chmod 750 "$layers/base-1/d01"; }
broken "base-1: not as it was" sentinel
# A half-made layer whose owner is alive, so that the sweep leaves it where verify wants nothing to be left.
leftover() {
	mkdir -p "$home/.varve/staging/1-alive/0"
	btrfs -q subvolume create "$home/.varve/staging/1-alive/0/layer" >/dev/null
	exec 9<"$home/.varve/staging/1-alive"
	flock -x 9
}
mend() { exec 9<&-; }
broken "after the first sweep: 1 layers in staging" leftover
mend() { :; }
# Its owner is gone now, and the sweep has to find it.
verify_all --home "$home" --record "$record" --unswept
grep -q ' 1 in staging' "$work/verify.out" || fail "the leftover was not there: $(cat "$work/verify.out")"
verify_all --home "$home" --record "$record" --purge
say "$noticed broken promises, each noticed; seed $seed"
