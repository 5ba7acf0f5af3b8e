# Completion for fish: firn completion fish | source
function _firn_complete
  set -l words (commandline --current-process --tokenize --cut-at-cursor)
  set -l last (commandline --current-token --cut-at-cursor)
  set -l answer (env NIX_GET_COMPLETIONS=(count $words) $words $last 2>/dev/null)
  if test "$answer[1]" = filenames -a (count $answer) -le 1
    __fish_complete_path $last
  else if test (count $answer) -gt 1
    printf '%s\n' $answer[2..-1]
  end
end
complete --command firn --no-files --arguments '(_firn_complete)'
for name in nix nix-build nix-shell nix-env nix-store nix-instantiate nix-hash nix-collect-garbage
  string match --quiet '*/firn' (realpath (command --search $name) 2>/dev/null); and complete --command $name --no-files --arguments '(_firn_complete)'
end
