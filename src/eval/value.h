// value.h: the one-word value and the layout of heap objects.
//
// A Value is 64 bits. The low three bits are the tag; pointers are 8-aligned, so a tagged pointer costs no space:
//
//   tag    meaning
//   OBJ    pointer to an object whose head tells the type: float, big int, path, closure, partial application, env
//   INT    61-bit signed integer (all others are boxed: T_BIGINT). Raw words disguised as integers (code pointers, counts)
//          also carry this tag on VM stacks, so a stack is scanned without knowing its frames.
//   IMM    null, true, false, [ ], { }, builtins by number, and internal marks (error, park, absent)
//   THUNK  pointer to a thunk: the only tag that may stand for an unevaluated (or forwarded) value
//   STR    pointer to a string
//   ATTRS  pointer to a non-empty attribute set (flat or layered)
//   LIST   pointer to a non-empty list (flat or slice)
//   LAZY   only in the slots of a literal set or an env: code that nobody has asked for yet; see below
//
// A value with any tag but THUNK and LAZY is in weak head normal form ("WHNF").
//
// Every heap object starts with a head: payload (48 bits) | flags (8 bits) | type (8 bits). All type numbers have the low bits of
// TAG_INT, so a head on the stack is not mistaken for a pointer.
//
//   T_FLOAT     head, double                                payload 0
//   T_BIGINT    head, int64                                 payload 0
//   T_STRING    head, context, bytes... NUL                 payload length in bytes       (T_PATH alike, context NULL)
//               flag STR_EXTERN: third word is a pointer to immortal bytes
//               flag STR_SLICE:  third word is a T_BYTES object, fourth an offset into it
//               flag STR_SYMBOL: owned by the symbol table; the number stands before the object
//   T_BYTES     head, used, bytes...                        payload capacity in bytes; append buffer of strings
//   T_CLOSURE   head, env                                   payload code pointer (a LambdaInfo stands before the code)
//   T_PAP       head, function, args...                     payload number of args
//   T_ENV       head, parent env, slots...                  payload number of slots
//   T_ATTRS     head, shape, env of lazy slots, slots...    payload number of slots; slots in name order, as in the shape
//   T_LAYERED   head, base set, top set                     flags & LAYERED_DEPTH; payload number of names at most (32 bits) |
//               lookups so far (16 bits); once flattened: base is the flat set, top 0
//   T_LIST      head, items...                              payload number of items
//               flag LIST_BUFFER: room to grow at both ends; items[0], items[1] are raw: the used range of item numbers
//   T_SLICE     head, flat list, offset                     payload number of items
//   T_THUNK     head, env                                   payload code pointer
//   T_APP       head, function, args...                     payload number of args; a delayed call
//   T_BLACKHOLE as T_THUNK/T_APP but under evaluation       payload owning task (32 bits) | number of args (16 bits)
//   T_IND       head, value                                 evaluated: never copied by a collection, only followed
//               flag IND_UNASKED: a literal that nobody has asked for, printed as a thunk; copied
#pragma once

#include <assert.h>

#include "base/span.h"

typedef uint64_t Value;
typedef uint32_t Sym;   // name, see symbol.h
typedef uint32_t PosId; // position, see pos.h; 0: none

enum { TAG_OBJ, TAG_INT, TAG_IMM, TAG_THUNK, TAG_STR, TAG_ATTRS, TAG_LIST, TAG_LAZY };
#define VALUE_TAG_MASK 7u

#define VALUE_IMM(n) (((Value)(n) << 3) | TAG_IMM)
#define VALUE_NULL VALUE_IMM(0)
#define VALUE_FALSE VALUE_IMM(2)
#define VALUE_TRUE VALUE_IMM(3)
#define VALUE_EMPTY_LIST VALUE_IMM(4)
#define VALUE_EMPTY_ATTRS VALUE_IMM(5)
#define VALUE_ERROR VALUE_IMM(6)  // an error is pending in the VM; never stored
#define VALUE_PARK VALUE_IMM(7)   // the task has to wait; never stored
#define VALUE_ABSENT VALUE_IMM(8) // no such attribute, unbound slot; never visible to programs
#define VALUE_BUILTIN_BASE 16     // builtin n is VALUE_IMM(VALUE_BUILTIN_BASE + n)

