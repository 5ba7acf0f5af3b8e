# A real program from parts: one derivation generates a source file and says what it generated, evaluation reads that back and goes on
# with it, a second compiles it together with the source tree, a third runs the result.
#
#   firn build examples/program             the output of the program
#   firn eval -f examples/program summary   which needs all of the builds, while evaluating
{
  system ? builtins.currentSystem,
}:
let
  compiler = import ./compiler.nix { inherit system; };
  run = name: script: attrs:
    derivation (
      {
        inherit name system;
        builder = "/bin/sh";
        args = [ script ];
        PATH = "${compiler}/bin:/bin";
      }
      // attrs
    );

  # Generated source: the table of CRC-32, and a Nix file that describes it.
  table = run "crc-table" ./table.sh { polynomial = "edb88320"; };
  facts = import "${table}/facts.nix"; # builds it

  # Only the C files of the tree.
  source = builtins.path {
    name = "checksum-source";
    path = ./src;
    filter = path: type: builtins.match ".*\\.[ch]" path != null;
  };

  program = run "checksum-${toString facts.entries}" ./compile.sh {
    inherit source table;
    files = map (name: "${source}/${name}") (
      builtins.filter (name: builtins.match ".*\\.c" name != null) (builtins.attrNames (builtins.readDir source))
    );
    greeting = "CRC-32 with a table of ${toString facts.entries} entries";
  };

  report = run "report" ./report.sh {
    inherit program source;
    check = facts.check;
  };
in
report
// {
  inherit compiler table program report;
  summary = builtins.head (builtins.split "\n" (builtins.readFile report));
}
