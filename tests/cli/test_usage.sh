#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: mount=no root=no backend=any
# Every mistake on the command line ends with status 2 and says what and where the help is; and every command has help.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start nothing

# The command line $2... is refused with the message $1, and points at the help of the command COMMAND before the '|' in $1.
refused() {
	local command="${1%%|*}" message="${1#*|}"
	shift
	run "$@"
	expect 2 "" "varve: $message"$'\n'"Try 'varve ${command:+$command }--help' for more."
}

refused "|no command given"
refused "|no such command: 'frobnicate'" frobnicate
refused "|no such command: ''" ''
refused "|no such command: 'creat'; did you mean 'create'?" creat a
refused "|no such command: 'stauts'; did you mean 'status'?" stauts
refused "quota|quota: no such command: 'limits'; did you mean 'limit'?" quota limits a 1g
refused "|no such command: 'xx'" xx
refused "|unrecognized option '--frobnicate'" --frobnicate ls
refused "|option '--home' requires an argument" --home
refused "|option '--json' doesn't allow an argument" --json=yes ls
refused "|invalid option -- 'x'" -x ls
refused "pool|pool: no command given" pool
refused "pool|pool: no such command: 'destroy'" pool destroy
refused "pool|pool: unrecognized option '--frobnicate'" pool --frobnicate
refused "pool create|pool create: --size SIZE is missing" pool create file --mount dir
refused "pool create|pool create: --mount DIR is missing" pool create file --size 1g
refused "pool create|pool create: operands are missing: FILE" pool create --size 1g --mount dir
refused "pool create|pool create: one operand too many: 'other'" pool create file other --size 1g --mount dir
refused "pool mount|pool mount: operands are missing: FILE DIR" pool mount file
refused "pool mount|pool mount: one operand too many: 'c'" pool mount a b c
refused "pool umount|pool umount: operands are missing: DIR" pool umount
refused "pool umount|pool umount: one operand too many: 'b'" pool umount a b
refused "create|create: operands are missing: ID..." create
refused "create|create: option '--parent' requires an argument" create a --parent
refused "create|create: unrecognized option '--frobnicate'" create --frobnicate a
refused "rm|rm: operands are missing: ID..." rm -f
refused "rm|rm: invalid option -- 'r'" rm -r a
refused "ls|ls: one operand too many: 'a'" ls a
refused "ls|ls: invalid option -- 'a'" ls -la
refused "info|info: operands are missing: ID..." info
refused "get|get: operands are missing: ID" get
refused "get|get: one operand too many: 'b'" get a b
refused "get|get: option requires an argument -- 'o'" get a -o
refused "exists|exists: operands are missing: ID" exists
refused "exists|exists: one operand too many: 'b'" exists a b
refused "status|status: one operand too many: 'a'" status a
refused "sync|sync: option '--wait-clean' doesn't allow an argument" sync --wait-clean=yes
refused "quota|quota: no command given" quota
refused "quota status|quota status: one operand too many: 'a'" quota status a
refused "quota limit|quota limit: operands are missing: ID SIZE" quota limit a
refused "quota limit|quota limit: one operand too many: 'b'" quota limit a 1g b
refused "quota enable|quota enable: unrecognized option '--full'" quota enable --full
refused "gc|gc: one operand too many: 'a'" gc a
refused "version|version: one operand too many: 'a'" version a

# With --json, on whichever side, the mistake is an object, too.
while IFS='|' read -r message words; do
	# shellcheck disable=SC2086 # Words.
	run $words
	[[ "$status" == 2 && -s "$scratch/err" ]] || lib_fail "$words: $status"
	[[ "$(cat "$scratch/out")" == '{"id":null,"ok":false,"error":"EINVAL","errno":22,"message":"'"$message"'","operation":"usage","step":"USAGE"}' ]] ||
		lib_fail "$words:" "$(cat "$scratch/out")"
done <<'END'
no command given|--json
no such command: 'frobnicate'|frobnicate --json
unrecognized option '--frobnicate'|--frobnicate --json ls
create: operands are missing: ID...|create --json
rm: invalid option -- 'r'|rm -r a --json
pool: no command given|--json pool
pool create: --size lots: not a size, such as 512m or 10g|--json pool create image --size lots --mount mnt
END

run ls --home ''
expect 2 "" "varve: --home: no directory named"
run pool create "$scratch/image" --size lots --mount "$scratch/mnt"
expect 2 "" "varve: pool create: --size lots: not a size, such as 512m or 10g"
run pool create "$scratch/image" --size 99999999999t --mount "$scratch/mnt"
expect 2 "" "varve: pool create: --size 99999999999t: too large"
if [[ -e "$scratch/image" || -e "$scratch/mnt" ]]; then
	lib_fail "a refused pool create left something"
