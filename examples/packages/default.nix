# Packages to play with: what `firn explain`, `firn shell` and `firn run` do.
#
#   firn run -f examples/packages hello                                    builds it and runs it
#   firn shell -f examples/packages hello shout -c sh -c 'hello | shout'   several, with one command
#   firn explain examples/packages --argstr greeting 'good morning'        which builds that would cause, and why
{
  greeting ? "hello",
  system ? builtins.currentSystem,
}:
let
  package = name: attrs: script:
    derivation (
      {
        inherit name system;
        builder = "/bin/sh";
        args = [ "-ec" script ];
        PATH = "/bin";
      }
      // attrs
    );
  # A shell script as a program.
  program = name: attrs: line:
    package name (attrs // { inherit line; }) ''
      mkdir -p $out/bin
      printf '#! /bin/sh\n%s\n' "$line" > $out/bin/''${name%-*}
      chmod +x $out/bin/''${name%-*}
    '';
in
rec {
  words = package "words-1.0" { inherit greeting; } ''
    mkdir $out
    echo "$greeting, world" > $out/words
  '';
  hello = program "hello-2.0" { } "cat ${words}/words";
  shout = program "shout-1.1" { } "tr a-z A-Z";
  both = program "both-0.1" { inherit hello shout; } "${hello}/bin/hello | ${shout}/bin/shout";
}
