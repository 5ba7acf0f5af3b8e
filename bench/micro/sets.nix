# listToAttrs, groupBy, concatMap, mapAttrs and zipAttrsWith.
{ scale ? 1 }:
let
  items = builtins.genList (i: { name = "n${toString i}"; value = i; }) (50000 * scale);
  set = builtins.listToAttrs items;
  groups = builtins.groupBy (x: toString (x.value - x.value / 100 * 100)) items;
  doubled = builtins.mapAttrs (_: v: v * 2) set;
  flat = builtins.concatMap (x: [ x.value x.value ]) items;
  zipped = builtins.zipAttrsWith (_: builtins.length) [ set doubled ];
  sum = builtins.foldl' (a: b: a + b) 0;
in
sum flat + sum (builtins.attrValues doubled) + sum (builtins.attrValues zipped)
+ sum (map builtins.length (builtins.attrValues groups))
