# A fixed point of many overlays, each changing some of many packages.
{ scale ? 1 }:
let
  overlay = k: final: prev: builtins.listToAttrs (builtins.genList (i: {
    name = "p${toString (k * 7 + i)}";
    value = (prev."p${toString (k * 7 + i)}" or 0) + 1;
  }) 50);
  extend = f: overlays: let
    final = builtins.foldl' (prev: o: prev // o final prev) (f final) overlays;
  in final;
  base = final: builtins.listToAttrs (builtins.genList (i: { name = "p${toString i}"; value = i; }) 2000);
  all = extend base (builtins.genList overlay (200 * scale));
in
builtins.foldl' (a: b: a + b) 0 (builtins.attrValues all)
