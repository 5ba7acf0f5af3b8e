#include "realise_fixture.h"

#include <stdlib.h>

#include "base/fs.h"
#include "harness.h"
#include "store/store_add.h"
#include "store/store_resolve.h"

static void on_event(void *ctx, const SchedulerEvent *event) {
  RealiseFixture *fixture = ctx;
  pthread_mutex_lock(&fixture->lock);
  if (event->kind == SCHEDULER_EVENT_BUILD_START) {
    buf_printf(&fixture->log, "start %s\n", event->drv_path->name);
    fixture->started++;
    if (++fixture->running > fixture->most_running) fixture->most_running = fixture->running;
  } else if (event->kind == SCHEDULER_EVENT_BUILD_STOP) {
    buf_printf(&fixture->log, "stop %s\n", event->drv_path->name);
    fixture->running--;
  } else if (event->kind == SCHEDULER_EVENT_BUILD_LINE) {
    buf_printf(&fixture->log, "line %s: %.*s\n", event->drv_path->name, SPAN_ARG(event->text));
  } else if (event->kind == SCHEDULER_EVENT_LOCK_WAIT) {
    buf_printf(&fixture->log, "lock %s\n", event->drv_path->name);
  }
  pthread_mutex_unlock(&fixture->lock);
}

void realise_fixture_init(RealiseFixture *fixture) {
  Err err = ERR_INIT;
  *fixture = (RealiseFixture){.arena = ARENA_INIT, .scratch = DERIVATION_MODULO_SCRATCH_INIT};
  pthread_mutex_init(&fixture->lock, NULL);
  StoreOptions options = {.url = span_cstr(arena_printf(&fixture->arena, "firn:%s", test_temp_path("root"))),
                          .no_sync = true};
  CHECK_OK(store_open(&options, &fixture->store, &err), &err);
  fixture->config = (SchedulerConfig){.max_jobs = 4,
                                      .cores = 1,
                                      .system = "x86_64-linux",
                                      .log_dir = test_temp_path("log"),
                                      .event = on_event,
                                      .event_ctx = fixture};
  fixture->config.builder.filter_syscalls = true;
}

void realise_fixture_start(RealiseFixture *fixture) {
  Err err = ERR_INIT;
  if (!fixture->scheduler) CHECK_OK(scheduler_new(fixture->store, &fixture->config, &fixture->scheduler, &err), &err);
}

void realise_fixture_done(RealiseFixture *fixture) {
  scheduler_free(fixture->scheduler);
  store_free(fixture->store);
  derivation_modulo_scratch_done(&fixture->scratch);
  map_done(&fixture->drvs);
  buf_done(&fixture->log);
  arena_done(&fixture->arena);
  pthread_mutex_destroy(&fixture->lock);
}

static const DerivationModulo *find_modulo(void *ctx, Span drv_path) {
  RealiseFixture *fixture = ctx;
  const FixtureDrv *drv = map_get(&fixture->drvs, drv_path);
  return drv ? &drv->modulo : NULL;
}

static Span path_text(RealiseFixture *fixture, const StorePath *path) {
  Buf buf = BUF_INIT;
  store_format_path(fixture->store, path, &buf);
  Span ret = arena_dup(&fixture->arena, buf_span(&buf));
  buf_done(&buf);
  return ret;
}

static int cmp_env(const void *a, const void *b) {
  return span_cmp(((const DerivationEnv *)a)->name, ((const DerivationEnv *)b)->name);
}
static int cmp_input(const void *a, const void *b) {
  return span_cmp(((const DerivationInput *)a)->key, ((const DerivationInput *)b)->key);
}
static int cmp_output(const void *a, const void *b) {
  return span_cmp(((const DerivationOutput *)a)->name, ((const DerivationOutput *)b)->name);
}

