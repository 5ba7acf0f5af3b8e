// goal_check.h: can this machine, with these settings, build this derivation? Nix 2.26: canBuildLocally, tryLocalBuild.
#pragma once

#include "realise/drv_options.h"
#include "realise/scheduler.h"

// Fails with Nix's messages. *ret_no_sandbox: the settings say that this one runs without isolation.
MUST_CHECK bool goal_check_can_build(const SchedulerConfig *config, const Derivation *drv, DerivationType type,
                                     Span drv_path, const DrvOptions *options, bool *ret_no_sandbox, Err *err);
