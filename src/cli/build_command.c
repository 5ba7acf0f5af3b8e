// build_command.c: `firn build`, `nix build`, `nix-build`.
#include "cli/build_command.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/build_plan.h"
#include "cli/command_list.h"
#include "cli/eval_cache.h"
#include "cli/installable.h"
#include "cli/repair_command.h"
#include "cli/store_command.h"
#include "formats/json_write.h"
#include "realise/sandbox_preview.h"
#include "store/profile.h"
#include "store/store_roots.h"

void build_command_list_done(BuildTargetList *list) {
  mem_free(list->items);
  *list = (BuildTargetList){0};
}

void build_command_list_add(BuildTargetList *list, const BuildTarget *target) {
  MEM_RESERVE(list->items, list->cap, list->count + 1);
  list->items[list->count++] = *target;
}

// ---- building

// Tells the picture on the terminal what will be built.
static void show_plan(Session *session, const BuildPlan *plan) {
  KnownPaths *known = store_io_known(session->io);
  for (size_t i = 0; i < plan->count; i++) {
    KnownDrv *entry = known_paths_find(known, plan->drvs[i]);
    if (!entry || !entry->parsed) continue;
    Span *inputs = mem_alloc_array(entry->parsed->input_drv_count + 1, sizeof(Span));
    for (size_t j = 0; j < entry->parsed->input_drv_count; j++) inputs[j] = entry->parsed->input_drvs[j].key;
    progress_plan(&session->progress, plan->drvs[i], entry->parsed->name, inputs, entry->parsed->input_drv_count);
    mem_free(inputs);
  }
}

static bool plan(Session *session, const BuildTargetList *targets, Err *err) {
  BuildPlan plan CLEANUP(build_plan_done) = {0};
  bool dry_run = option_has(&session->options, OPT_dry_run), printed = log_level() >= LOG_INFO || dry_run;
  printed = printed && !targets->without_plan;
  if (!printed && !progress_wants_plan(&session->progress)) return true;
  for (size_t i = 0; i < targets->count; i++) {
    const BuildTarget *target = &targets->items[i];
    if (target->is_drv ? !build_plan_add(session, &plan, &target->path, target->output, err)
                       : !build_plan_add_path(session, &plan, &target->path, err))
      return false;
  }
  progress_query(&session->progress, false);
  if (printed) build_plan_print(session, dry_run ? LOG_NOTICE : LOG_INFO, &plan);
  show_plan(session, &plan);
  return true;
}

static SchedulerTicket start(Scheduler *scheduler, const BuildTarget *target, SchedulerMode mode) {
  return target->is_drv ? scheduler_realise(scheduler, &target->path, &target->output, 1, mode)
                        : scheduler_ensure(scheduler, &target->path);
}

static bool take_path(Session *session, Scheduler *scheduler, BuildTarget *target, SchedulerTicket ticket, Err *err) {
  if (!target->is_drv) {
    target->out_path = target->path;
    return true;
  }
  if (scheduler_output(scheduler, ticket, target->output, &target->out_path)) return true;
  return err_set(err, ERR_OTHER, "output '%.*s' was built, but its path is not known", SPAN_ARG(target->output));
}

// Prints what failed first, then (when it is something else) why that made this target fail; each message once. Gives the exit code.
static int say_failure(Session *session, Scheduler *scheduler, SchedulerTicket ticket, Map *said, Err *err) {
  Err cause = ERR_INIT;
  int code = err_exit_code(err->kind);
  scheduler_cause(scheduler, ticket, &cause);
  Span texts[2] = {span_cstr(err_message(&cause)), span_cstr(err_message(err))};
  bool repeated[2] = {!err_is_set(&cause) || map_has(said, texts[0]),
                      map_has(said, texts[1]) || span_eq(texts[0], texts[1])};
  map_set(said, texts[0], NULL);
  map_set(said, texts[1], NULL);
  if (!repeated[0]) session_fail(session, &cause);
  if (!repeated[1]) session_fail(session, err);
  err_done(&cause);
  return code;
}

