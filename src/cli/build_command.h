// build_command.h: building what the command line names; also for nix-store --realise and the REPL.
#pragma once

#include "cli/target.h"

typedef struct BuildTarget {
  StorePath path; // a derivation, or (not is_drv) a path that is to be valid
  Span output;
  bool is_drv;
  bool built;          // result
  bool was_built_here; // result: and not valid before, nor fetched; then `times` says how that went
  SchedulerTimes times;
  StorePath out_path; // result
} BuildTarget;

typedef struct BuildTargetList {
  BuildTarget *items; // owned
  size_t count, cap;
  bool keeps_status; // failures end with the statuses of nix-build (100, ...) under `nix`, too
  bool without_plan; // what will be built is not listed beforehand
} BuildTargetList;

void build_command_list_done(BuildTargetList *list);
void build_command_list_add(BuildTargetList *list, const BuildTarget *target);
// A store path as text, with "^out" or "!out"; *ret_is_path false: it is something else.
MUST_CHECK bool build_command_add_path(Session *session, BuildTargetList *ret, const char *text, bool *ret_is_path,
                                       Err *err);
// Says what will be built and builds it. The evaluator's memory is given back first, unless `keep_vm`. The exit code; errors have
// been printed.
int build_command_build(Session *session, BuildTargetList *targets, SchedulerMode mode, bool keep_vm);
// --profile: the one path that came out becomes its newest generation.
MUST_CHECK bool build_command_set_profile(Session *session, Store *store, const char *profile,
                                          const BuildTargetList *targets, Err *err);
