#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: backend=any mount=no root=no
# README's table of claims says what the page of results has, and has no claim that is none.
# The backquotes are those of Markdown.
# shellcheck disable=SC2016
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start
cd "$scratch"

# The README of the repository is what the claims of the repository come to.
run claims "$bench_repository/docs/results.md" "$bench_repository/README.md"
((status == 0)) || fail "README.md does not say what docs/results.md has: see varve-bench claims --write"

# Ranges over all machines; of latencies the factor is turned over, and of small ones what was rounded away is in the range.
{
	section "one" "a|iops against ioctl|6.00 (5.00 to 7.00)" "b|lat_p50 against tar|0.50 (0.40 to 0.80)" "b|lat_p50 against bfs|0.10 (0.10 to 0.10)" \
		"c|p50_ns|1.20 ms (1.10 ms to 1.30 ms)" "d|iops against ioctl|1.50 (1.10 to 1.60)" "e|lat_p50 against tar|0.90 (0.80 to 1.00)"
	section "two" "a|iops against ioctl|3.1" "c|p50_ns|600 us (500 us to 700 us)" "d|iops against ioctl|0.90 (0.80 to 0.95)" \
		"b|lat_p50 against tar|not measured: tar is not there" "f|lat_p50 against reference|0.0001 (0.0000 to 0.0002)" \
		"g|lat_p50 against reference|0.0010 (0.0008 to 0.0012)"
} >page.md
# Make a README of rows "MEASURED|JOB".
readme() {
	local row
	printf '# x\n\n| Claim | outside | `a` |\n\n<!-- results -->\n\n| Claim | Measured | Job |\n| --- | --- | --- |\n'
	for row in "$@"; do
		printf '| Said. | %s | %s |\n' "${row%|*}" "${row#*|}"
	done
	printf '\n## After\n\n| Said. | nothing | nowhere |\n'
}
good=('3.1 to 7.0 times as fast as ioctl|`a`' '1.25 to 2.5 times as fast as tar|`b`' '10 times as fast as bfs|`b` lat_p50 against bfs'
	'500 us to 1.30 ms|`c`' 'more than 4000 times as fast as reference|`f`' '800 to 1300 times as fast as reference|`g`')
readme "${good[@]}" >good
cp good readme.md
run_well claims page.md readme.md
readme '7.0 times|`a`' "${good[@]:1:2}" '?|`c` p50_ns' "${good[@]:4}" >readme.md
run claims page.md readme.md
((status == 1)) || fail "figures that are not those of the page: status $status"
expect err '^readme.md:9: `a`: 3.1 to 7.0 times as fast as ioctl$'
expect err '^readme.md:12: '
run_well claims page.md readme.md --write
diff <(sed 's/`c` p50_ns/`c`/' readme.md) good >difference || fail "written:" "$(cat difference)"
# Faster here and slower there, or in some runs; not measured anywhere; without a job.
for row in '0.80 to 1.60 times as fast as ioctl|`d`' '1.00 to 1.25 times as fast as tar|`e`' '1|`nosuch`' '1|`b` lat_p50 against du' '1|a'; do
	readme "${good[@]}" "$row" >readme.md
	cp readme.md kept
	run claims page.md readme.md
	((status == 1)) || fail "$row is taken: status $status"
	run claims page.md readme.md --write
	((status == 1)) || fail "$row is written: status $status"
	expect err '^readme.md:15: '
	diff kept readme.md >difference || fail "$row:" "$(cat difference)"
done
# A figure that the page does not have yet: none, or one with a link to its origin, until the page has it.
readme "${good[@]}" 'not measured|`nosuch`' '2 times as fast as du ([one run](docs/measurements.md#one))|`b` lat_p50 against du' >readme.md
cp readme.md kept
run_well claims page.md readme.md
run_well claims page.md readme.md --write
diff kept readme.md >difference || fail "without figures:" "$(cat difference)"
readme "${good[0]}" 'not measured|`c`' '2 times ([one run](docs/measurements.md#one))|`f`' >readme.md
run claims page.md readme.md
((status == 1)) || fail "not measured, but the page has it: status $status"
run_well claims page.md readme.md --write
diff <(readme "${good[0]}" "${good[3]}" "${good[4]}") readme.md >difference || fail "filled in:" "$(cat difference)"

printf 'no table\n' >readme.md
for arguments in "page.md readme.md" "page.md missing.md" "missing.md good" "page.md" "page.md good --nosuch"; do
	# shellcheck disable=SC2086
	run claims $arguments
	((status == 2)) || fail "claims $arguments: status $status"
done
