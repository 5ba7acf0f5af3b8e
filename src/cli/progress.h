// progress.h: what the user sees while things happen: on a terminal a tree of what runs (progress_tree.h), redrawn ten times a second, otherwise plain
// lines; builders' output.
//
// Events come from the scheduler's thread, log messages from any: everything is written under one lock. Wording of
// the plain lines is C++ Nix's.
#pragma once

#include <pthread.h>

#include "base/log.h"
#include "base/map.h"
#include "cli/json_log.h"
#include "cli/progress_tree.h"

typedef enum ProgressFormat {
  PROGRESS_RAW,           // lines
  PROGRESS_RAW_WITH_LOGS, // lines, and what builders print
  PROGRESS_BAR,           // a status line
  PROGRESS_BAR_WITH_LOGS,
  PROGRESS_JSON, // "@nix {...}" lines
} ProgressFormat;

typedef struct Progress {
  pthread_mutex_t lock;
  ProgressFormat format;
  bool colour;
  bool plain; // no terminal: escape sequences in messages and logs are taken out
  bool utf8;
  // What is drawn: the lines, without their colours' width, to go back over them. None: lines 0.
  size_t drawn_lines;
  size_t *drawn_widths; // owned
  size_t drawn_cap;
  Buf drawn_text;   // the same picture is not drawn again
  bool prefix_logs; // "hello> text"
  LogLevel level;
  Span store_dir; // for texts; borrowed
  SchedulerCounts counts;
  size_t fetches_running, fetches_done;
  Map running;             // build id -> name of the derivation (owned)
  ProgressTree *tree;      // NULL: there is no terminal
  uint64_t start_ns;       // of the first build or fetch
  const char *history_dir; // where means of earlier builds are; NULL: nowhere. Borrowed
  uint64_t last_draw_ns;
  bool has_ticker, stops_ticker;
  pthread_t ticker; // draws while nothing happens
  pthread_cond_t tick;
  // Without a terminal, output of builds that run at once comes in blocks: one build is live, the others wait for their turn.
  bool blocks;
  uint64_t live_build; // 0: none
  Map held;            // build id -> Buf * (owned)
  JsonLog json;        // PROGRESS_JSON, and json-log-path
  Buf json_text;       // what it has written
  int json_fd;         // where it goes besides; -1: nowhere
  char *evaluating;    // owned; what evaluation does, or NULL
  LogSink tee;         // gets the logger's messages too; NULL: nobody
  void *tee_ctx;
} Progress;

// Standard error is a terminal that can be drawn on.
bool progress_is_terminal(void);
// Nobody has switched colours off (NO_COLOR, NOCOLOR).
bool progress_may_colour(void);
void progress_init(Progress *progress);
// The status line is removed.
void progress_done(Progress *progress);
MUST_CHECK bool progress_parse_format(const char *text, ProgressFormat *ret);
// Sends the logger's messages through `progress`.
void progress_start(Progress *progress, ProgressFormat format, LogLevel level);
// json-log-path: everything goes as JSON lines to the file (at its end) or socket `path` as well.
MUST_CHECK bool progress_log_json(Progress *progress, const char *path, Err *err);
// Lets `tee` see the logger's messages; called under the lock. NULL: nobody any more.
void progress_tee(Progress *progress, LogSink tee, void *ctx);
// For SchedulerConfig.event; ctx is the Progress.
void progress_event(void *ctx, const SchedulerEvent *event);
// A path that is fetched. Any thread.
void progress_substitution(Progress *progress, const SubstitutersEvent *event);
// What is missing, and who has it, is about to be asked; `begins`: and then built.
void progress_query(Progress *progress, bool begins);
// What `nix copy` copies, several paths at once; any thread. `from`, `to`: URLs; "local" is the store.
void progress_copies_start(Progress *progress, size_t count);
uint64_t progress_copy_start(Progress *progress, Span path, const char *from, const char *to, uint64_t nar_bytes);
void progress_copy_stop(Progress *progress, uint64_t id, uint64_t nar_bytes);
void progress_copies_stop(Progress *progress);
// A message of the program that is evaluated (trace, warnings): one or more whole lines.
void progress_say(Progress *progress, LogLevel level, Span text);
// Text that stands on standard error as it is (errors), with the status line out of the way.
void progress_write(Progress *progress, Span text);
// Before something else writes to the terminal.
void progress_pause(Progress *progress);
// Whether it is worth telling progress_plan what will be built.
bool progress_wants_plan(const Progress *progress);
// What will be built: `name` of each, inputs before users. Any thread.
void progress_plan(Progress *progress, Span drv_path, Span name, const Span *input_paths, size_t input_count);
// What the evaluator is doing ("evaluating default.nix"); NULL: nothing.
void progress_evaluating(Progress *progress, const char *what);
