// builder_settings.h: what the settings say about how builders run on this machine: sandbox, paths in it, limits.
#pragma once

#include "build/local_builder.h"
#include "cli/setting.h"

// Fills everything but the store's directories. Text lives in `arena`. Fails for values that make no sense, and for sandbox paths that are not there.
MUST_CHECK bool builder_settings_read(const Setting *settings, Arena *arena, LocalBuilderConfig *ret, Err *err);
// Says, once a run, when the settings name other machines to build on: there is no such thing here, and builds run on this one.
void builder_settings_check_remote(const Setting *settings);
