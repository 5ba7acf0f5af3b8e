// user_dirs.c: see user_dirs.h.
#include "cli/user_dirs.h"

#include <stdlib.h>

void user_dirs_path(const Setting *settings, const char *name, Buf *ret) {
  const char *home = getenv("HOME"), *nix = getenv("NIX_STATE_HOME"), *xdg = getenv("XDG_STATE_HOME");
  if (!home || !*home) home = "/";
  if (!setting_bool(settings, SETTING_ID_use_xdg_base_directories)) buf_printf(ret, "%s/.nix-%s", home, name);
  else if (nix && *nix) buf_printf(ret, "%s/%s", nix, name);
  else if (xdg && *xdg) buf_printf(ret, "%s/nix/%s", xdg, name);
  else buf_printf(ret, "%s/.local/state/nix/%s", home, name);
}
