// env_option.c: see env_option.h.
#include "cli/env_option.h"

static bool is_keep(OptionId id) {
  return id == OPT_keep_env_var || id == OPT_keep_env;
}
static bool is_unset(OptionId id) {
  return id == OPT_unset_env_var || id == OPT_unset_env;
}

static bool check(const OptionList *options, bool ignore, Err *err) {
  Map set CLEANUP(map_done) = MAP_INIT;
  for (size_t i = 0; i < options->use_count; i++) {
    const OptionUse *use = &options->uses[i];
    if (is_keep(use->id) && !ignore)
      return err_set(err, ERR_USAGE, "--keep-env-var does not make sense without --ignore-env");
    if (is_unset(use->id) && ignore)
      return err_set(err, ERR_USAGE, "--unset-env-var does not make sense with --ignore-env");
    if (use->id != OPT_set_env_var) continue;
    if (map_has(&set, span_cstr(use->args[0])))
      return err_set(err, ERR_USAGE, "'--set-env-var %s' is given twice", use->args[0]);
    map_set(&set, span_cstr(use->args[0]), NULL);
  }
  for (size_t i = 0; i < options->use_count; i++)
    if (is_unset(options->uses[i].id) && map_has(&set, span_cstr(options->uses[i].args[0])))
      return err_set(err, ERR_USAGE, "the environment variable '%s' is to be set and to be unset",
                     options->uses[i].args[0]);
  return true;
}

bool env_option_read(Session *session, EnvVars *ret, Err *err) {
  const OptionList *options = &session->options;
  bool ignore = option_has(options, OPT_ignore_env) || option_has(options, OPT_ignore_environment);
  Map kept CLEANUP(map_done) = MAP_INIT;
  if (!check(options, ignore, err)) return false;
  env_vars_inherit(ret);
  for (size_t i = 0; i < options->use_count; i++)
    if (is_keep(options->uses[i].id)) map_set(&kept, span_cstr(options->uses[i].args[0]), NULL);
  if (ignore) env_vars_keep_only(ret, &kept);
  for (size_t i = 0; i < options->use_count; i++) {
    const OptionUse *use = &options->uses[i];
    if (use->id == OPT_set_env_var) env_vars_set_cstr(ret, use->args[0], use->args[1]);
    if (is_unset(use->id)) env_vars_remove(ret, span_cstr(use->args[0]));
  }
  return true;
}
