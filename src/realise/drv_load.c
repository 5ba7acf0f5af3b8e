// drv_load.c: see drv_load.h.
#include "realise/drv_load.h"

#include "formats/derivation_parse.h"
#include "store/store_resolve.h"

static bool read_text(Store *store, const StorePath *drv_path, Arena *arena, Span *ret, Err *err) {
  StoreResolved file = STORE_RESOLVED_INIT;
  Buf text = BUF_INIT;
  bool ok = store_resolve(store, drv_path, SPAN(""), &file, err);
  if (ok && (!file.found || file.kind != CASTORE_FILE)) ok = err_set(err, ERR_CORRUPT, "it is not a regular file");
  ok = ok && store_resolve_read(store, &file, DERIVATION_PARSE_SIZE_MAX, &text, err);
  if (ok) *ret = arena_dup(arena, buf_span(&text));
  store_resolve_done(&file);
  buf_done(&text);
  return ok;
}

bool drv_load_from_store(Store *store, const StorePath *drv_path, Arena *arena, Derivation *ret, Err *err) {
  Span text, name;
  if (derivation_name_of_path(drv_path, &name, err) && read_text(store, drv_path, arena, &text, err) &&
      derivation_parse(text, name, store_dir(store), arena, ret, err))
    return true;
  Buf path = BUF_INIT;
  store_format_path(store, drv_path, &path);
  err_wrap(err, "cannot load derivation '%s'", buf_cstr(&path));
  buf_done(&path);
  return false;
}
