// explain_command.c: `firn explain`: what would be built, and why: root causes first, with the differences to the last build of the same package.
#include "base/fs.h"
#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/explanation.h"
#include "cli/installable.h"
#include "formats/json_write.h"

enum { DIFF_LINES = 4, NAMES_MAX = 6 };

// ---- what

static bool make_plan(Session *session, const BuildTargetList *targets, BuildPlan *ret, Err *err) {
  if (!store_io_flush(session_io(session), err)) return false;
  for (size_t i = 0; i < targets->count; i++)
    if (targets->items[i].is_drv &&
        !build_plan_add(session, ret, &targets->items[i].path, targets->items[i].output, err))
      return false;
  return true;
}

// ---- text

static void put_duration(Buf *out, uint64_t ms) {
  uint64_t s = ms / 1000;
  if (ms < 1000) buf_printf(out, "%llu ms", (unsigned long long)ms);
  else if (s < 60) buf_printf(out, "%llu.%llu s", (unsigned long long)s, (unsigned long long)(ms % 1000 / 100));
  else if (s < 3600) buf_printf(out, "%llu min %02llu s", (unsigned long long)(s / 60), (unsigned long long)(s % 60));
  else buf_printf(out, "%llu h %02llu min", (unsigned long long)(s / 3600), (unsigned long long)(s % 3600 / 60));
}

static const char *plural(size_t count) {
  return count == 1 ? "" : "s";
}

static void put_change(Buf *out, const DerivationChange *change) {
  if (change->derived) return;
  const char *what = change->kind == DERIVATION_CHANGE_SOURCE  ? "source "
                     : change->kind == DERIVATION_CHANGE_INPUT ? "input "
                                                               : "";
  if (change->kind == DERIVATION_CHANGE_INPUT && change->had && change->has) return; // told as a cause of its own
  buf_printf(out, "    %s%.*s", what, SPAN_ARG(change->field));
  if (!change->has) buf_put_cstr(out, " is not there any more\n");
  else if (!change->had) buf_put_cstr(out, " is new\n");
  else if (change->kind == DERIVATION_CHANGE_SOURCE) buf_put_cstr(out, " has changed\n");
  else buf_put_char(out, '\n');
  if (change->kind == DERIVATION_CHANGE_INPUT) return;
  if (change->had && change->has) derivation_diff_format(change->before, change->after, DIFF_LINES, "      ", out);
  else if (change->kind == DERIVATION_CHANGE_FIELD)
    derivation_diff_format(change->had ? change->before : SPAN(""), change->has ? change->after : SPAN(""), DIFF_LINES,
                           "      ", out);
}

static void put_share(Buf *out, const ExplanationNode *node, size_t build_count) {
  if (build_count > 1) buf_printf(out, ": a cause of %zu of %zu builds", node->rebuilds, build_count);
  buf_put_char(out, '\n');
}

static void put_changed_root(Buf *out, const ExplanationNode *node, size_t build_count) {
  buf_printf(out, "  %.*s", SPAN_ARG(node->drv->name));
  if (node->reason == EXPLANATION_NEW) buf_put_cstr(out, " is another one; what was different before is not known");
  else buf_printf(out, " has changed%s", node->is_wanted ? "" : " (and is in the store)");
  put_share(out, node, build_count);
  for (size_t i = 0; i < node->change_count; i++) put_change(out, &node->changes[i]);
}

// Those that have no differences to tell are named together.
static void put_other_roots(Buf *out, const Explanation *explanation, ExplanationReason reason, size_t build_count) {
  size_t count = 0;
  const ExplanationNode *only = NULL;
  Buf names CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < explanation->root_count; i++) {
    const ExplanationNode *node = &explanation->nodes[explanation->roots[i]];
    if (node->reason != reason || !node->is_wanted) continue;
    if (++count <= NAMES_MAX) buf_printf(&names, "%s%.*s", count > 1 ? ", " : "", SPAN_ARG(node->drv->name));
    only = node;
  }
  if (!count) return;
  if (count > NAMES_MAX) buf_printf(&names, " and %zu more", count - NAMES_MAX);
  const char *text =
      reason == EXPLANATION_NEW ? "not built here before" : "built already, but not in the store any more";
  buf_printf(out, "  %s %s %s", buf_cstr(&names), count == 1 ? "was" : "were", text);
  if (count == 1) put_share(out, only, build_count);
  else buf_put_char(out, '\n');
}

