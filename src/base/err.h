// err.h: the error out-parameter. Caller-owned, set once, then wrapped with context on the way up, so that the message
// reads as a path of operations ("adding './x' to the store: opening '/a/x': No such file or directory").
//
// A function that takes `Err *err` last returns false exactly when it set *err. `err` may be NULL where the caller
// does not want the message. When two things fail in a row the first error stays: the later ones are mostly its
// consequences (a failing cleanup). To try something else instead, err_done first.
#pragma once

#include <stdarg.h>

#include "base/macros.h"

typedef enum ErrKind {
  ERR_NONE = 0,
#define ERR_KIND(name, code, text) ERR_##name,
#include "base/err.def"
#undef ERR_KIND
} ErrKind;

typedef struct Err {
  ErrKind kind;
  int sys_errno; // 0 unless set by err_set_errno
  char *message; // owned
} Err;

#define ERR_INIT \
  { ERR_NONE, 0, NULL }

void err_done(Err *err); // frees the message and resets to ERR_INIT
// Each returns false, so that `return err_set(...)` reads well.
bool err_set(Err *err, ErrKind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool err_vset(Err *err, ErrKind kind, const char *fmt, va_list args) PRINTF_LIKE(3, 0);
// Kind ERR_IO (ERR_NOT_FOUND for ENOENT), message "<text>: <strerror>".
bool err_set_errno(Err *err, int sys_errno, const char *fmt, ...) PRINTF_LIKE(3, 4);
// Prepends "<text>: "; nothing when no error is set.
bool err_wrap(Err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
// As err_wrap, but nothing where the message names `what` already: what is said at the bottom is then complete.
bool err_wrap_unless_named(Err *err, const char *what, const char *fmt, ...) PRINTF_LIKE(3, 4);
// Moves `from` into `to`, which is unset or NULL (then, or when it is set already, `from` is freed).
bool err_move(Err *to, Err *from);
static inline bool err_is_set(const Err *err) {
  return err->kind != ERR_NONE;
}
const char *err_message(const Err *err); // never NULL
int err_exit_code(ErrKind kind);
