// scheduler.c: see scheduler.h. The thread, the tickets and the queue of finished ones; what they are about is in goal_graph.c.
#include "realise/scheduler.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/pool.h"
#include "realise/goal_graph.h"
#include "store/store.h"

typedef struct Ticket {
  GoalHolder holder; // loop thread
  Scheduler *scheduler;
  SchedulerTicket id;
  // What is wanted; set before the loop thread sees it.
  bool is_path;
  StorePath path;
  Span *outputs; // with their text, one allocation
  size_t output_count;
  SchedulerMode mode;
  SchedulerWorkFn run; // NULL: a goal is wanted
  void *run_ctx;
  Err run_err; // of the worker, then of the loop thread
  bool run_ok;
  // Guarded by the lock.
  SchedulerState state;
  bool dropped;
  Err err, cause;
} Ticket;

struct Scheduler {
  Store *store;
  SchedulerConfig config;
  Arena arena; // of the configuration's text
  Loop *loop;
  GoalGraph *graph; // loop thread
  pthread_t thread;
  bool thread_started, closing; // closing: loop thread
  Pool *pool;                   // for scheduler_run; loop thread, made on first use
  size_t running_work;          // loop thread
  int cancel_fd;                // eventfd, readable for ever after a cancellation
  atomic_bool interrupted;

  pthread_mutex_t lock; // guards what follows
  pthread_cond_t finished_cond;
  Ticket **tickets; // by id - 1; NULL when dropped
  size_t ticket_count, ticket_cap, pending_count;
  SchedulerTicket *finished; // queue
  size_t finished_first, finished_count, finished_cap;
  int finished_fd; // eventfd: readable while the queue is not empty
  int failure_status;
  SchedulerCounts counts;
};

// --- tickets

static void free_ticket(Ticket *ticket) {
  if (!ticket) return;
  err_done(&ticket->err);
  err_done(&ticket->cause);
  err_done(&ticket->run_err);
  mem_free(ticket->outputs);
  mem_free(ticket);
}

static void push_finished(Scheduler *scheduler, SchedulerTicket id) {
  MEM_RESERVE(scheduler->finished, scheduler->finished_cap, scheduler->finished_first + scheduler->finished_count + 1);
  scheduler->finished[scheduler->finished_first + scheduler->finished_count++] = id;
  uint64_t one = 1;
  if (scheduler->finished_count == 1 && write(scheduler->finished_fd, &one, sizeof one) < 0) assert(errno == EAGAIN);
  pthread_cond_broadcast(&scheduler->finished_cond);
}

static bool pop_finished(Scheduler *scheduler, SchedulerTicket *ret) {
  while (scheduler->finished_count) {
    SchedulerTicket id = scheduler->finished[scheduler->finished_first++];
    uint64_t ignored;
    if (--scheduler->finished_count == 0) {
      scheduler->finished_first = 0;
      if (read(scheduler->finished_fd, &ignored, sizeof ignored) < 0) assert(errno == EAGAIN);
    }
    if (!scheduler->tickets[id - 1]) continue; // dropped meanwhile
    *ret = id;
    return true;
  }
  return false;
}

// Loop thread: the goal of a ticket has ended.
static void ticket_ended(GoalHolder *holder) {
  Ticket *ticket = (Ticket *)holder;
  Scheduler *scheduler = ticket->scheduler;
  pthread_mutex_lock(&scheduler->lock);
  bool failed = goal_graph_has_failed(holder->goal);
  if (failed) goal_graph_copy_err(holder->goal, &ticket->err, &ticket->cause);
  ticket->state = failed ? SCHEDULER_FAILED : SCHEDULER_DONE;
  scheduler->pending_count--;
  scheduler->failure_status = goal_graph_failure_status(scheduler->graph);
  scheduler->counts = goal_graph_counts(scheduler->graph);
  if (!ticket->dropped) push_finished(scheduler, ticket->id);
  pthread_mutex_unlock(&scheduler->lock);
}

// Loop thread: the work of a ticket has ended.
static void work_ended(void *ctx) {
  Ticket *ticket = ctx;
  Scheduler *scheduler = ticket->scheduler;
  scheduler->running_work--;
  pthread_mutex_lock(&scheduler->lock);
  if (!ticket->run_ok) {
    err_set(&ticket->err, ticket->run_err.kind, "%s", err_message(&ticket->run_err));
    err_set(&ticket->cause, ticket->run_err.kind, "%s", err_message(&ticket->run_err));
  }
  ticket->state = ticket->run_ok ? SCHEDULER_DONE : SCHEDULER_FAILED;
  scheduler->pending_count--;
  bool dropped = ticket->dropped;
  if (!dropped) push_finished(scheduler, ticket->id);
  pthread_cond_broadcast(&scheduler->finished_cond);
  pthread_mutex_unlock(&scheduler->lock);
  if (dropped) free_ticket(ticket);
}

