# Each build needs what evaluation read from the one before: nothing can overlap, n builds take n seconds.
{
  n ? 8,
  system ? builtins.currentSystem,
  salt ? "",
}:
builtins.foldl' (
  before: i:
  import (derivation {
    name = "link-${toString i}";
    inherit system salt;
    builder = "/bin/sh";
    PATH = "/bin";
    args = [
      "-c"
      "sleep 1; echo $((${toString before} + 1)) > $out"
    ];
  })
) 0 (builtins.genList (i: i) n)
