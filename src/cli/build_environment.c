// build_environment.c: see build_environment.h.
#include "cli/build_environment.h"

#include <stdlib.h>

#include "base/fs.h"
#include "cli/command.h"
#include "cli/embedded.h"
#include "cli/env_vars.h"
#include "formats/json_write.h"
#include "store/store_add.h"

// ---- reading and writing JSON

static Span type_of(const JsonTree *variable) {
  const JsonTree *type = json_tree_get(variable, SPAN("type"));
  return type && type->kind == JSON_TREE_STRING ? type->string : SPAN("");
}

// Whether `value` is of the kind that the type promises.
static bool is_well_typed(const JsonTree *variable) {
  const JsonTree *value = json_tree_get(variable, SPAN("value"));
  Span type = type_of(variable);
  if (!value) return false;
  if (span_eq_cstr(type, "array")) return value->kind == JSON_TREE_ARRAY;
  if (span_eq_cstr(type, "associative")) return value->kind == JSON_TREE_OBJECT;
  return (span_eq_cstr(type, "exported") || span_eq_cstr(type, "var")) && value->kind == JSON_TREE_STRING;
}

static bool all_strings(const JsonTree *tree) {
  for (size_t i = 0; i < tree->count; i++)
    if (tree->items[i].kind != JSON_TREE_STRING) return false;
  return true;
}

bool build_environment_parse(Span text, Arena *arena, BuildEnvironment *ret, Err *err) {
  JsonTree root;
  if (!json_tree_parse(text, arena, &root, err)) return err_wrap(err, "reading the environment of a build");
  const JsonTree *functions = json_tree_get(&root, SPAN("bashFunctions")),
                 *variables = json_tree_get(&root, SPAN("variables")),
                 *structured = json_tree_get(&root, SPAN("structuredAttrs"));
  if (!functions || functions->kind != JSON_TREE_OBJECT || !all_strings(functions) || !variables ||
      variables->kind != JSON_TREE_OBJECT)
    return err_set(err, ERR_SYNTAX, "reading the environment of a build: functions or variables are missing");
  *ret = (BuildEnvironment){.functions = *functions, .variables = *variables, .structured = {.kind = JSON_TREE_NULL}};
  if (structured && structured->kind == JSON_TREE_OBJECT && all_strings(structured)) ret->structured = *structured;
  // Other kinds of variables than these four are of no use to a shell.
  size_t kept = 0;
  for (size_t i = 0; i < ret->variables.count; i++) {
    const JsonTree *variable = &ret->variables.items[i], *value = json_tree_get(variable, SPAN("value"));
    if (is_well_typed(variable) && all_strings(value)) ret->variables.items[kept++] = *variable;
  }
  ret->variables.count = kept;
  return true;
}

bool build_environment_format_json(const BuildEnvironment *environment, Buf *ret, Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  JsonTree root = {.kind = JSON_TREE_OBJECT};
  json_tree_set(&root, &arena, SPAN("bashFunctions"), environment->functions);
  json_tree_set(&root, &arena, SPAN("variables"), environment->variables);
  if (environment->structured.kind == JSON_TREE_OBJECT)
    json_tree_set(&root, &arena, SPAN("structuredAttrs"), environment->structured);
  return json_tree_format(&root, ret, err);
}

Span build_environment_get(const BuildEnvironment *environment, const char *name) {
  const JsonTree *variable = json_tree_get(&environment->variables, span_cstr(name));
  const JsonTree *value = variable ? json_tree_get(variable, SPAN("value")) : NULL;
  return value && value->kind == JSON_TREE_STRING ? value->string : SPAN("");
}

// ---- the script

// What the shell's own environment says better than the builder's.
static bool is_ignored(Span name) {
  static const char *const names[] = {"BASHOPTS",
                                      "HOME",
                                      "NIX_BUILD_TOP",
                                      "NIX_ENFORCE_PURITY",
                                      "NIX_LOG_FD",
                                      "NIX_REMOTE",
                                      "PPID",
                                      "SHELLOPTS",
                                      "SSL_CERT_FILE",
                                      "TEMP",
                                      "TEMPDIR",
                                      "TERM",
                                      "TMP",
                                      "TMPDIR",
                                      "TZ",
                                      "UID"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++)
    if (span_eq_cstr(name, names[i])) return true;
  return false;
}

static void put_variable(const JsonTree *variable, Buf *ret) {
  const JsonTree *value = json_tree_get(variable, SPAN("value"));
  Span type = type_of(variable), name = variable->key;
  if (value->kind == JSON_TREE_STRING) {
    buf_printf(ret, "%.*s=", SPAN_ARG(name));
    env_vars_quote(ret, value->string);
    buf_put_char(ret, '\n');
    if (span_eq_cstr(type, "exported")) buf_printf(ret, "export %.*s\n", SPAN_ARG(name));
    return;
  }
  bool is_map = value->kind == JSON_TREE_OBJECT;
  buf_printf(ret, "declare -%c %.*s=(", is_map ? 'A' : 'a', SPAN_ARG(name));
  for (size_t i = 0; i < value->count; i++) {
    if (is_map) {
      buf_put_char(ret, '[');
      env_vars_quote(ret, value->items[i].key);
      buf_put_cstr(ret, "]=");
    }
    env_vars_quote(ret, value->items[i].string);
    buf_put_char(ret, ' ');
  }
  buf_put_cstr(ret, ")\n");
}

