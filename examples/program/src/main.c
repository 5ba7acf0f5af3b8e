#include <stdio.h>

#include "crc.h"

int main(int argc, char **argv) {
  fprintf(stderr, "%s\n", GREETING);
  for (int i = 1; i < argc; i++) {
    FILE *file = fopen(argv[i], "rb");
    if (!file) {
      perror(argv[i]);
      return 1;
    }
    char buffer[4096];
    size_t len, total = 0;
    uint32_t crc = 0;
    while ((len = fread(buffer, 1, sizeof(buffer), file)) > 0) {
      crc = crc_update(crc, buffer, len);
      total += len;
    }
    fclose(file);
    printf("%08x %6zu %s\n", (unsigned)crc, total, argv[i]);
  }
  return 0;
}
