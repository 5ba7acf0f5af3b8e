# Functions that are called with those of many attributes that they name.
{ scale ? 1 }:
let
  set = builtins.listToAttrs (builtins.genList (i: { name = "k${toString i}"; value = i; }) 1000) // { a = 1; b = 2; c = 3; };
  call = f: args: f (builtins.intersectAttrs (builtins.functionArgs f) set // args);
  package = { a, b, c ? 4, d ? 5, k500, ... }: { sum = a + b + c + d + k500; };
in
builtins.foldl' (n: i: n + (call package { b = i; }).sum) 0 (builtins.genList (i: i) (100000 * scale))
