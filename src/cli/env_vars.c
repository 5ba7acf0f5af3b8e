// env_vars.c: see env_vars.h.
#include "cli/env_vars.h"

#include <unistd.h>

#include "base/mem.h"

void env_vars_done(EnvVars *vars) {
  for (MapEntry *e = map_first(&vars->vars); e; e = map_next(&vars->vars, e)) mem_free(e->value);
  map_done(&vars->vars);
}

void env_vars_inherit(EnvVars *vars) {
  for (char **at = environ; *at; at++) {
    Span value = span_cstr(*at), name;
    if (span_split(&value, '=', &name)) env_vars_set(vars, name, value);
  }
}

void env_vars_set(EnvVars *vars, Span name, Span value) {
  mem_free(map_set(&vars->vars, name, span_dup(value)));
}

void env_vars_set_cstr(EnvVars *vars, const char *name, const char *value) {
  env_vars_set(vars, span_cstr(name), span_cstr(value));
}

void env_vars_remove(EnvVars *vars, Span name) {
  mem_free(map_remove(&vars->vars, name));
}

const char *env_vars_get(const EnvVars *vars, const char *name) {
  return map_get(&vars->vars, span_cstr(name));
}

void env_vars_keep_only(EnvVars *vars, const Map *names) {
  for (MapEntry *e = map_first(&vars->vars); e; e = map_next(&vars->vars, e)) {
    Span name = span_make(e->key, e->key_len);
    if (!map_has(names, name)) env_vars_remove(vars, name);
  }
}

char **env_vars_take_strings(EnvVars *vars) {
  char **strings = mem_alloc_array(vars->vars.live_count + 1, sizeof(*strings));
  size_t count = 0;
  for (MapEntry *e = map_first(&vars->vars); e; e = map_next(&vars->vars, e)) {
    Buf text = BUF_INIT;
    buf_printf(&text, "%s=%s", e->key, (const char *)e->value);
    strings[count++] = buf_take(&text);
  }
  strings[count] = NULL;
  env_vars_done(vars);
  return strings;
}

void env_vars_quote(Buf *ret, Span text) {
  buf_put_char(ret, '\'');
  for (size_t i = 0; i < text.len; i++) {
    if (text.data[i] == '\'') buf_put_cstr(ret, "'\\''");
    else buf_put_char(ret, text.data[i]);
  }
  buf_put_char(ret, '\'');
}
