#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: backend=any mount=no root=no
# What `make deps` installs, and what it says without a network: dpkg-query and apt-get are replaced by programs that keep a list.
set -euo pipefail

here="$(cd "$(dirname "$0")/../.." && pwd)"
directory="$(mktemp -d)"
trap 'rm -rf -- "${directory:?}"' EXIT
mkdir "$directory/bin"
export DEPS_INSTALLED="$directory/installed" DEPS_NETWORK=yes
cat >"$directory/bin/dpkg-query" <<'END'
#!/bin/bash
sed 's/^/installed /' "$DEPS_INSTALLED"
END
cat >"$directory/bin/apt-get" <<'END'
#!/bin/bash
[[ "$DEPS_NETWORK" == yes ]] || { echo "no network" >&2; exit 100; }
wanted=no
for word; do
	if [[ "$wanted" == yes && "$word" != -* ]]; then
		echo "$word" >>"$DEPS_INSTALLED"
	elif [[ "$word" == install ]]; then
		wanted=yes
	fi
done
END
printf '#!/bin/bash\necho 0\n' >"$directory/bin/id"
chmod +x "$directory/bin/"*
: >"$DEPS_INSTALLED"

fail() {
	printf '%s\n' "$*"
	cat "$directory/output"
	exit 1
}

# Run deps with the arguments; set `status`, and write `output`.
deps() {
	status=0
	PATH="$directory/bin:$PATH" "$here/tests/deps" "$@" >"$directory/output" 2>&1 || status=$?
}

DEPS_NETWORK=no deps
((status != 0)) || fail "content without what the build needs"
grep -q 'missing, and cannot be installed.* liburing-dev' "$directory/output" || fail "does not say what is missing"
deps
((status == 0)) || fail "status $status"
for package in gcc liburing-dev btrfs-progs; do
	grep -qxF "$package" "$DEPS_INSTALLED" || fail "$package is not installed"
done
for package in chromium gnuplot-nox check fio; do
	! grep -qxF "$package" "$DEPS_INSTALLED" || fail "a demo does not need $package"
done
DEPS_NETWORK=no deps --tests
((status == 0)) || fail "the tests cannot begin without a network: status $status"
grep -q 'missing, and cannot be installed.* chromium' "$directory/output" || fail "does not say what is missing"
deps --tests
((status == 0)) || fail "status $status"
grep -qxF chromium "$DEPS_INSTALLED" || fail "chromium is not installed"
DEPS_NETWORK=no deps --tests
((status == 0)) && [[ ! -s "$directory/output" ]] || fail "not quiet when all are there"
! grep -qxF bats "$DEPS_INSTALLED" || fail "the tests do not need bats"
deps --bats
grep -qxF bats "$DEPS_INSTALLED" || fail "bats is not installed"
deps --other
((status == 2)) || fail "--other was taken"