// The target to speak of where the first failure ends everything: one that failed itself, rather than one that needed it. SIZE_MAX: none failed.
static size_t first_failed(Scheduler *scheduler, const SchedulerTicket *tickets, size_t count) {
  size_t found = SIZE_MAX;
  for (size_t i = 0; i < count; i++) {
    Err err = ERR_INIT, cause = ERR_INIT;
    if (scheduler_state(scheduler, tickets[i], &err) == SCHEDULER_FAILED) {
      scheduler_cause(scheduler, tickets[i], &cause);
      bool itself = !err_is_set(&cause) || strcmp(err_message(&err), err_message(&cause)) == 0;
      if (itself || found == SIZE_MAX) found = i;
      err_done(&err);
      err_done(&cause);
      if (itself) return found;
    }
  }
  return found;
}

static bool is_nix3(const Session *session) {
  return strcmp(session->command->program, "nix") == 0;
}

// Where more than one of the things that were asked for is not there: "build of 'a', 'b' failed". `nix` names outputs, too.
static void say_incomplete(Session *session, const BuildTargetList *targets) {
  Span *names = mem_alloc_array(targets->count + 1, sizeof(Span));
  size_t count = 0;
  Buf text CLEANUP(buf_done) = BUF_INIT, path CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < targets->count; i++) {
    const BuildTarget *target = &targets->items[i];
    if (target->built) continue;
    buf_clear(&path);
    store_path_format(&target->path, session_store_dir(session), &path);
    if (target->is_drv && is_nix3(session)) {
      if (i && store_path_eq(&targets->items[i - 1].path, &target->path) && count) continue;
      buf_printf(&path, "^%.*s", SPAN_ARG(target->output));
      for (size_t j = i + 1; j < targets->count && store_path_eq(&targets->items[j].path, &target->path); j++)
        buf_printf(&path, ",%.*s", SPAN_ARG(targets->items[j].output));
    }
    names[count++] = arena_dup(&session->arena, buf_span(&path));
  }
  derivation_sort_spans(names, &count);
  for (size_t i = 0; i < count; i++) buf_printf(&text, "%s'%.*s'", i ? ", " : "", SPAN_ARG(names[i]));
  mem_free(names);
  Err err = ERR_INIT;
  if (count < 2) return;
  err_set(&err, ERR_OTHER, "build of %s failed", buf_cstr(&text));
  session_fail(session, &err);
}

// With --keep-going: what failed on the way, in the order in which it did.
static void say_all_failures(Session *session, Map *said) {
  Span rest = buf_span(&session->failures), text;
  while (span_split(&rest, 0, &text)) {
    if (map_has(said, text)) continue;
    map_set(said, text, NULL);
    Err err = ERR_INIT;
    err_set(&err, ERR_BUILD_FAILED, "%.*s", SPAN_ARG(text));
    session_fail(session, &err);
  }
}

// nix-build says by its exit code what went wrong, `nix` only that something did. Failures that may pass (of fixed outputs) and refusals set no bit: 1.
static int failure_code(Session *session, Scheduler *scheduler, const BuildTargetList *targets, int code) {
  if (code == err_exit_code(ERR_INTERRUPTED) || !code) return code;
  int status = is_nix3(session) && !targets->keeps_status ? 0 : scheduler_failure_status(scheduler);
  return status ? status : 1;
}

