// session.c: see session.h. The one static variable is what the signal handlers need to find.
#include "cli/session.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/builder_settings.h"
#include "cli/command.h"
#include "cli/eval_cache.h"
#include "cli/eval_stats.h"
#include "cli/profiling.h"
#include "cli/search_path.h"
#include "cli/signing.h"
#include "cli/substitution.h"
#include "cli/user_dirs.h"
#include "glue/fetcher.h"

// ---- signals

static Session *current; // for the handler
static volatile sig_atomic_t interrupts;
static _Atomic uint64_t first_interrupt_ns;

// Who presses twice at once, or closes the terminal while it is stopping, wants what he wanted with the first.
#define PATIENCE_NS 1000000000u

// The first asks everybody to stop: the evaluator at its next safepoint, the scheduler at once. One that comes much later gives up on order; children die with us.
static void on_signal(int sig) {
  (void)sig;
  Session *session = current;
  uint64_t now = loop_now_ns();
  if (interrupts++ == 0) first_interrupt_ns = now;
  else if (!(session && session->is_interactive) && now - first_interrupt_ns > PATIENCE_NS) _exit(130);
  if (!session) return;
  if (session->vm) session->vm->interrupted = 1;
  if (session->scheduler) scheduler_interrupt(session->scheduler);
}

void session_drop_scheduler(Session *session) {
  if (!session->scheduler) return;
  scheduler_free(STEAL(session->scheduler));
  substituters_free(STEAL(session->substituters));
  if (session->io) store_io_forget_scheduler(session->io);
}

bool session_take_interrupt(Session *session) {
  bool was = interrupts > 0;
  interrupts = 0;
  if (session->vm) session->vm->interrupted = 0;
  // An interrupted scheduler starts nothing more: the next build gets a new one.
  if (was) session_drop_scheduler(session);
  return was;
}

static void install_handlers(void) {
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGHUP, &action, NULL);
  signal(SIGPIPE, SIG_IGN); // write errors are looked at
}

// ---- beginning and end

void session_init(Session *session, const Command *command) {
  *session = (Session){.command = command};
  progress_init(&session->progress);
  history_recorder_init(&session->history);
  session->start_ns = loop_now_ns();
  current = session;
  install_handlers();
}

void session_drop_vm(Session *session) {
  eval_stats_print(session);
  profiling_finish(session);
  session_restart_vm(session);
}

void session_restart_vm(Session *session) {
  Vm *vm = STEAL(session->vm); // not to be seen by the handler any more
  if (session->prefetch) unit_prefetch_finish(session->prefetch);
  if (session->units) unit_cache_flush(session->units);
  if (vm) vm_free(vm);
  timeline_evaluation(session->timeline, false);
  unit_prefetch_free(STEAL(session->prefetch));
  if (vm) malloc_trim(0);
  unit_cache_close(STEAL(session->units));
}

unsigned session_cores(const Session *session) {
  bool is_set = session->settings[SETTING_ID_cores].source != SETTING_DEFAULT;
  return is_set ? (unsigned)setting_int(session->settings, SETTING_ID_cores) : process_cpu_count();
}

static unsigned max_jobs(Session *session) {
  const char *text = setting_text(session->settings, SETTING_ID_max_jobs);
  if (strcmp(text, "auto") == 0) return process_cpu_count();
  return (unsigned)setting_int(session->settings, SETTING_ID_max_jobs);
}

static void write_report(const Session *session, OptionId option, Buf *text) {
  const char *path = option_get(&session->options, option);
  Err err = ERR_INIT;
  if (path && !fs_write_file_atomic(path, buf_span(text), 0644, false, &err))
    log_msg(LOG_ERROR, "cannot write '%s': %s", path, err_message(&err));
  err_done(&err);
  buf_done(text);
}