// Worker.
static void work_run(void *ctx) {
  Ticket *ticket = ctx;
  ticket->run_ok = ticket->run(ticket->run_ctx, ticket->scheduler->cancel_fd, &ticket->run_err);
  loop_post(ticket->scheduler->loop, work_ended, ticket);
}

// Loop thread.
static void ticket_start(void *ctx) {
  Ticket *ticket = ctx;
  GoalGraph *graph = ticket->scheduler->graph;
  if (ticket->run) {
    if (!ticket->scheduler->pool) ticket->scheduler->pool = pool_new(SCHEDULER_MAX_WORK);
    ticket->scheduler->running_work++;
    pool_submit(ticket->scheduler->pool, work_run, ticket);
  } else if (ticket->is_path) goal_graph_want_path(graph, &ticket->path, &ticket->holder);
  else {
    goal_graph_want(graph, &ticket->path, ticket->outputs, ticket->output_count, ticket->mode, &ticket->holder);
  }
}

// Loop thread. Posted after ticket_start, so the ticket has been started.
static void ticket_drop(void *ctx) {
  Ticket *ticket = ctx;
  if (ticket->run && ticket->state == SCHEDULER_PENDING) return; // work_ended frees it
  if (ticket->holder.link) {
    goal_graph_release(ticket->scheduler->graph, &ticket->holder);
    pthread_mutex_lock(&ticket->scheduler->lock);
    ticket->scheduler->pending_count--;
    pthread_cond_broadcast(&ticket->scheduler->finished_cond);
    pthread_mutex_unlock(&ticket->scheduler->lock);
  }
  free_ticket(ticket);
}

static Ticket *new_ticket(Scheduler *scheduler, const StorePath *path, bool is_path) {
  Ticket *ticket = mem_alloc_zero(sizeof *ticket);
  ticket->scheduler = scheduler;
  ticket->path = *path;
  ticket->is_path = is_path;
  ticket->holder.ended = ticket_ended;
  return ticket;
}

static SchedulerTicket start_ticket(Scheduler *scheduler, Ticket *ticket) {
  pthread_mutex_lock(&scheduler->lock);
  MEM_RESERVE(scheduler->tickets, scheduler->ticket_cap, scheduler->ticket_count + 1);
  scheduler->tickets[scheduler->ticket_count++] = ticket;
  SchedulerTicket id = ticket->id = scheduler->ticket_count;
  scheduler->pending_count++;
  pthread_mutex_unlock(&scheduler->lock);
  loop_post(scheduler->loop, ticket_start, ticket);
  return id;
}

SchedulerTicket scheduler_realise(Scheduler *scheduler, const StorePath *drv_path, const Span *outputs,
                                  size_t output_count, SchedulerMode mode) {
  Ticket *ticket = new_ticket(scheduler, drv_path, false);
  ticket->mode = mode;
  size_t text_len = 0;
  for (size_t i = 0; i < output_count; i++) text_len += outputs[i].len;
  ticket->outputs = mem_alloc(output_count * sizeof(Span) + text_len + 1);
  char *text = (char *)(ticket->outputs + output_count);
  for (size_t i = 0; i < output_count; i++) {
    if (outputs[i].len) memcpy(text, outputs[i].data, outputs[i].len);
    ticket->outputs[i] = span_make(text, outputs[i].len);
    text += outputs[i].len;
  }
  ticket->output_count = output_count;
  return start_ticket(scheduler, ticket);
}

SchedulerTicket scheduler_ensure(Scheduler *scheduler, const StorePath *path) {
  return start_ticket(scheduler, new_ticket(scheduler, path, true));
}

SchedulerTicket scheduler_run(Scheduler *scheduler, SchedulerWorkFn run, void *ctx) {
  Ticket *ticket = mem_alloc_zero(sizeof *ticket);
  ticket->scheduler = scheduler;
  ticket->run = run;
  ticket->run_ctx = ctx;
  return start_ticket(scheduler, ticket);
}

// With the lock held. An unknown or dropped ticket is a programmer's mistake.
static Ticket *get_ticket(Scheduler *scheduler, SchedulerTicket id) {
  assert(id > 0 && id <= scheduler->ticket_count && scheduler->tickets[id - 1]);
  return scheduler->tickets[id - 1];
}

static SchedulerState get_state(Scheduler *scheduler, SchedulerTicket id, Err *err, bool want_cause) {
  pthread_mutex_lock(&scheduler->lock);
  const Ticket *ticket = get_ticket(scheduler, id);
  SchedulerState state = ticket->state;
  const Err *from = want_cause ? &ticket->cause : &ticket->err;
  if (state == SCHEDULER_FAILED && err) err_set(err, from->kind, "%s", err_message(from));
  pthread_mutex_unlock(&scheduler->lock);
  return state;
}

