# SPDX-License-Identifier: Apache-2.0
# varve.bash: completion of the command `varve` for bash.
#
# It knows no command and no option: it reads them from `varve --help` and `varve COMMAND --help`, so that it cannot fall
# behind. What an operand or an option's argument is called there says what it completes to: ID to the layers of the
# store, FILE to files, DIR to directories. Names of layers are data: nothing here expands them.

# Set `raw` to the word $1 without its quoting, and `quote` to the quotation mark that it leaves open.
_varve_unquote() {
	local word="$1" char i
	raw="" quote=""
	for ((i = 0; i < ${#word}; i++)); do
		char="${word:i:1}"
		if [[ "$char" == "\\" && "$quote" != "'" ]]; then
			i=$((i + 1))
			raw+="${word:i:1}"
		elif [[ -n "$quote" && "$char" == "$quote" ]]; then
			quote=""
		elif [[ -z "$quote" && ("$char" == "'" || "$char" == '"') ]]; then
			quote="$char"
		else
			raw+="$char"
		fi
	done
	if [[ "$word" == "~"* ]]; then
		raw="$HOME${raw#"~"}"
	fi
}

# Set `words` to the words of the line up to the cursor. Bash splits them at ':' and '=', too; join them again.
_varve_words() {
	local line="$COMP_LINE" word i
	words=()
	for ((i = 0; i <= COMP_CWORD; i++)); do
		word="${COMP_WORDS[i]}"
		if [[ ${#words[@]} -eq 0 || "$line" == [[:blank:]]* ]]; then
			words+=("")
		fi
		line="${line#"${line%%[![:blank:]]*}"}"
		line="${line#"$word"}"
		words[${#words[@]} - 1]+="$word"
	done
}

# Add the options that stand in the help text $1 to `takes`: what the argument of each is called, or "".
_varve_read_options() {
	local line IFS=$'\n' pattern='^ +((-[a-zA-Z]), )?(--[a-z0-9-]+)( ([A-Z=]+))?  ' -
	# Split at line ends: `read` takes a text like this byte by byte, which is felt at each press of the key.
	set -f
	for line in $1; do
		if [[ "$line" =~ $pattern ]]; then
			takes["${BASH_REMATCH[3]}"]="${BASH_REMATCH[5]}"
			if [[ -n "${BASH_REMATCH[2]}" ]]; then
				takes["${BASH_REMATCH[2]}"]="${BASH_REMATCH[5]}"
			fi
		fi
	done
}

# Set `commands` to those that stand in the help text $1.
_varve_read_commands() {
	local line inside=no IFS=$'\n' pattern='^  ([a-z0-9-]+( [a-z0-9-]+)?)  ' -
	commands=()
	set -f
	for line in $1; do
		if [[ "$line" != " "* ]]; then
			inside=no
			if [[ "$line" == "Commands:" ]]; then
				inside=yes
			fi
		elif [[ "$inside" == yes && "$line" =~ $pattern ]]; then
			commands+=("${BASH_REMATCH[1]}")
		fi
	done
}

# Set `operands` to what the operands of command $1 are called in its help text $2; "..." follows one that repeats.
_varve_read_operands() {
	local usage="${2%%$'\n'*}" word skip=no
	local -a parts
	operands=()
	usage="${usage#"Usage: varve $1"}"
	read -r -a parts <<<"$usage"
	for word in "${parts[@]}"; do
		if [[ "$skip" == yes ]]; then
			skip=no
		elif [[ "$word" == --* ]]; then
			skip=yes
		elif [[ "$word" != "["* ]]; then
			operands+=("$word")
		fi
	done
}

# Is $1 a command, or (with $2 = prefix) the first word of one?
_varve_is_command() {
	local command
	for command in "${commands[@]}"; do
		if [[ "$command" == "$1" || ("${2:-}" == prefix && "$command" == "$1 "*) ]]; then
			return 0
		fi
	done
	return 1
}

# Offer those of the other arguments that begin with `raw`, quoted as the word at the cursor needs it.
_varve_offer() {
	local candidate quoted prefix=""
	if [[ "$COMP_WORDBREAKS" == *:* && -z "$quote" ]]; then
		printf -v prefix '%q' "${raw%"${raw##*:}"}"
		if [[ "$raw" != *:* ]]; then
			prefix=""
		fi
	fi
	for candidate in "$@"; do
		if [[ "${candidate:0:${#raw}}" != "$raw" ]]; then
			continue
		fi
		case "$quote" in
		"'") if [[ "$candidate" != *"'"* ]]; then COMPREPLY+=("$candidate"); fi ;;
		'"') if [[ "$candidate" != *[\"\$\`\\!]* ]]; then COMPREPLY+=("$candidate"); fi ;;
		*)
			printf -v quoted '%q' "$candidate"
			COMPREPLY+=("${quoted#"$prefix"}")
			;;
		esac
	done
}

# Offer what something called $1 can be.
_varve_offer_kind() {
	local -a names=()
	case "$1" in
	ID | ID...)
		mapfile -t names < <("$program" "${globals[@]}" ls 2>/dev/null)
		_varve_offer "${names[@]}"
		;;
	FILE | DIR)
		compopt -o filenames 2>/dev/null || : # There is none outside of a completion.
		if [[ "$1" == FILE ]]; then
			mapfile -t names < <(compgen -f -- "$raw")
		else
			mapfile -t names < <(compgen -d -- "$raw")
		fi
		COMPREPLY=("${names[@]}")
		;;
	esac
}

# Take the word $1, which stands before the cursor, into the state of _varve().
_varve_take() {
	local word="$1" help
	if [[ -n "$pending" ]]; then
		if [[ "$pending" == --home || "$pending" == --store-opt ]]; then
			_varve_unquote "$word"
			globals+=("$pending" "$raw")
		fi
		pending=""
	elif [[ "$literal" == no && "$word" == -- ]]; then
		literal=yes
	elif [[ "$literal" == no && "$word" == -?* ]]; then
		case "$word" in
		--home=* | --store-opt=*)
			_varve_unquote "${word#*=}"
			globals+=("${word%%=*}" "$raw")
			;;
		--no-uring) globals+=("$word") ;;
		*) if [[ -n "${takes["$word"]:-}" ]]; then pending="$word"; fi ;;
		esac
	elif [[ "$known" == yes ]]; then
		count=$((count + 1))
	else
		command="${command:+$command }$word"
		if _varve_is_command "$command"; then
			known=yes
			# shellcheck disable=SC2086 # A command is one word or two.
			help="$("$program" $command --help 2>/dev/null)"
			# It names the global options as well, where the command takes them.
			takes=()
			_varve_read_options "$help"
			_varve_read_operands "$command" "$help"
		elif ! _varve_is_command "$command" prefix; then
			known=no
			return 1
		fi
	fi
}

# Complete the word at the cursor.
_varve() {
	local IFS=$' \t\n' program raw="" quote="" pending="" literal=no known=no command="" count=0 word i cur
	local -a words commands operands=() globals=() choices=()
	local -A takes=()
	COMPREPLY=()
	_varve_words
	_varve_unquote "${words[0]}"
	program="$raw"
	cur="$("$program" --help 2>/dev/null)" || return 0
	_varve_read_options "$cur"
	_varve_read_commands "$cur"
	for ((i = 1; i < ${#words[@]} - 1; i++)); do
		_varve_take "${words[i]}" || return 0
	done
	cur="${words[${#words[@]} - 1]}"
	if [[ -z "$pending" && "$literal" == no && "$cur" == --*=* ]]; then
		pending="${cur%%=*}"
		cur="${cur#*=}"
	fi
	_varve_unquote "$cur"
	if [[ -n "$pending" ]]; then
		_varve_offer_kind "${takes["$pending"]:-}"
	elif [[ "$literal" == no && "$cur" == -* ]]; then
		_varve_offer "${!takes[@]}"
	elif [[ "$known" == yes ]]; then
		if ((${#operands[@]} && count >= ${#operands[@]})) && [[ "${operands[-1]}" == *... ]]; then
			count=$((${#operands[@]} - 1))
		fi
		_varve_offer_kind "${operands[count]:-}"
	else
		for word in "${commands[@]}"; do
			if [[ -z "$command" || "$word" == "$command "* ]]; then
				word="${word#"${command:+$command }"}"
				word="${word%% *}"
				if [[ " ${choices[*]} " != *" $word "* ]]; then
					choices+=("$word")
				fi
			fi
		done
		_varve_offer "${choices[@]}"
	fi
}

complete -F _varve varve
