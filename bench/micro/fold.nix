# A strict left fold over a generated list.
{ scale ? 1 }:
builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: x) (1000000 * scale))
