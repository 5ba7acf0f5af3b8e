// main.c: the entry point of the multi-call binary; which command it is depends on its name and first arguments (command.h).
#include "cli/command.h"

int main(int argc, char **argv) {
  return command_main(argc, argv);
}
