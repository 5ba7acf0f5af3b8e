// env_query.c: see env_query.h. Columns and JSON are those of Nix 2.26.
#include "cli/env_query.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/env_source.h"
#include "cli/package_selector.h"
#include "cli/substitution.h"
#include "eval/print_xml.h"
#include "formats/drv_name.h"
#include "formats/json_write.h"

typedef struct Query {
  Session *session;
  const char *profile;
  PackageSet *available; // NULL: not asked for
  PackageSet *installed;
  bool from_available;
  size_t *indexes; // of what is printed
  size_t count;
  Map installed_paths, substitutable_paths;
} Query;

static bool has(const Query *query, OptionId id) {
  return option_has(&query->session->options, id);
}
static PackageSet *source(const Query *query) {
  return query->from_available ? query->available : query->installed;
}

// The installed packages as a set like any other: the manifest is an expression.
static PackageSet *open_installed(Query *query, int *ret_code) {
  Session *session = query->session;
  UserEnv none CLEANUP(user_env_done) = {0};
  StorePath current;
  Err err = ERR_INIT;
  bool found;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  const char *attr = "";
  if (!user_env_read(session, query->profile, &none, ret_code)) return NULL; // checks what kind of profile it is
  if (!user_env_current(session, query->profile, &current, &found, &err))
    return *ret_code = session_fail(session, &err), NULL;
  TargetRoot root = {TARGET_EXPR, "[ ]"};
  if (found && none.count) {
    store_path_format(&current, session_store_dir(session), &path);
    buf_put_cstr(&path, "/manifest.nix");
    root = (TargetRoot){TARGET_FILE, arena_dup(&session->arena, buf_span(&path)).data};
  }
  TargetQuery all = {.roots = &root, .root_count = 1, .attr_paths = &attr, .attr_path_count = 1};
  return package_set_new(session, &all, false, ret_code);
}

// In a query, -A takes an argument, which the parser has left among the operands.
static const char *take_attr_path(Session *session) {
  OptionList *options = &session->options;
  for (size_t i = 0; i < options->use_count; i++) {
    const OptionUse *use = &options->uses[i];
    if (use->id != OPT_env_attr || use->operand_at >= options->operand_count) continue;
    const char *path = options->operands[use->operand_at];
    memmove(options->operands + use->operand_at, options->operands + use->operand_at + 1,
            (options->operand_count - use->operand_at - 1) * sizeof(*options->operands));
    options->operand_count--;
    return path;
  }
  return "";
}

static int cmp_packages(const void *a, const void *b, void *ctx) {
  Span x = package_set_get(ctx, *(const size_t *)a)->name, y = package_set_get(ctx, *(const size_t *)b)->name;
  for (size_t i = 0; i < x.len && i < y.len; i++) {
    int c = toupper((unsigned char)x.data[i]) - toupper((unsigned char)y.data[i]);
    if (c) return c;
  }
  if (x.len != y.len) return x.len < y.len ? -1 : 1;
  return (*(const size_t *)a > *(const size_t *)b) - (*(const size_t *)a < *(const size_t *)b);
}

static bool open_sources(Query *query, int *ret_code) {
  Session *session = query->session;
  bool compares = has(query, OPT_compare_versions);
  size_t *available = NULL, available_count = 0;
  query->from_available = has(query, OPT_available);
  const char *attr = take_attr_path(session);
  if (!query->from_available || compares || has(query, OPT_status)) {
    query->installed = open_installed(query, ret_code);
    if (!query->installed) return false;
  }
  if (query->from_available || compares) {
    query->available = env_source_all(session, attr, &available, &available_count, ret_code);
    if (!query->available) return false;
  }
  if (query->from_available) {
    query->indexes = available;
    query->count = available_count;
  } else {
    mem_free(available);
    query->indexes = package_set_indexes(query->installed, &query->count);
  }
  if (!env_source_filter(session, source(query), session->options.operands, session->options.operand_count, false,
                         &query->indexes, &query->count, ret_code))
    return false;
  if (query->count) qsort_r(query->indexes, query->count, sizeof(size_t), cmp_packages, source(query));
  return true;
}