// --timings and --trace.
static void write_reports(Session *session) {
  if (!session->timeline) return;
  Buf text = BUF_INIT;
  BuildTrace *trace = timeline_trace(session->timeline);
  if (option_has(&session->options, OPT_timings)) {
    build_trace_format_html(trace, max_jobs(session), &text);
    write_report(session, OPT_timings, &text);
  }
  if (option_has(&session->options, OPT_trace)) {
    build_trace_format_json(trace, &text);
    write_report(session, OPT_trace, &text);
  }
  timeline_free(STEAL(session->timeline));
}

void session_close(Session *session) {
  if (session->is_closed) return;
  session->is_closed = true;
  if (FREE_AT_EXIT) {
    session_drop_vm(session);
  } else {
    eval_stats_print(session);
    profiling_finish(session);
    if (session->prefetch) unit_prefetch_finish(session->prefetch);
    if (session->units) unit_cache_flush(session->units);
  }
  if (session->has_glue) glue_done(&session->glue);
  io_trace_free(session->io_trace);
  store_io_free(session->io);
  Scheduler *scheduler = STEAL(session->scheduler);
  if (scheduler) scheduler_free(scheduler);
  substituters_free(STEAL(session->substituters));
  write_reports(session);
  if (session->store) history_recorder_flush(&session->history, session->store);
  history_recorder_done(&session->history);
  buf_done(&session->failures);
  if (session->store) store_free(session->store);
  current = NULL;
  progress_done(&session->progress);
}

void session_done(Session *session) {
  session_close(session);
  option_list_done(&session->options);
  setting_done(session->settings);
  mem_free(session->nix_path);
  arena_done(&session->arena);
}

static LogLevel wanted_level(const Session *session) {
  // Where there is no picture of what goes on, `nix` tells it in lines.
  bool is_nix = strcmp(session->command->program, "nix") == 0;
  bool quiet = session->command->quiet_start && !(is_nix && !progress_is_terminal());
  int level = quiet ? LOG_NOTICE : LOG_INFO;
  for (size_t i = 0; i < session->options.use_count; i++) {
    OptionId id = session->options.uses[i].id;
    if (id == OPT_verbose) level++;
    if (id == OPT_quiet) level--;
    if (id == OPT_debug) level = LOG_DEBUG;
  }
  return level < LOG_ERROR ? LOG_ERROR : level > LOG_VOMIT ? LOG_VOMIT : (LogLevel)level;
}

bool session_start(Session *session, Err *err) {
  const OptionList *options = &session->options;
  // The classic commands show what builders print, the others on request.
  bool logs = option_has(options, OPT_print_build_logs) ||
              (!session->command->quiet_start && !option_has(options, OPT_no_build_output));
  ProgressFormat format = logs ? PROGRESS_BAR_WITH_LOGS : PROGRESS_BAR;
  const char *wanted = option_get(options, OPT_log_format);
  if (wanted && !progress_parse_format(wanted, &format))
    return err_set(err, ERR_USAGE, "option 'log-format' has an invalid value '%s'", wanted);
  session->progress.store_dir = session_store_dir(session);
  if (option_has(options, OPT_timings) || option_has(options, OPT_trace)) session->timeline = timeline_new();
  session->progress.prefix_logs = session->command->quiet_start;
  // A status line goes with lines that say whose they are, whatever the command; lines as they are come without.
  if (wanted && format == PROGRESS_BAR_WITH_LOGS) session->progress.prefix_logs = true;
  if (wanted && format == PROGRESS_RAW_WITH_LOGS) session->progress.prefix_logs = false;
  session->progress.blocks = session->command->brief_errors && !wanted;
  progress_start(&session->progress, format, wanted_level(session));
  const char *json_path = setting_text(session->settings, SETTING_ID_json_log_path);
  Err failed = ERR_INIT;
  if (*json_path && !progress_log_json(&session->progress, json_path, &failed)) { // as C++ Nix: work goes on
    log_msg(LOG_WARN, "%s", err_message(&failed));
    err_done(&failed);
  }
  return true;
}

// ---- questions

const char *session_system(Session *session) {
  const char *system = setting_text(session->settings, SETTING_ID_eval_system);
  if (!*system) system = setting_text(session->settings, SETTING_ID_system);
  if (*system) return system;
  struct utsname name;
  uname(&name);
  return arena_printf(&session->arena, "%s-linux", name.machine);
}

