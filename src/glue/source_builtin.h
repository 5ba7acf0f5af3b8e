// source_builtin.h: copying files into the store: path, filterSource, toFile, storePath.
#pragma once

#include "eval/builtin.h"

typedef struct Glue Glue;

enum { SOURCE_BUILTIN_COUNT = 4 };
extern const Builtin source_builtin_rows[SOURCE_BUILTIN_COUNT];

// Filters that were running when evaluation ended.
void source_builtin_free_walks(Glue *glue);
