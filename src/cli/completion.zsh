#compdef firn
# Completion for zsh: source <(firn completion zsh)
_firn() {
  local -a lines suggestions descriptions
  local line kind
  lines=("${(@f)$(NIX_GET_COMPLETIONS=$((CURRENT - 1)) $words[@] 2>/dev/null)}")
  kind=${lines[1]%%$'\t'*}
  for line in ${lines:1}; do
    suggestions+=("${line%%$'\t'*}")
    descriptions+=("${line//$'\t'/  }")
  done
  case $kind in
    filenames) if (( ${#suggestions} )); then compadd -f -a suggestions; else _files; fi ;;
    attrs) compadd -S '' -a suggestions ;;
    *) compadd -l -d descriptions -a suggestions ;;
  esac
}
compdef _firn firn
# The other names, where they mean firn.
for _firn_name in nix nix-build nix-shell nix-env nix-store nix-instantiate nix-hash nix-collect-garbage; do
  [[ ${commands[$_firn_name]:A} == */firn ]] && compdef _firn $_firn_name
done
unset _firn_name
