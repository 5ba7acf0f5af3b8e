// attr_merge.c: see attr_merge.h for the rules.
#include "eval/attr_merge.h"

#include "base/mem.h"
#include "eval/ast_print.h"

enum { INDEX_MIN_ATTRS = 16 };

void attr_merge_init(AttrBuilder *builder, Arena *arena, const NameTable *names, ParserError *error) {
  *builder = (AttrBuilder){.arena = arena, .names = names, .error = error};
}

void attr_merge_done(AttrBuilder *builder) {
  arena_done(&builder->scratch);
  mem_free(builder->stack);
  *builder = (AttrBuilder){0};
}

// ---- sets ----

static uint32_t name_bits(AstName name) {
  return name * 0x9E3779B1u;
}

static uint64_t filter_bit(AstName name) {
  return 1ull << (name_bits(name) >> 26);
}

static ExprAttrs *new_set(AttrBuilder *builder, uint32_t pos) {
  AttrGrowth *growth = builder->free_growths;
  if (growth) {
    builder->free_growths = growth->next_free;
  } else {
    growth = ARENA_NEW(&builder->scratch, AttrGrowth);
    *growth = (AttrGrowth){0};
  }
  *growth = (AttrGrowth){.index = growth->index, .index_mask = growth->index_mask};
  ExprAttrs *set = ARENA_NEW(builder->arena, ExprAttrs);
  *set = (ExprAttrs){.head = {.kind = EXPR_ATTRS, .pos = pos}, .growth_ = growth};
  return set;
}

ExprAttrs *attr_merge_open(AttrBuilder *builder, uint32_t pos) {
  ExprAttrs *set = new_set(builder, pos);
  set->growth_->open = true;
  set->growth_->open_base = (uint32_t)builder->stack_len;
  return set;
}

void attr_merge_close(AttrBuilder *builder, ExprAttrs *set) {
  AttrGrowth *growth = STEAL(set->growth_);
  if (set->attr_count) {
    set->attrs = ARENA_ARRAY(builder->arena, AstAttr, set->attr_count);
    memcpy(set->attrs, builder->stack + growth->open_base, set->attr_count * sizeof(AstAttr));
  }
  builder->stack_len = growth->open_base;
  growth->next_free = builder->free_growths;
  builder->free_growths = growth;
}

// Something is to be merged into a closed set.
static AttrGrowth *reopen(AttrBuilder *builder, ExprAttrs *set) {
  AttrGrowth *growth = ARENA_NEW(&builder->scratch, AttrGrowth);
  *growth = (AttrGrowth){.attr_cap = set->attr_count, .dyn_cap = set->dyn_count, .from_cap = set->inherit_from_count};
  for (uint32_t i = 0; i < set->attr_count; i++) growth->filter |= filter_bit(set->attrs[i].name);
  return set->growth_ = growth;
}

static inline AttrGrowth *growth_of(AttrBuilder *builder, ExprAttrs *set) {
  return LIKELY(set->growth_ != NULL) ? set->growth_ : reopen(builder, set);
}

static AstAttr *attrs_of(const AttrBuilder *builder, const ExprAttrs *set) {
  return set->growth_->open ? builder->stack + set->growth_->open_base : set->attrs;
}

// Room for one more element in an arena array of a tree node.
static void *grow_array(Arena *arena, void *array, uint32_t count, uint32_t *cap, size_t element_bytes) {
  if (count < *cap) return array;
  *cap = *cap ? *cap * 2 : 2;
  void *bigger = arena_alloc(arena, *cap * element_bytes);
  if (count) memcpy(bigger, array, count * element_bytes);
  return bigger;
}

static void index_put(AttrGrowth *set, AstName name, uint32_t attr) {
  uint32_t i = name_bits(name) >> 7 & set->index_mask;
  while (set->index[i]) i = (i + 1) & set->index_mask;
  set->index[i] = attr + 1;
}

// Brings the index up to date; makes it larger when it is half full.
static void update_index(AttrBuilder *builder, AttrGrowth *set, const AstAttr *attrs, uint32_t count) {
  if (!set->index || count > set->index_mask / 2) {
    uint32_t size = 64;
    while (size / 4 < count) size *= 2;
    set->index = ARENA_ARRAY(&builder->scratch, uint32_t, size);
    set->index_mask = size - 1;
    set->indexed_count = 0;
  }
  if (set->indexed_count == 0) memset(set->index, 0, (set->index_mask + 1) * sizeof(uint32_t));
  for (; set->indexed_count < count; set->indexed_count++)
    index_put(set, attrs[set->indexed_count].name, set->indexed_count);
}