int build_command_build(Session *session, BuildTargetList *targets, SchedulerMode mode, bool keep_vm) {
  Err err = ERR_INIT;
  Scheduler *scheduler;
  session_io(session);
  if (!store_io_flush(session->io, &err) || !plan(session, targets, &err)) return session_fail(session, &err);
  if (option_has(&session->options, OPT_dry_run)) return 0;
  if (!keep_vm) session_drop_vm(session);
  progress_evaluating(&session->progress, NULL);
  if (!session_scheduler(session, &scheduler, &err)) return session_fail(session, &err);

  buf_clear(&session->failures);
  progress_query(&session->progress, true);
  SchedulerTicket *tickets = mem_alloc_array(targets->count + 1, sizeof(*tickets));
  for (size_t i = 0; i < targets->count; i++) tickets[i] = start(scheduler, &targets->items[i], mode);
  SchedulerTicket done;
  while (scheduler_wait(scheduler, -1))
    while (scheduler_next_finished(scheduler, &done)) {
    }
  int code = 0;
  Map said CLEANUP(map_done) = MAP_INIT;
  bool keep_going = setting_bool(session->settings, SETTING_ID_keep_going);
  if (keep_going) say_all_failures(session, &said);
  size_t only = keep_going ? SIZE_MAX : first_failed(scheduler, tickets, targets->count);
  for (size_t i = 0; i < targets->count; i++) {
    BuildTarget *target = &targets->items[i];
    SchedulerState state = scheduler_state(scheduler, tickets[i], &err);
    target->built = state == SCHEDULER_DONE && take_path(session, scheduler, target, tickets[i], &err);
    target->was_built_here = scheduler_times(scheduler, tickets[i], &target->times);
    if (target->built) continue;
    if (keep_going || i == only || (only == SIZE_MAX && !code)) {
      int failed = say_failure(session, scheduler, tickets[i], &said, &err);
      if (!code) code = failed;
    }
    err_done(&err);
  }
  mem_free(tickets);
  if (code && code != err_exit_code(ERR_INTERRUPTED)) say_incomplete(session, targets);
  return failure_code(session, scheduler, targets, code);
}

// ---- links

// result, result-2, ...: one prefix for each derivation, in the order in which they were first named.
static size_t prefix_number(const BuildTargetList *targets, size_t i) {
  size_t number = 0;
  for (size_t j = 0; j < targets->count; j++) {
    bool first = true;
    for (size_t k = 0; k < j && first; k++) first = !store_path_eq(&targets->items[k].path, &targets->items[j].path);
    if (store_path_eq(&targets->items[j].path, &targets->items[i].path)) return number;
    number += first;
  }
  return number;
}

static bool make_links(Session *session, const BuildTargetList *targets, const char *prefix, Err *err) {
  Store *store;
  if (!session_store(session, &store, err)) return false;
  const char *base = session_absolute(session, prefix);
  for (size_t i = 0; i < targets->count; i++) {
    const BuildTarget *target = &targets->items[i];
    if (!target->built) continue;
    Buf link CLEANUP(buf_done) = BUF_INIT;
    buf_put_cstr(&link, base);
    size_t number = prefix_number(targets, i);
    // The second is result-2 of nix-build, and result-1 of nix build.
    if (number) buf_printf(&link, "-%zu", strcmp(session->command->program, "nix") == 0 ? number : number + 1);
    if (target->is_drv && !span_eq_cstr(target->output, "out")) buf_printf(&link, "-%.*s", SPAN_ARG(target->output));
    if (!store_roots_add(store, &target->out_path, buf_cstr(&link), err)) return false;
  }
  return true;
}

static void print_paths(Session *session, const BuildTargetList *targets) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < targets->count; i++) {
    if (!targets->items[i].built) continue;
    store_path_format(&targets->items[i].out_path, session_store_dir(session), &text);
    buf_put_char(&text, '\n');
  }
  session_print(session, buf_span(&text));
}

// What C++ Nix says about a build that has just happened; it knows the processor time only with cgroups.
static bool put_json_cpu(const SchedulerTimes *times, JsonWrite *json, Err *err) {
  if (!times->usage.user_us && !times->usage.system_us) return true;
  if (!json_write_key(json, SPAN("cpuSystem"), err)) return false;
  json_write_float(json, (double)times->usage.system_us / 1e6);
  if (!json_write_key(json, SPAN("cpuUser"), err)) return false;
  json_write_float(json, (double)times->usage.user_us / 1e6);
  return true;
}

static bool put_json_number(JsonWrite *json, const char *key, int64_t number, Err *err) {
  if (!json_write_key(json, span_cstr(key), err)) return false;
  json_write_int(json, number);
  return true;
}

static bool put_json_times(const SchedulerTimes *times, JsonWrite *json, Err *err) {
  uint64_t peak = times->usage.peak_memory_bytes;
  return (!peak || put_json_number(json, times->usage.is_whole_group ? "peakMemory" : "peakMemoryAtLeast",
                                   (int64_t)peak, err)) &&
         put_json_number(json, "startTime", times->start_s, err) &&
         put_json_number(json, "stopTime", times->stop_s, err);
}

