# Puts the compiler together: bin/cc, lib (what tcc itself needs), musl (what its programs need).
set -e
mkdir -p $out/bin $out/lib
for library in $libraries; do
  file=${library#/nix/store/*-}
  cp $library $out/lib/$file
done
cp $tcc $out/lib/tcc
cat > $out/bin/cc <<END
#!/bin/sh
exec $out/lib/$loader --library-path $out/lib $out/lib/tcc -B$support -static -nostdinc -nostdlib \\
  -I$headers -I$support/include -L$musl $musl/crt1.o $musl/crti.o "\$@" $musl/libc.a $support/libtcc1.a $musl/crtn.o
END
chmod +x $out/bin/cc $out/lib/$loader $out/lib/tcc
