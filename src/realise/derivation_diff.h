// derivation_diff.h: what is different between two derivations, field by field, in words that people use for them.
//
// Differences that only follow from others are told apart: where an attribute names an output of an input that has changed, or of the derivation
// itself, its text changes with the hash, but that is no change of its own.
//
// Test: test/realise/derivation_diff_test.c.
#pragma once

#include "base/arena.h"
#include "formats/derivation.h"

typedef enum DerivationChangeKind {
  DERIVATION_CHANGE_FIELD,  // name, system, builder, argument 2, attribute patches, output hash of out
  DERIVATION_CHANGE_SOURCE, // a file or folder that is an input; `before` and `after` are paths
  DERIVATION_CHANGE_INPUT,  // an input derivation; `before` and `after` are paths of .drv files
} DerivationChangeKind;

typedef struct DerivationChange {
  DerivationChangeKind kind;
  Span field;         // "attribute patches"; of sources and inputs their name without the hash
  bool had, has;      // on this side it exists
  Span before, after; // where it exists
  bool derived;       // FIELD: only hashes in it have changed, as those of inputs have
} DerivationChange;

// In the order: fields, sources, inputs. Both derivations satisfy derivation_check. Text is borrowed from them or in `arena`.
void derivation_diff_find(const Derivation *before, const Derivation *after, Arena *arena, DerivationChange **ret,
                          size_t *ret_count);
// Whether two texts are the same but for hashes in store paths and placeholders.
bool derivation_diff_same_but_hashes(Span a, Span b);
// The difference of two values in few lines: words of lists ("- x", "+ y"), lines of longer texts. At most `max_lines` of each side.
void derivation_diff_format(Span before, Span after, size_t max_lines, const char *indent, Buf *ret);
