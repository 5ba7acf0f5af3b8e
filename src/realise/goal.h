// goal.h: what is wanted and how far it is, and the state that all goals share. Private to goal_graph.c, who moves goals from stage to
// stage, and to the stages (goal_*.c), each of which works on one goal; the rest of the program sees goal_graph.h.
//
// A goal is a derivation of which some outputs are wanted, or a plain store path. It passes through
//
//   examine    worker: load the derivation; are the wanted outputs valid?
//   fetch      waits for the substituters, then is examined again
//   inputs     waits for the goals of its inputs; or, resolved, for the one that it stands for
//   resolve    worker: with paths of inputs that are known only now it is another derivation, or (the second time) that one's outputs are its own
//   ready      waits for a build slot
//   prepare    worker: lock the outputs, look again, materialise the closure, make the request
//   locked     another process builds it: waits, then ready again
//   build      the builder runs (or, for builtin: builders, a worker)
//   finish     worker: check and register the outputs, unlock
//   ended      done or failed; kept so that the answer stays the same
//
// Invariant: a goal is in exactly one stage; a job of its is running exactly in examine, resolve, prepare, finish and (builtin) build, and
// while it runs only the job touches the fields under "job" and "build".
#pragma once

#include "base/map.h"
#include "base/pool.h"
#include "realise/build_prepare.h"
#include "realise/builtin_builder.h"
#include "realise/drv_hashes.h"
#include "realise/drv_resolve.h"
#include "realise/goal_graph.h"
#include "store/store_lock.h"
#include "store/substituters.h"

typedef void (*GoalFn)(Goal *goal);

typedef enum GoalStage {
  GOAL_EXAMINE,
  GOAL_FETCH,
  GOAL_INPUTS,
  GOAL_RESOLVE,
  GOAL_READY,
  GOAL_PREPARE,
  GOAL_LOCKED,
  GOAL_BUILD,
  GOAL_FINISH,
  GOAL_ENDED,
} GoalStage;

// What a job found out.
typedef enum JobResult { JOB_FAILED, JOB_VALID, JOB_FETCH, JOB_BUILD, JOB_LOCKED } JobResult;

typedef struct GoalOutput {
  char *name;
  StorePath path;
} GoalOutput;

typedef struct GoalEdge {
  Goal *waiter;
  struct GoalEdge *next;
} GoalEdge;

// What the substituters know about an output whose path they alone know.
typedef struct AskedRealisation {
  bool done, found;
  StorePath path;
} AskedRealisation;

// A path that the substituters are asked for.
typedef struct GoalFetch {
  Goal *goal;
  StorePath path;
  SubstitutersResult result;
  Err err;
  bool asked;
} GoalFetch;

struct Goal {
  GoalGraph *graph;
  bool is_path;   // a plain store path, else a derivation
  StorePath path; // of the derivation, or the plain one
  SchedulerMode mode;
  GoalStage stage;
  uint64_t id; // of its build, in events

  // Who wants it, and what.
  GoalHolder *holders;
  GoalEdge *waiters;
  size_t waiter_count;
  size_t pending_height; // raise_height
  size_t height;         // of the longest chain of goals that wait for this one: what is most urgent
  bool wants_all;
  char **wanted;
  size_t wanted_count, wanted_cap;
  bool examine_again; // more was wanted while the job was looking

  // What it waits for.
  Goal **inputs;
  size_t input_count, pending_count, failed_count;
  Goal *failed_input; // the first
  LoopSource *retry_timer;
  unsigned retry_ms;
  Goal *next_ready, *next_ended;

  // job: written by jobs
  JobResult result;
  Err err;
  Arena arena;
  bool loaded;
  Derivation drv;
  DrvOptions options;
  DerivationType type;
  StorePath *output_paths; // positional to drv.outputs, where output_known; of dynamic ones found out on the way
  bool *output_known;
  uint8_t drv_hash[32];    // of a floating or deferred derivation: its realisations are filed under it
  AskedRealisation *asked; // positional to drv.outputs; NULL: nobody was asked
  bool no_sandbox;
  GoalFetch *fetches; // in the order of asking; not freed before the goal
  size_t fetch_count, fetch_cap, fetch_pending;
  GoalFn fetch_then;               // of goal_fetch_start
  DrvResolveInput *resolve_inputs; // for resolve
  size_t resolve_input_count;
  StorePath resolved_path;
  Goal *resolved; // whose outputs are this goal's

  // build
  bool counted; // in builds_expected
  bool holds_slot;
  StorePath *input_outputs; // paths of used outputs of inputs, for prepare
  size_t input_output_count;
  bool is_prepared;
  BuildPrepared prepared;
  StoreLock *lock;
  BuildOptions build_options;
  char *name, *log_path;
  BuildHandle *handle;
  GoalFn build_then; // of goal_build_start
  BuildResult built; // borrowed from the handle, or from `builtin`
  BuiltinBuild builtin;
  BuiltinCancel builtin_cancel; // while it runs

  // Of the ended goal.
  bool failed;
  bool was_built;
  SchedulerTimes times;
  Err cause; // what failed first, when that is another goal
  GoalOutput *outputs;
  size_t output_count;
};

struct GoalGraph {
  Store *store;
  const SchedulerConfig *config;
  Loop *loop;
  Pool *pool;
  BuildService *service;
  DrvHashes *hashes;
  Map goals; // key -> Goal, owned
  Goal *ready_first, **ready_last;
  Goal *ended_first, **ended_last; // ended, but those who wait have not been told
  bool telling;
  size_t running_count; // slots in use
  size_t job_count, build_count;
  uint64_t next_id;
  bool cancelled;
  int failure_bits;
  SchedulerCounts counts;
  Goal **retired; // goals replaced in the map, freed at the end
  size_t retired_count, retired_cap;
};

// Of no stage yet, and not in the map. Owned by the graph.
Goal *goal_new(GoalGraph *graph, const StorePath *path, SchedulerMode mode, bool is_path);
void goal_free(Goal *goal);

// Appends the path of the derivation, or the plain one, in full.
void goal_put_path(const Goal *goal, Buf *ret);
// Its output paths follow from what is built, or from what its inputs turn out to be. Of a loaded derivation.
bool goal_is_dynamic(const Goal *goal);
bool goal_is_wanted(const Goal *goal, Span output);
// True when this adds something. No outputs: all of them are wanted.
bool goal_add_wanted(Goal *goal, const Span *outputs, size_t count);
// Of an ended goal; false when it has no such output, or its path is not known.
bool goal_find_output(const Goal *goal, Span output, StorePath *ret);

// Runs `work` on a worker thread, then `then` in the loop's.
void goal_submit(Goal *goal, GoalFn work, GoalFn then);
