# `//`: one key onto a small set, many times.
{ scale ? 1 }:
let
  small = builtins.listToAttrs (builtins.genList (i: { name = "k${toString i}"; value = i; }) 16);
in
builtins.foldl' (n: i: n + (small // { k3 = i; }).k3) 0 (builtins.genList (i: i) (200000 * scale))
