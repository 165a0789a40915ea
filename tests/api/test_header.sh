#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: backend=any mount=no root=no
# varve.h stands alone, in every C from C99 and every C++ from C++11, without a warning; it includes libc only; and a program
# in C++ links and runs.
set -euo pipefail
if ! command -v gcc >/dev/null; then
	echo "no compiler here"
	exit 77
fi

include="$(cd "$(dirname "$0")/../.." && pwd)/api/include"
directory="$(mktemp -d)"
trap 'rm -rf -- "${directory:?}"' EXIT
strict=(-Wall -Wextra -Wpedantic -Werror -fsyntax-only -I "$include")
printf '#include <varve.h>\n#include <varve.h>\n' >"$directory/alone.c"
cp "$directory/alone.c" "$directory/alone.cc"

for standard in c99 c11 c17 gnu11; do
	gcc -std="$standard" "${strict[@]}" "$directory/alone.c"
done
for standard in c++11 c++14 c++17 c++20; do
	g++ -std="$standard" "${strict[@]}" "$directory/alone.cc"
done
if command -v clang >/dev/null; then
	clang -std=c99 "${strict[@]}" "$directory/alone.c"
fi

if sed -n 's/^#include *//p' "$include/varve.h" | grep -vE '^<(stdbool|stddef|stdint)\.h>$'; then
	echo "varve.h includes more than libc"
	exit 1
fi

cat >"$directory/program.cc" <<'END'
#include <cstdio>
#include <cstring>
#include <varve.h>

int main() {
	varve_config config = VARVE_CONFIG_INIT;
	varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_quota quota = VARVE_QUOTA_INIT;
	struct varve_progress progress = VARVE_PROGRESS_INIT;
	struct varve_statistics statistics = VARVE_STATISTICS_INIT;
	struct varve_operation_statistics operation = VARVE_OPERATION_STATISTICS_INIT;
	varve_failure failure;
	uint64_t bytes = 0;
	if (!VARVE_HAS(&info, quota_limit) || !VARVE_HAS(&usage, limit_bytes) || !VARVE_HAS(&report, quota_groups_removed) ||
	    !VARVE_HAS(&quota, failures) || !VARVE_HAS(&progress, bytes) || !VARVE_HAS(&statistics, cleaner_backlog) ||
	    !VARVE_HAS(&operation, latency))
		return 3;
	if (config.size != sizeof(config) || options.size != sizeof(options))
		return 1;
	if (varve_size_parse("1k", &bytes) != 0 || bytes != 1024)
		return 2;
	return std::strcmp(varve_version(), VARVE_VERSION_STRING) || varve_id_check("..", &failure) == 0;
}
END
# What the archive stands on.
mapfile -t below < <(PKG_CONFIG_PATH="$VARVE_BUILD" pkg-config --print-requires-private varve)
read -r -a libraries <<<"$(pkg-config --libs "${below[@]}")"
sanitize=()
case "$VARVE_BUILD" in
*san-address*) sanitize=("-fsanitize=address,undefined") ;;
*san-thread*) sanitize=(-fsanitize=thread) ;;
esac
g++ -std=c++17 -Wall -Wextra -Werror -I "$include" "${sanitize[@]}" -o "$directory/program" "$directory/program.cc" \
	"$VARVE_BUILD/libvarve.a" "${libraries[@]}" -pthread
"$directory/program"

# Every call that the header declares is in both libraries, and they show nothing else.
sed -n 's/^\(void\|const struct varve_result \*\|int\|char \*\|const char \*\|uint64_t\) *\(varve_[a-z_]*\)(.*/\2/p' "$include/varve.h" | sort -u >"$directory/declared"
nm --extern-only --defined-only "$VARVE_BUILD/libvarve.a" | awk 'NF == 3 { print $3 }' | sort -u >"$directory/archive"
nm --dynamic --defined-only "$VARVE_BUILD/libvarve.so" | awk '{ print $3 }' | sed 's/@.*//' | grep -v '^VARVE_' | sort -u \
	>"$directory/shared"
if ((${#sanitize[@]} == 0)); then
	diff "$directory/declared" "$directory/archive"
	diff "$directory/declared" "$directory/shared"
fi
echo "$(wc -l <"$directory/declared") calls"
