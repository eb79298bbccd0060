# SPDX-License-Identifier: MIT
# Completion of `uds` for bash. Verbs and options are read from --help, so they are those of the uds that is run; names of
# groups from `uds cgroup ls`, of sandboxes from `uds sandbox ls`.

_uds()
{
    local uds=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]:-} words i where=()
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        words=$("$uds" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p')
    elif [[ $word == -* ]]; then
        # Examples and what is in backticks may be of other verbs.
        words=$("$uds" "$verb" --help 2>/dev/null | sed -e '/^examples:/,$d' -e 's/`[^`]*`//g' |
            grep -oE -- '--[a-z][a-z0-9-]*')
    elif [ "$verb" = sandbox ] && [ "$COMP_CWORD" = 2 ]; then
        words="ls start gc"
    elif [ "$verb" = sandbox ] && [ "${COMP_WORDS[2]}" = start ]; then
        # Behind the options a template, then a command with arguments of its own. Bash makes three words of --name=x.
        for ((i = 3; i < COMP_CWORD; i++)); do
            case ${COMP_WORDS[i]} in
            -t | --pty) continue ;;
            --setenv) i=$((i + 2)) ;;
            --*)
                [ "${COMP_WORDS[i + 1]}" != = ] || i=$((i + 1))
                i=$((i + 1))
                [[ ${COMP_WORDS[i - 1]} != --run-dir && ${COMP_WORDS[i - 2]} != --run-dir ]] ||
                    where=(--run-dir "${COMP_WORDS[i]}")
                ;;
            *) break ;;
            esac
        done
        if [ "$i" = "$COMP_CWORD" ]; then
            words=$("$uds" sandbox ls "${where[@]}" 2>/dev/null | awk 'NR > 1 && $6 == "waits" { print $1 }' | sort -u)
        elif [ "$i" -gt "$COMP_CWORD" ]; then # the value of an option
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
        else
            i=$((i + 1))
            [ "${COMP_WORDS[i]}" != -- ] || [ "$i" = "$COMP_CWORD" ] || i=$((i + 1))
            _command_offset "$i" 2>/dev/null
            return
        fi
    elif [ "$verb" = exec ] && [ "$COMP_CWORD" = 2 ]; then
        words=$("$uds" sandbox ls 2>/dev/null | sed -n '2,$s/ .*//p')
    elif [ "$verb" = cgroup ] && [ "$COMP_CWORD" = 2 ]; then
        words="create set exec watch ls freeze thaw kill delete"
    elif [ "$verb" = layer ] && [ "$COMP_CWORD" = 2 ]; then
        words="diff commit fork reset"
    elif [ "$verb" = jail ] && [ "$COMP_CWORD" = 2 ]; then
        words="list build"
    elif [ "$verb" = cgroup ] && [ "$COMP_CWORD" = 3 ]; then
        words=$("$uds" cgroup ls 2>/dev/null | sed -n '2,$s/ .*//p')
    else
        # What follows `uds run …` or `uds cgroup exec NAME` is a command with arguments of its own.
        for ((i = 2; i < COMP_CWORD; i++)); do
            if [ "${COMP_WORDS[i]}" = -- ]; then
                _command_offset $((i + 1)) 2>/dev/null
                return
            fi
        done
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _uds uds
