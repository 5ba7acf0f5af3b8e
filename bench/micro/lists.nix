# `++` and tail in a loop, filter, partition, elem, concatLists, genericClosure.
{ scale ? 1 }:
let
  grown = builtins.foldl' (l: i: l ++ [ i ]) [ ] (builtins.genList (i: i) (20000 * scale));
  walk = n: l: if l == [ ] then n else walk (n + builtins.head l) (builtins.tail l);
  closure = builtins.genericClosure {
    startSet = [ { key = 0; } ];
    operator = x: if x.key >= 20000 * scale then [ ] else [ { key = x.key + 1; } { key = x.key / 2; } ];
  };
  parts = builtins.partition (x: x / 2 * 2 == x) grown;
in
walk 0 grown + builtins.length closure + builtins.length parts.right + builtins.length (builtins.concatLists [ grown parts.wrong ])
