# Sorting with builtins.lessThan.
{ scale ? 1 }:
let
  count = 200000 * scale;
  next = x: (x * 1103515245 + 12345) - ((x * 1103515245 + 12345) / 2147483648) * 2147483648;
  sorted = builtins.sort builtins.lessThan (builtins.genList (i: next (next (i * 7919))) count);
in
builtins.elemAt sorted 0 + builtins.elemAt sorted (count - 1)