static void put_script(const BuildEnvironment *environment, Buf *ret) {
  // Put behind what the shell has: commands stay usable, and so does completion.
  static const char *const saved[] = {"PATH", "XDG_DATA_DIRS"};
  static const char *const temporary[] = {"TMP", "TMPDIR", "TEMP", "TEMPDIR"};
  buf_put_cstr(ret, "unset shellHook\n");
  for (size_t i = 0; i < ARRAY_LEN(saved); i++)
    buf_printf(ret, "%s=${%s:-}\nnix_saved_%s=\"$%s\"\n", saved[i], saved[i], saved[i], saved[i]);
  for (size_t i = 0; i < environment->variables.count; i++)
    if (!is_ignored(environment->variables.items[i].key)) put_variable(&environment->variables.items[i], ret);
  for (size_t i = 0; i < environment->functions.count; i++)
    buf_printf(ret, "%.*s ()\n{\n%.*s}\n", SPAN_ARG(environment->functions.items[i].key),
               SPAN_ARG(environment->functions.items[i].string));
  for (size_t i = 0; i < ARRAY_LEN(saved); i++)
    buf_printf(ret, "%s=\"$%s${nix_saved_%s:+:$nix_saved_%s}\"\n", saved[i], saved[i], saved[i], saved[i]);
  buf_put_cstr(ret, "export NIX_BUILD_TOP=\"$(mktemp -d -t nix-shell.XXXXXX)\"\n");
  for (size_t i = 0; i < ARRAY_LEN(temporary); i++) buf_printf(ret, "export %s=\"$NIX_BUILD_TOP\"\n", temporary[i]);
  buf_put_cstr(ret, "eval \"${shellHook:-}\"\n");
}

typedef struct Rewrites {
  BuildEnvironmentRewrite *items; // in `arena`
  size_t count, cap;
  Arena *arena;
} Rewrites;

static void add_rewrite(Rewrites *rewrites, Span from, Span to) {
  if (from.len == 0 || rewrites->count == rewrites->cap) return;
  rewrites->items[rewrites->count++] = (BuildEnvironmentRewrite){from, to};
}

static Span below(Arena *arena, Span dir, Span name) {
  return span_cstr(arena_printf(arena, "%.*s/%.*s", SPAN_ARG(dir), SPAN_ARG(name)));
}

// `outputs` is a list of names, or with structured attributes a map to paths.
static bool add_outputs(const BuildEnvironment *environment, Span dir, Rewrites *rewrites, Err *err) {
  const JsonTree *variable = json_tree_get(&environment->variables, SPAN("outputs"));
  const JsonTree *value = variable ? json_tree_get(variable, SPAN("value")) : NULL;
  if (!value) return err_set(err, ERR_OTHER, "the environment of the build has no variable 'outputs'");
  for (size_t i = 0; i < value->count; i++) {
    bool is_map = value->kind == JSON_TREE_OBJECT;
    Span name = is_map ? value->items[i].key : value->items[i].string;
    Span path =
        is_map ? value->items[i].string : build_environment_get(environment, arena_dup(rewrites->arena, name).data);
    add_rewrite(rewrites, path, below(rewrites->arena, dir, name));
  }
  if (value->kind != JSON_TREE_STRING) return true;
  Span rest = value->string, word;
  for (bool more = true; more;) {
    more = span_split(&rest, ' ', &word);
    word = span_trim(word);
    if (!word.len) continue;
    Span path = build_environment_get(environment, arena_dup(rewrites->arena, word).data);
    add_rewrite(rewrites, path, below(rewrites->arena, dir, word));
  }
  return true;
}

// The attribute files lay in the builder's world.
static bool add_files(const BuildEnvironment *environment, Span dir, Rewrites *rewrites, Err *err) {
  static const struct {
    const char *file, *variable;
  } files[] = {{".attrs.sh", "NIX_ATTRS_SH_FILE"}, {".attrs.json", "NIX_ATTRS_JSON_FILE"}};
  if (environment->structured.kind != JSON_TREE_OBJECT) return true;
  for (size_t i = 0; i < ARRAY_LEN(files); i++) {
    const JsonTree *text = json_tree_get(&environment->structured, span_cstr(files[i].file));
    Span target = below(rewrites->arena, dir, span_cstr(files[i].file));
    if (text && !fs_write_file_atomic(target.data, text->string, 0644, false, err)) return false;
    add_rewrite(rewrites, build_environment_get(environment, files[i].variable), target);
  }
  return true;
}

static void put_rewritten(Span script, const Rewrites *rewrites, Buf *ret) {
  for (size_t i = 0; i < script.len;) {
    const BuildEnvironmentRewrite *found = NULL;
    for (size_t j = 0; script.data[i] == '/' && j < rewrites->count && !found; j++)
      if (span_has_prefix(span_from(script, i), rewrites->items[j].from)) found = &rewrites->items[j];
    if (found) {
      buf_put_span(ret, found->to);
      i += found->from.len;
    } else {
      buf_put_char(ret, script.data[i++]);
    }
  }
}

