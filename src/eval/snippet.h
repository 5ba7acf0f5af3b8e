// snippet.h: code for calls that no source has: from natives, of delayed calls, of sets, and with more arguments than a function takes.
#pragma once

#include "eval/code.h"

#define SNIPPET_MAX_ARGS 32u
#define SNIPPET_APPLIED 3u // words of snippet_apply up to behind its call

typedef struct Snippet {
  CodeHead head;
  uint32_t code[5];
} Snippet;

// By number of arguments. fn args... on the stack -> value
extern const Snippet snippet_apply[SNIPPET_MAX_ARGS];
// The arguments that are left when a function has returned: args... w -> value
extern const Snippet snippet_rest[SNIPPET_MAX_ARGS];
// As snippet_apply, for a set that is called: below the function in it lies the set itself.
extern const Snippet snippet_functor[SNIPPET_MAX_ARGS];

static inline bool snippet_is_in(const uint32_t *code, const Snippet *table) {
  const char *p = (const char *)code, *start = (const char *)table;
  return p >= start && p < start + SNIPPET_MAX_ARGS * sizeof(Snippet);
}
static inline bool snippet_is_functor(const uint32_t *code) {
  return snippet_is_in(code, snippet_functor);
}
static inline bool snippet_is_rest(const uint32_t *code) {
  return snippet_is_in(code, snippet_rest);
}
static inline bool snippet_is_any(const uint32_t *code) {
  return snippet_is_in(code, snippet_apply) || snippet_is_rest(code) || snippet_is_functor(code);
}
