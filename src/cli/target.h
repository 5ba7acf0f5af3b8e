// target.h: from what the command line names to values: files and expressions, functions that get --arg, attribute paths, derivations.
//
// The work is done by natives, so that several targets are evaluated as tasks of equal rank (vm_run_jobs).
#pragma once

#include "cli/session.h"

// What to evaluate: one root.
typedef enum TargetKind {
  TARGET_FILE, // as given: a path, "<x>", or a URL of a tarball
  TARGET_EXPR,
  TARGET_STDIN,
} TargetKind;

typedef struct TargetRoot {
  TargetKind kind;
  const char *text;
  const char *base; // of an expression: the folder that relative paths in it are relative to; NULL: the current one
  bool is_own;      // firn has written the expression: traces do not show it
} TargetRoot;

// Where relative paths in expressions of the command line begin: NULL (the current folder) but for scripts of nix-shell.
const char *target_expr_base(Session *session);
// Evaluates it into `root`, registered by the caller. False: the error has been printed and *ret_code is set.
MUST_CHECK bool target_eval_root(Session *session, const TargetRoot *target, HeapRoot *root, int *ret_code);
// The set of --arg, --argstr, --arg-from-file and --arg-from-stdin into `root`.
MUST_CHECK bool target_auto_args(Session *session, HeapRoot *root, int *ret_code);

// The value that `attr_path` selects in `root`, functions called with `args` on the way and at the end. False: the error is pending in the VM.
MUST_CHECK bool target_select(Session *session, const HeapRoot *root, const HeapRoot *args, const char *attr_path,
                              HeapRoot *ret);

// Where the attribute is defined that `attr_path` leads to; 0 when that is not known. What is on the way has been evaluated before.
PosId target_position(Session *session, const HeapRoot *root, const HeapRoot *args, const char *attr_path);

// How a value is to be returned by target_native_value.
typedef enum TargetForm {
  TARGET_WHNF,   // as it is
  TARGET_STRICT, // everything inside evaluated
  TARGET_RAW,    // coerced to a string
  TARGET_JSON,   // string; paths are copied to the store with flag 1 (as nix-instantiate does it)
  TARGET_XML,    // string
  TARGET_PRINT,  // evaluated as far as `nix eval` prints it; a list [value failures]
} TargetForm;
#define TARGET_RAW_INSTANTIATE 1  // a flag of TARGET_RAW: errors name nix-instantiate
#define TARGET_NO_CALL (1u << 16) // of all: what the attribute path leads to is not called, even with arguments

// (root, auto args, raw pointer to the attribute path, function to apply or null, form | flags of print_json or print_xml << 8 as raw integer) -> value
extern const NativeDef target_native_value;
// (root, auto args, raw pointer to the attribute path, auto args of functions that take `inNixShell` or null) -> list of derivations, as
// nix-build finds them
extern const NativeDef target_native_drvs;
// (derivation) -> list [drvPath outputName name]; outputName is "" when there is none
extern const NativeDef target_native_drv;
// (value, auto args) -> value: a function with named arguments is called with those it takes
extern const NativeDef target_native_call;

// One derivation as a plain record.
typedef struct TargetDrv {
  StorePath drv_path; // or, of a string that names it, any store path
  Span output;        // in the session's arena; empty: `drv_path` itself is meant
  Span name;
  uint32_t attr_path; // number of the attribute path in the query
} TargetDrv;

typedef struct TargetDrvList {
  TargetDrv *items; // owned
  size_t count, cap;
  bool has_shared; // an attribute path has led to what an earlier one had led to, which is not listed again
} TargetDrvList;
void target_drv_list_done(TargetDrvList *list);

// Attribute paths in roots.
typedef struct TargetQuery {
  const TargetRoot *roots;
  size_t root_count;
  const char *const *attr_paths; // "": the root itself
  size_t attr_path_count;
  bool strings;      // of package_set_new: an attribute path may lead to a string or a path, too
  bool in_nix_shell; // functions that have an argument `inNixShell` get `true` for it
} TargetQuery;
// The attribute paths of the options (-A); one empty one when there are none. In the session's arena.
const char *const *target_attr_paths(Session *session, size_t *ret_count);
// All derivations that the attribute paths name, in order. False: the error has been printed. With keep_going, failed ones are printed and left out, and
// *ret_code is set at the end.
MUST_CHECK bool target_query_drvs(Session *session, const TargetQuery *query, TargetDrvList *ret, int *ret_code);

// The roots that the options and operands mean, in the session's arena. `classic`: operands are files, or expressions with -E; none: ./default.nix.
// Otherwise: -f and -E name the root, and operands are left to the caller (*ret_used_operands false) where one of them is given.
void target_roots(Session *session, bool classic, const TargetRoot **ret, size_t *ret_count, bool *ret_used_operands);