static void fill_outputs(RealiseFixture *fixture, const FixtureSpec *spec, Derivation *drv) {
  Err err = ERR_INIT;
  drv->outputs = ARENA_ARRAY(&fixture->arena, DerivationOutput, 4);
  if (!spec->outputs[0])
    drv->outputs[drv->output_count++] = (DerivationOutput){.name = SPAN("out"), .kind = DERIVATION_DEFERRED};
  for (size_t i = 0; i < ARRAY_LEN(spec->outputs) && spec->outputs[i]; i++)
    drv->outputs[drv->output_count++] =
        (DerivationOutput){.name = span_cstr(spec->outputs[i]), .kind = DERIVATION_DEFERRED};
  if (spec->fixed) {
    Span text = span_cstr(spec->fixed);
    bool nar = span_has_prefix(text, SPAN("r:"));
    drv->outputs[0].kind = DERIVATION_FIXED;
    drv->outputs[0].method = nar ? CA_NAR : CA_FLAT;
    CHECK_OK(hash_parse(nar ? span_from(text, 2) : text, NULL, &drv->outputs[0].hash, &err), &err);
  }
  qsort(drv->outputs, drv->output_count, sizeof *drv->outputs, cmp_output);
}

static void fill_env(RealiseFixture *fixture, const FixtureSpec *spec, Derivation *drv) {
  drv->env = ARENA_ARRAY(&fixture->arena, DerivationEnv, 32);
  for (size_t i = 0; i < drv->output_count; i++)
    drv->env[drv->env_count++] = (DerivationEnv){drv->outputs[i].name, SPAN("")};
  for (size_t i = 0; i < ARRAY_LEN(spec->env) && spec->env[i]; i++) {
    Span value = span_cstr(spec->env[i]), name;
    CHECK(span_split(&value, '=', &name));
    drv->env[drv->env_count++] = (DerivationEnv){name, value};
  }
  drv->env[drv->env_count++] = (DerivationEnv){SPAN("name"), drv->name};
  drv->env[drv->env_count++] = (DerivationEnv){SPAN("system"), drv->platform};
  qsort(drv->env, drv->env_count, sizeof *drv->env, cmp_env);
}

static void fill_inputs(RealiseFixture *fixture, const FixtureSpec *spec, Derivation *drv) {
  static const Span out = SPAN_LIT("out");
  drv->input_drvs = ARENA_ARRAY(&fixture->arena, DerivationInput, 8);
  for (size_t i = 0; i < ARRAY_LEN(spec->inputs) && spec->inputs[i]; i++)
    drv->input_drvs[drv->input_drv_count++] =
        (DerivationInput){.key = spec->inputs[i]->drv_text, .outputs = &out, .output_count = 1};
  qsort(drv->input_drvs, drv->input_drv_count, sizeof *drv->input_drvs, cmp_input);
  drv->input_srcs = ARENA_ARRAY(&fixture->arena, Span, 4);
  for (size_t i = 0; i < spec->source_count; i++)
    drv->input_srcs[drv->input_src_count++] = path_text(fixture, &spec->sources[i]);
  derivation_sort_spans(drv->input_srcs, &drv->input_src_count);
}

static void write_drv(RealiseFixture *fixture, const Derivation *drv, const DerivationSealed *sealed) {
  Err err = ERR_INIT;
  StorePath refs[16], path;
  size_t count = 0;
  for (size_t i = 0; i < drv->input_drv_count; i++)
    CHECK_OK(store_parse_path(fixture->store, drv->input_drvs[i].key, &refs[count++], &err), &err);
  for (size_t i = 0; i < drv->input_src_count; i++)
    CHECK_OK(store_parse_path(fixture->store, drv->input_srcs[i], &refs[count++], &err), &err);
  CHECK_OK(store_add_text(fixture->store, store_path_name(&sealed->drv_path), sealed->text, refs, count, &path, &err),
           &err);
  CHECK(store_path_eq(&path, &sealed->drv_path));
}

