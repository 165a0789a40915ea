# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A node of containerd in private directories, with `varve serve` as a snapshotter: for tests/serve/containerd and the demo, which
# source it. The caller has a mount, a process and a network namespace of its own, and sets:
#
#	node		the directory of all that there is
#	varve		the command
#	node_access_log	what calls the daemon logs in $node/varve.log (failures)
#
# node_begin makes a btrfs in an image at $node/pool; the daemon's home is $node/pool/home. Before it, node_enter takes another Debian's
# containerd, runc and libraries in the place of this machine's.
: "${node:=}" "${varve:?}" "${node_access_log:=failures}"

readonly NODE_POOL_SIZE=8G
# The image that the pods of CRI have as their own.
readonly NODE_IMAGE=docker.io/library/own:1
daemon_pid="" containerd_pid="" ready_pid=""
node_tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly node_tools
# shellcheck source=tests/lib/wait.sh
. "$node_tools/../lib/wait.sh"

# Mount a copy of the root directory $1 at $node/over/root: what is written there is in memory.
node_copy() {
	mkdir -p "$node/over"
	mount -t tmpfs tmpfs "$node/over"
	mkdir "$node/over/upper" "$node/over/work" "$node/over/root"
	mount -t overlay overlay -o "lowerdir=$1,upperdir=$node/over/upper,workdir=$node/over/work" "$node/over/root"
}

# Make a copy of the directory $1 the root of what follows: the directories from $2 on, and the devices, processes and control groups, are
# the machine's.
node_enter() {
	local root="$node/over/root" path
	node_copy "$1"
	shift
	for path in /proc /sys /dev; do
		mount --rbind "$path" "$root$path"
	done
	for path; do
		mkdir -p "$root$path"
		mount --bind "$path" "$root$path"
	done
	mkdir -p "$root/old"
	cd "$root" || return
	pivot_root . old
	cd / || return
	umount --lazy /old
}

# Make what containerd's shims and runc have beside what they can be told.
node_run() {
	mkdir -p "$node/root" "$node/state"
	mount -t tmpfs tmpfs /run
	mkdir -p /run/containerd
	ip link set lo up 2>/dev/null || true
}

# Make the file systems, the directories and the configuration.
node_begin() {
	node_run
	mkdir -p "$node/pool"
	truncate -s "$NODE_POOL_SIZE" "$node/pool.img"
	mkfs.btrfs -q "$node/pool.img" >/dev/null
	mount -o loop "$node/pool.img" "$node/pool"
	node_config >"$node/config.toml"
}

# The configuration: what keeps this containerd apart from others, and what `varve serve --print-config containerd` prints.
node_config() {
	cat <<-CONFIG
		root = "$node/root"
		state = "$node/state"
		disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper",
			"io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing"]
	CONFIG
	"$varve" serve --print-config containerd --home "$node/pool/home" --socket "$node/varve.sock" | tee "$node/printed.toml"
	cat <<-CONFIG

		[grpc]
			address = "$node/containerd.sock"
		[ttrpc]
			address = "$node/containerd.sock.ttrpc"
		[plugins."io.containerd.snapshotter.v1.btrfs"]
			root_path = "$node/pool/btrfs"
		[plugins."io.containerd.metadata.v1.bolt"]
			# Else a namespace has all blobs that another one has fetched.
			content_sharing_policy = "isolated"
	CONFIG
	if grep -q '^version = 2' "$node/printed.toml"; then
		node_config_cri_old
	else
		node_config_cri
	fi
}

# What pods need, of containerd 1.x.
node_config_cri_old() {
	cat <<-CONFIG
		[plugins."io.containerd.grpc.v1.cri"]
			sandbox_image = "$NODE_IMAGE"
			disable_apparmor = true
			restrict_oom_score_adj = true
			stats_collect_period = 1
			stream_server_address = "127.0.0.1"
			[plugins."io.containerd.grpc.v1.cri".cni]
				conf_dir = "$node/cni"
	CONFIG
}

# The same of containerd 2.x.
node_config_cri() {
	cat <<-CONFIG
		[plugins."io.containerd.cri.v1.images".pinned_images]
			sandbox = "$NODE_IMAGE"
		[plugins."io.containerd.cri.v1.runtime"]
			disable_apparmor = true
			restrict_oom_score_adj = true
			[plugins."io.containerd.cri.v1.runtime".cni]
				conf_dir = "$node/cni"
		[plugins."io.containerd.grpc.v1.cri"]
			stream_server_address = "127.0.0.1"
	CONFIG
}

# Wait until what follows succeeds: for what containerd, whose process is $1, tells nobody.
node_wait() {
	local pid="$1"
	shift
	wait_until "$pid" "$@" >"$node/wait" 2>&1 && return
	printf 'not ready: %s: %s\n' "$*" "$(cat "$node/wait")" >&2
	return 1
}

# Start a command, whose process is $ready_pid then, with its output at the end of the log $1, and wait until it says that it is ready, as it
# would to systemd; fail if it ends before that.
node_start() {
	local log="$1" fifo="$node/ready" state=""
	shift
	# A new one each time: who wrote to the last one may still have that open, and its end would be taken for the end of this command.
	rm -f -- "$fifo"
	mkfifo "$fifo"
	/usr/bin/python3 -B "$node_tools/ready.py" "$fifo" "$node/notify" "$@" >>"$log" 2>&1 &
	ready_pid=$!
	read -r state <"$fifo" || true
	[[ "$state" == ready ]]
}

# Start the daemon.
node_daemon() {
	local status=0
	node_start "$node/varve.log" "$varve" serve --home "$node/pool/home" --socket "$node/varve.sock" --access-log "$node_access_log" || status=1
	daemon_pid="$ready_pid"
	return "$status"
}

# Start containerd; it is ready when all of its plugins are there.
node_containerd() {
	local status=0
	node_start "$node/containerd.log" containerd --config "$node/config.toml" || status=1
	containerd_pid="$ready_pid"
	return "$status"
}

# End the process whose variable is $1 by the signal $2, and wait for it.
node_kill() {
	local pid="${!1}"
	[[ -n "$pid" ]] || return 0
	kill "-$2" "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	printf -v "$1" ''
}

# Stop both.
node_end() {
	node_kill containerd_pid TERM
	node_kill daemon_pid TERM
}

# containerd's command.
ctl() {
	ctr -a "$node/containerd.sock" "$@"
}

# Print what the tree at $1 is: names, kinds, modes, owners, sizes, links, and sums of all content.
node_tree() {
	(
		cd "$1" || exit
		find . -mindepth 1 \( -type f -printf '%P f %m %U %G %s %n\n' \) -o -printf '%P %y %m %U %G %l\n' | sort
		find . -type f -print0 | sort -z | xargs -0 -r sha256sum
	)
}