// Whether a binary cache has them, all asked side by side.
static bool find_substitutable(Query *query, int *ret_code) {
  Session *session = query->session;
  Substituters *substituters;
  Err err = ERR_INIT;
  if (!substitution_open(session, &substituters, &err)) return *ret_code = session_fail(session, &err), false;
  if (!substituters) return true;
  StorePathList paths = STORE_PATH_LIST_INIT;
  bool ok = true;
  for (size_t i = 0; ok && i < query->count; i++) {
    StorePath path;
    Span text = package_set_get(source(query), query->indexes[i])->out_path;
    ok = store_path_parse(text, session_store_dir(session), &path, &err);
    if (ok) store_path_list_add(&paths, &path);
  }
  if (ok) substituters_prefetch(substituters, paths.paths, paths.count);
  for (size_t i = 0; ok && i < query->count; i++) {
    SubstitutersInfo info;
    ok = substituters_query(substituters, &paths.paths[i], &info, &err);
    if (ok && info.found)
      map_set(&query->substitutable_paths, package_set_get(source(query), query->indexes[i])->out_path, NULL);
  }
  store_path_list_done(&paths);
  if (!ok) *ret_code = session_fail(session, &err);
  return ok;
}

// The parts of descriptions that are looked at before anything is printed, and all that are printed.
static unsigned wanted_before(const Query *query) {
  return has(query, OPT_status) || has(query, OPT_prebuilt_only) ? PACKAGE_OUT_PATH : 0;
}

static unsigned wanted_parts(const Query *query) {
  unsigned parts = wanted_before(query);
  bool is_tree = has(query, OPT_env_json) || has(query, OPT_env_xml);
  if (has(query, OPT_env_drv_path)) parts |= PACKAGE_DRV_PATH;
  if (has(query, OPT_env_out_path)) parts |= PACKAGE_OUTPUT_PATHS;
  if (is_tree) parts |= PACKAGE_OUTPUT_NAMES;
  if (is_tree && has(query, OPT_env_meta)) parts |= PACKAGE_META;
  if (has(query, OPT_description) && !has(query, OPT_env_json)) parts |= PACKAGE_DESCRIPTION;
  return parts;
}

// An assertion or `throw` stands in the way of one of these parts.
static bool lacks(const Package *package, unsigned parts) {
  if ((package->failed_parts & parts) == 0) return false;
  log_msg(LOG_TALKATIVE, "skipping derivation named '%.*s' which gives an assertion failure", SPAN_ARG(package->name));
  return true;
}

// Leaves out packages that cannot be evaluated as far as has to be known before anything is printed.
static void drop_failed(Query *query) {
  size_t kept = 0;
  for (size_t i = 0; i < query->count; i++)
    if (!lacks(package_set_get(source(query), query->indexes[i]), wanted_before(query)))
      query->indexes[kept++] = query->indexes[i];
  query->count = kept;
}

static bool describe(Query *query, int *ret_code) {
  unsigned parts = wanted_parts(query);
  if (parts && !package_set_parts(source(query), parts, query->indexes, query->count, ret_code)) return false;
  drop_failed(query);
  if (!has(query, OPT_status) || !query->installed) return true;
  if (!package_set_complete_all(query->installed, ret_code)) return false;
  for (size_t i = 0; i < package_set_count(query->installed); i++)
    map_set(&query->installed_paths, package_set_get(query->installed, i)->out_path, NULL);
  return find_substitutable(query, ret_code);
}

// ---- the table

typedef struct Table {
  char **cells; // owned, row by row
  size_t count, cap, columns;
} Table;

