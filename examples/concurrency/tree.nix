# A binary tree: each node's text is the sum of what its two children generated and evaluation imported. The children of a node are
# independent, so a tree of depth d takes d + 1 seconds, although it has 2^(d+1) - 1 builds.
{
  depth ? 3,
  system ? builtins.currentSystem,
  salt ? "",
}:
let
  node =
    path: level:
    import (derivation {
      name = "node${path}";
      inherit system salt;
      builder = "/bin/sh";
      PATH = "/bin";
      args = [
        "-c"
        "sleep 1; echo ${
          if level == 0 then "1" else toString (node "${path}-0" (level - 1) + node "${path}-1" (level - 1))
        } > $out"
      ];
    });
in
node "" depth
