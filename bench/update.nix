# `//`: one key onto a small set many times, and a set that grows key by key.
let
  small = builtins.listToAttrs (builtins.genList (i: { name = "k${toString i}"; value = i; }) 16);
  onto = builtins.foldl' (n: i: n + (small // { k3 = i; }).k3) 0 (builtins.genList (i: i) 100000);
  grow = builtins.foldl' (set: i: set // { "n${toString i}" = i; }) { } (builtins.genList (i: i) 2000);
in
onto + builtins.length (builtins.attrNames grow)
