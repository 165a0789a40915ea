#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Archives as other programs write them become the same trees as by containers/storage, entry by entry: GNU tar, bsdtar, cpio and pax in
# each of their formats of tar, Python's tarfile, Go's archive/tar, and what kaniko, buildah and Docker write into layers. Some formats are
# for VARVE_TEST_SOAK.
# varve-test: backend=any timeout=120
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || lib_skip "needs python3"
lib_start_graph
source="$VARVE_TEST_MOUNT/source"
archives="$VARVE_TEST_MOUNT/archives"
mkdir "$source" "$archives"

# Write all that there is of each tree into the file behind it: kinds, modes, owners, sizes, targets, times, devices, which names are one
# file, attributes, content. Not the time of the root: containers-storage does something in it when the archive is unpacked. A time that
# no archive has is the moment of unpacking. In one process, since there are dozens of trees.
cat >"$scratch/tell.py" <<'END'
import hashlib, os, stat, sys


def tell(root, path, groups):
	"""The line of the entry PATH."""
	full = os.path.join(root, path)
	s = os.lstat(full)
	words = [path, "%o" % s.st_mode, s.st_uid, s.st_gid]
	if path != b".":
		words.append("now" if 1600000000 <= s.st_mtime < 2000000000 else s.st_mtime_ns)
	if not stat.S_ISDIR(s.st_mode):
		words += [s.st_size, "%x" % s.st_rdev, s.st_nlink]
		if s.st_nlink > 1:
			words.append(groups.setdefault(s.st_ino, len(groups)))
	if stat.S_ISLNK(s.st_mode):
		words.append(os.readlink(full))
	if stat.S_ISREG(s.st_mode):
		with open(full, "rb") as file:
			words.append(hashlib.sha256(file.read()).hexdigest())
	words += sorted((name, os.getxattr(full, name, follow_symlinks=False)) for name in os.listxattr(full, follow_symlinks=False))
	return repr(words) + "\n"


for tree, output in zip(sys.argv[1::2], sys.argv[2::2]):
	root = os.fsencode(tree)
	paths = [b"."] + [os.path.relpath(os.path.join(directory, name), root)
		for directory, directories, files in os.walk(root) for name in directories + files]
	groups = {}
	with open(output, "w") as file:
		file.writelines(tell(root, path, groups) for path in sorted(paths))
END
tell() {
	python3 "$scratch/tell.py" "$@"
}

agreed=0
# What varve makes of the archive $1 is what GNU tar does, where containers-storage refuses such archives.
agree_tar() {
	local name
	name="$(basename "$1" | tr -c 'A-Za-z0-9\n' -)"
	mkdir "$source-tar"
	tar --xattrs --xattrs-include='*' --numeric-owner -pxf "$1" -C "$source-tar"
	quietly create --apply "$1" "varve-$name"
	tell "$source-tar" "$scratch/tar.tells" "$layers/varve-$name" "$scratch/varve.tells"
	diff "$scratch/tar.tells" "$scratch/varve.tells" || lib_fail "the trees of $name differ"
	rm -r "$source-tar"
	agreed=$((agreed + 1))
}

# Both make the same tree of the archive $1, on the layer $2 if that is given; it has at least $3 lines.
agree() {
	local name
	name="$(basename "$1" | tr -c 'A-Za-z0-9\n' -)"
	cs import-layer -i "cs-$name" -f "$1" ${2:+"$2"} >/dev/null || lib_fail "containers-storage cannot apply $name"
	run create ${2:+--parent "$2"} --apply "$1" "varve-$name"
	expect 0 "" "*"
	tell "$layers/cs-$name" "$scratch/cs.tells" "$layers/varve-$name" "$scratch/varve.tells"
	diff "$scratch/cs.tells" "$scratch/varve.tells" || lib_fail "the trees of $name differ"
	(($(wc -l <"$scratch/cs.tells") >= ${3:-10})) || lib_fail "$name has too little in it"
	agreed=$((agreed + 1))
}

