// task.h: tasks: evaluations with a stack of their own that can wait for each other, for builds and downloads. One runs at a time.
//
// Roles. Jobs are what the embedder asked for; they run in order. Sparks are parts of the work of parked tasks, taken when there is
// nothing else to run; they are speculative: what has an effect (trace) waits until a job needs them, and their errors are dropped,
// since whoever needs the value evaluates again and fails itself.
#pragma once

#include "eval/native.h"
#include "eval/vm.h"

typedef enum TaskState {
  TASK_READY,
  TASK_RUNNING,
  TASK_WAIT_IO,     // for wait_io
  TASK_WAIT_THUNK,  // wait_thunk is being evaluated by another task
  TASK_WAIT_TASK,   // wait_task does a part of our work
  TASK_WAIT_NEEDED, // speculative, before an effect
  TASK_DONE,
} TaskState;

typedef enum TaskResume {
  TASK_RESUME_CODE,   // at ip
  TASK_RESUME_FORCE,  // force resume_value, its value goes to the frame on top
  TASK_RESUME_NATIVE, // step the native on top
} TaskResume;

typedef struct TaskPart { // a strict part of a code frame that another task does
  size_t fp;              // of the frame, an offset in the stack
  const uint32_t *ip;     // behind the SPARK or ARG instruction
  Task *task;             // owned reference: freed with this record
} TaskPart;

struct Task {
  uint32_t number; // its name in blackholes; from 1
  TaskState state;
  bool job; // an embedder asked for it and frees it
  bool speculative;
  bool begun;     // has run
  bool cancelled; // done without a result
  Value *stack;   // owned
  size_t stack_cap;
  size_t sp, fp;  // offsets, while not running
  size_t scanned; // words below hold no pointers into the nursery; never above the fp of the frame that runs
  const uint32_t *ip;
  Env *env;
  TaskResume resume;
  Value resume_value;
  uint32_t depth;
  uint64_t wait_io;
  Value wait_thunk;
  Task *wait_task;
  // Part tasks end at the SPARK_END of the frame at part_fp with this ip.
  const uint32_t *part_end;
  TaskPart *parts; // done by others for us
  size_t part_count, part_cap;
  Value result;      // when done
  EvalError *error;  // owned; when done and failed
  Task *prev, *next; // all tasks, by number
};

typedef struct TaskQueue {
  Task *first, *last;
  Task *current;
  uint32_t next_number;
  uint32_t count;
} TaskQueue;

struct SparkSink {
  Vm *vm;
  Task *parent;
  uint32_t made;
};

Task *task_new(Vm *vm);
void task_free(Vm *vm, Task *task); // also takes it out of the queue
// Puts a base frame on an empty stack that runs a native.
void task_start_native(Vm *vm, Task *task, const NativeDef *def, const Value *args, uint32_t arg_count);
void task_start_code(Vm *vm, Task *task, const uint32_t *code, const uint32_t *ip, Env *env, const uint32_t *part_end);
void task_reserve(Task *task, size_t words); // room above sp
// What the embedder asks for.
typedef struct TaskJobs {
  size_t count;
  Task **tasks;                              // of `count`, NULL until begun and after they were reported
  Task *(*begin)(void *ctx, size_t index);   // makes the task; called in order, when no earlier one can go on
  void (*finished)(void *ctx, size_t index); // called in order; the task is freed afterwards
  void *ctx;
  bool is_held; // nothing more is begun
} TaskJobs;
// Runs tasks until all jobs are done; when they are held, all that were begun. Their speculative helpers may remain unfinished: they are cancelled.
void task_run_all(Vm *vm, TaskJobs *jobs);
// Wakes what waits for `thunk`.
void task_wake_thunk(Vm *vm, const Thunk *thunk);
typedef enum TaskWait {
  TASK_MUST_WAIT, // task->state is set: return to the scheduler
  TASK_RETRY,     // the owner was speculative and waited for us: it is cancelled, look again
  TASK_CYCLE,     // infinite recursion
} TaskWait;
// The running task wants the blackhole `thunk`, which `owner` evaluates.
TaskWait task_wait_thunk(Vm *vm, Task *task, Value thunk, uint32_t owner);
typedef enum TaskPartState {
  TASK_PART_NONE, // nobody else does it
  TASK_PART_DONE,
  TASK_PART_WAIT, // task->state is set: return to the scheduler, and ask again
} TaskPartState;
// Whether another task does or has done the part behind `ip` in the frame at `fp` of the running task; its value in *ret.
TaskPartState task_take_part(Vm *vm, Task *task, size_t fp, const uint32_t *ip, Value *ret);
// Whether `task` waits, directly or through others, for `other`.
bool task_waits_for(Vm *vm, Task *task, const Task *other);
void task_scan(Vm *vm, Heap *heap, bool major);
// Lets go of everything the task evaluates: its blackholes become thunks again.
void task_unwind(Vm *vm, Task *task);
