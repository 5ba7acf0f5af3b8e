# n independent builds of one second each, whose results evaluation imports. They run at once: firn -j n needs a little more
# than a second for all of them.
{
  n ? 8,
  system ? builtins.currentSystem,
  salt ? "",
}:
builtins.genList (
  i:
  import (derivation {
    name = "sleeper-${toString i}";
    inherit system salt;
    builder = "/bin/sh";
    PATH = "/bin";
    args = [
      "-c"
      "sleep 1; echo ${toString i} > $out"
    ];
  })
) n
