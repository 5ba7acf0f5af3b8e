// nar_command.c: `nix nar ls, cat, pack`: archives as files. Behaviour: Nix 2.26, ls.cc, cat.cc and dump-path.cc.
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "castore/castore_nar.h"
#include "cli/command_list.h"
#include "cli/nar_index.h"
#include "cli/store_command.h"

static bool run_through(const char *file, NarIndex *index, Err *err) {
  int fd CLEANUP(fs_close_fd) = -1;
  if (!fs_open(file, O_RDONLY, 0, &fd, err)) return false;
  ByteSource source = byte_stream_from_fd(&fd);
  ByteSink sink = nar_index_sink(index);
  return (byte_stream_copy(&source, &sink, err) && nar_index_finish(index, err)) || err_wrap(err, "reading '%s'", file);
}

int nar_command_ls(Session *session) {
  Err err = ERR_INIT;
  const OptionList *list = &session->options;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  NarIndex index CLEANUP(nar_index_done);
  nar_index_init(&index);
  if (!store_command_operands(session, 2, 2, &err) || !store_command_check_listing(session, &err) ||
      !run_through(list->operands[0], &index, &err) ||
      !nar_index_list(&index, span_cstr(list->operands[1]), list->operands[1], list, &out, &err))
    return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

int nar_command_cat(Session *session) {
  Err err = ERR_INIT;
  const OptionList *list = &session->options;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  int out = STDOUT_FILENO;
  ByteSink sink = byte_stream_to_fd(&out);
  NarIndex index CLEANUP(nar_index_done);
  nar_index_init(&index);
  if (!store_command_operands(session, 2, 2, &err)) return session_fail(session, &err);
  fs_path_canon(SPAN("/"), span_cstr(list->operands[1]), &path);
  nar_index_cat(&index, buf_span(&path), &sink);
  bool ok = run_through(list->operands[0], &index, &err);
  if (ok && !index.is_found) ok = err_set(&err, ERR_NOT_FOUND, "path '%s' does not exist", buf_cstr(&path));
  if (ok && index.found_kind != CASTORE_FILE)
    ok = err_set(&err, ERR_OTHER, "path '%s' is not a regular file", list->operands[1]);
  return ok ? 0 : session_fail(session, &err);
}

int nar_command_pack(Session *session) {
  Err err = ERR_INIT;
  int out = STDOUT_FILENO;
  ByteSink sink = byte_stream_to_fd(&out);
  return store_command_operands(session, 1, 1, &err) && castore_nar_dump_path(session->options.operands[0], &sink, &err)
             ? 0
             : session_fail(session, &err);
}

int nar_command_dump(Session *session) {
  log_warn("'nix nar dump-path' is a deprecated alias for 'nix nar pack'");
  return nar_command_pack(session);
}