bool session_has_feature(const Session *session, const char *feature) {
  return setting_has_word(session->settings, SETTING_ID_experimental_features, span_cstr(feature));
}

bool session_require_feature(const Session *session, const char *feature, Err *err) {
  return session_has_feature(session, feature) ||
         err_set(err, ERR_OTHER,
                 "experimental Nix feature '%s' is disabled; add '--extra-experimental-features %s' to enable it",
                 feature, feature);
}

// As the setting, or NIX_REMOTE, says.
static const char *wanted_store(const Session *session) {
  const char *remote = getenv("NIX_REMOTE");
  bool is_default = session->settings[SETTING_ID_store].source == SETTING_DEFAULT;
  return is_default && remote && *remote ? remote : setting_text(session->settings, SETTING_ID_store);
}

Span session_store_dir(Session *session) {
  Span url = span_cstr(wanted_store(session)), parameter;
  (void)span_split(&url, '?', &parameter);
  while (url.len > 0) {
    (void)span_split(&url, '&', &parameter);
    if (span_has_prefix(parameter, SPAN("store=/"))) return span_from(parameter, strlen("store="));
  }
  const char *dir = getenv("NIX_STORE_DIR");
  if (!dir) dir = getenv("NIX_STORE");
  return dir && *dir ? span_cstr(dir) : STORE_PATH_DIR;
}

const char *session_absolute(Session *session, const char *path) {
  char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);
  Buf buf CLEANUP(buf_done) = BUF_INIT;
  fs_path_canon(cwd ? span_cstr(cwd) : SPAN("/"), span_cstr(path), &buf);
  free(cwd);
  return arena_dup(&session->arena, buf_span(&buf)).data;
}

// ---- store and scheduler

static bool open_store(void *ctx, Store **ret, Err *err) {
  return session_store(ctx, ret, err);
}

// A store directory of one's own (NIX_STORE_DIR) is where it is said to be, with its state beside it.
static const char *store_url(Session *session, const char *url) {
  Span dir = session_store_dir(session);
  bool is_own = strcmp(url, "auto") == 0 && !span_eq(dir, STORE_PATH_DIR) && span_has_suffix(dir, SPAN("/store"));
  if (!is_own) return url;
  return arena_printf(&session->arena, "firn:%.*s", SPAN_ARG(span_sub(dir, 0, dir.len - strlen("/store"))));
}

// A store of somebody else's, or on a disk that cannot be written, can still be asked. Adding to it then fails.
static bool open_to_read(const StoreOptions *wanted, Store **ret, Err *err) {
  StoreOptions options = *wanted;
  Err read_err = ERR_INIT;
  Buf db CLEANUP(buf_done) = BUF_INIT;
  if (err->sys_errno != EACCES && err->sys_errno != EROFS && err->sys_errno != EPERM) return false;
  options.read_only = true;
  if (!store_open(&options, ret, &read_err)) {
    err_done(&read_err);
    return false;
  }
  buf_printf(&db, "%s/db.sqlite", store_state_dir(*ret));
  if (access(buf_cstr(&db), R_OK) != 0) { // there is nothing to read: the first error says more
    store_free(STEAL(*ret));
    return false;
  }
  log_msg(LOG_INFO, "%s; it is only read", err_message(err));
  err_done(err);
  return true;
}

bool session_store(Session *session, Store **ret, Err *err) {
  if (!session->store) {
    const char *url = wanted_store(session);
    if (strcmp(url, "daemon") == 0 || strcmp(url, "local") == 0) url = "auto";
    url = store_url(session, url);
    StoreOptions options = {.url = span_cstr(url), .logical_dir = session_store_dir(session)};
    if (!store_open(&options, &session->store, err) && !open_to_read(&options, &session->store, err))
      return err_wrap(err, "opening the store");
    session->progress.history_dir = store_state_dir(session->store);
    store_defer_sync(session->store, true); // session_print keeps the promise
  }
  *ret = session->store;
  return true;
}

