// user_dirs.h: where a user's profile, channels and expressions are: ~/.nix-profile, ~/.nix-channels and ~/.nix-defexpr, or with the setting
// use-xdg-base-directories under the same names without ".nix-" in $XDG_STATE_HOME/nix. Nix 2.26: getDefaultProfile, getNixDefExpr.
#pragma once

#include "cli/setting.h"

// `name`: "profile", "channels" or "defexpr". Absolute; appended.
void user_dirs_path(const Setting *settings, const char *name, Buf *ret);