enum {
  T_FORWARD = 0x01, // only during collection: payload is the new address
  T_FLOAT = 0x09,
  T_BIGINT = 0x11,
  T_STRING = 0x19,
  T_PATH = 0x21,
  T_BYTES = 0x29,
  T_CLOSURE = 0x31,
  T_PAP = 0x39,
  T_ENV = 0x41,
  T_ATTRS = 0x49,
  T_LAYERED = 0x51,
  T_LIST = 0x59,
  T_SLICE = 0x61,
  T_THUNK = 0x69,
  T_APP = 0x71,
  T_BLACKHOLE = 0x79,
  T_IND = 0x81,
};

enum {
  STR_EXTERN = 1,
  STR_SLICE = 2,
  STR_SYMBOL = 4,    // the text of a symbol: symbol_of_string
  THUNK_WAITED = 1,  // some task waits for this blackhole
  THUNK_IS_APP = 2,  // a blackhole that was a T_APP
  THUNK_SPARKED = 4, // a spark has been made for it
  IND_UNASKED = 1,
  IND_LITERAL = 2, // was made unasked
  LIST_BUFFER = 1,
  LAYERED_DEPTH = 15,        // mask: how many layers are below
  LAYERED_LOOKUP_SHIFT = 32, // of the number of lookups in the payload
  ATTRS_LAZY = 1,            // some slot may hold TAG_LAZY
  ENV_WITH = 1,              // the env of a `with`: slot 0 is the set
  OBJ_DEEP = 0x10,           // evaluated all through, or about to be (native_deep_force)
  OBJ_LARGE = 0x20,          // allocated apart, never moved
  OBJ_STATIC = 0x40,         // lives in a unit or other immortal memory: never moved or marked
  OBJ_MARK = 0x80,           // mark of large and static objects during a major collection
};

typedef uint64_t Head;
#define HEAD(type, flags, payload) ((Head)(type) | (Head)(flags) << 8 | (Head)(payload) << 16)
static inline unsigned head_type(Head h) {
  return (unsigned)(h & 0xff);
}
static inline unsigned head_flags(Head h) {
  return (unsigned)(h >> 8 & 0xff);
}
static inline uint64_t head_payload(Head h) {
  return h >> 16;
}

typedef struct Object {
  Head head;
} Object;
typedef struct Float {
  Head head;
  double value;
} Float;
typedef struct BigInt {
  Head head;
  int64_t value;
} BigInt;
typedef struct Context Context; // context.h
typedef struct String {         // T_STRING, T_PATH
  Head head;
  const Context *context; // NULL: none
  union {
    char bytes[8];
    const char *external;
    struct {
      struct Bytes *owner;
      uint64_t offset;
    } slice;
  };
} String;
typedef struct Bytes {
  Head head;
  uint64_t used;
  char bytes[];
} Bytes;
typedef struct Env {
  Head head;
  struct Env *parent;
  Value slots[];
} Env;
typedef struct Closure {
  Head head;
  Env *env;
} Closure;
typedef struct Pap {
  Head head;
  Value fn;
  Value args[];
} Pap;
typedef struct Shape Shape; // shape.h
typedef struct Attrs {
  Head head;
  Shape *shape;
  Env *env;
  Value slots[];
} Attrs;
typedef struct Layered {
  Head head;
  Value base;
  Value top;
} Layered;
typedef struct List {
  Head head;
  Value items[];
} List;
typedef struct Slice {
  Head head;
  Value list;
  uint64_t offset;
} Slice;
typedef struct Thunk {
  Head head;
  union {
    Env *env;
    Value value;
  };
} Thunk;
typedef struct AppThunk {
  Head head;
  Value fn;
  Value args[];
} AppThunk;

static inline unsigned value_tag(Value v) {
  return (unsigned)(v & VALUE_TAG_MASK);
}
static inline void *value_ptr(Value v) {
  return (void *)(uintptr_t)(v & ~(Value)VALUE_TAG_MASK);
}
static inline Value value_from_ptr(const void *p, unsigned tag) {
  return (Value)(uintptr_t)p | tag;
}
static inline Head value_head(Value v) {
  return ((Object *)value_ptr(v))->head;
}
static inline bool value_is_whnf(Value v) {
  unsigned t = value_tag(v);
  return t != TAG_THUNK && t != TAG_LAZY;
}