static AstAttr *find_indexed(AttrBuilder *builder, ExprAttrs *set, AstAttr *attrs, AstName name) {
  AttrGrowth *growth = set->growth_;
  update_index(builder, growth, attrs, set->attr_count);
  uint32_t i = name_bits(name) >> 7 & growth->index_mask;
  for (; growth->index[i]; i = (i + 1) & growth->index_mask)
    if (attrs[growth->index[i] - 1].name == name) return &attrs[growth->index[i] - 1];
  return NULL;
}

static AstAttr *find(AttrBuilder *builder, ExprAttrs *set, AstName name) {
  if (LIKELY(!(growth_of(builder, set)->filter & filter_bit(name)))) return NULL;
  AstAttr *attrs = attrs_of(builder, set);
  if (set->attr_count > INDEX_MIN_ATTRS) return find_indexed(builder, set, attrs, name);
  for (uint32_t i = 0; i < set->attr_count; i++)
    if (attrs[i].name == name) return &attrs[i];
  return NULL;
}

static void push(AttrBuilder *builder, ExprAttrs *set, AstAttr attr) {
  AttrGrowth *growth = growth_of(builder, set);
  growth->filter |= filter_bit(attr.name);
  if (growth->open) {
    if (UNLIKELY(builder->stack_len == builder->stack_cap))
      MEM_RESERVE(builder->stack, builder->stack_cap, builder->stack_len + 64);
    builder->stack[builder->stack_len++] = attr;
    set->attr_count++;
    return;
  }
  set->attrs = grow_array(builder->arena, set->attrs, set->attr_count, &growth->attr_cap, sizeof(AstAttr));
  set->attrs[set->attr_count++] = attr;
}

static void push_dyn(AttrBuilder *builder, ExprAttrs *set, AstDynAttr dyn) {
  AttrGrowth *growth = growth_of(builder, set);
  set->dyns = grow_array(builder->arena, set->dyns, set->dyn_count, &growth->dyn_cap, sizeof(AstDynAttr));
  set->dyns[set->dyn_count++] = dyn;
}

uint32_t attr_merge_add_from(AttrBuilder *builder, ExprAttrs *set, Expr *from) {
  AttrGrowth *growth = growth_of(builder, set);
  set->inherit_from =
      grow_array(builder->arena, set->inherit_from, set->inherit_from_count, &growth->from_cap, sizeof(Expr *));
  set->inherit_from[set->inherit_from_count] = from;
  return set->inherit_from_count++;
}

// ---- definitions ----

static ExprAttrs *as_set(Expr *value) {
  return value && value->kind == EXPR_ATTRS ? (ExprAttrs *)value : NULL;
}

// A lambda knows the name that it is bound to, and so do the lambdas that it consists of.
static void name_lambda(Expr *value, AstName name) {
  for (; value && value->kind == EXPR_LAMBDA; value = ((ExprLambda *)value)->body)
    ((ExprLambda *)value)->self_name = name;
}

static bool fail_defined(AttrBuilder *builder, Buf *path, uint32_t pos, uint32_t other_pos) {
  Buf message = BUF_INIT;
  buf_put_cstr(&message, "attribute '");
  buf_put_span(&message, buf_span(path));
  buf_put_cstr(&message, "' already defined at ");
  buf_done(path);
  *builder->error = (ParserError){pos, other_pos, buf_take(&message)};
  return false;
}

static void put_path(AttrBuilder *builder, Buf *buf, const AstAttrName *path, uint32_t count) {
  ast_print_attr_path(builder->names->entries, path, count, buf);
}

// One level of merging `src` into `dst`: the next definition of `src` to move is number `next`.
typedef struct Merge {
  ExprAttrs *dst, *src;
  uint32_t next, from_base;
} Merge;

static bool fail_merge(AttrBuilder *builder, const AstAttrName *path, uint32_t path_count, Merge *levels, size_t depth,
                       uint32_t other_pos) {
  Buf buf = BUF_INIT;
  put_path(builder, &buf, path, path_count);
  uint32_t pos = AST_NO_POS;
  for (size_t i = 0; i < depth; i++) {
    const AstAttr *attr = &levels[i].src->attrs[levels[i].next];
    AstAttrName step = {attr->name, attr->pos, NULL};
    buf_put_char(&buf, '.');
    put_path(builder, &buf, &step, 1);
    pos = attr->pos;
  }
  mem_free(levels);
  return fail_defined(builder, &buf, pos, other_pos);
}

