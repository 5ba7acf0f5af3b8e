// debug_shell.h: connects the user's terminal with a program that runs on a pseudo-terminal of ours: the shell in a failed build's sandbox.
//
// The user's terminal is raw meanwhile, so that every key, Ctrl-C too, goes to the shell.
#pragma once

#include "base/loop.h"

typedef struct DebugShell DebugShell;

// Can a shell be shown: are standard input and error a terminal?
bool debug_shell_is_possible(void);
// `master_fd` is the shell's pseudo-terminal, open for as long as the shell. The terminal's size is passed on at the start.
MUST_CHECK bool debug_shell_start(Loop *loop, int master_fd, DebugShell **ret, Err *err);
// Restores the user's terminal; NULL is allowed.
void debug_shell_stop(DebugShell *shell);
