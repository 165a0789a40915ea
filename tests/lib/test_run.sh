#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: backend=any mount=no
# The runner itself: seeded tests that pass, fail, hang, and leave each kind of thing behind must be distinguished.
set -euo pipefail

here="$(cd "$(dirname "$0")/../.." && pwd)"
copy="$(mktemp -d)"
trap 'rm -rf -- "${copy:?}"' EXIT
mkdir -p "$copy/tests/unit" "$copy/tests/real" "$copy/tests/lib" "$copy/build" "$copy/tmp"
cp "$here/tests/run" "$copy/tests/run"
cp "$here/tests/lib/wait.sh" "$copy/tests/lib/"
# What never ends; and a pipe, at which one test waits for another.
endless="tail -f /dev/null"
mkfifo "$copy/go"
failures=0

# Write the seeded test $1 with the marker $2; its body is standard input.
seed() {
	{
		printf '#!/bin/bash\n# varve-test: %s\n' "$2"
		cat
	} >"$copy/tests/$1.sh"
	chmod +x "$copy/tests/$1.sh"
}

# Run the copy of the runner on the tests given; set `output` and `status`.
run() {
	status=0
	output="$(TMPDIR="$copy/tmp" "$copy/tests/run" --build "$copy/build" "$@" 2>&1)" || status=$?
}

# Assert that the output matches the extended regular expression $1 and the exit status is $2.
expect() {
	if ! grep -Eq -- "$1" <<<"$output" || [[ "$status" != "$2" ]]; then
		failures=$((failures + 1))
		printf 'expected %s and status %s, got status %s and:\n%s\n' "$1" "$2" "$status" "$output"
	fi
}

# Assert that the output has $1 lines.
expect_lines() {
	if [[ "$(wc -l <<<"$output")" != "$1" ]]; then
		failures=$((failures + 1))
		printf 'expected %s lines, got:\n%s\n' "$1" "$output"
	fi
}

seed real/test_pass 'backend=both' <<<'[[ -d $VARVE_TEST_MOUNT && -d $TMPDIR && -d $VARVE_BUILD ]] && [[ $VARVE_TEST_BACKEND == uring || $VARVE_TEST_BACKEND == threads ]]'
seed real/test_fail 'backend=any mount=no root=yes' <<<'echo why it fails; exit 3'
seed real/test_skip 'backend=any mount=no root=yes' <<<'echo first; echo the reason; exit 77'
seed real/test_hang 'backend=any timeout=1 mount=no root=yes' <<<"$endless"
seed real/test_uring 'backend=uring mount=no root=yes' <<<'[[ $VARVE_TEST_BACKEND == uring ]]'
seed real/test_either 'mount=no root=yes' <<<'exit 0'
seed real/test_process 'backend=any mount=no root=yes' <<<"setsid $endless & exit 0"
seed real/test_mount 'backend=any' <<<'mkdir "$VARVE_TEST_MOUNT/x"; mount -t tmpfs none "$VARVE_TEST_MOUNT/x"'
seed real/test_loop 'backend=any mount=no root=yes' <<<'truncate -s 1M "$VARVE_TEST_DIR/i"; losetup --find "$VARVE_TEST_DIR/i"'
seed real/test_file 'backend=any mount=no root=yes' <<<'touch "$TMPDIR/forgotten"'
seed real/test_size 'backend=any size=256M' <<<'[[ $(stat -f -c "%b * %S" "$VARVE_TEST_MOUNT") == "65536 * 4096" ]]'
seed real/test_kernel 'backend=any' <<<'d=$(cat "$VARVE_TEST_DIR/devices"); echo "BTRFS error (device ${d#/dev/}): seeded by a test of the tests" >/dev/kmsg'
sed 's/backend=any/backend=any btrfs-errors=yes/' "$copy/tests/real/test_kernel.sh" >"$copy/tests/real/test_expected.sh"
chmod +x "$copy/tests/real/test_expected.sh"
sed 's/backend=any/backend=any kernel-says=seeded.by/' "$copy/tests/real/test_kernel.sh" >"$copy/tests/real/test_provoked.sh"
sed 's/backend=any/backend=any kernel-says=something.else/' "$copy/tests/real/test_kernel.sh" >"$copy/tests/real/test_unprovoked.sh"
chmod +x "$copy/tests/real/test_provoked.sh" "$copy/tests/real/test_unprovoked.sh"
seed real/test_output 'mount=no root=yes' <<<'yes long | head -n 1000; exit 1'
seed real/test_frozen 'backend=any' <<'END'
mkdir "$VARVE_TEST_MOUNT/x"
truncate -s 128M "$VARVE_TEST_DIR/other"
mkfs.btrfs -q "$VARVE_TEST_DIR/other"
mount -o loop "$VARVE_TEST_DIR/other" "$VARVE_TEST_MOUNT/x"
cd "$VARVE_TEST_MOUNT/x"
fsfreeze --freeze .
touch y &
until [[ "$(cat "/proc/$!/comm" 2>/dev/null)" == touch && "$(cat "/proc/$!/stat")" == *') D '* ]]; do :; done
END
seed unit/test_plain '' <<<'[[ -z ${VARVE_TEST_MOUNT:-} ]]'

