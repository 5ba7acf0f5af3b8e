# Interpolation, concatStringsSep, and a string that grows at its end.
{ scale ? 1 }:
let
  parts = builtins.genList (i: "item ${toString i} of ${toString (i * 3)}") (50000 * scale);
  text = builtins.concatStringsSep "\n" parts;
  grown = builtins.foldl' (s: x: s + x) "" parts;
in
[ (builtins.stringLength text) (builtins.stringLength grown) (builtins.hashString "sha256" text) ]