static void add_cell(Table *table, Span text) {
  MEM_RESERVE(table->cells, table->cap, table->count + 1);
  char *cell = span_dup(text);
  for (char *p = cell; *p; p++)
    if (*p == '\n') *p = ' ';
  table->cells[table->count++] = cell;
}

static void print_table(Session *session, Table *table) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  size_t widths[16] = {0};
  for (size_t i = 0; i < table->count; i++) {
    size_t len = strlen(table->cells[i]);
    if (len > widths[i % table->columns]) widths[i % table->columns] = len;
  }
  for (size_t i = 0; i < table->count; i++) {
    bool last = i % table->columns == table->columns - 1;
    buf_put_cstr(&out, table->cells[i]);
    if (last) buf_put_char(&out, '\n');
    else buf_put_repeat(&out, ' ', widths[i % table->columns] - strlen(table->cells[i]) + 2);
    mem_free(table->cells[i]);
  }
  mem_free(table->cells);
  session_print(session, buf_span(&out));
}

// The versions of the other side: '>' only older ones, '=' the same, '<' a newer one, '-' none; and which.
static char compare_versions(const Query *query, const Package *package, Span *ret_best) {
  const PackageSet *others = query->from_available ? query->installed : query->available;
  Span name, version, best = SPAN("?");
  char sign = '-';
  drv_name_parse(package->name, &name, &version);
  for (size_t i = 0; i < package_set_count(others); i++) {
    Span other, other_version;
    drv_name_parse(package_set_get(others, i)->name, &other, &other_version);
    if (!span_eq(other, name)) continue;
    int c = drv_name_compare_versions(version, other_version);
    if (c < 0) {
      sign = '<';
      best = other_version;
    } else if (sign != '<' && c == 0) {
      sign = '=';
      best = other_version;
    } else if (sign != '<' && sign != '=' && (sign == '-' || drv_name_compare_versions(best, other_version) < 0)) {
      sign = '>';
      best = other_version;
    }
  }
  *ret_best = best;
  return sign;
}

static void put_comparison(const Query *query, const Package *package, Buf *ret) {
  Span best;
  char sign = compare_versions(query, package, &best);
  buf_printf(ret, "%c %.*s", sign, SPAN_ARG(best));
}

static int cmp_outputs(const void *a, const void *b) {
  return span_cmp(((const PackageOutput *)a)->name, ((const PackageOutput *)b)->name);
}

static void put_outputs(const Package *package, Buf *ret) {
  qsort(package->outputs, package->output_count, sizeof(PackageOutput), cmp_outputs);
  for (size_t i = 0; i < package->output_count; i++) {
    const PackageOutput *output = &package->outputs[i];
    if (i) buf_put_char(ret, ';');
    if (!span_eq_cstr(output->name, "out")) buf_printf(ret, "%.*s=", SPAN_ARG(output->name));
    buf_put_span(ret, output->path);
  }
}

static void add_row(Query *query, Table *table, const Package *package, bool is_valid) {
  Buf cell CLEANUP(buf_done) = BUF_INIT;
  size_t start = table->count;
  if (has(query, OPT_status)) {
    buf_printf(&cell, "%c%c%c", map_has(&query->installed_paths, package->out_path) ? 'I' : '-', is_valid ? 'P' : '-',
               map_has(&query->substitutable_paths, package->out_path) ? 'S' : '-');
    add_cell(table, buf_span(&cell));
  }
  if (has(query, OPT_attr_path)) add_cell(table, package->attr_path);
  if (!has(query, OPT_no_name)) add_cell(table, package->name);
  if (has(query, OPT_compare_versions)) {
    buf_clear(&cell);
    put_comparison(query, package, &cell);
    add_cell(table, buf_span(&cell));
  }
  if (has(query, OPT_env_system)) add_cell(table, package->system);
  if (has(query, OPT_env_drv_path)) add_cell(table, package->drv_path.len ? package->drv_path : SPAN("-"));
  if (has(query, OPT_env_out_path)) {
    buf_clear(&cell);
    put_outputs(package, &cell);
    add_cell(table, buf_span(&cell));
  }
  if (has(query, OPT_description)) {
    const JsonTree *text = package_meta(package, SPAN("description"));
    add_cell(table, text && text->kind == JSON_TREE_STRING ? text->string : SPAN(""));
  }
  table->columns = table->count - start;
}