SchedulerState scheduler_state(Scheduler *scheduler, SchedulerTicket id, Err *err) {
  return get_state(scheduler, id, err, false);
}

SchedulerState scheduler_cause(Scheduler *scheduler, SchedulerTicket id, Err *err) {
  return get_state(scheduler, id, err, true);
}

bool scheduler_output(Scheduler *scheduler, SchedulerTicket id, Span output, StorePath *ret) {
  pthread_mutex_lock(&scheduler->lock);
  const Ticket *ticket = get_ticket(scheduler, id);
  // An ended goal does not change and lives as long as the graph, so any thread may look at it.
  bool ok = ticket->state == SCHEDULER_DONE && !ticket->is_path && !ticket->run &&
            goal_graph_output(ticket->holder.goal, output, ret);
  pthread_mutex_unlock(&scheduler->lock);
  return ok;
}

bool scheduler_times(Scheduler *scheduler, SchedulerTicket id, SchedulerTimes *ret) {
  pthread_mutex_lock(&scheduler->lock);
  const Ticket *ticket = get_ticket(scheduler, id);
  bool ok = ticket->state != SCHEDULER_PENDING && !ticket->is_path && !ticket->run &&
            goal_graph_times(ticket->holder.goal, ret);
  pthread_mutex_unlock(&scheduler->lock);
  return ok;
}

void scheduler_drop(Scheduler *scheduler, SchedulerTicket id) {
  pthread_mutex_lock(&scheduler->lock);
  Ticket *ticket = get_ticket(scheduler, id);
  scheduler->tickets[id - 1] = NULL;
  ticket->dropped = true;
  pthread_mutex_unlock(&scheduler->lock);
  loop_post(scheduler->loop, ticket_drop, ticket);
}

// --- completion

int scheduler_fd(const Scheduler *scheduler) {
  return scheduler->finished_fd;
}

bool scheduler_next_finished(Scheduler *scheduler, SchedulerTicket *ret) {
  pthread_mutex_lock(&scheduler->lock);
  bool ok = pop_finished(scheduler, ret);
  pthread_mutex_unlock(&scheduler->lock);
  return ok;
}

bool scheduler_wait(Scheduler *scheduler, int timeout_ms) {
  struct timespec deadline;
  clock_gettime(CLOCK_MONOTONIC, &deadline);
  deadline.tv_sec += timeout_ms / 1000;
  deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
  if (deadline.tv_nsec >= 1000000000) deadline.tv_sec++, deadline.tv_nsec -= 1000000000;
  pthread_mutex_lock(&scheduler->lock);
  int status = 0;
  while (!scheduler->finished_count && scheduler->pending_count && status != ETIMEDOUT) {
    if (timeout_ms < 0) pthread_cond_wait(&scheduler->finished_cond, &scheduler->lock);
    else status = pthread_cond_timedwait(&scheduler->finished_cond, &scheduler->lock, &deadline);
  }
  bool ready = scheduler->finished_count > 0;
  pthread_mutex_unlock(&scheduler->lock);
  return ready;
}

int scheduler_failure_status(Scheduler *scheduler) {
  pthread_mutex_lock(&scheduler->lock);
  int status = scheduler->failure_status;
  pthread_mutex_unlock(&scheduler->lock);
  return status;
}

SchedulerCounts scheduler_counts(Scheduler *scheduler) {
  pthread_mutex_lock(&scheduler->lock);
  SchedulerCounts counts = scheduler->counts;
  pthread_mutex_unlock(&scheduler->lock);
  return counts;
}

const SchedulerConfig *scheduler_config(const Scheduler *scheduler) {
  return &scheduler->config;
}

Store *scheduler_store(const Scheduler *scheduler) {
  return scheduler->store;
}

// --- the thread

// Loop thread.
static void cancel_all(Scheduler *scheduler) {
  uint64_t one = 1;
  if (write(scheduler->cancel_fd, &one, sizeof one) < 0) assert(errno == EAGAIN);
  goal_graph_cancel(scheduler->graph);
}

static void do_cancel(void *ctx) {
  cancel_all(ctx);
}

void scheduler_cancel(Scheduler *scheduler) {
  loop_post(scheduler->loop, do_cancel, scheduler);
}

void scheduler_interrupt(Scheduler *scheduler) {
  atomic_store(&scheduler->interrupted, true);
  loop_wake(scheduler->loop); // one write to an eventfd
}

static void do_close(void *ctx) {
  Scheduler *scheduler = ctx;
  scheduler->closing = true;
  cancel_all(scheduler);
}

