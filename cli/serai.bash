# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for serai
_serai()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	# --option=value arrives as three words.
	if [ "$cur" = = ]; then
		cur=
	elif [ "$prev" = = ]; then
		prev=${COMP_WORDS[COMP_CWORD-2]}
	fi
	local commands="run list screen status stats pause resume reset powerbutton save quit help version"
	local options="--kernel --initrd --append --mem --cpus --disk --cdrom --floppy --boot --engine --serial --display
		--perf-map --trace --trace-from --trace-count --no-reboot --restore --log --set"

	if [ "$COMP_CWORD" = 1 ]; then
		COMPREPLY=($(compgen -W "$commands" -- "$cur"))
		return
	fi
	case ${COMP_WORDS[1]} in
	run)
		case $prev in
		--boot) COMPREPLY=($(compgen -W "disk cdrom floppy" -- "$cur")) ;;
		--engine) COMPREPLY=($(compgen -W "auto interp bt diff" -- "$cur")) ;;
		--serial) COMPREPLY=($(compgen -W "stdio none pty file:" -- "$cur")) ;;
		--display) COMPREPLY=($(compgen -W "auto none text" -- "$cur")) ;;
		--log) COMPREPLY=($(compgen -W "error warn info debug trace" -- "$cur")) ;;
		--kernel | --initrd | --disk | --cdrom | --floppy | --restore | --trace)
			compopt -o filenames 2>/dev/null
			COMPREPLY=($(compgen -f -- "$cur")) ;;
		--append | --mem | --cpus | --set | --trace-from | --trace-count) ;;
		*)
			if [[ $cur == -* ]]; then
				COMPREPLY=($(compgen -W "$options" -- "$cur"))
			else
				compopt -o filenames 2>/dev/null
				COMPREPLY=($(compgen -f -X '!*.vmx' -- "$cur") $(compgen -d -- "$cur"))
			fi ;;
		esac ;;
	list) COMPREPLY=($(compgen -W "--json" -- "$cur")) ;;
	help) COMPREPLY=($(compgen -W "$commands" -- "$cur")) ;;
	version) ;;
	*)
		if [ "$prev" = --window ]; then return; fi
		if [[ $cur == -* && ${COMP_WORDS[1]} == @(screen|status) ]]; then
			COMPREPLY=($(compgen -W "--json" -- "$cur"))
			return
		elif [[ $cur == -* && ${COMP_WORDS[1]} == stats ]]; then
			COMPREPLY=($(compgen -W "--json --window" -- "$cur"))
			return
		fi
		compopt -o filenames 2>/dev/null
		COMPREPLY=($(compgen -W "$(serai list 2>/dev/null | awk '{ print $1 }')" -- "$cur")
			$(compgen -f -X '!*.vmx' -- "$cur") $(compgen -d -- "$cur"))
		if [ "${COMP_WORDS[1]}" = save ]; then COMPREPLY+=($(compgen -f -X '*.vmx' -- "$cur")); fi ;;
	esac
}
complete -F _serai serai
