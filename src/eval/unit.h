// unit.h: a loaded image with what it needs at run time: its names as symbols, its path literals, shapes and inline caches.
#pragma once

#include "eval/code.h"
#include "eval/vm.h"

typedef struct SelectCache { // of a select site: where the attribute was in the last set
  const Shape *shape;
  uint32_t slot;
} SelectCache;

typedef struct FormalsCache { // of a pattern: where its formals were in the last argument
  const Shape *shape;
  uint32_t *slots; // owned; SHAPE_NOT_FOUND: absent, the default is used
} FormalsCache;

struct Unit {
  const uint32_t *image;
  bool owns_image;
  bool has_warnings; // of the parser: not kept, so that the next run warns again
  const PosSource *source;
  Span base_dir; // for relative path literals
  Sym *names;
  Value *paths;      // immortal path values, made on demand; 0: not yet (see unit_path)
  uint32_t *globals; // numbers for vm_global
  Shape **shapes;    // made on demand, pinned
  SelectCache *caches;
  FormalsCache *formals;
  struct Unit *next;
};

// The image (8-aligned, as compile_ast makes it) is freed with the unit when `owned`, and must outlive the VM otherwise: its texts become those of symbols. `base_dir`:
// for relative path literals. NULL with an error pending when a literal needs a home directory that is not known.
Unit *unit_load(Vm *vm, uint32_t *image, bool owned, const PosSource *source, Span base_dir);
void unit_free(Unit *unit);
// Forgets cached shapes (after shapes have been freed).
void unit_clear_caches(Unit *unit);
// The value of a path literal.
Value unit_make_path(Vm *vm, const Unit *unit, uint32_t number);
static inline Value unit_path(Vm *vm, const Unit *unit, uint32_t number) {
  Value v = unit->paths[number];
  return LIKELY(v) ? v : unit_make_path(vm, unit, number);
}
static inline Unit *unit_of(const uint32_t *image) {
  return (Unit *)(uintptr_t)((const CodeImage *)(const void *)image)->unit;
}
static inline const CodeImage *unit_header(const Unit *unit) {
  return (const CodeImage *)(const void *)unit->image;
}
// Position of the instruction before `ip` (an address in the image); 0 when none was recorded.
PosId unit_position(const Unit *unit, const uint32_t *ip);
// The entry of that instruction, or NULL.
const CodePosition *unit_find_position(const Unit *unit, const uint32_t *ip);
// The innermost operand that the instruction before `ip` is in, or NULL; and the one around another.
const CodeOperand *unit_find_operand(const Unit *unit, const uint32_t *ip);
const CodeOperand *unit_outer_operand(const Unit *unit, const CodeOperand *operand, const uint32_t *ip);
PosId unit_pos(const Unit *unit, uint32_t offset); // of a source offset