// The words of a list setting, NULL-terminated, in the session's arena.
static const char *const *setting_words(Session *session, SettingId id) {
  Span rest = span_cstr(setting_text(session->settings, id)), word;
  size_t count = 0;
  while (setting_next_word(&rest, &word)) count++;
  const char **words = ARENA_ARRAY(&session->arena, const char *, count + 1);
  rest = span_cstr(setting_text(session->settings, id));
  for (size_t i = 0; i < count && setting_next_word(&rest, &word); i++)
    words[i] = arena_dup(&session->arena, word).data;
  words[count] = NULL;
  return words;
}

// With content-addressed derivations, what needs them can be built.
static const char *const *system_features(Session *session) {
  const char *const *set = setting_words(session, SETTING_ID_system_features);
  size_t count = 0;
  bool has = false;
  for (; set[count]; count++) has = has || strcmp(set[count], "ca-derivations") == 0;
  if (has || !session_has_feature(session, "ca-derivations")) return set;
  const char **words = ARENA_ARRAY(&session->arena, const char *, count + 2);
  memcpy(words, set, count * sizeof(*words));
  words[count] = "ca-derivations";
  words[count + 1] = NULL;
  return words;
}

static bool open_scheduler(void *ctx, Store *store, Scheduler **ret, Err *err) {
  return session_scheduler(ctx, ret, err);
}

static void on_build_event(void *ctx, const SchedulerEvent *event) {
  Session *session = ctx;
  progress_event(&session->progress, event);
  history_recorder_event(&session->history, event);
  timeline_build(session->timeline, event);
  if (event->kind == SCHEDULER_EVENT_BUILD_STOP && event->text.len) {
    buf_put_span(&session->failures, event->text);
    buf_put_char(&session->failures, 0);
  }
}

bool session_scheduler(Session *session, Scheduler **ret, Err *err) {
  Store *store;
  if (!session_store(session, &store, err)) return false;
  if (session->scheduler) return *ret = session->scheduler, true;
  const Setting *settings = session->settings;
  const char *sandbox = setting_text(settings, SETTING_ID_sandbox);
  SchedulerConfig config = SCHEDULER_CONFIG_INIT;
  builder_settings_check_remote(settings);
  config.max_jobs = max_jobs(session);
  config.cores = session_cores(session);
  config.keep_going = setting_bool(settings, SETTING_ID_keep_going);
  config.keep_failed = setting_bool(settings, SETTING_ID_keep_failed);
  ProgressFormat format = session->progress.format;
  config.logs_shown = format == PROGRESS_RAW_WITH_LOGS || format == PROGRESS_BAR_WITH_LOGS || format == PROGRESS_JSON;
  config.debug_shell = option_has(&session->options, OPT_debug_shell);
  config.fallback = setting_bool(settings, SETTING_ID_fallback);
  // Debian's nix.conf switches C++ Nix's sandbox off. Isolation is never dropped because of a file: it takes --no-sandbox or NIX_CONFIG.
  config.ca_derivations = session_has_feature(session, "ca-derivations");
  config.impure_derivations = session_has_feature(session, "impure-derivations");
  // A store that lies elsewhere is only seen at its place from inside one.
  config.no_sandbox = strcmp(sandbox, "false") == 0 && settings[SETTING_ID_sandbox].source >= SETTING_ENVIRONMENT &&
                      span_eq(span_cstr(store_tree_dir(store)), session_store_dir(session));
  config.relaxed_sandbox = strcmp(sandbox, "relaxed") == 0;
  config.timeout_ns = (uint64_t)setting_int(settings, SETTING_ID_timeout) * 1000000000u;
  config.max_silent_ns = (uint64_t)setting_int(settings, SETTING_ID_max_silent_time) * 1000000000u;
  config.max_log_bytes = (uint64_t)setting_int(settings, SETTING_ID_max_build_log_size);
  config.log_tail_lines = (unsigned)setting_int(settings, SETTING_ID_log_lines);
  const char *system = setting_text(settings, SETTING_ID_system);
  config.system = *system ? system : session_system(session);
  config.extra_platforms = setting_words(session, SETTING_ID_extra_platforms);
  config.system_features = system_features(session);
  if (setting_bool(settings, SETTING_ID_keep_build_log))
    config.log_dir = arena_printf(&session->arena, "%s/var/log/nix", store_root(store));
  config.event = on_build_event;
  config.event_ctx = session;
  config.builder.store_dir = arena_dup(&session->arena, store_dir(store)).data;
  config.builder.physical_store_dir = arena_dup(&session->arena, span_cstr(store_tree_dir(store))).data;
  if (!builder_settings_read(settings, &session->arena, &config.builder, err) ||
      !signing_secret_keys(session, &config.sign_keys, &config.sign_key_count, err) ||
      !substitution_open(session, &config.substituters, err))
    return false;
  Scheduler *scheduler;
  if (!scheduler_new(store, &config, &scheduler, err)) return false;
  session->scheduler = scheduler;
  *ret = scheduler;
  return true;
}

