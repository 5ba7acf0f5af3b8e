# Sorting with builtins.lessThan.
{ scale ? 1 }:
let
  count = 200000 * scale;
  low = x: x - x / 2147483648 * 2147483648; # arithmetic stays below 2^63
  next = x: low (x * 1103515245 + 12345);
  sorted = builtins.sort builtins.lessThan (builtins.genList (i: next (next (low (i * 7919)))) count);
in
builtins.elemAt sorted 0 + builtins.elemAt sorted (count - 1)
