// attr_merge.h: the attribute sets of a tree under construction, and C++ Nix's rules for putting
// definitions into them: attribute paths make nested sets, two sets defined for one name are
// merged, everything else defined twice is an error.
//
// A set literal is *open* while the parser is between its brackets; its definitions then live on a
// stack that all open sets share, and are copied to the arena once, at their final size. Lookups
// are linear in small sets and hashed in large ones.
#pragma once

#include "eval/name_table.h"
#include "eval/parser.h"

// What a set needs while it can still grow; most sets are closed once and never touched again.
typedef struct AttrGrowth {
  bool open;
  uint32_t open_base; // of the definitions on AttrBuilder.stack
  uint32_t attr_cap, dyn_cap, from_cap;
  uint32_t *index; // names' numbers + 1 by hash, or NULL; valid for the first `indexed_count`
  uint32_t index_mask, indexed_count;
  uint64_t filter; // bit of a name clear: surely not in the set
  struct AttrGrowth *next_free;
} AttrGrowth;

typedef struct AttrBuilder {
  Arena *arena;           // of the tree, borrowed
  const NameTable *names; // borrowed
  Arena scratch;
  AttrGrowth *free_growths;
  AstAttr *stack; // owned
  size_t stack_len, stack_cap;
  ParserError *error; // set when a function returns false
} AttrBuilder;

void attr_merge_init(AttrBuilder *builder, Arena *arena, const NameTable *names, ParserError *error);
void attr_merge_done(AttrBuilder *builder);
// An open set. Sets are closed in reverse order of opening.
ExprAttrs *attr_merge_open(AttrBuilder *builder, uint32_t pos);
void attr_merge_close(AttrBuilder *builder, ExprAttrs *set);
// `path = value;`. `pos` is where the path starts. False: defined twice.
MUST_CHECK bool attr_merge_define(AttrBuilder *builder, ExprAttrs *set, const AstAttrName *path, uint32_t path_count,
                                  uint32_t pos, Expr *value);
// `inherit a;` (kind AST_ATTR_INHERIT) and `inherit (e) a;`: `def.from` as returned by
// attr_merge_add_from.
MUST_CHECK bool attr_merge_inherit(AttrBuilder *builder, ExprAttrs *set, AstAttr def);
uint32_t attr_merge_add_from(AttrBuilder *builder, ExprAttrs *set, Expr *from);
