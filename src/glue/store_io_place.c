// store_io_place.c: see store_io_place.h.
#include "glue/store_io_place.h"

#include <errno.h>

#include "base/fs.h"
#include "eval/path_coerce.h"
#include "glue/nix_files.h"
#include "glue/store_io_object.h"

// As many as the kernel follows.
#define LINKS_MAX 40

void store_io_place_done(Place *place) {
  store_resolve_done(&place->resolved);
  buf_done(&place->physical);
  buf_done(&place->logical);
}

// One step of following links.
typedef enum Follow {
  FOLLOW_END,  // the place is found (or nothing is there)
  FOLLOW_LINK, // place->logical holds the path to go on with
  FOLLOW_WAIT,
  FOLLOW_ERROR,
} Follow;

// logical := target, seen from the directory of `link`, followed by `rest`.
static void redirect(Place *place, Span link, Span target, Span rest) {
  Buf joined CLEANUP(buf_done) = BUF_INIT, next = BUF_INIT;
  buf_put_span(&joined, target);
  if (rest.len) {
    buf_put_char(&joined, '/');
    buf_put_span(&joined, rest);
  }
  fs_path_canon(fs_path_dir(link), buf_span(&joined), &next);
  buf_done(&place->logical);
  place->logical = next;
}

// Nothing at `physical` is an answer, other failures are errors.
static Follow end_without_status(StoreIo *io, Place *place, const char *physical, Err *err) {
  if (errno == ENOENT || errno == ENOTDIR) {
    observed_stat(io->observed, physical, false, NULL);
    place->kind = OBJECT_ABSENT;
    place->why_absent = errno;
    return FOLLOW_END;
  }
  observed_spoil(io->observed, "'%s' cannot be looked at", physical);
  err_set_errno(err, errno, "getting status of '%.*s'", SPAN_ARG(buf_span(&place->logical)));
  return FOLLOW_ERROR;
}

// The kernel could not answer, or must not be asked (restricted evaluation): component by component. `physical_base` + `rest` on disk is
// `logical_base` + `rest` for the program.
static Follow walk_components(StoreIo *io, Place *place, Span logical_base, Span rest, size_t physical_base_len,
                              bool follow_last, Err *err) {
  Span logical = buf_span(&place->logical);
  Buf probe CLEANUP(buf_done) = BUF_INIT;
  buf_put(&probe, place->physical.data, physical_base_len);
  struct stat st;
  const char *start = probe.len ? buf_cstr(&probe) : "/";
  if (lstat(start, &st) != 0) return end_without_status(io, place, start, err);
  for (size_t at = 0;;) {
    bool is_last = at >= rest.len;
    Span here = span_make(logical.data, logical_base.len + at);
    // The root on the way is no question: Nix begins with the first component.
    if (here.len && !access_check_path(&io->access, here, err)) return FOLLOW_ERROR;
    observed_stat(io->observed, probe.len ? buf_cstr(&probe) : "/", false, &st);
    if (S_ISLNK(st.st_mode) && (!is_last || follow_last)) {
      Buf target CLEANUP(buf_done) = BUF_INIT;
      if (!fs_read_link(buf_cstr(&probe), &target, err)) return FOLLOW_ERROR;
      redirect(place, here, buf_span(&target), span_from(rest, at + (at < rest.len)));
      return FOLLOW_LINK;
    }
    if (is_last) {
      place->kind = OBJECT_HOST;
      place->st = st;
      return FOLLOW_END;
    }
    size_t next = at + 1;
    while (next < rest.len && rest.data[next] != '/') next++;
    buf_put_span(&probe, span_sub(rest, at, next - at));
    at = next;
    if (lstat(buf_cstr(&probe), &st) != 0) return end_without_status(io, place, buf_cstr(&probe), err);
  }
}

// On disk: one system call when no link leads into the store.
static Follow follow_host(StoreIo *io, Place *place, Span physical_base, size_t logical_base_len, bool follow_last,
                          Err *err) {
  Span logical = buf_span(&place->logical);
  Span logical_base = span_sub(logical, 0, logical_base_len), rest = span_from(logical, logical_base_len);
  if (logical_base_len == 0 && logical.len == 1) rest = SPAN(""); // "/"
  buf_clear(&place->physical);
  buf_put_span(&place->physical, physical_base);
  buf_put_span(&place->physical, rest);
  const char *path = place->physical.len ? buf_cstr(&place->physical) : "/";
  if (place->physical.len == 0) buf_put_char(&place->physical, '/');
  // What links of a source that was only named lead to is seen from its place in the store, where the kernel does not know it.
  bool in_place = logical_base_len == 0 || span_eq(physical_base, logical_base);
  if (in_place && !io->config.restrict_eval && !io->config.pure_eval) {
    if ((follow_last ? stat(path, &place->st) : lstat(path, &place->st)) == 0) {
      place->kind = OBJECT_HOST;
      observed_stat(io->observed, path, follow_last, &place->st);
      return FOLLOW_END;
    }
    if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
      observed_spoil(io->observed, "'%s' cannot be looked at", path);
      err_set_errno(err, errno, "getting status of '%.*s'", SPAN_ARG(logical));
      return FOLLOW_ERROR;
    }
  }
  return walk_components(io, place, logical_base, rest, physical_base.len, follow_last, err);
}

