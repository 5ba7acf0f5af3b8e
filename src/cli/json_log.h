// json_log.h: --log-format internal-json: what happens as lines "@nix {…}", as C++ Nix 2.26 writes them, for programs such as nix-output-monitor.
//
//   {"action":"start","fields":[…],"id":N,"level":0-7,"parent":N,"text":"…","type":N}    {"action":"stop","id":N}
//   {"action":"result","fields":[…],"id":N,"type":N}                                   {"action":"msg","level":0-7,"msg":"…"}
//
// Keys are in their order of bytes. Three activities frame everything: realise (102), and in it builds (104) and copies (103), whose progress is told
// whenever it changes; they are started by the first event. Builds are activities of type 105 with exactly four fields, fetches of type 108, each with one
// of type 100 in it.
//
// Only appends to buffers; not thread-safe. Test: test/cli/json_log_test.sh.
#pragma once

#include "base/log.h"
#include "base/map.h"
#include "realise/scheduler.h"
#include "store/substituters.h"

#define JSON_LOG_PREFIX "@nix "
#define JSON_LOG_PREFIX_LEN (sizeof JSON_LOG_PREFIX - 1)

typedef struct JsonLog {
  Buf *out;         // borrowed
  uint64_t last_id; // of an activity: process id << 32 and a number
  uint64_t realise, builds, copies;
  SchedulerCounts counts; // of builds, as last told
  size_t fetches_expected, fetches_running, fetches_done, fetches_failed;
  uint64_t expected_download_bytes, expected_nar_bytes;
  Map build_ids; // build -> its activity
  Map fetch_ids; // fetch -> its two
} JsonLog;

void json_log_init(JsonLog *log, Buf *out);
// Ends the framing activities.
void json_log_done(JsonLog *log);
void json_log_message(JsonLog *log, LogLevel level, Span text);
// As errors are told: the text with and without its "error: ".
void json_log_error(JsonLog *log, Span text);
void json_log_event(JsonLog *log, const SchedulerEvent *event, Span drv_path);
void json_log_substitution(JsonLog *log, const SubstitutersEvent *event, Span path);
