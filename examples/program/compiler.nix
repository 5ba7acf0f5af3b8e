# A C compiler as a store path: tcc, with the musl C library for what it makes. Both are Debian packages (tcc, musl-dev); their files are
# copied into the store as they are, and one derivation puts them together with a script that starts tcc through the
# loader and libraries it came with, because nothing of the host is visible to builders.
{ system }:
let
  cpu = { x86_64-linux = "x86_64"; aarch64-linux = "aarch64"; }.${system};
  loader = { x86_64-linux = "ld-linux-x86-64.so.2"; aarch64-linux = "ld-linux-aarch64.so.1"; }.${system};
  glibc = "/lib/${cpu}-linux-gnu";
  import-file = name: path: builtins.path { inherit name path; };
in
derivation {
  name = "tcc";
  inherit system loader;
  builder = "/bin/sh";
  PATH = "/bin";
  args = [ ./compiler.sh ];
  tcc = import-file "tcc-program" /usr/bin/tcc;
  support = import-file "tcc-support" (/usr/lib + "/${cpu}-linux-gnu/tcc");
  musl = import-file "musl-lib" (/usr/lib + "/${cpu}-linux-musl");
  headers = import-file "musl-include" (/usr/include + "/${cpu}-linux-musl");
  libraries = map (name: import-file name (/. + "${glibc}/${name}")) [
    loader
    "libc.so.6"
    "libdl.so.2"
    "libm.so.6"
    "libpthread.so.0"
  ];
}
