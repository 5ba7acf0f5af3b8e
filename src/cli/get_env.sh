# get_env.sh: the builder of `nix develop`: runs in place of a derivation's own builder, sets up its environment as that would, and writes
# what has come of it into the first output as JSON: {"bashFunctions": {name: body}, "variables": {name: {"type", "value"}}, "structuredAttrs": ...}.
# Types are exported, var, array and associative. Needs bash without any of its optional parts, and no other program.
set -e
if [[ -e ${NIX_ATTRS_SH_FILE-} ]]; then source "$NIX_ATTRS_SH_FILE"; fi
export IN_NIX_SHELL=impure
export dontAddDisableDepTrack=1
if [[ -n ${stdenv-} ]]; then source "$stdenv/setup"; fi

# Before anything of this script itself is defined.
firn_variables=$(declare -p)
firn_functions=$(declare -F)
set +eu

firn_string() {
  local text=$1 code char
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\r'/\\r}
  text=${text//$'\t'/\\t}
  if [[ $text == *[[:cntrl:]]* ]]; then
    for code in {1..31}; do
      printf -v char "\\x$(printf %x "$code")"
      text=${text//"$char"/\\u00$(printf %02x "$code")}
    done
  fi
  printf '"%s"' "$text"
}

# What the shell sets by itself, in any shell.
firn_is_own() {
  case $1 in
    BASH_* | COMP_* | _ | DIRSTACK | EUID | FUNCNAME | HISTCMD | HOSTNAME | GROUPS | PIPESTATUS | PWD | RANDOM | SHLVL | SECONDS | \
      EPOCHREALTIME | EPOCHSECONDS | SRANDOM) return 0 ;;
  esac
  return 1
}

firn_variable() { # FLAGS NAME
  local key value separator=
  case $1 in
    -x | --)
      if [[ $1 == -x ]]; then printf '{"type": "exported", "value": '; else printf '{"type": "var", "value": '; fi
      firn_string "${!2}"
      printf '}'
      ;;
    -a)
      printf '{"type": "array", "value": ['
      key="$2[@]"
      for value in "${!key}"; do
        printf '%s' "$separator"
        firn_string "$value"
        separator=', '
      done
      printf ']}'
      ;;
    -A)
      local -n firn_map=$2
      printf '{"type": "associative", "value": {'
      for key in "${!firn_map[@]}"; do
        printf '%s' "$separator"
        firn_string "$key"
        printf ': '
        firn_string "${firn_map[$key]}"
        separator=', '
      done
      printf '}}'
      ;;
  esac
}

firn_dump() {
  local firn_line firn_flags firn_name firn_body firn_separator=
  printf '{\n  "bashFunctions": {'
  while read -r firn_line; do
    firn_name=${firn_line#declare -f }
    if [[ $firn_name == "$firn_line" || -z $firn_name ]]; then continue; fi
    firn_body=$(declare -f "$firn_name")
    firn_body=${firn_body#*\{}
    printf '%s\n    ' "$firn_separator"
    firn_string "$firn_name"
    printf ': '
    firn_string "${firn_body%\}*}"
    firn_separator=,
  done <<< "$firn_functions"
  printf '\n  },\n  "variables": {'
  firn_separator=
  while read -r firn_line; do
    # Read-only and integer variables, and references, are none that a derivation has.
    if ! [[ $firn_line =~ ^declare\ (-x|--|-a|-A)\ ([^=]+) ]]; then continue; fi
    firn_flags=${BASH_REMATCH[1]} firn_name=${BASH_REMATCH[2]}
    if firn_is_own "$firn_name"; then continue; fi
    printf '%s\n    ' "$firn_separator"
    firn_string "$firn_name"
    printf ': '
    firn_variable "$firn_flags" "$firn_name"
    firn_separator=,
  done <<< "$firn_variables"
  printf '\n  }'
  if [[ -e $NIX_ATTRS_SH_FILE ]]; then
    printf ',\n  "structuredAttrs": {".attrs.sh": '
    firn_string "$(< "$NIX_ATTRS_SH_FILE")"
    printf ', ".attrs.json": '
    firn_string "$(< "$NIX_ATTRS_JSON_FILE")"
    printf '}'
  fi
  printf '\n}\n'
}

# With structured attributes `outputs` is a map from names to paths, otherwise it is the names, and variables called so are the paths.
firn_outputs=()
if [[ -e $NIX_ATTRS_SH_FILE ]]; then
  firn_outputs=("${outputs[@]}")
else
  for firn_output in $outputs; do firn_outputs+=("${!firn_output}"); done
fi
firn_dump > "${firn_outputs[0]}"
for firn_output in "${firn_outputs[@]:1}"; do printf '' > "$firn_output"; done
