// unit.c: see unit.h.
#include "eval/unit.h"

#include "base/fs.h"
#include "base/mem.h"
#include "eval/vm_state.h"

static const String *unit_image_string(const uint32_t *image, uint32_t at) {
  return (const String *)(const void *)(image + at);
}

static Span unit_string_text(const String *s) {
  return span_make(s->bytes, (size_t)head_payload(s->head));
}

static void unit_format_path(Vm *vm, Span text, Span base_dir, Buf *ret) {
  if (text.data[0] == '~') {
    Buf joined = BUF_INIT;
    fs_path_join(&joined, span_cstr(vm->settings.home_dir), span_from(text, text.len > 1 ? 2 : 1));
    fs_path_canon(SPAN("/"), buf_span(&joined), ret);
    buf_done(&joined);
  } else {
    fs_path_canon(base_dir, text, ret);
  }
  // The literal part of ./a/${b} keeps its slash; others have none.
  if (text.data[text.len - 1] == '/' && ret->len > 1) buf_put_char(ret, '/');
}

Value unit_make_path(Vm *vm, const Unit *unit, uint32_t number) {
  Span text = unit_string_text(unit_image_string(unit->image, unit->image[unit_header(unit)->path_off + number]));
  Buf buf = BUF_INIT;
  unit_format_path(vm, text, unit->base_dir, &buf);
  size_t body = buf.len + 1 < 8 ? 8 : buf.len + 1;
  String *s = arena_alloc(&vm->state->immortal, offsetof(String, bytes) + body);
  s->head = HEAD(T_PATH, OBJ_STATIC, buf.len);
  s->context = NULL;
  memcpy(s->bytes, buf.data, buf.len);
  ((char *)s + offsetof(String, bytes))[buf.len] = 0; // behind the declared bounds of the array
  buf_done(&buf);
  return unit->paths[number] = value_from_ptr(s, TAG_OBJ);
}

// Literals that need the home directory fail when the file is loaded, whether they are used or not, as in Nix.
static bool unit_check_home_paths(Vm *vm, const uint32_t *image) {
  const CodeImage *header = (const CodeImage *)(const void *)image;
  if (!header->has_home_paths || vm->settings.home_dir) return true;
  for (uint32_t i = 0; i < header->path_count; i++) {
    Span text = unit_string_text(unit_image_string(image, image[header->path_off + i]));
    if (text.data[0] != '~') continue;
    eval_error(vm, EVAL_ERROR_EVAL, 0, "the path '%.*s' can not be resolved%s", SPAN_ARG(text),
               vm->settings.pure_eval ? " in pure mode" : ": there is no home directory");
    return false;
  }
  return true;
}

#define UNIT_PREFETCH_NAMES 12u // names whose places in the symbol table are on their way

static void unit_intern_names(Vm *vm, Unit *u) {
  const CodeImage *header = unit_header(u);
  const CodeName *names = (const CodeName *)(u->image + header->name_off);
  uint32_t count = header->name_count;
  u->names = mem_alloc_array((size_t)count + 1, sizeof *u->names);
  symbol_reserve(vm->symbols, count);
  for (uint32_t i = 0; i < count; i++) {
    if (i + UNIT_PREFETCH_NAMES < count) symbol_prefetch(vm->symbols, names[i + UNIT_PREFETCH_NAMES].hash);
    Span text = unit_string_text(unit_image_string(u->image, names[i].text));
    u->names[i] = symbol_intern_static(vm->symbols, text, names[i].hash);
  }
  for (uint32_t i = 0; i < count; i++) symbol_order(vm->symbols, u->names[names[i].ordered]);
}

Unit *unit_load(Vm *vm, uint32_t *image, bool owned, const PosSource *source, Span base_dir) {
  CodeImage *header = (CodeImage *)(void *)image;
  if (!unit_check_home_paths(vm, image)) {
    if (owned) mem_free(image);
    return NULL;
  }
  Unit *u = mem_alloc_zero(sizeof *u);
  u->image = image;
  u->owns_image = owned;
  u->source = source;
  u->base_dir = header->path_count ? arena_dup(&vm->state->immortal, base_dir) : SPAN("");
  header->unit = (uint64_t)(uintptr_t)u;
  unit_intern_names(vm, u);
  u->globals = mem_alloc_array((size_t)header->global_count + 1, sizeof *u->globals);
  for (uint32_t i = 0; i < header->global_count; i++)
    u->globals[i] = vm_global_find(vm, u->names[image[header->global_off + i]]);
  u->paths = mem_alloc_zero((header->path_count + 1) * sizeof *u->paths);
  u->shapes = mem_alloc_zero((header->shape_count + 1) * sizeof *u->shapes);
  u->caches = mem_alloc_zero((header->cache_count + 1) * sizeof *u->caches);
  u->formals = mem_alloc_zero((header->formals_cache_count + 1) * sizeof *u->formals);
  return u;
}

void unit_free(Unit *u) {
  if (!u) return;
  const CodeImage *header = unit_header(u);
  for (uint32_t i = 0; i < header->formals_cache_count; i++) mem_free(u->formals[i].slots);
  if (u->owns_image) mem_free((void *)(uintptr_t)u->image);
  mem_free(u->names);
  mem_free(u->globals);
  mem_free(u->paths);
  mem_free(u->shapes);
  mem_free(u->caches);
  mem_free(u->formals);
  mem_free(u);
}

void unit_clear_caches(Unit *u) {
  const CodeImage *header = unit_header(u);
  memset(u->caches, 0, header->cache_count * sizeof *u->caches);
  for (uint32_t i = 0; i < header->formals_cache_count; i++) u->formals[i].shape = NULL;
}

const CodePosition *unit_find_position(const Unit *u, const uint32_t *ip) {
  const CodeImage *header = unit_header(u);
  const CodePosition *table = (const CodePosition *)(u->image + header->position_off);
  uint32_t at = (uint32_t)(ip - u->image), lo = 0, hi = header->position_count;
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (table[mid].code < at) lo = mid + 1;
    else hi = mid;
  }
  return lo ? &table[lo - 1] : NULL;
}

static const CodeOperand *unit_operand_around(const Unit *u, uint32_t number, const uint32_t *ip) {
  const CodeOperand *table = (const CodeOperand *)(u->image + unit_header(u)->operand_off);
  uint32_t at = (uint32_t)(ip - u->image);
  while (number && table[number - 1].begin >= at) number = table[number - 1].outer;
  return number ? &table[number - 1] : NULL;
}

const CodeOperand *unit_find_operand(const Unit *u, const uint32_t *ip) {
  const CodeImage *header = unit_header(u);
  const CodeOperand *table = (const CodeOperand *)(u->image + header->operand_off);
  uint32_t at = (uint32_t)(ip - u->image), lo = 0, hi = header->operand_count;
  while (lo < hi) { // the first that does not end before; those that it is in are this one or around it
    uint32_t mid = lo + (hi - lo) / 2;
    if (table[mid].end < at) lo = mid + 1;
    else hi = mid;
  }
  return lo < header->operand_count ? unit_operand_around(u, lo + 1, ip) : NULL;
}

const CodeOperand *unit_outer_operand(const Unit *u, const CodeOperand *operand, const uint32_t *ip) {
  return unit_operand_around(u, operand->outer, ip);
}

PosId unit_pos(const Unit *u, uint32_t offset) {
  return u->source ? pos_of(u->source, offset) : 0;
}

PosId unit_position(const Unit *u, const uint32_t *ip) {
  const CodePosition *found = unit_find_position(u, ip);
  return found ? unit_pos(u, found->pos) : 0;
}
