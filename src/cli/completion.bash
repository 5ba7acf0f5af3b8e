# Completion for bash: source <(firn completion bash)
_firn_complete() {
  local -a words
  local cword cur line completion kind=
  if ! _get_comp_words_by_ref -n ':=&' words cword cur 2>/dev/null; then
    words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]}
  fi
  while IFS= read -r line; do
    completion=${line%%$'\t'*}
    if [[ -z $kind ]]; then
      kind=$completion
      case $kind in
        filenames) compopt -o filenames ;;
        attrs) compopt -o nospace ;;
      esac
      continue
    fi
    if [[ $cur == *=* ]]; then completion=${completion#*=}; fi
    COMPREPLY+=("$completion")
  done < <(NIX_GET_COMPLETIONS=$cword "${words[@]}" 2>/dev/null)
  # File names are the shell's business.
  if [[ $kind == filenames && ${#COMPREPLY[@]} -eq 0 ]]; then
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
  fi
  if declare -F __ltrim_colon_completions > /dev/null; then __ltrim_colon_completions "$cur"; fi
}
complete -F _firn_complete firn
# The other names, where they mean firn: C++ Nix's nix-build would not complete, but build.
for _firn_name in nix nix-build nix-shell nix-env nix-store nix-instantiate nix-hash nix-collect-garbage; do
  _firn_path=$(command -v "$_firn_name" 2>/dev/null) && [[ $(readlink -f "$_firn_path") == */firn ]] && complete -F _firn_complete "$_firn_name"
done
unset _firn_name _firn_path
