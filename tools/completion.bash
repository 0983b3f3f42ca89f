# The part that no table says: what fits at the cursor. tools/from-help puts the tables before it.

_bulkhead_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2"); }

# The values of an option, by the name that the help gives them.
_bulkhead_value() { # WHAT WORD
	case $1 in
	DIR) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$2") ;;
	FILE* | SOCKET) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
	*[a-z]*) _bulkhead_words "${1//|/ }" "$2" ;;
	esac
}

# What stands at place PLACE (0: the first) after the verb.
_bulkhead_operand() { # VERB PLACE WORD ROOT...
	local verb=$1 place=$2 word=$3
	shift 3
	case ${_bulkhead_operands[$verb]} in
	"[--] COMMAND"*) [ "$place" -gt 0 ] || mapfile -t COMPREPLY < <(compgen -c -- "$word") ;;
	"ID [SIGNAL]") [ "$place" -eq 0 ] || _bulkhead_words "$(compgen -A signal | sed -n 's/^SIG//p')" "$word" ;;
	esac
	case ${_bulkhead_operands[$verb]} in
	"[ID...]" | ID*)
		[[ $place -eq 0 || ${_bulkhead_operands[$verb]} == "[ID...]" ]] || return
		case $verb in create | run) return ;; esac # these want a new one
		_bulkhead_words "$(bulkhead "$@" list -q 2>/dev/null)" "$word"
		;;
	esac
}

_bulkhead() {
	local verb=- place=0 word option= i words=() root=()
	COMPREPLY=()
	# bash cuts --name=value in three; put together again, an option is one word and so is its value.
	for ((i = 1; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		[ "$word" = = ] && [ "$i" -lt "$COMP_CWORD" ] && continue
		[ "$word" = = ] && word=
		words+=("$word")
	done
	local last=$((${#words[@]} - 1)) ended=
	for ((i = 0; i < last; i++)); do
		word=${words[i]}
		if [ -n "$option" ]; then
			[ "$option" = ---root ] && root=(--root "$word")
			option=
		elif [ -z "$ended" ] && [ "$word" = -- ]; then
			ended=yes
		elif [ -z "$ended" ] && [[ $word == -* ]]; then
			[ -n "${_bulkhead_values[$verb$word]:-}" ] && option=$verb$word
		elif [ "$verb" = - ]; then
			[ -n "${_bulkhead_operands[$word]+known}" ] || return
			verb=$word
		else
			place=$((place + 1))
			# From here on it is the container's own command line.
			case ${_bulkhead_operands[$verb]} in *COMMAND*) ended=yes ;; esac
		fi
	done
	word=${words[last]}
	if [ -n "$option" ]; then
		_bulkhead_value "${_bulkhead_values[$option]}" "$word"
	elif [ -z "$ended" ] && [[ $word == -* ]]; then
		_bulkhead_words "${_bulkhead_options[$verb]} --help" "$word"
	elif [ "$verb" = - ]; then
		_bulkhead_words "${!_bulkhead_operands[*]}" "$word"
	else
		_bulkhead_operand "$verb" "$place" "$word" "${root[@]}"
	fi
}
complete -F _bulkhead bulkhead
