# Calls and integer arithmetic.
{ scale ? 1 }:
let
  fib = n: if n < 2 then n else fib (n - 1) + fib (n - 2);
in
builtins.foldl' (sum: _: sum + fib 25) 0 (builtins.genList (i: i) (2 * scale))