// ---- evaluator

static void waiting(void *ctx, Span drv_path) {
  Session *session = ctx;
  timeline_wait(session->timeline, drv_path);
  if (setting_bool(session->settings, SETTING_ID_trace_import_from_derivation))
    log_warn("built '%.*s' during evaluation due to an import from derivation", SPAN_ARG(drv_path));
}

static FetcherSettings fetch_settings(Session *session) {
  const Setting *settings = session->settings;
  Buf dir CLEANUP(buf_done) = BUF_INIT;
  session_cache_dir("fetches", &dir);
  FetcherSettings fetch = {.http = substitution_http(session),
                           .cache_dir = arena_dup(&session->arena, buf_span(&dir)).data,
                           .tarball_ttl_s = setting_int(settings, SETTING_ID_tarball_ttl),
                           .allow_dirty = setting_bool(settings, SETTING_ID_allow_dirty),
                           .warn_dirty = setting_bool(settings, SETTING_ID_warn_dirty)};
  if (option_has(&session->options, OPT_offline)) {
    fetch.tarball_ttl_s = INT64_MAX;
    fetch.http.attempts = 1;
    fetch.http.connect_timeout_s = 1;
  }
  return fetch;
}

StoreIo *session_io(Session *session) {
  if (session->io) return session->io;
  const Setting *settings = session->settings;
  const OptionList *options = &session->options;
  bool evaluates = option_has(options, OPT_eval) || option_has(options, OPT_eval_only);
  StoreIoConfig config = {
      .store_dir = session_store_dir(session),
      .open_store = open_store,
      .open_scheduler = open_scheduler,
      .ctx = session,
      .allow_import_from_derivation = setting_bool(settings, SETTING_ID_allow_import_from_derivation) &&
                                      !option_has(&session->options, OPT_readonly_mode),
      .impure_host_store = option_has(&session->options, OPT_impure_host_store),
      .pure_eval = setting_bool(settings, SETTING_ID_pure_eval),
      .restrict_eval = setting_bool(settings, SETTING_ID_restrict_eval),
      .substitute = substitution_is_on(session),
      .read_only = option_has(options, OPT_read_only) || (evaluates && !option_has(options, OPT_read_write_mode)),
      .fetch = fetch_settings(session),
      .waiting = waiting,
  };
  session->io = store_io_new(&config);
  Span rest = span_cstr(setting_text(settings, SETTING_ID_allowed_uris)), uri;
  while (setting_next_word(&rest, &uri)) access_check_allow_uri(store_io_access(session->io), uri);
  GlueFeatures features = {.ca_derivations = session_has_feature(session, "ca-derivations"),
                           .impure_derivations = session_has_feature(session, "impure-derivations"),
                           .dynamic_derivations = session_has_feature(session, "dynamic-derivations"),
                           .git_hashing = session_has_feature(session, "git-hashing")};
  glue_init(&session->glue, session->io, &features);
  session->has_glue = true;
  return session->io;
}

