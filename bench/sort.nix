# Sorting with a lambda.
let
  next = x: (x * 1103515245 + 12345) - ((x * 1103515245 + 12345) / 2147483648) * 2147483648;
  numbers = builtins.genList (i: next (next (i * 7919))) 200000;
  sorted = builtins.sort (a: b: a < b) numbers;
in
builtins.elemAt sorted 0 + builtins.elemAt sorted 199999
