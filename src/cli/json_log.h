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
  struct {
    uint64_t all; // the activity
    size_t count, running, done;
    uint64_t bytes; // of those that were started
  } copying;
} JsonLog;

void json_log_init(JsonLog *log, Buf *out);
// Ends the framing activities.
void json_log_done(JsonLog *log);
void json_log_message(JsonLog *log, LogLevel level, Span text);
// As errors are told: the text with and without its "error: ".
void json_log_error(JsonLog *log, Span text);
// The questions before builds: what is missing, and who has it.
void json_log_query(JsonLog *log);
// Starts the framing activities; events do so, too.
void json_log_begin(JsonLog *log);
// Paths that `nix copy` copies: an activity of type 103 around one of type 100 for each path.
void json_log_copies_start(JsonLog *log, size_t count);
uint64_t json_log_copy_start(JsonLog *log, Span text, Span path, Span from, Span to, uint64_t nar_bytes);
void json_log_copy_stop(JsonLog *log, uint64_t id, uint64_t nar_bytes);
void json_log_copies_stop(JsonLog *log);
void json_log_event(JsonLog *log, const SchedulerEvent *event, Span drv_path);
void json_log_substitution(JsonLog *log, const SubstitutersEvent *event, Span path);
