// env_vars.h: the environment of a program that is about to be run, as a set of variables.
#pragma once

#include "base/buf.h"
#include "base/map.h"

typedef struct EnvVars {
  Map vars; // name -> value (owned)
} EnvVars;

#define ENV_VARS_INIT \
  { MAP_INIT }

void env_vars_done(EnvVars *vars);
// Adds what this process was given.
void env_vars_inherit(EnvVars *vars);
void env_vars_set(EnvVars *vars, Span name, Span value);
void env_vars_set_cstr(EnvVars *vars, const char *name, const char *value);
void env_vars_remove(EnvVars *vars, Span name);
const char *env_vars_get(const EnvVars *vars, const char *name); // NULL when unset; borrowed
// Removes every variable whose name is not among `names`.
void env_vars_keep_only(EnvVars *vars, const Map *names);
// NULL-terminated "NAME=VALUE", owned by the caller together with its strings.
char **env_vars_take_strings(EnvVars *vars);
// Appends `text` as one word of a POSIX shell: 'it'\''s'.
void env_vars_quote(Buf *ret, Span text);
