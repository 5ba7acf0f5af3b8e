// failure_text.c: see failure_text.h.
#include "realise/failure_text.h"

#include <string.h>

static void put_tail(const FailureTextInput *input, Buf *text) {
  const BuildResult *result = input->result;
  if (input->logged || !result->log_tail_count) return;
  buf_printf(text, ";\nlast %zu log lines:\n", result->log_tail_count);
  for (size_t i = 0; i < result->log_tail_count; i++) buf_printf(text, "> %.*s\n", SPAN_ARG(result->log_tail[i]));
  buf_printf(text, "For full logs, run:\n  nix log %.*s", SPAN_ARG(input->drv_path));
}

static void set_exit(const FailureTextInput *input, Err *err) {
  const BuildResult *result = input->result;
  Buf text = BUF_INIT;
  buf_printf(&text, "builder for '%.*s' ", SPAN_ARG(input->drv_path));
  if (result->outcome == BUILD_EXITED) buf_printf(&text, "failed with exit code %d", result->exit_code);
  else buf_printf(&text, "failed due to signal %d (%s)", result->signal, strsignal(result->signal));
  put_tail(input, &text);
  if (result->disk_full) buf_put_cstr(&text, "\nnote: build failure may have been caused by lack of free disk space");
  if (result->out_of_memory)
    buf_put_cstr(&text, "\nnote: the build was killed when it needed more than 'build-memory-max' of memory");
  if (result->out_of_pids) buf_put_cstr(&text, "\nnote: the build tried to have more processes than 'build-pids-max'");
  err_set(err, ERR_BUILD_FAILED, "%s", buf_cstr(&text));
  buf_done(&text);
}

// C++ Nix names the goal, not the derivation, when it stops a build itself.
static void set_stopped(const FailureTextInput *input, ErrKind kind, const char *what, uint64_t number,
                        const char *unit, Err *err) {
  err_set(err, kind, "building of '%.*s^%.*s' from .drv file %s %llu %s", SPAN_ARG(input->drv_path),
          SPAN_ARG(input->outputs), what, (unsigned long long)number, unit);
}

void failure_text_keep(const char *kept_dir, Err *err) {
  if (!kept_dir) return;
  ErrKind kind = err->kind;
  Buf text = BUF_INIT;
  buf_printf(&text, "%s\nnote: keeping build directory '%s'", err_message(err), kept_dir);
  err_done(err);
  err_set(err, kind, "%s", buf_cstr(&text));
  buf_done(&text);
}

void failure_text_set(const FailureTextInput *input, Err *err) {
  const BuildOptions *options = input->options;
  const uint64_t second_ns = 1000000000;
  switch (input->result->outcome) {
  case BUILD_TIMED_OUT:
    set_stopped(input, ERR_BUILD_TIMEOUT, "timed out after", options->timeout_ns / second_ns, "seconds", err);
    break;
  case BUILD_SILENT:
    set_stopped(input, ERR_BUILD_TIMEOUT, "timed out after", options->max_silent_ns / second_ns, "seconds of silence",
                err);
    break;
  case BUILD_LOG_TOO_BIG:
    set_stopped(input, ERR_BUILD_FAILED, "killed after writing more than", options->max_log_bytes,
                "bytes of log output", err);
    break;
  case BUILD_CANCELLED: err_set(err, ERR_INTERRUPTED, "interrupted by the user"); break;
  case BUILD_NOT_STARTED:
    err_set(err, input->result->err.kind, "while setting up the build environment for '%.*s': %s",
            SPAN_ARG(input->drv_path), err_message(&input->result->err));
    break;
  case BUILD_SUCCEEDED:
  case BUILD_EXITED:
  case BUILD_SIGNALLED: set_exit(input, err); break;
  }
  failure_text_keep(input->result->kept_dir, err);
}