// Integers. value_int makes an inline one; use vm_int (vm.h) where the full 64 bits may occur.
#define VALUE_INT_MIN (-(INT64_C(1) << 60))
#define VALUE_INT_MAX ((INT64_C(1) << 60) - 1)
static inline bool value_fits_int(int64_t i) {
  return i >= VALUE_INT_MIN && i <= VALUE_INT_MAX;
}
static inline Value value_int(int64_t i) {
  return (Value)i << 3 | TAG_INT;
}
static inline bool value_is_obj(Value v, unsigned type) {
  return value_tag(v) == TAG_OBJ && v != 0 && head_type(value_head(v)) == type;
}
static inline bool value_is_small_int(Value v) {
  return value_tag(v) == TAG_INT;
}
static inline int64_t value_small_int(Value v) {
  return (int64_t)v >> 3;
}
static inline bool value_is_int(Value v) {
  return value_tag(v) == TAG_INT || value_is_obj(v, T_BIGINT);
}
static inline int64_t value_get_int(Value v) {
  return value_tag(v) == TAG_INT ? (int64_t)v >> 3 : ((BigInt *)value_ptr(v))->value;
}
static inline bool value_is_float(Value v) {
  return value_is_obj(v, T_FLOAT);
}
static inline double value_get_float(Value v) {
  return ((Float *)value_ptr(v))->value;
}
static inline bool value_is_bool(Value v) {
  return v == VALUE_TRUE || v == VALUE_FALSE;
}
static inline Value value_bool(bool b) {
  return b ? VALUE_TRUE : VALUE_FALSE;
}
static inline bool value_is_string(Value v) {
  return value_tag(v) == TAG_STR;
}
static inline bool value_is_path(Value v) {
  return value_is_obj(v, T_PATH);
}
static inline bool value_is_attrs(Value v) {
  return value_tag(v) == TAG_ATTRS || v == VALUE_EMPTY_ATTRS;
}
static inline bool value_is_list(Value v) {
  return value_tag(v) == TAG_LIST || v == VALUE_EMPTY_LIST;
}
static inline bool value_is_closure(Value v) {
  return value_is_obj(v, T_CLOSURE);
}
static inline bool value_is_builtin(Value v) {
  return value_tag(v) == TAG_IMM && v >= VALUE_IMM(VALUE_BUILTIN_BASE);
}
static inline uint32_t value_builtin_index(Value v) {
  return (uint32_t)(v >> 3) - VALUE_BUILTIN_BASE;
}
static inline Value value_builtin(uint32_t index) {
  return VALUE_IMM(VALUE_BUILTIN_BASE + index);
}
static inline bool value_is_function(Value v) {
  return value_is_closure(v) || value_is_builtin(v) || value_is_obj(v, T_PAP);
}

// Lazy slots: 61 bits of payload, the low two tell the kind, the rest is a code pointer or a slot number.
enum { LAZY_THUNK, LAZY_CLOSURE, LAZY_ENV_SLOT };
static inline Value value_lazy(unsigned kind, uint64_t payload) {
  return payload << 5 | (Value)kind << 3 | TAG_LAZY;
}
static inline unsigned value_lazy_kind(Value v) {
  return (unsigned)(v >> 3 & 3);
}
static inline uint64_t value_lazy_payload(Value v) {
  return v >> 5;
}

// Raw words on a VM stack.
static inline Value value_raw(uint64_t word) {
  return word << 3 | TAG_INT;
}
static inline uint64_t value_get_raw(Value v) {
  return v >> 3;
}
static inline Value value_raw_ptr(const void *p) {
  return value_raw((uint64_t)(uintptr_t)p);
}
static inline void *value_get_raw_ptr(Value v) {
  return (void *)(uintptr_t)value_get_raw(v);
}

// Functions are equal only to themselves, and "themselves" is the variable or attribute that holds them, as C++ Nix compares addresses of
// values: `{ p = m.f; } == { p = m.f; }` is false, `{ p = f; } == { p = f; }` true. So each thunk has a closure of its own
// (thunk_own_function), and one that has been evaluated to a builtin, which is no object, stays where it is; all others are replaced by
// their value where they are found.
static inline bool value_keeps_thunk(Value v) {
  return value_is_builtin(v);
}

typedef enum ValueType { // as Nix's builtins.typeOf distinguishes them
  TYPE_INT,
  TYPE_FLOAT,
  TYPE_BOOL,
  TYPE_STRING,
  TYPE_PATH,
  TYPE_NULL,
  TYPE_ATTRS,
  TYPE_LIST,
  TYPE_LAMBDA,
  TYPE_THUNK,
} ValueType;
// `v` in WHNF, else TYPE_THUNK.
ValueType value_type(Value v);
// "int", "set", "lambda", ... as builtins.typeOf.
const char *value_type_name(Value v);
// "an integer", "a set", "a function", "the built-in function 'map'", ... as in Nix's error messages need vm.h: see eval_error.h.