// ---- JSON

static bool put_field(JsonWrite *json, const char *key, Span value, Err *err) {
  return json_write_key(json, span_cstr(key), err) && json_write_str(json, value, err);
}

// Values of meta attributes, with indentation.
static bool put_tree(JsonWrite *json, const JsonTree *tree, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  bool is_object = tree->kind == JSON_TREE_OBJECT;
  if (!is_object && tree->kind != JSON_TREE_ARRAY) {
    if (!json_tree_format(tree, &text, err)) return false;
    json_write_raw(json, buf_span(&text));
    return true;
  }
  if (is_object) json_write_object_begin(json);
  else json_write_array_begin(json);
  for (size_t i = 0; i < tree->count; i++)
    if ((is_object && !json_write_key(json, tree->items[i].key, err)) || !put_tree(json, &tree->items[i], err))
      return false;
  if (is_object) json_write_object_end(json);
  else json_write_array_end(json);
  return true;
}

static bool put_meta(Query *query, JsonWrite *json, const Package *package, Err *err) {
  JsonTree all = {.kind = JSON_TREE_OBJECT};
  Arena *arena = &query->session->arena;
  for (size_t i = 0; i < package->meta.count; i++)
    json_tree_set(&all, arena, package->meta.items[i].key, package->meta.items[i]);
  for (size_t i = 0; i < package->bad_meta.count; i++) {
    Span name = package->bad_meta.items[i].string;
    log_msg(LOG_NOTICE, "derivation '%.*s' has invalid meta attribute '%.*s'", SPAN_ARG(package->name), SPAN_ARG(name));
    json_tree_set(&all, arena, name, (JsonTree){.kind = JSON_TREE_NULL});
  }
  return json_write_key(json, SPAN("meta"), err) && put_tree(json, &all, err);
}

static bool put_json_outputs(const Query *query, JsonWrite *json, const Package *package, Err *err) {
  if (!json_write_key(json, SPAN("outputs"), err)) return false;
  qsort(package->outputs, package->output_count, sizeof(PackageOutput), cmp_outputs);
  json_write_object_begin(json);
  for (size_t i = 0; i < package->output_count; i++) {
    if (!json_write_key(json, package->outputs[i].name, err)) return false;
    if (!has(query, OPT_env_out_path)) json_write_null(json);
    else if (!json_write_str(json, package->outputs[i].path, err)) return false;
  }
  json_write_object_end(json);
  return true;
}

static bool put_package(Query *query, JsonWrite *json, const Package *package, Err *err) {
  Span name, version;
  drv_name_parse(package->name, &name, &version);
  if (!json_write_key(json, package->attr_path, err)) return false;
  json_write_object_begin(json);
  // What cannot be evaluated ends the description, in the order in which Nix makes it.
  bool has_outputs = !lacks(package, PACKAGE_OUTPUT_NAMES | PACKAGE_OUTPUT_PATHS),
       has_drv_path = has_outputs && !lacks(package, PACKAGE_DRV_PATH);
  if (has(query, OPT_env_drv_path) && has_drv_path && package->drv_path.len &&
      !put_field(json, "drvPath", package->drv_path, err))
    return false;
  if (has(query, OPT_env_meta) && has_drv_path && !put_meta(query, json, package, err)) return false;
  if (!put_field(json, "name", package->name, err) || !put_field(json, "outputName", package->output_name, err) ||
      (has_outputs && !put_json_outputs(query, json, package, err)))
    return false;
  bool ok = put_field(json, "pname", name, err) && put_field(json, "system", package->system, err) &&
            put_field(json, "version", version, err);
  json_write_object_end(json);
  return ok;
}

