// macros.h: attributes and small macros that every part uses.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define UNUSED __attribute__((unused))
#define NORETURN __attribute__((noreturn))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

// Moves an owned pointer out of `p`, which becomes NULL, so that its CLEANUP does nothing.
#define STEAL(p)                 \
  ({                             \
    __typeof__(p) stolen_ = (p); \
    (p) = NULL;                  \
    stolen_;                     \
  })

// Whether what the end of the process gives back anyhow is freed one by one before: only where leaks are looked for.
#if defined(__SANITIZE_ADDRESS__)
#define FREE_AT_EXIT true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FREE_AT_EXIT true
#endif
#endif
#ifndef FREE_AT_EXIT
#define FREE_AT_EXIT false
#endif