static Follow follow_castore(StoreIo *io, Place *place, const StoreObject *object, Span rest, bool follow_last,
                             Err *err) {
  store_resolve_done(&place->resolved);
  place->resolved = (StoreResolved)STORE_RESOLVED_INIT;
  if (!store_resolve(io->store, &object->path, rest, &place->resolved, err)) return FOLLOW_ERROR;
  const StoreResolved *found = &place->resolved;
  place->kind = OBJECT_ABSENT;
  if (!found->found || (found->kind != CASTORE_SYMLINK && found->rest.len)) return FOLLOW_END;
  if (found->kind == CASTORE_SYMLINK && (found->rest.len || follow_last)) {
    Span logical = buf_span(&place->logical);
    Buf target CLEANUP(buf_done) = BUF_INIT, below CLEANUP(buf_done) = BUF_INIT;
    buf_put_span(&target, found->target);
    buf_put_span(&below, span_from(found->rest, 1));
    redirect(place, span_sub(logical, 0, logical.len - found->rest.len), buf_span(&target), buf_span(&below));
    return FOLLOW_LINK;
  }
  place->kind = OBJECT_CASTORE;
  return FOLLOW_END;
}

static Follow follow_once(StoreIo *io, Place *place, bool follow_last, EvalIoWait *ret_wait, Err *err) {
  Span logical = buf_span(&place->logical);
  StorePath path;
  Span rest;
  if (!store_path_is_below(logical, io->store_dir) || !store_path_split(logical, io->store_dir, &path, &rest, NULL))
    return follow_host(io, place, SPAN(""), 0, follow_last, err);
  if (!access_check_path(&io->access, logical, err)) return FOLLOW_ERROR;
  StoreObject *object;
  Span base = span_sub(logical, 0, logical.len - rest.len);
  switch (store_io_object_find(io, base, &path, &object, ret_wait, err)) {
  case EVAL_IO_OK: break;
  case EVAL_IO_PENDING: return FOLLOW_WAIT;
  case EVAL_IO_ERROR: return FOLLOW_ERROR;
  }
  place->kind = OBJECT_ABSENT;
  if (!object) return FOLLOW_END;
  switch (object->kind) {
  case OBJECT_ABSENT: return FOLLOW_END;
  case OBJECT_HOST: return follow_host(io, place, object->host_path, base.len, follow_last, err);
  case OBJECT_CASTORE: return follow_castore(io, place, object, rest, follow_last, err);
  case OBJECT_TEXT:
    if (rest.len == 0) {
      place->kind = OBJECT_TEXT;
      place->text = object->text;
    }
    return FOLLOW_END;
  }
  return FOLLOW_END;
}

EvalIoStatus store_io_place_resolve(StoreIo *io, Span path, bool follow_last, Place *place, EvalIoWait *ret_wait,
                                    Err *err) {
  buf_put_span(&place->logical, path);
  if (span_has_prefix(path, SPAN(EVAL_IO_NIX_DIR "/"))) {
    place->kind =
        nix_files_find(span_from(path, strlen(EVAL_IO_NIX_DIR "/")), &place->text) ? OBJECT_TEXT : OBJECT_ABSENT;
    return EVAL_IO_OK;
  }
  for (unsigned links = 0; links <= LINKS_MAX; links++) {
    switch (follow_once(io, place, follow_last, ret_wait, err)) {
    case FOLLOW_END: return EVAL_IO_OK;
    case FOLLOW_LINK: continue;
    case FOLLOW_WAIT: return EVAL_IO_PENDING;
    case FOLLOW_ERROR: return EVAL_IO_ERROR;
    }
  }
  err_set(err, ERR_LIMIT, "infinite symlink recursion in path '%.*s'", SPAN_ARG(path));
  return EVAL_IO_ERROR;
}
