// env_option.h: the environment of the programs that `nix shell`, `nix run` and `nix develop` start: ours, as --ignore-env, --keep-env-var,
// --unset-env-var and --set-env-var change it.
#pragma once

#include "cli/env_vars.h"
#include "cli/session.h"

// *ret is ENV_VARS_INIT before.
MUST_CHECK bool env_option_read(Session *session, EnvVars *ret, Err *err);