// {"drvPath":...,"outputs":{"out":...}}, or the text of a path that is no derivation.
static bool put_json_target(Session *session, const BuildTargetList *targets, size_t i, JsonWrite *json, Err *err) {
  const BuildTarget *target = &targets->items[i];
  Buf path CLEANUP(buf_done) = BUF_INIT;
  store_path_format(&target->path, session_store_dir(session), &path);
  if (!target->is_drv) return json_write_str(json, buf_span(&path), err);
  json_write_object_begin(json);
  if (target->was_built_here && !put_json_cpu(&target->times, json, err)) return false;
  if (!json_write_key(json, SPAN("drvPath"), err) || !json_write_str(json, buf_span(&path), err) ||
      !json_write_key(json, SPAN("outputs"), err))
    return false;
  json_write_object_begin(json);
  for (size_t j = i; j < targets->count && store_path_eq(&targets->items[j].path, &target->path); j++) {
    if (!json_write_key(json, targets->items[j].output, err)) return false;
    buf_clear(&path);
    store_path_format(&targets->items[j].out_path, session_store_dir(session), &path);
    if (!targets->items[j].built) json_write_null(json);
    else if (!json_write_str(json, buf_span(&path), err)) return false;
  }
  json_write_object_end(json);
  if (target->was_built_here && !put_json_times(&target->times, json, err)) return false;
  json_write_object_end(json);
  return true;
}

// [{"drvPath":...,"outputs":{"out":...}}]
static bool print_json(Session *session, const BuildTargetList *targets, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  JsonWrite json;
  json_write_init(&json, &text, 0);
  json_write_array_begin(&json);
  for (size_t i = 0; i < targets->count; i++) {
    const BuildTarget *target = &targets->items[i];
    if (i && store_path_eq(&targets->items[i - 1].path, &target->path)) continue;
    if (!put_json_target(session, targets, i, &json, err)) return false;
  }
  json_write_array_end(&json);
  buf_put_char(&text, '\n');
  session_print(session, buf_span(&text));
  return true;
}

// --dry-run --json: where the outputs will be, as far as that is known.
static int print_dry(Session *session, BuildTargetList *targets) {
  Err err = ERR_INIT;
  if (!option_has(&session->options, OPT_build_json)) return 0;
  for (size_t i = 0; i < targets->count; i++) {
    BuildTarget *target = &targets->items[i];
    target->out_path = target->path;
    target->built = !target->is_drv;
    if (!target->is_drv) continue;
    const Derivation *drv = session_derivation(session, &target->path, &err);
    if (!drv) return session_fail(session, &err);
    const DerivationOutput *output = derivation_find_output(drv, target->output);
    if (!output || !output->path.len) continue;
    if (!store_path_parse(output->path, session_store_dir(session), &target->out_path, &err))
      return session_fail(session, &err);
    target->built = true;
  }
  return print_json(session, targets, &err) ? 0 : session_fail(session, &err);
}

// ---- targets

// A link on disk that leads to a derivation stands for it. Other text is appended as it is.
static void follow_drv_link(Session *session, Span path, Buf *ret) {
  char real[PATH_MAX];
  Err absent = ERR_INIT;
  const char *text = arena_dup(&session->arena, path).data;
  if (!store_path_is_below(path, session_store_dir(session)) && realpath(text, real) &&
      span_has_suffix(span_cstr(real), SPAN(".drv"))) {
    if (store_command_follow(session, text, ret, &absent)) return;
    err_done(&absent); // a file of that name
    buf_clear(ret);
  }
  buf_put_span(ret, path);
}

