// env_query.h: nix-env --query: tables and JSON of packages that are installed or available.
#pragma once

#include "cli/user_env.h"

int env_query_run(Session *session, const char *profile);