# ---- the tree -------------------------------------------------------------------------------------------------------------

# Of what each format can hold.
mkdir -p "$source/etc/conf.d" "$source/usr/bin" "$source/tmp" "$source/empty"
echo value >"$source/etc/conf.d/one"
: >"$source/etc/nothing"
head -c 200000 /dev/urandom >"$source/usr/bin/large"
ln "$source/etc/conf.d/one" "$source/usr/again"
ln -s ../etc/conf.d/one "$source/usr/link"
ln -s /absolute/../target "$source/usr/absolute"
chmod 4755 "$source/usr/bin/large"
chmod 1777 "$source/tmp"
chmod 0700 "$source/empty"
chown 11:22 "$source/etc/conf.d/one"
chown -h 33:44 "$source/usr/link"
find "$source" -depth -exec touch -h -d '2001-09-09 01:46:40 UTC' {} +
cp -a "$source" "$source-more"
more="$source-more"
# What ustar and later can.
mkfifo "$more/fifo"
mknod "$more/null" c 1 3
mknod "$more/block" b 7 200
long="$(printf 'directory-%060d' 0)"
mkdir -p "$more/$long/$long"
echo long >"$more/$long/$long/file"
echo utf8 >"$more/café"
find "$more" -depth -exec touch -h -d '2001-09-09 01:46:40 UTC' {} +
cp -a "$more" "$source-most"
most="$source-most"
# What pax and GNU's formats can.
name="$(printf '%0250d' 0)"
mkdir -p "$most/$long/$name"
echo longer >"$most/$long/$name/$name"
ln -s "$(printf 'target/%0200d' 0)" "$most/long-link"
ln "$most/$long/$name/$name" "$most/hard"
echo bytes >"$most/"$'\xff\xfe'
chown 3000000:4000000 "$most/café"
find "$most" -depth -exec touch -h -d '2001-09-09 01:46:40 UTC' {} +

# ---- programs ------------------------------------------------------------------------------------------------------------

# Print the formats $1, and $2 in the soak.
formats() {
	printf '%s\n' "$1" ${VARVE_TEST_SOAK:+"$2"}
}
skipped=()
for format in $(formats v7 "ustar oldgnu gnu posix"); do
	case "$format" in
	v7) tree="$source" ;;
	ustar) tree="$more" ;;
	*) tree="$most" ;;
	esac
	tar --format="$format" --numeric-owner -cf "$archives/tar-$format" -C "$tree" .
	agree "$archives/tar-$format"
done
# Sparse files, attributes, fractions of seconds, and names from the root on.
cp -a "$more" "$source-sparse"
truncate -s 3M "$source-sparse/hole"
printf middle | dd of="$source-sparse/hole" bs=1 seek=1000000 conv=notrunc status=none
setfattr -n user.one -v value "$source-sparse/etc" "$source-sparse/etc/nothing"
setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 "$source-sparse/usr/bin/large"
touch -d '2001-09-09 01:46:40.123456789 UTC' "$source-sparse/etc/nothing"
for format in $(formats gnu oldgnu); do
	tar --format="$format" --numeric-owner --sparse -cf "$archives/sparse-$format" -C "$source-sparse" .
	agree_tar "$archives/sparse-$format"
done
for version in $(formats 1.0 "0.0 0.1"); do
	tar --format=posix --sparse-version="$version" --xattrs --xattrs-include='*' --sparse -cf "$archives/sparse-$version" \
		-C "$source-sparse" .
	agree "$archives/sparse-$version"
done
(cd "$most" && tar --format=gnu -cPf "$archives/tar-absolute" --transform='s,^\./*,/,' .) && agree "$archives/tar-absolute"

