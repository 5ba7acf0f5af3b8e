// fetch_repo_builtin.h: fetchGit, fetchMercurial: trees of repositories, fetched while evaluating.
#pragma once

#include "eval/builtin.h"

enum { FETCH_REPO_BUILTIN_COUNT = 2 };
extern const Builtin fetch_repo_builtin_rows[FETCH_REPO_BUILTIN_COUNT];
