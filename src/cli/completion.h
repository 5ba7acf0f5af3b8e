// completion.h: what could stand at the cursor of a command line, for the completion of shells: commands, options, settings, attribute names.
//
// The protocol is C++ Nix's: the program is called with the line and NIX_GET_COMPLETIONS=<index of the word>; the answer's first line is normal,
// filenames (the shell is to complete by itself where nothing follows) or attrs (more may follow without a blank), then one candidate a line with a
// description behind a TAB.
#pragma once

#include "cli/command.h"

// False when the variable does not ask for it.
bool completion_answer(int argc, char **argv, int *ret_code);
