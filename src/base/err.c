// err.c: see err.h.
#include "base/err.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

void err_done(Err *err) {
  mem_free(err->message);
  *err = (Err)ERR_INIT;
}

bool err_set(Err *err, ErrKind kind, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  err_vset(err, kind, fmt, args);
  va_end(args);
  return false;
}

bool err_vset(Err *err, ErrKind kind, const char *fmt, va_list args) {
  if (!err || err_is_set(err)) return false;
  Buf text = BUF_INIT;
  buf_vprintf(&text, fmt, args);
  *err = (Err){kind, 0, buf_take(&text)};
  return false;
}

bool err_set_errno(Err *err, int sys_errno, const char *fmt, ...) {
  if (!err || err_is_set(err)) return false;
  Buf text = BUF_INIT;
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&text, fmt, args);
  va_end(args);
  buf_printf(&text, ": %s", strerror(sys_errno));
  *err = (Err){sys_errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, sys_errno, buf_take(&text)};
  return false;
}

static bool wrap(Err *err, const char *fmt, va_list args) {
  Buf text = BUF_INIT;
  buf_vprintf(&text, fmt, args);
  buf_printf(&text, ": %s", err_message(err));
  mem_free(err->message);
  err->message = buf_take(&text);
  return false;
}

bool err_wrap(Err *err, const char *fmt, ...) {
  if (!err || !err_is_set(err)) return false;
  va_list args;
  va_start(args, fmt);
  wrap(err, fmt, args);
  va_end(args);
  return false;
}

bool err_wrap_unless_named(Err *err, const char *what, const char *fmt, ...) {
  if (!err || !err_is_set(err) || strstr(err_message(err), what)) return false;
  va_list args;
  va_start(args, fmt);
  wrap(err, fmt, args);
  va_end(args);
  return false;
}

bool err_move(Err *to, Err *from) {
  if (to && !err_is_set(to)) {
    *to = *from;
    *from = (Err)ERR_INIT;
  } else {
    err_done(from);
  }
  return false;
}

const char *err_message(const Err *err) {
  return err->message ? err->message : "no error";
}

int err_exit_code(ErrKind kind) {
  static const int codes[] = {
      [ERR_NONE] = 0,
#define ERR_KIND(name, code, text) [ERR_##name] = code,
#include "base/err.def"
#undef ERR_KIND
  };
  return codes[kind];
}
