#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The page with charts, in a real browser: it shows its labels, draws lines, and asks nobody for anything.
# varve-test: backend=any mount=no root=no timeout=120
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start
browser="$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)"
cd "$scratch"

cat >jobs.fio <<'J'
[global]
rw=noop
number_ios=200000
group_reporting
[depth-<1>&"x"]
ioengine=noop
iodepth=1
[depth-8]
ioengine=noop
iodepth=8
stonewall
[depth-64]
ioengine=libuv
number_ios=20000
iodepth=64
stonewall
J
run_well --report=page.html jobs.fio
for id in throughput latency scaling; do
	grep -q "<svg id=\"$id-noop\"" page.html || fail "no chart $id"
done
(($(grep -c '<polyline' page.html) >= 8)) || fail "too few lines"
grep -q 'depth-&lt;1&gt;&amp;&quot;x&quot;' page.html || fail "the name of a job is not escaped"
if grep -Eiq '(src|href)=|https?://|<script|@import|url\(' page.html; then
	fail "the page asks for something from elsewhere"
fi
if grep -q 'nan\|inf,' page.html; then
	fail "a point is not a number"
fi

[[ -n "$browser" ]] || skip "no chromium: the page was not looked at in a browser; the rest passed"
# What the browser has understood of it, and a picture.
timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$scratch/profile" \
	--window-size=1000,1500 --dump-dom --screenshot="$scratch/page.png" "file://$scratch/page.html" >dom 2>browser.log ||
	fail "the browser" "$(tail -n 3 browser.log)"
for label in 'Throughput over time' 'Latency percentiles by engine' 'Scaling with depth' 'layers a second' 'operations in flight' \
	'percentile' 'depth-8 (noop)' 'libuv'; do
	grep -qF "$label" dom || fail "the browser does not show: $label"
done
[[ -s page.png ]] || fail "no screenshot" "$(tail -n 3 browser.log)"
# Not blank: the picture has the colours of the first two lines, and much that is not white.
command -v python3 >/dev/null || skip "python3 is missing: the picture was not looked at"
python3 - "$scratch/page.png" <<'P' || fail "the picture is blank, or lacks the colours of the lines"
import collections, struct, sys, zlib
data = open(sys.argv[1], "rb").read()
assert data[:8] == b"\x89PNG\r\n\x1a\n"
at, idat = 8, b""
while at < len(data):
    size, kind = struct.unpack(">I4s", data[at:at + 8])
    body = data[at + 8:at + 8 + size]
    if kind == b"IHDR":
        width, height, depth, color = struct.unpack(">IIBB", body[:10])
    if kind == b"IDAT":
        idat += body
    at += 12 + size
assert depth == 8 and color in (2, 6)
step = 3 if color == 2 else 4
raw, last, pixels, counts = zlib.decompress(idat), bytearray(width * step), collections.Counter(), None
for y in range(height):
    line = raw[y * (width * step + 1):(y + 1) * (width * step + 1)]
    how, row = line[0], bytearray(line[1:])
    if how == 1:
        for i in range(step, len(row)):
            row[i] = (row[i] + row[i - step]) & 255
    elif how == 2:
        row = bytearray([(a + b) & 255 for a, b in zip(row, last)])
    elif how == 3:
        for i in range(len(row)):
            row[i] = (row[i] + ((row[i - step] if i >= step else 0) + last[i]) // 2) & 255
    elif how == 4:
        for i in range(len(row)):
            a, b, c = row[i - step] if i >= step else 0, last[i], last[i - step] if i >= step else 0
            p = a + b - c
            d = (abs(p - a), abs(p - b), abs(p - c))
            row[i] = (row[i] + (a if d[0] <= d[1] and d[0] <= d[2] else b if d[1] <= d[2] else c)) & 255
    # Most rows are like the one above.
    if counts is None or row != last:
        counts = collections.Counter(zip(row[0::step], row[1::step], row[2::step]))
    pixels.update(counts)
    last = row
white = pixels[255, 255, 255]
assert width * height - white > 5000, white
for color in (b"\x1f\x5f\xa8", b"\xd1\x49\x5b", b"\x2e\x8b\x57"):
    # The legends alone have under 200 of each.
    assert pixels[tuple(color)] > 400, (color, pixels[tuple(color)])
P
