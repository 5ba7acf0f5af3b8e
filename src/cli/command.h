// command.h: the commands, and how one is found from the name of the program and its first arguments.
#pragma once

#include "cli/session.h"

typedef int (*CommandRun)(Session *session);

struct Command {
  const char *program;  // "firn", "nix-build"
  const char *verb;     // "eval", "store add"; "" for a program that is one command
  uint64_t groups;      // of options
  const char *operands; // for the usage line
  const char *summary;
  CommandRun run;
  bool quiet_start;  // starts at the log level of the `nix` commands, without builders' output
  bool brief_errors; // firn's own short form of evaluation errors
};

extern const Command command_table[];
extern const size_t command_count;

// Finds the command for argv; *ret_used words of it (program and verb) are consumed. NULL with *err set.
const Command *command_find(int argc, char **argv, int *ret_used, Err *err);
const char *command_full_name(const Command *command); // "firn store add"; in a static buffer
// Runs one invocation; the exit code.
int command_main(int argc, char **argv);
