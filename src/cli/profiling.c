// profiling.c: see profiling.h.
#include "cli/profiling.h"

#include "base/fs.h"
#include "cli/command.h"
#include "eval/eval_profile_report.h"

#define SUMMARY_ROWS 15u

// The file that the command line names; NULL: none.
static const char *wanted_file(const Session *session) {
  const char *file = option_get(&session->options, OPT_eval_profile);
  return file ? file : option_get(&session->options, OPT_eval_profile_short);
}

static bool wants_flamegraph(const Session *session) {
  return strcmp(setting_text(session->settings, SETTING_ID_eval_profiler), "flamegraph") == 0;
}

bool profiling_is_wanted(const Session *session) {
  return wanted_file(session) || wants_flamegraph(session) || option_has(&session->options, OPT_profile_summary);
}

bool profiling_start(Session *session, Err *err) {
  const char *profiler = setting_text(session->settings, SETTING_ID_eval_profiler);
  if (strcmp(profiler, "disabled") != 0 && !wants_flamegraph(session))
    return err_set(err, ERR_USAGE, "option 'eval-profiler' has an unrecognised value '%s'", profiler);
  if (!profiling_is_wanted(session)) return true;
  int64_t hz = setting_int(session->settings, SETTING_ID_eval_profiler_frequency);
  if (hz < 0) hz = 0;
  return eval_profile_start(session->vm, hz > EVAL_PROFILE_MAX_HZ ? EVAL_PROFILE_MAX_HZ : (unsigned)hz, err);
}

static void write_profile(Session *session, const char *path, Span text) {
  Err err = ERR_INIT;
  if (!fs_write_file_atomic(path, text, 0666, false, &err)) session_fail(session, &err);
}

void profiling_finish(Session *session) {
  if (!session->vm || !session->vm->profile) return;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  EvalProfileResult result CLEANUP(eval_profile_result_done);
  eval_profile_finish(session->vm, &result);
  const char *file = wanted_file(session);
  if (file) {
    if (span_has_suffix(span_cstr(file), SPAN(".json")))
      eval_profile_report_speedscope(&result, span_cstr(command_full_name(session->command)), &text);
    else eval_profile_report_folded(&result, &text);
    write_profile(session, file, buf_span(&text));
  }
  if (wants_flamegraph(session)) {
    buf_clear(&text);
    eval_profile_report_folded(&result, &text);
    write_profile(session, setting_text(session->settings, SETTING_ID_eval_profile_file), buf_span(&text));
  }
  if (!option_has(&session->options, OPT_profile_summary)) return;
  buf_clear(&text);
  eval_profile_report_summary(&result, SUMMARY_ROWS, &text);
  progress_write(&session->progress, buf_span(&text));
}
