// sandbox_preview.c: see sandbox_preview.h.
#include "realise/sandbox_preview.h"

#include "realise/build_prepare.h"
#include "realise/drv_load.h"
#include "realise/goal_check.h"

typedef struct Preview {
  Store *store;
  const SchedulerConfig *config;
  const StorePath *drv_path;
  Arena arena;
  Derivation drv;
  DrvOptions options;
  StorePathList inputs;
  BuildPrepared prepared;
} Preview;

static bool load(Preview *preview, const StorePath *drv_path, Derivation *ret, Err *err) {
  const SchedulerConfig *config = preview->config;
  if (config->load) return config->load(config->load_ctx, drv_path, &preview->arena, ret, err);
  return drv_load_from_store(preview->store, drv_path, &preview->arena, ret, err);
}

static bool add_input(Preview *preview, const Derivation *drv, Span output_name, Err *err) {
  const DerivationOutput *output = derivation_find_output(drv, output_name);
  StorePath path;
  bool valid;
  if (!output) return err_set(err, ERR_OTHER, "an input has no output '%.*s'", SPAN_ARG(output_name));
  if (!store_parse_path(preview->store, output->path, &path, err) ||
      !store_is_valid(preview->store, &path, &valid, err))
    return false;
  if (!valid) return err_set(err, ERR_NOT_FOUND, "its input '%.*s' is not built yet", SPAN_ARG(output->path));
  store_path_list_add(&preview->inputs, &path);
  return true;
}

static bool collect_inputs(Preview *preview, Err *err) {
  for (size_t i = 0; i < preview->drv.input_drv_count; i++) {
    const DerivationInput *input = &preview->drv.input_drvs[i];
    StorePath path;
    Derivation drv;
    if (!store_parse_path(preview->store, input->key, &path, err) || !load(preview, &path, &drv, err)) return false;
    for (size_t j = 0; j < input->output_count; j++)
      if (!add_input(preview, &drv, input->outputs[j], err)) return false;
  }
  return true;
}

static bool prepare(Preview *preview, BuildOptions *ret_options, Err *err) {
  const SchedulerConfig *config = preview->config;
  DerivationType type;
  Buf text = BUF_INIT;
  store_format_path(preview->store, preview->drv_path, &text);
  bool ok = load(preview, preview->drv_path, &preview->drv, err) && derivation_type(&preview->drv, &type, err) &&
            drv_options_read(&preview->drv, buf_span(&text), &preview->arena, &preview->options, err) &&
            goal_check_can_build(config, &preview->drv, type, buf_span(&text), &preview->options,
                                 &ret_options->no_sandbox, err) &&
            collect_inputs(preview, err);
  buf_done(&text);
  if (!ok) return false;
  if (span_has_prefix(preview->drv.builder, SPAN("builtin:")) || ret_options->no_sandbox)
    return err_set(err, ERR_OTHER, "it is built without a sandbox");
  ret_options->name = arena_dup(&preview->arena, preview->drv.name).data;
  ret_options->want_kvm = drv_options_has_feature(&preview->options, SPAN("kvm"));
  BuildPrepareInput input = {.store = preview->store,
                             .drv = &preview->drv,
                             .drv_path = preview->drv_path,
                             .options = &preview->options,
                             .type = type,
                             .build_dir = span_cstr(config->builder.build_dir),
                             .cores = config->cores,
                             .input_outputs = preview->inputs.paths,
                             .input_output_count = preview->inputs.count};
  return build_prepare_run(&input, &preview->arena, &preview->prepared, err);
}

static bool locate(void *ctx, const CastoreNode *input, Buf *ret_path, Err *err UNUSED) {
  build_prepare_locate(ctx, input->name, ret_path);
  return true;
}

// A builder of its own: that of the scheduler belongs to its thread.
static bool format_plan(Preview *preview, const BuildOptions *options, Buf *ret, Err *err) {
  Loop *loop = NULL;
  BuildService *service = NULL;
  SandboxPlan plan;
  BuildCallbacks callbacks = {.ctx = preview->store, .locate = locate};
  bool ok = loop_new(&loop, err) && local_builder_new(&preview->config->builder, loop, &service, err) &&
            local_builder_plan(service, &preview->prepared.request, options, &callbacks, &preview->arena, &plan, err);
  if (ok) sandbox_format(&plan, ret);
  service_free(service);
  loop_free(loop);
  return ok;
}

bool sandbox_preview_format(Scheduler *scheduler, const StorePath *drv_path, Buf *ret, Err *err) {
  Preview preview = {.store = scheduler_store(scheduler),
                     .config = scheduler_config(scheduler),
                     .drv_path = drv_path,
                     .arena = ARENA_INIT,
                     .inputs = STORE_PATH_LIST_INIT,
                     .prepared.closure = STORE_PATH_LIST_INIT};
  BuildOptions options = {0};
  bool ok = prepare(&preview, &options, err) && format_plan(&preview, &options, ret, err);
  store_path_list_done(&preview.inputs);
  store_path_list_done(&preview.prepared.closure);
  arena_done(&preview.arena);
  if (ok) return true;
  Buf text = BUF_INIT;
  store_format_path(preview.store, drv_path, &text);
  err_wrap(err, "the sandbox of '%s' cannot be shown", buf_cstr(&text));
  buf_done(&text);
  return false;
}