static void put_roots(Buf *out, const Explanation *explanation, size_t build_count) {
  for (size_t i = 0; i < explanation->root_count; i++) {
    const ExplanationNode *node = &explanation->nodes[explanation->roots[i]];
    if (node->reason == EXPLANATION_CHANGED || !node->is_wanted) put_changed_root(out, node, build_count);
  }
  put_other_roots(out, explanation, EXPLANATION_NEW, build_count);
  put_other_roots(out, explanation, EXPLANATION_GONE, build_count);
}

static void put_causes(Buf *out, const Explanation *explanation, const ExplanationNode *node) {
  for (size_t i = 0; i < node->cause_count && i < NAMES_MAX; i++)
    buf_printf(out, "%s%.*s", i ? ", " : "", SPAN_ARG(explanation->nodes[node->causes[i]].drv->name));
  if (node->cause_count > NAMES_MAX) buf_printf(out, " and %zu more", node->cause_count - NAMES_MAX);
}

static void put_build(Buf *out, const Explanation *explanation, const ExplanationNode *node) {
  buf_printf(out, "  %-30.*s ", SPAN_ARG(node->drv->name));
  size_t start = out->len;
  if (node->mean_ms) put_duration(out, node->mean_ms);
  else buf_put_char(out, '-');
  buf_put_repeat(out, ' ', out->len - start < 12 ? 12 - (out->len - start) : 1);
  static const char *const reasons[] = {"new", "not in the store any more", "changed", "inputs: "};
  buf_put_cstr(out, reasons[node->reason]);
  if (node->reason == EXPLANATION_INPUTS) put_causes(out, explanation, node);
  else if (node->cause_count) {
    buf_put_cstr(out, ", and inputs: ");
    put_causes(out, explanation, node);
  }
  buf_put_char(out, '\n');
}

static void put_text(const Explanation *explanation, const BuildPlan *plan, Buf *out) {
  size_t build_count = plan->count, unknown = 0, fetch_count = plan->fetches.count;
  uint64_t known_ms = 0;
  if (fetch_count)
    buf_printf(out, "%zu path%s will be fetched: %.1f MiB.\n", fetch_count, plural(fetch_count),
               (double)plan->download_bytes / (1 << 20));
  if (!build_count) {
    buf_printf(out, "%s: nothing will be built.\n", fetch_count ? "Nothing else is missing" : "Everything is there");
    return;
  }
  for (size_t i = 0; i < build_count; i++) {
    known_ms += explanation->nodes[i].mean_ms;
    unknown += !explanation->nodes[i].mean_ms;
  }
  buf_printf(out, "%zu derivation%s will be built", build_count, plural(build_count));
  if (known_ms) {
    buf_put_cstr(out, ": ");
    put_duration(out, known_ms);
    buf_put_cstr(out, " one after the other");
    if (unknown) buf_printf(out, ", and %zu of unknown duration", unknown);
  }
  buf_printf(out, ".\n\nRoot cause%s:\n", plural(explanation->root_count));
  put_roots(out, explanation, build_count);
  buf_put_cstr(out, "\nWhat is built, in this order      mean        why\n");
  for (size_t i = 0; i < build_count; i++) put_build(out, explanation, &explanation->nodes[i]);
}

// ---- JSON

static bool put_field(JsonWrite *json, const char *key, Span value, Err *err) {
  return json_write_key(json, span_cstr(key), err) && json_write_str(json, value, err);
}

static bool put_json_change(JsonWrite *json, const DerivationChange *change, Err *err) {
  static const char *const kinds[] = {"field", "source", "input"};
  json_write_object_begin(json);
  bool ok = (!change->has || put_field(json, "after", change->after, err)) &&
            (!change->had || put_field(json, "before", change->before, err)) &&
            json_write_key(json, SPAN("derived"), err);
  if (!ok) return false;
  json_write_bool(json, change->derived);
  ok = put_field(json, "field", change->field, err) && put_field(json, "kind", span_cstr(kinds[change->kind]), err);
  json_write_object_end(json);
  return ok;
}

