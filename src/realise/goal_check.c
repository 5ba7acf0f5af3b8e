// goal_check.c: see goal_check.h.
#include "realise/goal_check.h"

static bool contains(const char *const *items, Span wanted) {
  for (; items && *items; items++)
    if (span_eq_cstr(wanted, *items)) return true;
  return false;
}

// Sorted, each once, as C++ Nix's sets of text are printed.
static void put_sorted(const Span *items, size_t count, Buf *ret) {
  Span *sorted = mem_alloc_array(count + 1, sizeof *sorted);
  for (size_t i = 0; i < count; i++) sorted[i] = items[i];
  derivation_sort_spans(sorted, &count);
  for (size_t i = 0; i < count; i++) buf_printf(ret, "%s%.*s", i ? ", " : "", SPAN_ARG(sorted[i]));
  mem_free(sorted);
}

static void put_list(const char *const *items, Buf *ret) {
  size_t count = 0;
  while (items && items[count]) count++;
  Span *spans = mem_alloc_array(count + 1, sizeof *spans);
  for (size_t i = 0; i < count; i++) spans[i] = span_cstr(items[i]);
  put_sorted(spans, count, ret);
  mem_free(spans);
}

static bool refuse_machine(const SchedulerConfig *config, const Derivation *drv, Span drv_path,
                           const DrvOptions *options, Err *err) {
  Buf text = BUF_INIT;
  buf_printf(&text, "a '%.*s' with features {", SPAN_ARG(drv->platform));
  put_sorted(options->required_system_features.items, options->required_system_features.count, &text);
  buf_printf(&text, "} is required to build '%.*s', but I am a '%s' with features {", SPAN_ARG(drv_path),
             config->system);
  put_list(config->system_features, &text);
  buf_put_char(&text, '}');
  err_set(err, ERR_OTHER, "%s", buf_cstr(&text));
  buf_done(&text);
  return false;
}

static bool check_sandbox(const SchedulerConfig *config, DerivationType type, Span drv_path, const DrvOptions *options,
                          bool *ret_no_sandbox, Err *err) {
  *ret_no_sandbox = config->no_sandbox;
  if (config->no_sandbox) return true;
  if (config->relaxed_sandbox) {
    bool has_network = type == DERIVATION_TYPE_FIXED || type == DERIVATION_TYPE_IMPURE;
    *ret_no_sandbox = options->no_chroot || has_network;
    return true;
  }
  if (!options->no_chroot) return true;
  return err_set(err, ERR_OTHER,
                 "derivation '%.*s' has '__noChroot' set, but that's not allowed when 'sandbox' is 'true'",
                 SPAN_ARG(drv_path));
}

bool goal_check_can_build(const SchedulerConfig *config, const Derivation *drv, DerivationType type, Span drv_path,
                          const DrvOptions *options, bool *ret_no_sandbox, Err *err) {
  *ret_no_sandbox = false;
  bool builtin = span_has_prefix(drv->builder, SPAN("builtin:"));
  if (!builtin && !span_eq_cstr(drv->platform, config->system) && !contains(config->extra_platforms, drv->platform))
    return refuse_machine(config, drv, drv_path, options, err);
  for (size_t i = 0; i < options->required_system_features.count; i++)
    if (!contains(config->system_features, options->required_system_features.items[i]))
      return refuse_machine(config, drv, drv_path, options, err);
  if (!builtin && !config->max_jobs)
    return err_set(err, ERR_OTHER, "unable to start any build; either increase '--max-jobs' or enable remote builds");
  return builtin || check_sandbox(config, type, drv_path, options, ret_no_sandbox, err);
}
