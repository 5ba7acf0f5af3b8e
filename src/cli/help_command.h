// help_command.h: what is made from the tables of commands and options: help, completion, manual pages.
#pragma once

#include "cli/command.h"

int help_command_show(Session *session, const Command *command); // --help
int help_command_version(Session *session);                      // --version
// "firn --help", "nix --option X Y --version": no command, but something that can be answered.
bool help_command_bare(int argc, char **argv, int *ret_code);