const Derivation *session_derivation(Session *session, const StorePath *path, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  KnownPaths *known = store_io_known(session_io(session));
  store_path_format(path, session_store_dir(session), &text);
  KnownDrv *entry = known_paths_load(known, buf_span(&text), err);
  return entry ? known_paths_parse(known, entry, err) : NULL;
}

// Both kinds are complete lines: "trace: x", "evaluation warning: x".
static void message(void *ctx, VmMessage kind, Span text) {
  Session *session = ctx;
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&line, text);
  buf_put_char(&line, '\n');
  eval_cache_print(session, TRACE_CACHE_ERR, buf_span(&line));
  progress_say(&session->progress, kind == VM_MESSAGE_WARNING ? LOG_WARN : LOG_ERROR, buf_span(&line));
}

static void read_search_path(Session *session) {
  SearchPath path = {0};
  for (size_t i = 0; i < session->options.use_count; i++)
    if (session->options.uses[i].id == OPT_include)
      search_path_add(&path, span_cstr(session->options.uses[i].args[0]), &session->arena);
  const char *env = getenv("NIX_PATH");
  const Setting *setting = &session->settings[SETTING_ID_nix_path];
  if (!setting_bool(session->settings, SETTING_ID_pure_eval)) {
    if (setting->source == SETTING_COMMAND_LINE || (setting->value && !env)) {
      Span rest = span_cstr(setting_text(session->settings, SETTING_ID_nix_path)), word;
      if (setting->extends_env && env) search_path_add_list(&path, span_cstr(env), &session->arena);
      while (setting_next_word(&rest, &word)) search_path_add(&path, word, &session->arena);
    } else if (env) {
      search_path_add_list(&path, span_cstr(env), &session->arena);
    } else if (!setting_bool(session->settings, SETTING_ID_restrict_eval)) {
      Buf channels CLEANUP(buf_done) = BUF_INIT;
      user_dirs_path(session->settings, "defexpr", &channels);
      buf_put_cstr(&channels, "/channels");
      search_path_add_defaults(&path, buf_cstr(&channels), &session->arena);
    }
  }
  session->nix_path = path.entries; // owned by the session from here on
  session->nix_path_count = path.count;
  session->has_nix_path = true;
}

const VmSearchEntry *session_search_path(Session *session, size_t *ret_count) {
  if (!session->has_nix_path) read_search_path(session);
  *ret_count = session->nix_path_count;
  return session->nix_path;
}

static void io_line(void *ctx, Span text) {
  Session *session = ctx;
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&line, "eval-io: %.*s\n", SPAN_ARG(text));
  progress_write(&session->progress, buf_span(&line));
}

// What the evaluator sees of the world.
static EvalIo *eval_window(Session *session) {
  EvalIo *io = store_io_eval(session_io(session));
  if (!option_has(&session->options, OPT_trace_eval_io)) return io;
  if (!session->io_trace) session->io_trace = io_trace_new(io, io_line, session);
  return io_trace_eval(session->io_trace);
}

// A variable that switches something: empty and "0" are as if it were not there.
static bool env_says(const char *name) {
  const char *value = getenv(name);
  return value && *value && strcmp(value, "0") != 0;
}

static bool read_heap_config(Session *session, HeapConfig *ret, Err *err) {
  const char *size = option_get(&session->options, OPT_max_heap),
             *mib = option_get(&session->options, OPT_max_memory_size);
  uint64_t number;
  ret->helper = process_cpu_count() > 1 && !env_says("FIRN_NO_GC_HELPER");
  ret->stress = option_has(&session->options, OPT_gc_stress);
  // A limit of the process (eval_jobs_command.c). The first collection of what is old copies it.
  if (mib && span_parse_u64(span_cstr(mib), &number) && number < 1024) ret->threshold_bytes = (size_t)number << 18;
  if (!size) return true;
  Span text = span_cstr(size);
  unsigned shift = 0;
  if (text.len && strchr("KMG", text.data[text.len - 1]))
    shift = 10 * (unsigned)(strchr("KMG", text.data[--text.len]) - "KMG" + 1);
  if (!span_parse_u64(text, &number) || number > (UINT64_MAX >> shift))
    return err_set(err, ERR_USAGE, "'--max-heap %s': a number with K, M or G is expected", size);
  ret->max_bytes = (size_t)(number << shift);
  return true;
}

