// eval_command.h: evaluating roots and printing the requested attributes.
#pragma once

#include "cli/target.h"

typedef struct EvalCommandOptions {
  TargetForm form;
  unsigned form_flags;      // of print_json or print_xml
  const char *const *paths; // attribute paths
  size_t path_count;
} EvalCommandOptions;

// From --strict, --json, --raw, --xml, -A.
void eval_command_options(Session *session, EvalCommandOptions *ret);
// Evaluates each root and prints its attributes in order; the exit code.
int eval_command_roots(Session *session, const TargetRoot *roots, size_t root_count, const EvalCommandOptions *options);