static void *run_thread(void *arg) {
  Scheduler *scheduler = arg;
  while (!scheduler->closing || !goal_graph_is_idle(scheduler->graph) || scheduler->running_work) {
    Err err = ERR_INIT;
    if (!loop_run_once(scheduler->loop, -1, &err)) {
      // Nothing can be waited for any more: give up loudly instead of hanging.
      log_msg(LOG_ERROR, "the build scheduler stops: %s", err_message(&err));
      err_done(&err);
      break;
    }
    if (atomic_exchange(&scheduler->interrupted, false)) cancel_all(scheduler);
    pthread_mutex_lock(&scheduler->lock);
    scheduler->counts = goal_graph_counts(scheduler->graph);
    pthread_mutex_unlock(&scheduler->lock);
  }
  return NULL;
}

static bool start_thread(Scheduler *scheduler, Err *err) {
  sigset_t all, former;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &former);
  int why = pthread_create(&scheduler->thread, NULL, run_thread, scheduler);
  pthread_sigmask(SIG_SETMASK, &former, NULL);
  if (why) return err_set_errno(err, why, "starting the scheduler's thread");
  return scheduler->thread_started = true;
}

// --- configuration

static const char *copy_text(Arena *arena, const char *text, const char *preset) {
  if (!text) text = preset;
  return text ? arena_dup(arena, span_cstr(text)).data : NULL;
}

static const char *const *copy_list(Arena *arena, const char *const *list) {
  size_t count = 0;
  while (list && list[count]) count++;
  const char **copy = ARENA_ARRAY(arena, const char *, count + 1);
  for (size_t i = 0; i < count; i++) copy[i] = copy_text(arena, list[i], NULL);
  copy[count] = NULL;
  return copy;
}

static void copy_config(Scheduler *scheduler, const SchedulerConfig *config) {
  Arena *arena = &scheduler->arena;
  SchedulerConfig *copy = &scheduler->config;
  LocalBuilderConfig *builder = &copy->builder;
  *copy = *config;
  copy->system = copy_text(arena, config->system, NULL);
  copy->extra_platforms = copy_list(arena, config->extra_platforms);
  copy->system_features = copy_list(arena, config->system_features);
  copy->log_dir = copy_text(arena, config->log_dir, NULL);
  if (!copy->log_tail_lines) copy->log_tail_lines = 25;
  // The builder copies its own configuration; what is not given follows from the store.
  Span dir = store_dir(scheduler->store);
  builder->store_dir = copy_text(arena, builder->store_dir, arena_dup(arena, dir).data);
  builder->physical_store_dir = copy_text(arena, builder->physical_store_dir, store_tree_dir(scheduler->store));
  // Not store_scratch: what is kept of failed builds must outlive this process.
  builder->scratch_dir =
      copy_text(arena, builder->scratch_dir, arena_printf(arena, "%s/builds", store_state_dir(scheduler->store)));
  builder->build_dir = copy_text(arena, builder->build_dir, "/build");
}

bool scheduler_new(Store *store, const SchedulerConfig *config, Scheduler **ret, Err *err) {
  Scheduler *scheduler = mem_alloc_zero(sizeof *scheduler);
  pthread_condattr_t attr;
  scheduler->store = store;
  pthread_mutex_init(&scheduler->lock, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&scheduler->finished_cond, &attr);
  pthread_condattr_destroy(&attr);
  copy_config(scheduler, config);
  scheduler->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  scheduler->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  bool ok =
      (scheduler->finished_fd >= 0 && scheduler->cancel_fd >= 0) || err_set_errno(err, errno, "creating an eventfd");
  ok = ok && loop_new(&scheduler->loop, err) &&
       goal_graph_new(store, &scheduler->config, scheduler->loop, &scheduler->graph, err) &&
       start_thread(scheduler, err);
  if (!ok) {
    scheduler_free(scheduler);
    return false;
  }
  *ret = scheduler;
  return true;
}

void scheduler_free(Scheduler *scheduler) {
  if (!scheduler) return;
  if (scheduler->thread_started) {
    loop_post(scheduler->loop, do_close, scheduler);
    pthread_join(scheduler->thread, NULL);
  }
  pool_free(scheduler->pool);
  goal_graph_free(scheduler->graph);
  loop_free(scheduler->loop);
  for (size_t i = 0; i < scheduler->ticket_count; i++) free_ticket(scheduler->tickets[i]);
  mem_free(scheduler->tickets);
  mem_free(scheduler->finished);
  fs_close_fd(&scheduler->finished_fd);
  fs_close_fd(&scheduler->cancel_fd);
  pthread_cond_destroy(&scheduler->finished_cond);
  pthread_mutex_destroy(&scheduler->lock);
  arena_done(&scheduler->arena);
  mem_free(scheduler);
}