void session_cache_dir(const char *name, Buf *ret) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (cache && cache[0] == '/') buf_printf(ret, "%s/firn/%s", cache, name);
  else buf_printf(ret, "%s/.cache/firn/%s", home ? home : "/", name);
}

void session_unit_dir(Buf *ret) {
  session_cache_dir("units", ret);
}

void session_prefetch_dir(Buf *ret) {
  session_cache_dir("files", ret);
}

// The question by which the files are remembered that an evaluation loads.
static void put_question(Session *session, Buf *ret) {
  const OptionList *list = &session->options;
  buf_put_cstr(ret, session_absolute(session, "."));
  for (size_t i = 0; i < list->use_count; i++) {
    const Option *option = &option_table[list->uses[i].id];
    if (!(option->groups & (OPTION_EVAL_GROUP | OPTION_SELECT_GROUP | OPTION_SELECT_OLD_GROUP))) continue;
    buf_printf(ret, "\n%s", option->long_name);
    for (unsigned j = 0; j < option_arg_count(option); j++) buf_printf(ret, " %s", list->uses[i].args[j]);
  }
  for (size_t i = 0; i < list->operand_count; i++) buf_printf(ret, "\n%s", list->operands[i]);
}

static void start_prefetch(Session *session, Vm *vm) {
  if (session->is_interactive || env_says("FIRN_NO_PREFETCH")) return;
  Buf dir CLEANUP(buf_done) = BUF_INIT, question CLEANUP(buf_done) = BUF_INIT;
  session_prefetch_dir(&dir);
  put_question(session, &question);
  session->prefetch = unit_prefetch_start(vm, session->units, buf_span(&dir), buf_span(&question));
  vm->units = unit_prefetch_store(session->prefetch);
}

static void open_unit_cache(Session *session, Vm *vm) {
  if (env_says("FIRN_NO_CODE_CACHE") || !setting_bool(session->settings, SETTING_ID_code_cache)) return;
  Buf dir CLEANUP(buf_done) = BUF_INIT;
  Buf fingerprint CLEANUP(buf_done) = BUF_INIT;
  session_unit_dir(&dir);
  vm_unit_fingerprint(vm, &fingerprint);
  session->units = unit_cache_open(buf_span(&dir), buf_span(&fingerprint), UNIT_CACHE_MAX_BYTES);
  vm->units = unit_cache_store(session->units);
}

bool session_vm(Session *session, Err *err) {
  if (session->vm) return true;
  const Setting *settings = session->settings;
  StoreIo *io = session_io(session);
  size_t path_count;
  const VmSearchEntry *path = session_search_path(session, &path_count);
  if (!setting_bool(settings, SETTING_ID_pure_eval))
    for (size_t i = 0; i < path_count; i++) access_check_allow(store_io_access(io), path[i].path);
  VmSettings config = {
      .pure_eval = setting_bool(settings, SETTING_ID_pure_eval),
      .restrict_eval = setting_bool(settings, SETTING_ID_restrict_eval),
      .pipe_operators = session_has_feature(session, "pipe-operators"),
      .dynamic_derivations = session_has_feature(session, "dynamic-derivations"),
      .parse_toml_timestamps = session_has_feature(session, "parse-toml-timestamps"),
      .no_url_literals = session_has_feature(session, "no-url-literals"),
      .trace_verbose = setting_bool(settings, SETTING_ID_trace_verbose),
      .abort_on_warn = setting_bool(settings, SETTING_ID_abort_on_warn),
      .allow_import_from_derivation = setting_bool(settings, SETTING_ID_allow_import_from_derivation) &&
                                      !option_has(&session->options, OPT_readonly_mode),
      .max_call_depth = (uint32_t)setting_int(settings, SETTING_ID_max_call_depth),
      .current_system = session_system(session),
      .store_dir = arena_dup(&session->arena, session_store_dir(session)).data,
      .home_dir = setting_bool(settings, SETTING_ID_pure_eval) ? NULL : getenv("HOME"),
      .nix_path = path,
      .nix_path_count = path_count,
      .message = message,
      .message_ctx = session,
  };
  if (!read_heap_config(session, &config.heap, err)) return false;
  Vm *vm = vm_new(eval_window(session), &config, glue_builtin_tables, glue_builtin_table_count);
  glue_attach(&session->glue, vm);
  open_unit_cache(session, vm);
  start_prefetch(session, vm);
  session->vm = vm;
  timeline_evaluation(session->timeline, true);
  eval_stats_start(session);
  return profiling_start(session, err);
}

