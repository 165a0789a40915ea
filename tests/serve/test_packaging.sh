#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The lines for containerd are what each version takes; systemd takes the units, which make no mount namespace.
# varve-test: backend=any mount=no root=no
set -euo pipefail
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/../embedding/embedding.sh"
[[ -x "$build/varve-serve" ]] || skip "needs libnghttp2-dev, libprotobuf-c-dev and protobuf-c-compiler, with which to build"
varve="$(cd "$build" && pwd)/varve"

# Print the value behind the keys given of the configuration in the file $1.
value() {
	python3 -c 'import sys, tomllib
value = tomllib.load(open(sys.argv[1], "rb"))
for key in sys.argv[2:]:
    value = value[int(key) if isinstance(value, list) else key]
print(value)' "$@"
}

# Expect $1 to be $2.
expect_value() {
	[[ "$1" == "$2" ]] || fail "'$1' is not '$2'"
}

print_config() {
	"$varve" serve --print-config containerd --home '/a "home"' --socket /a/socket "$@"
}

print_config --containerd-version 1.6.20 >"$tmp/old"
expect_value "$(value "$tmp/old" version)" 2
expect_value "$(value "$tmp/old" proxy_plugins varve type)" snapshot
expect_value "$(value "$tmp/old" proxy_plugins varve address)" /a/socket
expect_value "$(value "$tmp/old" plugins io.containerd.grpc.v1.cri containerd snapshotter)" varve
print_config --containerd-version v2.1.4 >"$tmp/new"
expect_value "$(value "$tmp/new" version)" 3
expect_value "$(value "$tmp/new" proxy_plugins varve exports root)" '/a "home"'
expect_value "$(value "$tmp/new" proxy_plugins varve capabilities)" "['remap-ids']"
# The list is in place of the default one: who asked for overlayfs, or for none, must find it.
expect_value "$(value "$tmp/new" plugins io.containerd.transfer.v1.local unpack_config 0 snapshotter)" overlayfs
expect_value "$(value "$tmp/new" plugins io.containerd.transfer.v1.local unpack_config 1 snapshotter)" varve
expect_value "$(value "$tmp/new" plugins io.containerd.cri.v1.images snapshotter)" varve

# The version is that of the containerd that is found.
mkdir "$tmp/bin"
printf '#!/bin/sh\necho containerd github.com/containerd/containerd 1.7.29 abc\n' >"$tmp/bin/containerd"
chmod +x "$tmp/bin/containerd"
PATH="$tmp/bin:$PATH" print_config >"$tmp/found"
expect_line "$tmp/found" 'containerd 1\.7\.29\.$'
expect_value "$(value "$tmp/found" version)" 2
printf '#!/bin/sh\nexit 1\n' >"$tmp/bin/containerd"
PATH="$tmp/bin:$PATH" expect_status 1 "$tmp/output" "$varve" serve --print-config containerd
expect_line "$tmp/output" '--containerd-version'
expect_status 2 "$tmp/output" "$varve" serve --print-config docker
expect_status 2 "$tmp/output" "$varve" serve --print-config containerd --containerd-version new

sed "s|@BINDIR@|${varve%/varve}|" "$root/api/serve/systemd/varve.service.in" >"$tmp/varve.service"
cp "$root/api/serve/systemd/varve.socket" "$tmp/"
if grep -E '^(Protect|Private|ReadOnly|ReadWrite|Inaccessible|Bind|Temporary|DynamicUser|MountFlags|Root)[A-Za-z]*=' "$tmp/varve.service"; then
	fail "the service has a mount namespace"
fi
# systemd kills at a call that is not in its lists, as those are that are newer than itself: the daemon takes its fallback instead.
grep -Fqx 'SystemCallErrorNumber=ENOSYS' "$tmp/varve.service" || fail "a system call that systemd does not know kills the daemon"
grep -q '^SystemCallFilter=.* open_by_handle_at' "$tmp/varve.service" || fail "the daemon may not open files by handle"
if command -v systemd-analyze >/dev/null; then
	systemd-analyze verify --man=no "$tmp/varve.service" "$tmp/varve.socket" >"$tmp/output" 2>&1 || fail "systemd: $(cat "$tmp/output")"
	if grep -F "$tmp/varve" "$tmp/output"; then
		fail "systemd warns"
	fi
fi