if command -v bsdtar >/dev/null; then
	for format in $(formats pax "v7 ustar gnutar paxr"); do
		case "$format" in
		v7) tree="$source" ;;
		ustar) tree="$more" ;;
		*) tree="$most" ;;
		esac
		bsdtar --format="$format" --numeric-owner -cf "$archives/bsdtar-$format" -C "$tree" . 2>/dev/null ||
			lib_fail "bsdtar cannot write $format"
		agree "$archives/bsdtar-$format"
	done
	bsdtar --format=pax --numeric-owner -cf "$archives/bsdtar-xattrs" -C "$source-sparse" .
	agree "$archives/bsdtar-xattrs"
else
	skipped+=(bsdtar)
fi
if command -v cpio >/dev/null; then
	for format in $(formats ustar tar); do
		(cd "$source" && find . | cpio --quiet -o -H "$format" >"$archives/cpio-$format")
		agree "$archives/cpio-$format"
	done
else
	skipped+=(cpio)
fi
if command -v pax >/dev/null; then
	for format in $(formats ustar tar); do
		(cd "$source" && pax -w -x "$format" -f "$archives/pax-$format" .)
		agree "$archives/pax-$format"
	done
else
	skipped+=(pax)
fi
python3 - "$most" "$more" "$archives" <<'END'
import sys, tarfile
most, more, archives = sys.argv[1:]
for name, form, tree in ("ustar", tarfile.USTAR_FORMAT, more), ("gnu", tarfile.GNU_FORMAT, most), ("pax", tarfile.PAX_FORMAT, most):
	with tarfile.open(f"{archives}/python-{name}", "w", format=form) as archive:
		archive.add(tree, ".")
END
for format in $(formats "gnu" "ustar pax"); do
	agree "$archives/python-$format"
done
if command -v go >/dev/null; then
	mkdir "$scratch/go"
	cat >"$scratch/go/main.go" <<'END'
package main

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// check ends the program where ERR is an error.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	format := map[string]tar.Format{"ustar": tar.FormatUSTAR, "pax": tar.FormatPAX, "gnu": tar.FormatGNU}[os.Args[1]]
	writer := tar.NewWriter(os.Stdout)
	first := map[uint64]string{}
	check(os.Chdir(os.Args[2]))
	check(filepath.Walk(".", func(path string, info os.FileInfo, err error) error {
		check(err)
		target := ""
		if info.Mode()&os.ModeSymlink != 0 {
			target, err = os.Readlink(path)
			check(err)
		}
		header, err := tar.FileInfoHeader(info, target)
		check(err)
		header.Name, header.Format = path, format
		header.Uname, header.Gname = "", ""
		if info.IsDir() {
			header.Name += "/"
		}
		stat := info.Sys().(*syscall.Stat_t)
		if !info.IsDir() && stat.Nlink > 1 {
			if name, ok := first[stat.Ino]; ok {
				header.Typeflag, header.Linkname, header.Size = tar.TypeLink, name, 0
			} else {
				first[stat.Ino] = path
			}
		}
		if format != tar.FormatPAX {
			header.ModTime = header.ModTime.Truncate(1e9)
			header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
		}
		check(writer.WriteHeader(header))
		if header.Typeflag == tar.TypeReg {
			file, err := os.Open(path)
			check(err)
			_, err = io.Copy(writer, file)
			check(err)
			check(file.Close())
		}
		return nil
	}))
	check(writer.Close())
}
END
	(cd "$scratch/go" && GO111MODULE=off GOFLAGS=-p=2 GOCACHE="$(cd "$VARVE_BUILD" && pwd)/go-cache" go build -o pack main.go)
	# PAX records of Go's are UTF-8.
	rm "$most/"$'\xff\xfe'
	for format in $(formats pax "ustar gnu"); do
		tree="$most"
		[[ "$format" != ustar ]] || tree="$source"
		"$scratch/go/pack" "$format" "$tree" >"$archives/go-$format"
		agree "$archives/go-$format"
	done
else
	skipped+=(go)
fi

