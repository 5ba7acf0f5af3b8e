# Attributes by a fixed and by a computed name, in a set of 20,000.
{ scale ? 1 }:
let
  set = builtins.listToAttrs (builtins.genList (i: { name = "k${toString i}"; value = i; }) 20000);
  names = builtins.genList (i: "k${toString i}") 20000;
  fixed = builtins.foldl' (n: _: n + set.k77 + set.k4711 + set.k19999) 0 (builtins.genList (i: i) (200000 * scale));
  computed = builtins.foldl' (n: i: n + set.${builtins.elemAt names (i - i / 20000 * 20000)}) 0 (builtins.genList (i: i) (200000 * scale));
in
fixed + computed
