# Splitting, regular expressions, replaceStrings, substring.
{ scale ? 1 }:
let
  lines = builtins.genList (i: "line ${toString i} of the text: name-${toString (i * 3)}") (20000 * scale);
  text = builtins.concatStringsSep "\n" lines;
  parts = builtins.filter builtins.isString (builtins.split "\n" text);
  versions = map (l: builtins.match "line ([0-9]+) .*name-([0-9]+)" l) parts;
  replaced = builtins.replaceStrings [ "line" "text" "-" ] [ "row" "words" "_" ] text;
  characters = builtins.foldl' (n: i: n + builtins.stringLength (builtins.substring i 3 text)) 0 (builtins.genList (i: i) (20000 * scale));
in
builtins.foldl' (n: v: n + builtins.stringLength (builtins.elemAt v 1)) (builtins.stringLength replaced + characters) versions
