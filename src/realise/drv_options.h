// drv_options.h: the attributes of a derivation that steer how it is built, read from its environment or, with
// __structuredAttrs, from the JSON in the variable __json. Nix 2.26: ParsedDerivation, and checkOutputs of local-derivation-goal.
//
// Test: test/realise/drv_options_test.c.
#pragma once

#include "formats/derivation.h"
#include "realise/json_tree.h"

typedef struct DrvStrings {
  bool is_set;
  Span *items;
  size_t count;
} DrvStrings;

// Checks on one output.
typedef struct DrvOutputChecks {
  Span output;           // its name; empty: every output (without structured attributes)
  bool ignore_self_refs; // requisites do not count the path itself (without structured attributes)
  bool has_max_size, has_max_closure_size;
  uint64_t max_size_bytes, max_closure_size_bytes;
  DrvStrings allowed_references, allowed_requisites, disallowed_references, disallowed_requisites;
} DrvOutputChecks;

typedef struct DrvOptions {
  bool structured;
  JsonTree attrs; // the object in __json, when structured
  bool prefer_local_build, allow_substitutes, no_chroot;
  DrvStrings required_system_features, impure_env_vars, pass_as_file;
  DrvOutputChecks *checks;
  size_t check_count;
  Span *discard_references; // outputs with unsafeDiscardReferences
  size_t discard_reference_count;
} DrvOptions;

// `drv_path` is for messages. Text is in `arena` or borrowed from the derivation.
MUST_CHECK bool drv_options_read(const Derivation *drv, Span drv_path, Arena *arena, DrvOptions *ret, Err *err);
bool drv_options_has_feature(const DrvOptions *options, Span feature);
// NULL: nothing is checked.
const DrvOutputChecks *drv_options_find_checks(const DrvOptions *options, Span output);
bool drv_options_discards_references(const DrvOptions *options, Span output);
// Words between blanks, as Nix's tokenizeString; in `arena`.
DrvStrings drv_options_split_words(Span text, Arena *arena);
