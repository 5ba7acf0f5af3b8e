// command_list.h: the run functions named in command.def.
#pragma once

#include "cli/command.h"

#define COMMAND(program, verb, groups, operands, run, quiet, brief, summary) int run(Session *session);
#include "cli/command.def"
#undef COMMAND