// "/nix/store/x.drv", "/nix/store/x.drv^out,dev", "/nix/store/x.drv!out", "/nix/store/x". False when `text` is none of these.
static bool add_store_path(Session *session, BuildTargetList *ret, const char *text, bool *ret_is_path, Err *err) {
  Span dir = session_store_dir(session), whole = span_cstr(text), outputs = {NULL, 0};
  Buf real CLEANUP(buf_done) = BUF_INIT;
  fs_path_canon(span_cstr(session_absolute(session, ".")), whole, &real);
  Span path = buf_span(&real);
  size_t mark = span_rfind_char(path, '^');
  if (mark == SIZE_MAX) mark = span_rfind_char(path, '!');
  if (mark != SIZE_MAX) {
    outputs = span_from(path, mark + 1);
    path = span_sub(path, 0, mark);
    if (!outputs.len) return err_set(err, ERR_USAGE, "'%s' names no outputs behind '%c'", text, text[strlen(text) - 1]);
  }
  Buf followed CLEANUP(buf_done) = BUF_INIT;
  follow_drv_link(session, path, &followed);
  path = buf_span(&followed);
  BuildTarget target = {.output = SPAN("out")};
  *ret_is_path = store_path_is_below(path, dir);
  if (!*ret_is_path) return true;
  if (!store_path_parse(path, dir, &target.path, err)) return false;
  target.is_drv = store_path_is_derivation(&target.path);
  if (!target.is_drv) return build_command_list_add(ret, &target), true;
  const Derivation *drv = session_derivation(session, &target.path, err);
  if (!drv) return false;
  bool all = outputs.len == 0 || span_eq_cstr(outputs, "*");
  Span name;
  for (size_t i = 0; all && i < drv->output_count; i++) {
    target.output = drv->outputs[i].name;
    build_command_list_add(ret, &target);
  }
  while (!all && (span_split(&outputs, ',', &name) || name.len)) {
    if (!derivation_find_output(drv, name))
      return err_set(err, ERR_OTHER, "derivation '%.*s' does not have wanted outputs '%.*s'", SPAN_ARG(path),
                     SPAN_ARG(name));
    target.output = arena_dup(&session->arena, name);
    build_command_list_add(ret, &target);
  }
  return true;
}

bool build_command_add_path(Session *session, BuildTargetList *ret, const char *text, bool *ret_is_path, Err *err) {
  return add_store_path(session, ret, text, ret_is_path, err);
}

static void add_drvs(BuildTargetList *ret, const TargetDrvList *drvs) {
  for (size_t i = 0; i < drvs->count; i++)
    build_command_list_add(
        ret, &(BuildTarget){.path = drvs->items[i].drv_path, .output = drvs->items[i].output, .is_drv = true});
}

// Operands that are store paths are built as they are, the others evaluated.
static bool find_targets(Session *session, bool classic, BuildTargetList *ret, int *ret_code) {
  Err err = ERR_INIT;
  const TargetRoot *roots;
  size_t count, kept = 0;
  bool used;
  TargetDrvList drvs CLEANUP(target_drv_list_done) = {0};
  target_roots(session, classic, &roots, &count, &used);
  TargetRoot *files = ARENA_ARRAY(&session->arena, TargetRoot, count + 1);
  for (size_t i = 0; i < count; i++) {
    bool is_path = false;
    if (used && roots[i].kind == TARGET_FILE && !add_store_path(session, ret, roots[i].text, &is_path, &err))
      return *ret_code = session_fail(session, &err), false;
    if (!is_path) files[kept++] = roots[i];
  }
  if (!kept) return true;
  if (!eval_cache_drvs(session, files, kept, SPAN("build"), "evaluating", NULL, &drvs, ret_code)) return false;
  add_drvs(ret, &drvs);
  return true;
}

static SchedulerMode mode_of(Session *session) {
  bool check = option_has(&session->options, OPT_check) || option_has(&session->options, OPT_rebuild);
  return check ? SCHEDULER_CHECK : SCHEDULER_NORMAL;
}

