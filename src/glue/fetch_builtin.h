// fetch_builtin.h: fetchurl, fetchTarball: what is fetched while evaluating.
#pragma once

#include "eval/builtin.h"

enum { FETCH_BUILTIN_COUNT = 2 };
extern const Builtin fetch_builtin_rows[FETCH_BUILTIN_COUNT];