const FixtureDrv *realise_fixture_drv(RealiseFixture *fixture, const FixtureSpec *spec) {
  Err err = ERR_INIT;
  Arena *arena = &fixture->arena;
  Derivation drv = {.name = span_cstr(spec->name),
                    .platform = span_cstr(spec->system ? spec->system : "x86_64-linux"),
                    .builder = span_cstr(spec->builder ? spec->builder : "/bin/sh")};
  fill_outputs(fixture, spec, &drv);
  fill_env(fixture, spec, &drv);
  fill_inputs(fixture, spec, &drv);
  drv.args = ARENA_ARRAY(arena, Span, 2);
  if (!spec->builder) {
    drv.args[drv.arg_count++] = SPAN("-c");
    drv.args[drv.arg_count++] = span_cstr(spec->script);
  }
  DerivationModuloMemo memo = {find_modulo, fixture};
  DerivationSealed sealed;
  Span missing;
  CHECK_OK(
      derivation_modulo_seal(&drv, &memo, store_dir(fixture->store), arena, &fixture->scratch, &sealed, &missing, &err),
      &err);
  write_drv(fixture, &drv, &sealed);
  FixtureDrv *ret = ARENA_NEW(arena, FixtureDrv);
  *ret = (FixtureDrv){
      .drv_path = sealed.drv_path, .drv_text = path_text(fixture, &sealed.drv_path), .modulo = sealed.modulo};
  const DerivationOutput *out = derivation_find_output(&drv, SPAN("out"));
  CHECK_OK(store_parse_path(fixture->store, out->path, &ret->out, &err), &err);
  ret->out_text = arena_dup(arena, out->path);
  map_set(&fixture->drvs, ret->drv_text, ret);
  return ret;
}

SchedulerTicket realise_fixture_want(RealiseFixture *fixture, const FixtureDrv *drv) {
  Span out = SPAN("out");
  realise_fixture_start(fixture);
  return scheduler_realise(fixture->scheduler, &drv->drv_path, &out, 1, SCHEDULER_NORMAL);
}

bool realise_fixture_wait(RealiseFixture *fixture, SchedulerTicket ticket, Err *err) {
  uint64_t deadline = loop_now_ns() + 30000000000u;
  for (;;) {
    SchedulerTicket ignored;
    SchedulerState state = scheduler_state(fixture->scheduler, ticket, err);
    if (state != SCHEDULER_PENDING) return state == SCHEDULER_DONE;
    CHECK(loop_now_ns() < deadline);
    scheduler_wait(fixture->scheduler, 1000);
    while (scheduler_next_finished(fixture->scheduler, &ignored)) {
    }
  }
}

void realise_fixture_build(RealiseFixture *fixture, const FixtureDrv *drv) {
  Err err = ERR_INIT;
  CHECK_OK(realise_fixture_wait(fixture, realise_fixture_want(fixture, drv), &err), &err);
}

void realise_fixture_fails(RealiseFixture *fixture, const FixtureDrv *drv, ErrKind kind, const char *part) {
  Err err = ERR_INIT;
  CHECK_ERR(realise_fixture_wait(fixture, realise_fixture_want(fixture, drv), &err), &err, kind, part);
}

Span realise_fixture_read(RealiseFixture *fixture, Span text, const char *rest) {
  Err err = ERR_INIT;
  StorePath path;
  StoreResolved file = STORE_RESOLVED_INIT;
  Buf content = BUF_INIT;
  CHECK_OK(store_parse_path(fixture->store, text, &path, &err), &err);
  CHECK_OK(store_resolve(fixture->store, &path, span_cstr(rest), &file, &err), &err);
  CHECK(file.found);
  CHECK_OK(store_resolve_read(fixture->store, &file, 0, &content, &err), &err);
  Span ret = arena_dup(&fixture->arena, buf_span(&content));
  store_resolve_done(&file);
  buf_done(&content);
  return ret;
}

PathInfoRecord *realise_fixture_info(RealiseFixture *fixture, const StorePath *path) {
  Err err = ERR_INIT;
  PathInfoRecord *record;
  CHECK_OK(store_get(fixture->store, path, &record, &err), &err);
  return record;
}

bool realise_fixture_is_valid(RealiseFixture *fixture, const StorePath *path) {
  Err err = ERR_INIT;
  bool valid;
  CHECK_OK(store_is_valid(fixture->store, path, &valid, &err), &err);
  return valid;
}