// --dry-sandbox: the plans of the targets' own builds.
static int print_sandboxes(Session *session, const BuildTargetList *targets) {
  Err err = ERR_INIT;
  Scheduler *scheduler;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (!session_scheduler(session, &scheduler, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < targets->count; i++) {
    if (!targets->items[i].is_drv) continue;
    if (!sandbox_preview_format(scheduler, &targets->items[i].path, &text, &err)) return session_fail(session, &err);
  }
  session_print(session, buf_span(&text));
  return 0;
}

// --repeat: the targets that were built are built again, each time by a scheduler that does not know the answer.
static int repeat(Session *session, BuildTargetList *targets) {
  const char *text = option_get(&session->options, OPT_repeat);
  uint64_t rounds = 0;
  Err err = ERR_INIT;
  if (text && !span_parse_u64(span_cstr(text), &rounds)) {
    err_set(&err, ERR_USAGE, "option 'repeat' needs a number, not '%s'", text);
    return session_fail(session, &err);
  }
  for (uint64_t i = 0; i < rounds; i++) {
    session_drop_scheduler(session);
    int code = build_command_build(session, targets, SCHEDULER_CHECK, true);
    if (code) return code;
  }
  return 0;
}

bool build_command_set_profile(Session *session, Store *store, const char *profile, const BuildTargetList *targets,
                               Err *err) {
  if (targets->count != 1)
    return err_set(err, ERR_USAGE,
                   "'--profile' requires that the arguments produce a single store path, but there are %zu",
                   targets->count);
  return profile_set(store, session_absolute(session, profile), &targets->items[0].out_path, err);
}

// --profile: its new generation is what was built.
static bool update_profile(Session *session, const BuildTargetList *targets, Err *err) {
  const char *profile = option_get(&session->options, OPT_profile);
  Store *store;
  if (!profile || mode_of(session) != SCHEDULER_NORMAL) return true;
  return session_store(session, &store, err) && build_command_set_profile(session, store, profile, targets, err);
}

// Builds what has been found; `code` is of finding it.
static int build(Session *session, BuildTargetList *targets, int code, bool print) {
  Err err = ERR_INIT;
  if (option_has(&session->options, OPT_dry_sandbox)) return print_sandboxes(session, targets);
  int built = build_command_build(session, targets, mode_of(session), false);
  if (option_has(&session->options, OPT_dry_run)) return built ? built : print_dry(session, targets);
  if (!built && mode_of(session) == SCHEDULER_NORMAL) built = repeat(session, targets);
  if (!built && option_has(&session->options, OPT_repair)) built = repair_command_targets(session, targets);
  if (built) code = built;
  const char *link = option_get(&session->options, OPT_out_link);
  bool no_link = option_has(&session->options, OPT_no_out_link) || option_has(&session->options, OPT_no_link);
  bool keep_going = setting_bool(session->settings, SETTING_ID_keep_going);
  if (!built && !update_profile(session, targets, &err)) return session_fail(session, &err);
  // What did come out is of use to a person; who calls C++ Nix's commands gets all or nothing.
  bool is_ours = strcmp(session->command->program, "firn") == 0;
  if (built && (!keep_going || !is_ours)) return code;
  if (!no_link && mode_of(session) == SCHEDULER_NORMAL && !make_links(session, targets, link ? link : "result", &err))
    return session_fail(session, &err);
  if (option_has(&session->options, OPT_build_json)) {
    if (!print_json(session, targets, &err)) return session_fail(session, &err);
  } else if (print) {
    print_paths(session, targets);
  }
  return code;
}

static int run(Session *session, bool classic) {
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  int code = 0;
  return find_targets(session, classic, &targets, &code) ? build(session, &targets, code, true) : code;
}

int build_command_run(Session *session) {
  return run(session, false);
}

int build_command_classic(Session *session) {
  return run(session, true);
}

// nix build -f FILE attr...: operands are attributes, with the outputs to build ("hello^dev"), or store paths.
int build_command_nix(Session *session) {
  const OptionList *list = &session->options;
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  int code = 0;
  Err err = ERR_INIT;
  bool from_stdin = option_has(list, OPT_from_stdin);
  if (from_stdin && !option_add_stdin(&session->options, true, &err)) return session_fail(session, &err);
  InstallableQuery query = {.operands = list->operands, .count = list->operand_count};
  bool is_empty = from_stdin && query.count == 0;
  if (!is_empty && !installable_find(session, &query, &targets, &code)) return code;
  return build(session, &targets, code, option_has(list, OPT_print_out_paths));
}
