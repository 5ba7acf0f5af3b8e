# recursiveUpdate of a tree, as the library of nixpkgs writes it.
{ scale ? 1 }:
let
  zip = f: l: r: let names = builtins.attrNames (l // r); in builtins.listToAttrs (map (name: {
    inherit name;
    value = if l ? ${name} && r ? ${name} then f l.${name} r.${name} else r.${name} or l.${name};
  }) names);
  update = l: r: if builtins.isAttrs l && builtins.isAttrs r then zip update l r else r;
  tree = depth: seed: if depth == 0 then seed else builtins.listToAttrs (builtins.genList (i: {
    name = "k${toString i}";
    value = tree (depth - 1) (seed * 8 + i);
  }) 8);
  sum = v: if builtins.isAttrs v then builtins.foldl' (n: x: n + sum x) 0 (builtins.attrValues v) else v;
  once = i: sum (update (tree 4 i) (tree 4 (i + 1)));
in
builtins.foldl' (n: i: n + once i) 0 (builtins.genList (i: i) (4 * scale))
