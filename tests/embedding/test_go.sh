#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The graph driver in docs/examples/go does all that containers/storage's own test of graph drivers asks for.
# varve-test: backend=any timeout=240 size=2G
set -euo pipefail
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/embedding.sh"

readonly GO_SOURCES=/usr/share/gocode
readonly STORAGE="$GO_SOURCES/src/github.com/containers/storage"

command -v go >/dev/null || skip "needs go (golang-go)"
[[ -d "$STORAGE/drivers/graphtest" ]] || skip "needs golang-github-containers-storage-dev"
[[ -d "$GO_SOURCES/src/github.com/ulikunitz/xz" ]] || skip "needs golang-github-ulikunitz-xz-dev"
[[ -e "$build/libvarve.so" ]] || skip "needs a shared library of this build"
if is_sanitized; then
	skip "the library is built with a sanitizer"
fi
need_mount

# Nothing is fetched; what was compiled is kept with the build. The compiler finds the library by its own variables: flags of cgo's
# would have Go's standard library compiled anew, which takes longer than all the rest.
built="$(cd "$build" && pwd)"
export GO111MODULE=off GOFLAGS=-p=2 GOPATH="$GO_SOURCES" GOPROXY=off GOCACHE="$built/go-cache"
export C_INCLUDE_PATH="$root/api/include" LIBRARY_PATH="$built"
[[ -z "$(gofmt -l "$root/docs/examples/go")" ]] || fail "not as gofmt has it: $(gofmt -l "$root/docs/examples/go")"
cd "$root/docs/examples/go"
if [[ -n "${VARVE_TEST_SOAK:-}" ]]; then
	go vet .
fi
# Without optimisation Go compiles the storage in three quarters of the time; what comes with it is compiled already.
flags=()
for path in github.com golang.org gopkg.in; do
	flags+=("-gcflags=$path/...=-N -l -dwarf=false")
done
go test "${flags[@]}" -vet=off -ldflags='-s -w' -c -o "$tmp/driver.test" .
cd "$root"
# Its stores lie where temporary files do.
mkdir "$mount/tmp"
LD_LIBRARY_PATH="$built" TMPDIR="$mount/tmp" "$tmp/driver.test" -test.v >"$tmp/output" 2>&1 || {
	cat "$tmp/output"
	fail "the driver fails its test"
}
# None was skipped for want of btrfs.
if grep -q -e '--- SKIP' "$tmp/output"; then
	cat "$tmp/output"
	fail "something was skipped"
fi
