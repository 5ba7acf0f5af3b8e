# Interpolation, concatenation, splitting, regular expressions.
let
  lines = builtins.genList (i: "line ${toString i} of the text: name-${toString (i * 3)}") 20000;
  text = builtins.concatStringsSep "\n" lines;
  parts = builtins.filter builtins.isString (builtins.split "\n" text);
  versions = map (l: builtins.match "line ([0-9]+) .*name-([0-9]+)" l) parts;
in
builtins.foldl' (n: v: n + builtins.stringLength (builtins.elemAt v 1)) 0 versions