# ---- builders --------------------------------------------------------------------------------------------------------------

# What a layer's archive is laid over.
cs create-layer -i base >/dev/null
cp -a "$source/." "$layers/base"
mkdir -p "$layers/base/var/cache/deep" "$layers/base/opt/app"
echo old | tee "$layers/base/var/cache/old" "$layers/base/var/cache/deep/old" "$layers/base/opt/app/old" >"$layers/base/opt/gone"
ln "$layers/base/opt/app/old" "$layers/base/opt/kept"
find "$layers/base" -depth -exec touch -h -d '2002-09-09 01:46:40 UTC' {} +
python3 - "$archives" <<'END'
import io, sys, tarfile
archives = sys.argv[1]


def write(name, form, entries):
	"""Write the archive NAME: of each entry its name, type, and then its content or target."""
	with tarfile.open(f"{archives}/{name}", "w", format=form) as archive:
		for path, kind, *rest in entries:
			info = tarfile.TarInfo(path)
			info.type = kind
			# An entry for one more name tells what the file has already; only containers/storage would set that.
			info.mtime = 1031536000 if rest == ["opt/kept"] else 1500000000
			info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
			content = b""
			if kind == tarfile.REGTYPE:
				content = rest[0]
				info.size = len(content)
			elif rest:
				info.linkname = rest[0]
			# tarfile takes a '/' off the end of a directory's name, and puts one there.
			archive.addfile(info, io.BytesIO(content))


D, F, L, S = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE
# kaniko: the root itself, and absolute names and targets.
write("kaniko", tarfile.PAX_FORMAT, [
	("/", D), ("/kaniko/", D), ("/kaniko/file", F, b"content"), ("/kaniko/hard", L, "/kaniko/file"), ("/kaniko/soft", S, "/kaniko/file"),
	("/etc/", D), ("/etc/conf.d/", D), ("/etc/conf.d/one", F, b"other"), ("/opt/.wh.gone", F, b""), ("/var/.wh.cache", F, b""),
])
# buildah: relative names, whiteouts before and behind what is beside them.
write("buildah", tarfile.PAX_FORMAT, [
	("opt/", D), ("opt/.wh.gone", F, b""), ("opt/app/", D), ("opt/app/.wh.old", F, b""), ("opt/app/new", F, b"new"),
	("opt/new-hard", L, "opt/app/new"), ("run/", D), ("run/secrets/", D), ("var/", D), ("var/cache", F, b"a file in the place of a directory"),
])
# Docker: opaque directories, the mark first, last and in between; directories that nothing tells of; links to old files.
write("docker-first", tarfile.PAX_FORMAT, [
	("var/", D), ("var/cache/", D), ("var/cache/.wh..wh..opq", F, b""), ("var/cache/new", F, b"new"), ("opt/", D),
	("opt/second", L, "opt/kept"),
])
write("docker-last", tarfile.USTAR_FORMAT, [
	("var/", D), ("var/cache/", D), ("var/cache/new", F, b"new"), ("var/cache/deep/", D), ("var/cache/deep/newer", F, b"newer"),
	("var/cache/.wh..wh..opq", F, b""),
])
write("docker-implicit", tarfile.GNU_FORMAT, [
	("srv/www/page", F, b"page"), ("opt/app/.wh..wh..opq", F, b""), ("opt/app/new", F, b"new"), ("etc/.wh.nothing", F, b""),
])
write("dots", tarfile.PAX_FORMAT, [
	("./", D), ("./a/", D), ("./a/b", F, b"b"), ("a//c", F, b"c"), ("./a/../d", F, b"d"), ("./a/hard", L, "./a/b"), ("a/up", S, "../../outside"),
])
END
for builder in kaniko buildah docker-first docker-last docker-implicit dots; do
	agree "$archives/$builder" base
done
printf '%d archives agree; not installed: %s\n' "$agreed" "${skipped[*]:-nothing}"