static int cmp_attr_paths(const void *a, const void *b, void *ctx) {
  return span_cmp(package_set_get(ctx, *(const size_t *)a)->attr_path,
                  package_set_get(ctx, *(const size_t *)b)->attr_path);
}

static bool print_json(Query *query, Err *err) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  JsonWrite json;
  if (query->count) qsort_r(query->indexes, query->count, sizeof(size_t), cmp_attr_paths, source(query));
  json_write_init(&json, &out, 2);
  json_write_object_begin(&json);
  for (size_t i = 0; i < query->count; i++)
    if (!put_package(query, &json, package_set_get(source(query), query->indexes[i]), err)) return false;
  json_write_object_end(&json);
  buf_put_char(&out, '\n');
  session_print(query->session, buf_span(&out));
  return true;
}

// ---- XML

static void put_xml_attr(Buf *out, const char *name, Span value) {
  print_xml_put_attr(out, span_cstr(name), value);
}

// Only strings of lists and sets are shown.
static void put_xml_strings(Buf *out, const JsonTree *tree) {
  buf_put_cstr(out, " type=\"strings\">\n");
  for (size_t i = 0; i < tree->count; i++) {
    if (tree->items[i].kind != JSON_TREE_STRING) continue;
    buf_put_cstr(out, "      <string");
    if (tree->kind == JSON_TREE_OBJECT) put_xml_attr(out, "type", tree->items[i].key);
    put_xml_attr(out, "value", tree->items[i].string);
    buf_put_cstr(out, " />\n");
  }
  buf_put_cstr(out, "    </meta>\n");
}

static void put_xml_meta(Buf *out, const JsonTree *value) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  const char *type = "int";
  buf_put_cstr(out, "    <meta");
  put_xml_attr(out, "name", value->key);
  switch (value->kind) {
  case JSON_TREE_ARRAY:
  case JSON_TREE_OBJECT: put_xml_strings(out, value); return;
  case JSON_TREE_STRING:
    type = "string";
    buf_put_span(&text, value->string);
    break;
  case JSON_TREE_INT: buf_printf(&text, "%lld", (long long)value->integer); break;
  case JSON_TREE_UINT: buf_printf(&text, "%llu", (unsigned long long)value->uinteger); break;
  case JSON_TREE_FLOAT:
    type = "float";
    buf_printf(&text, "%g", value->number);
    break;
  case JSON_TREE_BOOL:
    type = "bool";
    buf_put_cstr(&text, value->boolean ? "true" : "false");
    break;
  case JSON_TREE_NULL: break;
  }
  put_xml_attr(out, "type", span_cstr(type));
  put_xml_attr(out, "value", buf_span(&text));
  buf_put_cstr(out, " />\n");
}

static void put_xml_flag(Buf *out, const char *name, bool value) {
  put_xml_attr(out, name, value ? SPAN("1") : SPAN("0"));
}

