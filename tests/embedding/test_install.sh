#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Programs outside the tree build against what is installed, found by pkg-config: C and C++, shared and static. What was
# installed is complete: command, man pages and their links.
# varve-test: backend=any timeout=120
set -euo pipefail
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/embedding.sh"
# A compiler may have more words than one: "ccache gcc".
read -ra cc <<<"${CC:-cc}"
read -ra cxx <<<"${CXX:-g++}"

# Install what was built, from a copy: the file for pkg-config names the prefix and is made anew. Nothing is compiled.
install_into() {
	mkdir -- "$tmp/build"
	(cd "$build" && cp -a api engine libvarve.a libvarve.o libvarve.so libvarve.so.* varve "$tmp/build/" &&
		if [[ -e varve-bench ]]; then cp -a bench libbench.a varve-bench "$tmp/build/"; fi &&
		if [[ -e varve-serve ]]; then cp -a libserve.a varve-serve "$tmp/build/"; fi)
	make --no-print-directory -s -C "$root" B="$tmp/build" PREFIX="$1" DESTDIR="$2" install >"$tmp/output" 2>&1 ||
		fail "make install: $(cat "$tmp/output")"
	! grep -E '^  (CC|LD)' "$tmp/output" || fail "make install builds what was built"
}

# Build the source $2 against the installed library as $1, with the flags that follow; run it in a home of its own.
build_and_run() {
	local program="$tmp/$1" source="$2"
	shift 2
	case "$source" in
	*.cc) "${cxx[@]}" -std=c++11 -Wall -Wextra -Werror -o "$program" "$source" "$@" ;;
	*) "${cc[@]}" -std=c99 -Wall -Wextra -Werror -o "$program" "$source" "$@" ;;
	esac
	expect_status 0 "$tmp/output" "$program" "$mount/$(basename "$program")"
	sed "s|^|$(basename "$program"): |" "$tmp/output"
}

# The header stands alone, in strict C99 and C++11.
check_header() {
	echo '#include <varve.h>' >"$tmp/header.c"
	cp "$tmp/header.c" "$tmp/header.cc"
	"${cc[@]}" -std=c99 -pedantic -Wall -Wextra -Werror "$@" -c -o "$tmp/header.o" "$tmp/header.c"
	"${cxx[@]}" -std=c++11 -pedantic -Wall -Wextra -Werror "$@" -c -o "$tmp/header.o" "$tmp/header.cc"
}

# Every man page is there and can be shown, links, too: all by one process, and one by one to name the page that cannot.
check_pages() {
	local page
	local -a pages=()
	command -v mandoc >/dev/null || return 0
	cd "$1"
	for page in "$root"/docs/man/*.[13578]; do
		pages+=("man${page##*.}/${page##*/}")
	done
	if ! show_pages "${pages[@]}"; then
		for page in "${pages[@]}"; do
			show_pages "$page" || fail "$page shows nothing: $(cat "$tmp/page")"
		done
		fail "the pages can be shown only one by one"
	fi
	echo "${#pages[@]} man pages can be shown"
}

# Show the pages given; succeed if each has its last section.
show_pages() {
	mandoc -T utf8 "$@" >"$tmp/page" 2>&1 || return 1
	sed -i 's/.\x08//g' "$tmp/page"
	(($(grep -c '^SEE ALSO' "$tmp/page") == $#))
}

need_mount
if is_sanitized; then
	skip "the library is built with a sanitizer"
fi
prefix="$tmp/prefix"
install_into "$prefix" ""
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
read -r -a cflags <<<"$(pkg-config --cflags varve)"
read -r -a libs <<<"$(pkg-config --libs varve)"
read -r -a static_libs <<<"$(pkg-config --static --libs varve | sed 's/-lvarve\b/-l:libvarve.a/')"
check_header "${cflags[@]}"
for kind in c cc; do
	LD_LIBRARY_PATH="$prefix/lib" build_and_run "shared-$kind" "$root/tests/embedding/outside/program.$kind" "${cflags[@]}" "${libs[@]}"
	readelf -d "$tmp/shared-$kind" | grep 'NEEDED.*libvarve\.so\.' >/dev/null || fail "shared-$kind does not need libvarve.so"
	build_and_run "static-$kind" "$root/tests/embedding/outside/program.$kind" "${cflags[@]}" "${static_libs[@]}"
	! readelf -d "$tmp/static-$kind" | grep 'NEEDED.*libvarve' || fail "static-$kind needs libvarve.so"
done
[[ "$("$prefix/bin/varve" version)" == "varve $(pkg-config --modversion varve)" ]] || fail "the command has another version"
check_pages "$prefix/share/man"

# With DESTDIR all goes below it, and what is written names the prefix alone.
rm -rf -- "$tmp/build"
install_into /opt/varve "$tmp/stage"
grep -q '^prefix=/opt/varve$' "$tmp/stage/opt/varve/lib/pkgconfig/varve.pc" || fail "varve.pc names another prefix"
diff <(cd "$prefix" && find . | sort) <(cd "$tmp/stage/opt/varve" && find . | sort) || fail "DESTDIR takes other files"
if [[ -e "$build/varve-serve" ]]; then
	expect_line "$tmp/stage/opt/varve/lib/systemd/system/varve.service" '^ExecStart=/opt/varve/bin/varve serve '
fi