# All of them in one run; what --backend and --repeat change in others.
run real unit
expect '^ok .* real/test_pass uring$' 1
expect '^ok .* real/test_pass threads$' 1
expect '^ok .* real/test_uring uring$' 1
expect '^ok .* real/test_either (uring|threads)$' 1
expect '^FAIL .* real/test_fail: status 3$' 1
expect '^      why it fails$' 1
expect '^skip .* real/test_skip: the reason$' 1
expect '^FAIL .* real/test_hang: status 124$' 1
expect '^      run: killed after 10 seconds$' 1
expect '^FAIL .* real/test_process: status 0$' 1
expect '^      run: left a process: [0-9]+ tail -f' 1
expect '^FAIL .* real/test_mount: status 0$' 1
expect '^      run: left a mount: .*/mnt/x$' 1
expect '^FAIL .* real/test_loop: status 0$' 1
expect '^      run: left a loop device: /dev/loop' 1
expect '^FAIL .* real/test_file: status 0$' 1
expect '^      run: left a file: .*/forgotten$' 1
expect '^ok .* real/test_size$' 1
expect '^FAIL .* real/test_kernel: status 0$' 1
expect '^      run: kernel: .*seeded by a test of the tests$' 1
expect '^ok .* real/test_expected$' 1
expect '^ok .* real/test_provoked$' 1
expect '^FAIL .* real/test_unprovoked: status 0$' 1
expect '^FAIL .* real/test_output (uring|threads): status 1$' 1
expect '^      ... 800 lines before ...$' 1
expect '^ok .* unit/test_plain$' 1
expect '^FAIL .* real/test_frozen: status 0$' 1
expect '^      run: left a frozen file system: .*/mnt/x$' 1
expect '^8 passed, 10 failed, 1 skipped$' 1
lines="$(grep -c '^      run: ' <<<"$output")"
if [[ "$lines" != 10 ]]; then
	failures=$((failures + 1))
	printf 'expected 10 complaints, got %s:\n%s\n' "$lines" "$output"
fi
run --backend threads real/test_pass real/test_uring real/test_either
expect '^ok .* real/test_either threads$' 0
expect '^ok .* real/test_pass threads$' 0
expect '^2 passed, 0 failed, 0 skipped$' 0
run test_uring test_either
expect '^2 passed, 0 failed, 0 skipped$' 0
run --list real/test_either
expect_lines 1
VARVE_TEST_SOAK=1 run --list real/test_either
expect '^real/test_either uring$' 0
expect '^real/test_either threads$' 0
run --repeat 3 unit
expect '^3 passed, 0 failed, 0 skipped$' 0
run --jobs 1 --until-fail unit/test_plain real/test_fail
expect '1 failed' 1
# What may take long comes first, what runs alone last.
seed real/test_a_alone 'backend=any timeout=900 alone=yes' <<<'exit 0'
seed unit/test_z_long 'timeout=90' <<<'exit 0'
run --list real/test_a_alone unit/test_plain unit/test_z_long
if [[ "$output" != $'unit/test_z_long\nunit/test_plain\nreal/test_a_alone' ]]; then
	failures=$((failures + 1))
	printf 'not in the order of their time limits:\n%s\n' "$output"