static bool put_json_node(JsonWrite *json, const Explanation *explanation, const ExplanationNode *node, bool is_root,
                          Err *err) {
  static const char *const reasons[] = {"new", "gone", "changed", "inputs"};
  json_write_object_begin(json);
  if (!json_write_key(json, SPAN("causes"), err)) return false;
  json_write_array_begin(json);
  for (size_t i = 0; i < node->cause_count; i++)
    if (!json_write_str(json, explanation->nodes[node->causes[i]].path, err)) return false;
  json_write_array_end(json);
  if (!json_write_key(json, SPAN("changes"), err)) return false;
  json_write_array_begin(json);
  for (size_t i = 0; i < node->change_count; i++)
    if (!put_json_change(json, &node->changes[i], err)) return false;
  json_write_array_end(json);
  if (!put_field(json, "drvPath", node->path, err)) return false;
  if (node->mean_ms) {
    if (!json_write_key(json, SPAN("meanMs"), err)) return false;
    json_write_uint(json, node->mean_ms);
  }
  if (!put_field(json, "name", node->drv->name, err) ||
      (node->before_path.len && !put_field(json, "previous", node->before_path, err)) ||
      !put_field(json, "reason", span_cstr(reasons[node->reason]), err))
    return false;
  if (is_root) {
    if (!json_write_key(json, SPAN("rebuilds"), err)) return false;
    json_write_uint(json, node->rebuilds);
  }
  json_write_object_end(json);
  return true;
}

static bool put_json(const Explanation *explanation, size_t build_count, Buf *out, Err *err) {
  JsonWrite json;
  json_write_init(&json, out, 0);
  json_write_object_begin(&json);
  if (!json_write_key(&json, SPAN("build"), err)) return false;
  json_write_array_begin(&json);
  for (size_t i = 0; i < build_count; i++)
    if (!put_json_node(&json, explanation, &explanation->nodes[i], false, err)) return false;
  json_write_array_end(&json);
  if (!json_write_key(&json, SPAN("rootCauses"), err)) return false;
  json_write_array_begin(&json);
  for (size_t i = 0; i < explanation->root_count; i++)
    if (!put_json_node(&json, explanation, &explanation->nodes[explanation->roots[i]], true, err)) return false;
  json_write_array_end(&json);
  json_write_object_end(&json);
  buf_put_char(out, '\n');
  return true;
}

int explain_command_run(Session *session) {
  Err err = ERR_INIT;
  int code = 0;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  BuildPlan plan CLEANUP(build_plan_done) = {0};
  Explanation explanation CLEANUP(explanation_done) = {0};
  const OptionList *options = &session->options;
  size_t attr_count;
  const char *const *attrs = target_attr_paths(session, &attr_count);
  bool has_attrs = option_has(options, OPT_attr);
  // Operands are store paths or attributes, as of `firn shell`; a file that exists is meant as one.
  bool is_file =
      !has_attrs && options->operand_count == 1 && fs_exists(options->operands[0]) &&
      !store_path_is_below(span_cstr(session_absolute(session, options->operands[0])), session_store_dir(session));
  bool from_file = is_file || (has_attrs && options->operand_count == 1);
  InstallableQuery query = {.operands = has_attrs   ? attrs
                                        : from_file ? NULL
                                                    : options->operands,
                            .count = has_attrs   ? attr_count
                                     : from_file ? 0
                                                 : options->operand_count,
                            .default_file = from_file ? options->operands[0] : "."};
  if (!installable_find(session, &query, &targets, &code)) return code;
  if (!make_plan(session, &targets, &plan, &err) || !explanation_make(session, &plan, &explanation, &err))
    return session_fail(session, &err);
  if (!option_has(options, OPT_explain_json)) put_text(&explanation, &plan, &out);
  else if (!put_json(&explanation, plan.count, &out, &err)) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}
