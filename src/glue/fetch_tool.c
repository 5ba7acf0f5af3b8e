// fetch_tool.c: see fetch_tool.h.
#include "glue/fetch_tool.h"

#include "base/fs.h"
#include "base/log.h"
#include "base/process.h"

void fetch_tool_done(FetchTool *tool) {
  Err ignored = ERR_INIT;
  if (tool->scratch.len && !fs_remove_tree(buf_cstr(&tool->scratch), &ignored))
    log_msg(LOG_INFO, "%s", err_message(&ignored));
  err_done(&ignored);
  buf_done(&tool->scratch);
}

bool fetch_tool_make_scratch(FetchTool *tool, Err *err) {
  Buf suffix CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&suffix, "-%s", tool->program);
  return store_scratch(tool->fetcher->store, buf_span(&suffix), &tool->scratch, err) &&
         fs_mkdir_all(buf_cstr(&tool->scratch), 0700, err);
}

void fetch_tool_run_done(FetchToolRun *run) {
  buf_done(&run->out);
  buf_done(&run->errors);
}

static bool run(const FetchTool *tool, const char *dir, const char *const *args, int stdin_fd, FetchToolRun *ret,
                Err *err) {
  size_t count = 0, filled = 0;
  while (args[count]) count++;
  const char **argv = mem_alloc_array(count + 4, sizeof *argv);
  argv[filled++] = tool->program;
  if (dir) {
    argv[filled++] = "-C";
    argv[filled++] = dir;
  }
  memcpy(argv + filled, args, (count + 1) * sizeof *argv);
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = argv;
  spec.env = tool->env;
  spec.stdin_fd = stdin_fd;
  spec.cancel_fd = tool->fetcher->cancel_fd;
  bool ok = process_run(&spec, &ret->out, &ret->errors, &ret->status, err);
  mem_free(argv);
  if (ok || err->kind == ERR_INTERRUPTED) return ok;
  if (err->kind == ERR_NOT_FOUND) return err_wrap(err, "%s '%s'", tool->needed, tool->place);
  return err_wrap(err, "fetching %s '%s'", tool->kind, tool->place);
}

bool fetch_tool_run(const FetchTool *tool, const char *dir, const char *const *args, FetchToolRun *ret, Err *err) {
  return run(tool, dir, args, -1, ret, err);
}

bool fetch_tool_output(const FetchTool *tool, const char *dir, const char *const *args, int stdin_fd, Buf *ret,
                       bool *ret_failed, Err *err) {
  FetchToolRun done CLEANUP(fetch_tool_run_done) = FETCH_TOOL_RUN_INIT;
  if (!run(tool, dir, args, stdin_fd, &done, err)) return false;
  if (ret_failed) *ret_failed = done.status != 0;
  if (done.status != 0 && !ret_failed)
    return err_set(err, ERR_IO, "fetching %s '%s': '%s %s' failed: %.*s", tool->kind, tool->place, tool->program,
                   args[0], SPAN_ARG(span_trim(buf_span(&done.errors))));
  if (ret) {
    buf_put_span(ret, buf_span(&done.out));
    if (ret->len && ret->data[ret->len - 1] == '\n') ret->len--;
    buf_cstr(ret);
  }
  return true;
}
