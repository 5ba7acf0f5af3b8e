# `//`: a set that grows key by key.
{ scale ? 1 }:
let
  set = builtins.foldl' (set: i: set // { "n${toString i}" = i; }) { } (builtins.genList (i: i) (2000 * scale));
in
builtins.length (builtins.attrNames set)