static void move_rest(AttrBuilder *builder, const Merge *level) {
  ExprAttrs *src = level->src;
  for (uint32_t i = 0; i < src->dyn_count; i++) push_dyn(builder, level->dst, src->dyns[i]);
  for (uint32_t i = 0; i < src->inherit_from_count; i++)
    (void)attr_merge_add_from(builder, level->dst, src->inherit_from[i]);
  src->attr_count = src->dyn_count = src->inherit_from_count = 0;
}

// Moves everything in `src` into `dst`, sets within sets included. As in C++ Nix, a `rec` of `src`
// is lost and one of `dst` holds for what comes in (https://github.com/NixOS/nix/issues/9020).
// Depth first on a heap stack: literals can be nested deeply.
static bool merge_sets(AttrBuilder *builder, ExprAttrs *dst, ExprAttrs *src, const AstAttrName *path,
                       uint32_t path_count) {
  size_t depth = 0, cap = 0;
  Merge *levels = NULL;
  MEM_RESERVE(levels, cap, 8);
  levels[depth++] = (Merge){dst, src, 0, dst->inherit_from_count};
  while (depth) {
    Merge *level = &levels[depth - 1];
    if (level->next == level->src->attr_count) {
      move_rest(builder, level);
      if (--depth) levels[depth - 1].next++;
      continue;
    }
    AstAttr attr = level->src->attrs[level->next];
    if (attr.kind == AST_ATTR_INHERIT_FROM) attr.from += level->from_base;
    AstAttr *old = find(builder, level->dst, attr.name);
    if (!old) {
      push(builder, level->dst, attr);
      level->next++;
      continue;
    }
    ExprAttrs *old_set = as_set(old->value), *new_set_ = as_set(attr.value);
    if (!old_set || !new_set_) return fail_merge(builder, path, path_count, levels, depth, old->pos);
    MEM_RESERVE(levels, cap, depth + 1);
    levels[depth++] = (Merge){old_set, new_set_, 0, old_set->inherit_from_count};
  }
  mem_free(levels);
  return true;
}

// The set that the names before the last one lead to, made where it does not exist yet; NULL on
// error.
static ExprAttrs *descend(AttrBuilder *builder, ExprAttrs *set, const AstAttrName *path, uint32_t path_count,
                          uint32_t pos) {
  for (uint32_t i = 0; i + 1 < path_count; i++) {
    ExprAttrs *nested;
    AstAttr *old = path[i].expr ? NULL : find(builder, set, path[i].name);
    if (old) {
      nested = as_set(old->value);
      if (!nested) {
        Buf buf = BUF_INIT;
        put_path(builder, &buf, path, i + 1);
        (void)fail_defined(builder, &buf, pos, old->pos);
        return NULL;
      }
    } else {
      nested = new_set(builder, AST_NO_POS);
      if (path[i].expr) push_dyn(builder, set, (AstDynAttr){path[i].expr, &nested->head, pos});
      else push(builder, set, (AstAttr){path[i].name, AST_ATTR_PLAIN, pos, 0, &nested->head});
    }
    set = nested;
  }
  return set;
}

bool attr_merge_define(AttrBuilder *builder, ExprAttrs *set, const AstAttrName *path, uint32_t path_count, uint32_t pos,
                       Expr *value) {
  if (path_count > 1 && !(set = descend(builder, set, path, path_count, pos))) return false;
  const AstAttrName *last = &path[path_count - 1];
  if (last->expr) {
    push_dyn(builder, set, (AstDynAttr){last->expr, value, pos});
    return true;
  }
  AstAttr *old = find(builder, set, last->name);
  if (LIKELY(!old)) {
    push(builder, set, (AstAttr){last->name, AST_ATTR_PLAIN, pos, 0, value});
    name_lambda(value, last->name);
    return true;
  }
  ExprAttrs *old_set = as_set(old->value), *value_set = as_set(value);
  if (old_set && value_set) return merge_sets(builder, old_set, value_set, path, path_count);
  Buf buf = BUF_INIT;
  put_path(builder, &buf, path, path_count);
  return fail_defined(builder, &buf, pos, old->pos);
}

bool attr_merge_inherit(AttrBuilder *builder, ExprAttrs *set, AstAttr def) {
  AstAttr *old = find(builder, set, def.name);
  if (LIKELY(!old)) {
    push(builder, set, def);
    return true;
  }
  Buf buf = BUF_INIT;
  AstAttrName step = {def.name, def.pos, NULL};
  put_path(builder, &buf, &step, 1);
  return fail_defined(builder, &buf, def.pos, old->pos);
}