// Attributes stand in the order of their names.
static void put_xml_item(Query *query, Buf *out, const Package *package, bool is_valid) {
  Span name, version, best;
  const JsonTree *description = package_meta(package, SPAN("description"));
  char sign = has(query, OPT_compare_versions) ? compare_versions(query, package, &best) : '-';
  drv_name_parse(package->name, &name, &version);
  buf_put_cstr(out, "  <item");
  put_xml_attr(out, "attrPath", package->attr_path);
  if (has(query, OPT_description) && description && description->kind == JSON_TREE_STRING)
    put_xml_attr(out, "description", description->string);
  if (has(query, OPT_env_drv_path) && package->drv_path.len) put_xml_attr(out, "drvPath", package->drv_path);
  if (has(query, OPT_status)) put_xml_flag(out, "installed", map_has(&query->installed_paths, package->out_path));
  if (sign != '-') put_xml_attr(out, "maxComparedVersion", best);
  put_xml_attr(out, "name", package->name);
  put_xml_attr(out, "outputName", package->output_name);
  put_xml_attr(out, "pname", name);
  if (has(query, OPT_status))
    put_xml_flag(out, "substitutable", map_has(&query->substitutable_paths, package->out_path));
  if (package->system.len) put_xml_attr(out, "system", package->system);
  if (has(query, OPT_status)) put_xml_flag(out, "valid", is_valid);
  put_xml_attr(out, "version", version);
  if (sign != '-') put_xml_attr(out, "versionDiff", span_make(&sign, 1));
  buf_put_cstr(out, ">\n");
  bool has_outputs = !lacks(package, PACKAGE_OUTPUT_PATHS), has_meta = has_outputs && has(query, OPT_env_meta);
  if (has_outputs) qsort(package->outputs, package->output_count, sizeof(PackageOutput), cmp_outputs);
  for (size_t i = 0; has_outputs && i < package->output_count; i++) {
    buf_put_cstr(out, "    <output");
    put_xml_attr(out, "name", package->outputs[i].name);
    if (has(query, OPT_env_out_path)) put_xml_attr(out, "path", package->outputs[i].path);
    buf_put_cstr(out, " />\n");
  }
  for (size_t i = 0; has_meta && i < package->meta.count; i++) put_xml_meta(out, &package->meta.items[i]);
  for (size_t i = 0; has_meta && i < package->bad_meta.count; i++)
    log_msg(LOG_NOTICE, "derivation '%.*s' has invalid meta attribute '%.*s'", SPAN_ARG(package->name),
            SPAN_ARG(package->bad_meta.items[i].string));
  buf_put_cstr(out, "  </item>\n");
}

// ---- all of it

static int print(Query *query) {
  Err err = ERR_INIT;
  Table table = {.columns = 1};
  Buf xml CLEANUP(buf_done) = BUF_INIT;
  bool is_xml = has(query, OPT_env_xml);
  buf_put_cstr(&xml, "<?xml version='1.0' encoding='utf-8'?>\n<items>\n");
  if (has(query, OPT_env_json)) return print_json(query, &err) ? 0 : session_fail(query->session, &err);
  for (size_t i = 0; i < query->count; i++) {
    const Package *package = package_set_get(source(query), query->indexes[i]);
    bool valid = false;
    if (package->out_path.len && !store_io_is_valid(session_io(query->session), package->out_path, &valid, &err))
      return session_fail(query->session, &err);
    if (has(query, OPT_prebuilt_only) && !valid) continue;
    unsigned needed = PACKAGE_DRV_PATH | PACKAGE_DESCRIPTION | (is_xml ? 0 : PACKAGE_OUTPUT_PATHS);
    if (lacks(package, needed & wanted_parts(query))) continue;
    if (is_xml) put_xml_item(query, &xml, package, valid);
    else add_row(query, &table, package, valid);
  }
  if (!is_xml) return print_table(query->session, &table), 0;
  buf_put_cstr(&xml, "</items>\n");
  session_print(query->session, buf_span(&xml));
  return 0;
}

int env_query_run(Session *session, const char *profile) {
  Query query = {.session = session, .profile = profile};
  Err err = ERR_INIT;
  int code = 0;
  if (has(&query, OPT_attr_path) && !has(&query, OPT_available)) {
    err_set(&err, ERR_USAGE, "--attr-path(-P) only works with --available");
    return session_fail(session, &err);
  }
  if (open_sources(&query, &code) && describe(&query, &code)) code = print(&query);
  package_set_free(query.available);
  package_set_free(query.installed);
  mem_free(query.indexes);
  map_done(&query.installed_paths);
  map_done(&query.substitutable_paths);
  return code;
}
