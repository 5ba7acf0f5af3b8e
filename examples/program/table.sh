# table.c: the 256 entries of the table for a reflected CRC with the given polynomial; facts.nix: what was made.
set -e
mkdir $out
{
  echo '#include "crc.h"'
  echo 'const uint32_t crc_table[256] = {'
  n=0
  while [ $n -lt 256 ]; do
    value=$n
    for bit in 0 1 2 3 4 5 6 7; do
      if [ $((value & 1)) = 1 ]; then value=$(((value >> 1) ^ 0x$polynomial)); else value=$((value >> 1)); fi
    done
    printf '  0x%08xu,\n' $value
    n=$((n + 1))
  done
  echo '};'
} > $out/table.c
# The CRC of "123456789", which every description of CRC-32 gives.
echo '{ entries = 256; check = "cbf43926"; }' > $out/facts.nix