fi

# Help: of the whole, of a group, of each command, wherever --help stands.
run --help
[[ "$status" == 0 && ! -s "$scratch/err" ]] || lib_fail "--help failed"
cp "$scratch/out" "$scratch/help"
mapfile -t commands < <(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\( [a-z]\{1,\}\)\?\)  .*/\1/p' "$scratch/help")
for command in "pool create" "pool mount" "pool umount" create rm ls info get exists status sync gc version; do
	grep -q "^  $command  " "$scratch/help" || lib_fail "--help does not list $command"
done
for command in "${commands[@]}"; do
	# shellcheck disable=SC2086 # One word or two.
	run $command --help
	[[ "$status" == 0 && ! -s "$scratch/err" ]] || lib_fail "$command --help failed"
	head -n 1 "$scratch/out" | grep -q "^Usage: varve $command" || lib_fail "$command --help shows no usage"
	cp "$scratch/out" "$scratch/before"
	# shellcheck disable=SC2086
	run --help $command
	cmp -s "$scratch/out" "$scratch/before" || lib_fail "--help $command is not $command --help"
done
run pool --help
[[ "$status" == 0 && "$(grep -c '^  pool ' "$scratch/out")" == 3 ]] || lib_fail "pool --help does not list its commands"

# What the usage line of each command must be.
while IFS='|' read -r command usage; do
	# shellcheck disable=SC2086
	run $command --help
	[[ "$(head -n 1 "$scratch/out")" == "Usage: varve $usage" ]] || lib_fail "usage of $command: $(head -n 1 "$scratch/out")"
done <<'END'
pool create|pool create --size SIZE --mount DIR FILE
pool mount|pool mount FILE DIR
pool umount|pool umount DIR
create|create [OPTION]... ID...
rm|rm [OPTION]... ID...
ls|ls [OPTION]...
info|info [OPTION]... ID...
get|get [OPTION]... ID
exists|exists ID
changes|changes [OPTION]... ID
diff|diff [OPTION]... ID
diffsize|diffsize [OPTION]... ID
apply|apply [OPTION]... ID
status|status [OPTION]...
flush|flush ID...
label|label [OPTION]... ID [KEY=VALUE|KEY-]...
sync|sync [OPTION]...
gc|gc [OPTION]...
help|help [COMMAND]
version|version
END
for command in "" pool create "pool mount"; do
	# shellcheck disable=SC2086
	run $command --help
	cp "$scratch/out" "$scratch/before"
	# shellcheck disable=SC2086
	run help $command
	[[ "$status" == 0 ]] || lib_fail "help $command: $status"
	cmp -s "$scratch/out" "$scratch/before" || lib_fail "help $command is not $command --help"
done
refused "|no such command: 'creat'; did you mean 'create'?" help creat
refused "pool|pool: no such command: 'mounts'; did you mean 'mount'?" help pool mounts

# The version needs no store, whatever else was asked for; global options may stand on both sides of the command.
lib_options=()
run version
[[ "$status" == 0 && "$(cat "$scratch/out")" =~ ^varve\ [0-9]+\.[0-9]+\.[0-9]+$ ]] || lib_fail "version: $(cat "$scratch/out")"
cp "$scratch/out" "$scratch/before"
for words in --version -V "ls -V" "-V create"; do
	# shellcheck disable=SC2086
	run $words
	cmp -s "$scratch/out" "$scratch/before" || lib_fail "$words: $(cat "$scratch/out")"
done
run --json --home /nonexistent version
[[ "$(cat "$scratch/out")" =~ ^\{\"id\":null,\"ok\":true,\"version\":\"[0-9.]+\"\}$ ]] || lib_fail "version: $(cat "$scratch/out")"
cp "$scratch/out" "$scratch/before"
run version --json
cmp -s "$scratch/out" "$scratch/before" || lib_fail "--json behind the command is not --json before it"

# A home on something else than btrfs is a failure, with and without JSON; one that does not exist, too, but for create.
# failure COMMAND ERRNO TEXT: what the command says.
failure() {
	# shellcheck disable=SC2086 # Words.
	run --home "$scratch/home" $1
	expect 1 "" "varve: open: *$scratch/home*: $3*"
	# shellcheck disable=SC2086
	run --home "$scratch/home" --json $1
	[[ "$(cat "$scratch/out")" == '{"id":null,"ok":false,"error":"'"$2"'",'*'}' ]] || lib_fail "$1:" "$(cat "$scratch/out")"
}
failure ls ENOENT "No such file or directory"
if [[ "$(stat -f -c %T "$scratch")" != btrfs ]]; then
	failure "create a" EOPNOTSUPP "Operation not supported"
	mkdir -p "$scratch/home"
	failure ls EOPNOTSUPP "Operation not supported"
fi
