// fetch_builtin.h: fetchurl, fetchTarball, fetchGit: what is fetched while evaluating.
#pragma once

#include "eval/builtin.h"

enum { FETCH_BUILTIN_COUNT = 3 };
extern const Builtin fetch_builtin_rows[FETCH_BUILTIN_COUNT];