// ---- saying what went wrong

// "error: " and the message, its further lines below the first.
static void put_error(Session *session, Span message, Buf *ret) {
  buf_put_cstr(ret, session->progress.colour ? "\033[31;1merror:\033[0m" : "error:");
  Span line;
  for (bool first = true, more = true; more; first = false) {
    more = span_split(&message, '\n', &line);
    if (line.len) buf_printf(ret, "%s%.*s", first ? " " : "       ", SPAN_ARG(line));
    buf_put_char(ret, '\n');
  }
}

// C++ Nix names its program: `nix`, also for `nix eval`.
static void put_usage_hint(const Session *session, Buf *ret) {
  Span name = span_cstr(command_full_name(session->command));
  if (span_has_prefix(name, SPAN("nix "))) name = SPAN("nix");
  buf_printf(ret, "Try '%.*s --help' for more information.\n", SPAN_ARG(name));
}

int session_fail(Session *session, Err *err) {
  eval_cache_spoil(session, "the command failed");
  Buf text CLEANUP(buf_done) = BUF_INIT;
  put_error(session, span_cstr(err->kind == ERR_INTERRUPTED ? "interrupted by the user" : err_message(err)), &text);
  if (err->kind == ERR_USAGE) put_usage_hint(session, &text);
  progress_write(&session->progress, buf_span(&text));
  int code = err_exit_code(err->kind);
  err_done(err);
  return code;
}

int session_eval_failed(Session *session, EvalError *error) {
  if (!error) error = eval_error_take(session->vm);
  EvalErrorFormat format = {.show_trace = setting_bool(session->settings, SETTING_ID_show_trace),
                            .colour = session->progress.colour,
                            .brief = session->command->brief_errors &&
                                     !setting_bool(session->settings, SETTING_ID_show_trace),
                            .cycle = session->command->brief_errors};
  Buf text CLEANUP(buf_done) = BUF_INIT;
  eval_error_format(session->vm, error, &format, &text);
  if (text.len == 0 || text.data[text.len - 1] != '\n') buf_put_char(&text, '\n');
  if (error->cause == ERR_USAGE && !session->is_interactive) put_usage_hint(session, &text);
  eval_cache_failed(session, error);
  eval_cache_print(session, TRACE_CACHE_ERR, buf_span(&text));
  progress_write(&session->progress, buf_span(&text));
  int code = error->kind == EVAL_ERROR_INTERRUPTED ? err_exit_code(ERR_INTERRUPTED) : err_exit_code(error->cause);
  eval_error_free(error);
  return code ? code : 1;
}

void session_print(Session *session, Span text) {
  eval_cache_print(session, TRACE_CACHE_OUT, text);
  session_write(session, text);
}

void session_write(Session *session, Span text) {
  progress_pause(&session->progress);
  Err err = ERR_INIT;
  // Nobody is told of a path that could still be lost.
  bool safe = !session->store || store_sync(session->store, &err);
  if (safe && fs_write_all(STDOUT_FILENO, text, &err)) return;
  if (err.sys_errno == EPIPE) _exit(1);
  session_fail(session, &err);
  _exit(1);
}
