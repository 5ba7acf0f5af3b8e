# toJSON and fromJSON of a large value.
{ scale ? 1 }:
let
  value = builtins.genList (i: { name = "n${toString i}"; list = [ i (i + 1) "x" null true ]; nested = { a.b.c = i; }; }) (20000 * scale);
  text = builtins.toJSON value;
in
[ (builtins.stringLength text) (builtins.length (builtins.fromJSON text)) (builtins.fromJSON text == value) ]
