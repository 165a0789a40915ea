#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: backend=any
# Completion in bash: commands, options, layers, files; names are never expanded.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
# shellcheck disable=SC1091 # It is checked by itself.
. "$lib_repository/api/cli/varve.bash"
export VARVE_HOME="$home"
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'

# What --help tells, by the words before it: it is read for each completion, and asked for once.
declare -A helps=()
# The command, as completion calls it.
varve_quick() {
	if [[ "${!#}" == --help && -v "helps[$*]" ]]; then
		printf '%s\n' "${helps[$*]}"
	else
		"$varve" "$@"
	fi
}
# The first word of the line.
program="$varve"

# The words given, split as bash does, the last one at the cursor, complete to what standard input says, a line each, in any
# order. The line is the words, with spaces between but around "=" and ":".
completes() {
	local word
	local -a expected
	local -A count=()
	COMP_WORDS=("$program")
	COMP_LINE="$program"
	for word in "$@"; do
		case "${COMP_WORDS[-1]}|$word" in
		*"|="* | *"|:"* | "=|"* | ":|"*) COMP_LINE+="$word" ;;
		*) COMP_LINE+=" $word" ;;
		esac
		COMP_WORDS+=("$word")
	done
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	COMP_POINT=${#COMP_LINE}
	COMPREPLY=()
	mapfile -t expected
	[[ "${expected[*]}" != "" ]] || expected=()
	_varve
	for word in "${expected[@]}"; do
		count["$word"]=$((${count["$word"]:-0} + 1))
	done
	for word in "${COMPREPLY[@]}"; do
		count["${word:-nothing}"]=$((${count["${word:-nothing}"]:-0} - 1))
	done
	if [[ "${count[*]}" == *[1-9]* ]]; then
		lib_fail "'$COMP_LINE' completes to" "${COMPREPLY[@]}" "instead of" "${expected[@]}"
	fi
}

[[ "$(complete -p varve)" == *"-F _varve"* ]] || lib_fail "nothing is registered"
"$varve" --help | sed -n '/^Commands:/,/^$/s/^  \([^ ]*\) .*/\1/p' | sort -u >"$scratch/commands"
completes "" <"$scratch/commands"
mapfile -t commands < <("$varve" --help | sed -n '/^Commands:/,/^$/s/^  \([^ ]*\( [^ ]\{1,\}\)\?\)  .*/\1/p')
for command in "" "${commands[@]}"; do
	# shellcheck disable=SC2086 # Words.
	helps["${command:+$command }--help"]="$("$varve" $command --help)"
done
program=varve_quick
completes stat <<<status
completes --no-uring ex <<<exists
completes pool "" <<<$'create\nmount\numount'
completes pool u <<<umount
completes frobnicate "" <<<""
completes status "" <<<""
completes --j <<<--json
completes --no <<<--no-uring
completes rm --w <<<--wait
completes sync --w <<<--wait-clean
completes rm -- --w <<<""
completes pool create --s <<<$'--size\n--store-opt'
completes ls -l --l <<<--long

# No store, no layers.
completes rm "" <<<""

# shellcheck disable=SC2016 # Names hold what is not to expand.
names=(sha256:aa sha256:ab plain plum 'a b' '$(touch pwned)' '`touch pwned`' '*' "it's" $'new\xff')
(cd "$scratch" && quietly create "${names[@]}")
cd "$scratch"
completes get pl <<<$'plain\nplum'
completes get pla <<<plain
completes get plain "" <<<""
completes rm plain plu <<<plum
completes rm -f --wait plain pla <<<plain
completes rm --json -- pla <<<plain
completes info nothing <<<""
completes create --parent pla <<<plain
completes create --parent = pla <<<plain
completes create --parent plain --template plu <<<plum
completes create --parent plain --read-only pla <<<plain
completes create --opt pla <<<""
completes pool create --size pla <<<""
# A name is quoted as bash must read it back, and goes on behind a colon.
completes get 'a\ ' <<<'a\ b'
completes get '"a' <<<'a b'
completes get "'a " <<<'a b'
completes get sha256 : <<<$'aa\nab'
completes get sha256 : aa <<<aa
completes get sha <<<$'sha256:aa\nsha256:ab'
completes get '\$' <<<'\$\(touch\ pwned\)'
completes get "it\\'" <<<"it\\'s"
completes exists "'*" <<<'*'
completes get "" < <(printf '%q\n' "${names[@]}")
[[ ! -e pwned ]] || lib_fail "a name was expanded"
for name in "${names[@]}"; do
	printf -v quoted '%q' "$name"
	if [[ "$quoted" == \$* ]]; then
		continue # This quoting is offered, but not understood where a word begins so.
	fi
	completes get "$quoted" <<<"${quoted##*:}"
	eval "[[ $quoted == \"\$name\" ]]" || lib_fail "$quoted is not $name"
done

# The home of the line is asked, in all its spellings.
unset VARVE_HOME
completes get pla <<<""
completes --home "$home" get pla <<<plain
completes --home = "$home" get pla <<<plain
completes get --home "$home" pla <<<plain
completes get --home "'$home'" pla <<<plain
completes --json --home /nonexistent get pla <<<""

# Files and directories.
mkdir "$scratch/files" "$scratch/files/dir"
: >"$scratch/files/disk.img"
completes pool mount files/d <<<$'files/dir\nfiles/disk.img'
completes pool mount files/disk.img files/d <<<files/dir
completes pool umount files/d <<<files/dir
completes pool create files/di <<<$'files/dir\nfiles/disk.img'
completes pool create --mount files/d <<<files/dir
completes pool create --mount = files/d <<<files/dir
completes pool create --size 1g --mount files/dir files/disk <<<files/disk.img
completes --home files/d <<<files/dir

# It knows every command and every option: whatever --help tells.
for command in "" "${commands[@]}"; do
	awk -F '[ ,]' '{ for (i = 1; i <= NF; i++) if ($i ~ /^(-[a-zA-Z]|--[a-z-]+)$/ && !seen[$i]++) print $i }' \
		<<<"${helps["${command:+$command }--help"]}" >"$scratch/options"
	# shellcheck disable=SC2086 # Words.
	completes $command - <"$scratch/options"
done