fi
rm "$copy/tests/real/test_a_alone.sh" "$copy/tests/unit/test_z_long.sh"
mkdir -p "$copy/sanitized/tests/unit" "$copy/build/tests/unit"
echo '/* a program */' >"$copy/tests/unit/test_program.c"
printf '#!/bin/bash\nexit 0\n' >"$copy/build/tests/unit/test_program"
printf '#!/bin/bash\necho the sanitizer complains; exit 1\n' >"$copy/sanitized/tests/unit/test_program"
chmod +x "$copy/build/tests/unit/test_program" "$copy/sanitized/tests/unit/test_program"
run --sanitized "$copy/sanitized" 'api/test_x unit/test_program' unit/test_program unit/test_plain
expect '^ok .* unit/test_program$' 1
expect '^FAIL .* unit/test_program uring sanitized: status 1' 1
expect '^2 passed, 1 failed' 1
rm "$copy/tests/unit/test_program.c"
# The sanitized run replaces the plain one, of two that of the first backend, unless it leaves something out.
mkdir -p "$copy/sanitized/tests/real" "$copy/build/tests/real"
echo '/* varve-test: mount=no root=no */' >"$copy/tests/real/test_both.c"
run --sanitized "$copy/sanitized" real --list real/test_both
expect '^real/test_both (uring|threads) sanitized$' 0
expect_lines 1
sed -i 's/varve-test:/& backend=both/' "$copy/tests/real/test_both.c"
install -m 755 "$copy/build/tests/unit/test_program" "$copy/build/tests/real/test_both"
install -m 755 "$copy/build/tests/unit/test_program" "$copy/sanitized/tests/real/test_both"
run --sanitized "$copy/sanitized" real real/test_both
expect '^2 passed, 0 failed' 0
expect '^ok .* real/test_both threads$' 0
expect '^ok .* real/test_both uring sanitized$' 0
echo '/* if (TEST_SANITIZED) */' >>"$copy/tests/real/test_both.c"
run --sanitized "$copy/sanitized" real real/test_both
expect '^3 passed, 0 failed' 0
rm "$copy/tests/real/test_both.c"
run no/such
expect 'no such test' 2
# Order of the output, whatever ends first.
seed unit/test_a '' <<<"read -r _ <'$copy/go'"
seed unit/test_b '' <<<"echo go >'$copy/go'"
run --jobs 4 unit
if [[ "$(grep -o 'unit/test_[a-z]*' <<<"$output" | paste -s -d ' ')" != "unit/test_a unit/test_b unit/test_plain" ]]; then
	failures=$((failures + 1))
	printf 'out of order:\n%s\n' "$output"
fi
seed unit/test_b '' <<<'exit 0'
# No time left for the second, once the first has taken it all.
seed unit/test_a '' <<<"timeout 11 $endless || true"
run --jobs 1 --within 10 unit/test_a unit/test_b
expect '^ok .* unit/test_a$' 0
expect '^skip .* unit/test_b: no time left$' 0
expect '^not started within the time: unit/test_b$' 0
# A slow build multiplies the time of a test, but where all has to end it does not.
seed unit/test_b 'timeout=600' <<<'echo "ends after $((2 * CK_DEFAULT_TIMEOUT * CK_TIMEOUT_MULTIPLIER)) s"; exit 77'
run --timeout-scale 4 unit/test_b
expect '^skip .*: ends after 7200 s$' 0
run --timeout-scale 4 --within 100 unit/test_b
expect '^skip .*: ends after 1800 s$' 0
seed unit/test_b '' <<<'exit 0'
# A program that is not there: skipped where the package that it needs is missing, else a failure.
mkdir "$copy/bin"
printf '#!/bin/bash\nexit 1\n' >"$copy/bin/pkg-config"
chmod +x "$copy/bin/pkg-config"
printf '/* varve-test: backend=any mount=no root=no */\n' >"$copy/tests/unit/test_c.c"
PATH="$copy/bin:$PATH" run unit/test_c
expect '^skip .* unit/test_c: not built: Check is missing$' 0
printf '#!/bin/bash\n' >"$copy/bin/pkg-config"
PATH="$copy/bin:$PATH" run unit/test_c
expect '^FAIL .* unit/test_c' 1
rm -- "$copy/tests/unit/test_c.c"
# Interrupted, it takes all with it.
seed unit/test_long '' <<<"echo begun >'$copy/go'; exec $endless"
TMPDIR="$copy/tmp" "$copy/tests/run" --build "$copy/build" unit/test_long >"$copy/interrupted" 2>&1 &
runner=$!
read -r _ <"$copy/go"
kill -TERM "$runner"
wait "$runner" && failures=$((failures + 1)) && echo "the interrupted runner was content"
if [[ -n "$(ls -A "$copy/tmp")" ]]; then
	failures=$((failures + 1))
	echo "an interrupted runner left files:"
	ls -AR "$copy/tmp"
fi
# Without root.
if command -v setpriv >/dev/null && [[ "$(id -u)" == 0 ]]; then
	chmod -R a+rX "$copy"
	chmod 1777 "$copy/tmp"
	status=0
	output="$(TMPDIR="$copy/tmp" setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$copy/tests/run" --build "$copy/build" unit/test_b real/test_pass 2>&1)" || status=$?
	expect '^skip .* real/test_pass uring: needs root' 0
	expect '^1 passed, 0 failed, 2 skipped$' 0
fi
exit $((failures > 0))