bool build_environment_format_script(const BuildEnvironment *environment, Span outputs_dir, Span files_dir,
                                     const BuildEnvironmentRewrite *rewrites, size_t rewrite_count, Buf *ret,
                                     Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Buf script CLEANUP(buf_done) = BUF_INIT;
  // An output for each variable at most, and the two files.
  Rewrites all = {.cap = environment->variables.count + rewrite_count + 1026, .arena = &arena};
  all.items = ARENA_ARRAY(&arena, BuildEnvironmentRewrite, all.cap);
  if (!add_outputs(environment, outputs_dir, &all, err) || !add_files(environment, files_dir, &all, err)) return false;
  for (size_t i = 0; i < rewrite_count; i++) add_rewrite(&all, rewrites[i].from, rewrites[i].to);
  put_script(environment, &script);
  put_rewritten(buf_span(&script), &all, ret);
  return true;
}

// ---- the derivation

static bool is_check(Span name) {
  static const char *const names[] = {"allowedReferences", "allowedRequisites", "disallowedReferences",
                                      "disallowedRequisites"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++)
    if (span_eq_cstr(name, names[i])) return true;
  return false;
}

// As the builder of `drv` with get_env.sh: arrays are copied into `arena`.
static void change_derivation(const Derivation *drv, Span script, Arena *arena, Derivation *ret) {
  *ret = *drv;
  ret->name = span_cstr(arena_printf(arena, "%.*s-env", SPAN_ARG(drv->name)));
  ret->args = ARENA_NEW(arena, Span);
  ret->args[0] = script;
  ret->arg_count = 1;
  ret->input_srcs = ARENA_ARRAY(arena, Span, drv->input_src_count + 1);
  if (drv->input_src_count) memcpy(ret->input_srcs, drv->input_srcs, drv->input_src_count * sizeof(Span));
  ret->input_srcs[ret->input_src_count++] = script;
  derivation_sort_spans(ret->input_srcs, &ret->input_src_count);
  ret->outputs = ARENA_ARRAY(arena, DerivationOutput, drv->output_count);
  for (size_t i = 0; i < drv->output_count; i++)
    ret->outputs[i] = (DerivationOutput){.name = drv->outputs[i].name, .kind = DERIVATION_DEFERRED};
  ret->env = ARENA_ARRAY(arena, DerivationEnv, drv->env_count + 1 + drv->output_count);
  ret->env_count = 0;
  for (size_t i = 0; i < drv->env_count; i++)
    if (!is_check(drv->env[i].name)) ret->env[ret->env_count++] = drv->env[i];
}

static int cmp_env(const void *a, const void *b) {
  return span_cmp(((const DerivationEnv *)a)->name, ((const DerivationEnv *)b)->name);
}

// Structured attributes keep their variables in __json: those of outputs are added only here.
static void set_env(Derivation *drv, Span name, Span value) {
  DerivationEnv *entry = derivation_find_env(drv, name);
  if (entry) {
    entry->value = value;
    return;
  }
  drv->env[drv->env_count++] = (DerivationEnv){name, value};
  qsort(drv->env, drv->env_count, sizeof(*drv->env), cmp_env);
}

static bool seal(KnownPaths *known, Span store_dir, Derivation *drv, Arena *arena, StorePath *ret, Err *err) {
  DerivationModuloScratch scratch CLEANUP(derivation_modulo_scratch_done) = DERIVATION_MODULO_SCRATCH_INIT;
  DerivationSealed sealed;
  if (!known_paths_seal(known, store_dir, drv, arena, &scratch, &sealed, err)) return false;
  *ret = sealed.drv_path;
  known_paths_add(known, drv, &sealed);
  return true;
}

bool build_environment_instantiate(Session *session, const StorePath *drv_path, StorePath *ret, Err *err) {
  Store *store;
  StorePath script;
  Buf script_path CLEANUP(buf_done) = BUF_INIT;
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Derivation changed;
  Span dir = session_store_dir(session);
  const Derivation *drv = session_derivation(session, drv_path, err);
  if (!drv) return false;
  if (!span_eq_cstr(fs_path_base(drv->builder), "bash"))
    return err_set(err, ERR_OTHER, "'nix develop' only works on derivations that use 'bash' as their builder");
  if (!session_store(session, &store, err) ||
      !store_add_text(store, SPAN("get-env.sh"), span_cstr(embedded_get_env_sh), NULL, 0, &script, err))
    return false;
  store_path_format(&script, dir, &script_path);
  change_derivation(drv, buf_span(&script_path), &arena, &changed);
  set_env(&changed, SPAN("name"), changed.name);
  for (size_t i = 0; i < changed.output_count; i++) set_env(&changed, changed.outputs[i].name, SPAN(""));
  // What the changed derivation refers to must outlive it.
  return seal(store_io_known(session->io), dir, &changed, &arena, ret, err) && store_io_flush(session->io, err);
}
