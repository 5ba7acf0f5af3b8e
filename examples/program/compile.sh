set -e
mkdir -p $out/bin
cc -DGREETING="\"$greeting\"" -I$source -o $out/bin/checksum $files $table/table.c
