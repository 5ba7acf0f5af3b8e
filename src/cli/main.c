// main.c: the entry point of the multi-call binary; which command it is depends on its name and first arguments (command.h).
#include <malloc.h>

#include "cli/command.h"
#include "store/sql.h"

// Syntax trees and images are large and live briefly: giving their pages back and getting new ones costs more than they are worth.
static void keep_pages(void) {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  mallopt(M_TOP_PAD, 4 << 20);
}

int main(int argc, char **argv) {
  keep_pages();
  sql_start();
  return command_main(argc, argv);
}
