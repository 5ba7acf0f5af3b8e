// build_trace_html.c: see build_trace_html.h.
#include "realise/build_trace_html.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHART_WIDTH = 1086, LABEL_WIDTH = 88, ROW_HEIGHT = 22, LABEL_MIN_WIDTH = 34, LOAD_HEIGHT = 64, ROWS_MAX = 256 };

static const char style[] =
    ":root{--bg:#fbfaf8;--card:#fff;--ink:#22252a;--soft:#6b7280;--line:#e4e2dd;--build:#6f9bd1;--critical:#e0812b;"
    "--failed:#c8372d;--evaluation:#5fa777;--waiting:#b9a3d6;--fetch:#58aeb8;--load:#c9d9ee}"
    "@media(prefers-color-scheme:dark){:root{--bg:#17191c;--card:#212428;--ink:#e6e6e3;--soft:#9aa1ab;--line:#34383e;"
    "--build:#4f7db5;--critical:#d9792a;--failed:#d2493f;--evaluation:#4a8f62;--waiting:#8a74ad;--fetch:#3f919b;"
    "--load:#2f4563}}"
    "*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;margin:0;background:var(--bg);color:var(--ink)}"
    "main{max-width:1180px;margin:0 auto;padding:28px}h1{font-size:26px;margin:0 0 2px;font-weight:650}"
    "h2{font-size:18px;margin:34px 0 10px;font-weight:650}p{margin:4px 0}.soft{color:var(--soft)}"
    ".tiles{display:flex;flex-wrap:wrap;gap:12px;margin:20px 0}.tile{background:var(--card);border:1px solid "
    "var(--line);border-radius:10px;padding:12px 18px;min-width:150px;flex:1}"
    ".tile b{display:block;font-size:22px;font-weight:650;font-variant-numeric:tabular-nums}.tile "
    "span{color:var(--soft);font-size:13px}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 18px;overflow-x:auto}"
    ".card ul{margin:0;padding-left:20px}.card li{margin:3px 0}"
    "table{border-collapse:collapse;width:100%}td,th{padding:5px 12px 5px 0;text-align:left;border-bottom:1px solid "
    "var(--line)}tr:last-child td{border-bottom:0}th{color:var(--soft);font-weight:500;font-size:13px}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".bar{display:block;height:10px;border-radius:3px;background:var(--build)}.bar.critical{background:var(--critical)}"
    ".bar.failed{background:var(--failed)}.bad{color:var(--failed)}"
    "svg{display:block}svg text{font:12px system-ui,sans-serif;fill:var(--ink)}svg text.row,svg "
    "text.tick{fill:var(--soft)}svg text.in{fill:#fff;pointer-events:none}"
    "rect.build{fill:var(--build)}rect.critical{fill:var(--critical)}rect.failed{fill:var(--failed)}"
    "rect.evaluation{fill:var(--evaluation)}rect.waiting{fill:var(--waiting)}rect.fetch{fill:var(--fetch)}"
    "g.item:hover rect{stroke:var(--ink);stroke-width:1.5}line{stroke:var(--line)}line.limit{stroke:var(--soft);"
    "stroke-dasharray:4 4}path.load{fill:var(--load)}"
    ".key{display:inline-block;width:12px;height:12px;border-radius:3px;vertical-align:-1px;margin:0 6px 0 16px}"
    ".key:first-child{margin-left:0}";

static void put_escaped(Buf *ret, Span text) {
  for (size_t i = 0; i < text.len; i++) {
    if (text.data[i] == '<') buf_put_cstr(ret, "&lt;");
    else if (text.data[i] == '>') buf_put_cstr(ret, "&gt;");
    else if (text.data[i] == '&') buf_put_cstr(ret, "&amp;");
    else if (text.data[i] == '"') buf_put_cstr(ret, "&quot;");
    else buf_put_char(ret, text.data[i]);
  }
}

static void put_name(Buf *ret, const BuildTraceItem *item) {
  put_escaped(ret, span_cstr(item->name));
}

// "0.42 s", "12.3 s", "3 min 20 s"
static void put_time(Buf *ret, uint64_t ns) {
  double s = (double)ns / 1e9;
  unsigned long long whole = ns / 1000000000;
  if (s < 10) buf_printf(ret, "%.2f s", s);
  else if (s < 60) buf_printf(ret, "%.1f s", s);
  else if (s < 3600) buf_printf(ret, "%llu min %02llu s", whole / 60, whole % 60);
  else buf_printf(ret, "%llu h %02llu min", whole / 3600, whole % 3600 / 60);
}

static uint64_t cpu_of(const BuildTraceItem *item) {
  return (item->usage.user_us + item->usage.system_us) * 1000;
}

// "512 KiB", "1.2 GiB"
static void put_size(Buf *ret, uint64_t bytes) {
  static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
  double size = (double)bytes / 1024;
  size_t unit = 0;
  while (size >= 1000 && unit + 1 < ARRAY_LEN(units)) size /= 1024, unit++;
  buf_printf(ret, size < 10 && unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
}

static uint64_t length_of(const BuildTraceItem *item) {
  return item->stop_ns - item->start_ns;
}

static uint64_t wall_of(const BuildTraceModel *model) {
  return model->last_ns - model->first_ns;
}

// What a row of spans is about: "waiting 3" is of the kind "waiting".
static bool is_row(const BuildTraceItem *item, const char *kind) {
  return item->row && strncmp(item->row, kind, strlen(kind)) == 0;
}

static const char *class_of(const BuildTraceItem *item) {
  if (is_row(item, "waiting")) return "waiting";
  if (is_row(item, "fetch")) return "fetch";
  if (item->row) return "evaluation";
  return item->failed ? "failed" : item->critical ? "critical" : "build";
}

static uint64_t sum_of(const BuildTraceModel *model, const char *kind, size_t *ret_count) {
  uint64_t sum_ns = 0;
  *ret_count = 0;
  for (size_t i = 0; i < model->count; i++) {
    if (!is_row(&model->items[i], kind)) continue;
    sum_ns += length_of(&model->items[i]);
    ++*ret_count;
  }
  return sum_ns;
}

// --- totals

static void put_tile(Buf *ret, const char *what, uint64_t ns, const char *more) {
  buf_put_cstr(ret, "<div class=tile><b>");
  put_time(ret, ns);
  buf_printf(ret, "</b><span>%s%s</span></div>\n", what, more);
}

static void put_tiles(const BuildTraceModel *model, unsigned max_jobs, Buf *ret) {
  size_t builds = 0, failed = 0, fetches, count;
  char more[96];
  uint64_t wall_ns = wall_of(model), fetch_ns = sum_of(model, "fetch", &fetches),
           evaluation_ns = sum_of(model, "evaluation", &count);
  for (size_t i = 0; i < model->count; i++) {
    builds += !model->items[i].row;
    failed += model->items[i].failed;
  }
  buf_put_cstr(ret, "<div class=tiles>\n");
  put_tile(ret, "from beginning to end", wall_ns, "");
  buf_printf(ret, "<div class=tile><b>%zu</b><span>builds%s", builds, failed ? ", " : "");
  if (failed) buf_printf(ret, "<span class=bad>%zu failed</span>", failed);
  buf_put_cstr(ret, "</span></div>\n");
  // Builds that register their outputs have given their slot to others already.
  double at_once = wall_ns ? (double)model->build_ns / (double)wall_ns : 0.0;
  snprintf(more, sizeof more, ", %.1f at once of %u allowed", at_once > max_jobs ? (double)max_jobs : at_once,
           max_jobs);
  put_tile(ret, "sum of all builds", model->build_ns, more);
  snprintf(more, sizeof more, ", %zu build%s", model->critical_count, model->critical_count == 1 ? "" : "s");
  put_tile(ret, "critical path", model->critical_ns, more);
  if (model->cpu_ns) put_tile(ret, "processor time of builders", model->cpu_ns, "");
  if (count) put_tile(ret, "evaluation", evaluation_ns, "");
  snprintf(more, sizeof more, " in %zu fetch%s", fetches, fetches == 1 ? "" : "es");
  if (fetches) put_tile(ret, "fetching", fetch_ns, more);
  buf_put_cstr(ret, "</div>\n");
}

// --- what would have helped

// The longest time between the beginning and the first build that only evaluation fills.
static uint64_t first_build_after(const BuildTraceModel *model) {
  for (size_t i = 0; i < model->count; i++)
    if (!model->items[i].row) return model->items[i].start_ns - model->first_ns;
  return 0;
}

static void put_critical_advice(const BuildTraceModel *model, unsigned max_jobs, Buf *ret) {
  uint64_t wall_ns = wall_of(model), slots_ns = max_jobs ? model->build_ns / max_jobs : 0;
  const BuildTraceItem *longest = &model->items[model->critical[0]];
  for (size_t i = 1; i < model->critical_count; i++)
    if (length_of(&model->items[model->critical[i]]) > length_of(longest)) longest = &model->items[model->critical[i]];
  buf_put_cstr(ret, "<li>");
  if (model->critical_ns * 10 >= wall_ns * 9)
    buf_put_cstr(ret, "The critical path takes nearly all of the time: more jobs would not help, only making its "
                      "builds faster or independent of each other.");
  else if (slots_ns * 10 >= wall_ns * 8)
    buf_put_cstr(ret, "All job slots were busy nearly all of the time: more jobs (or machines) would help.");
  else
    buf_put_cstr(ret, "Neither the job slots nor the critical path explain the time alone: builds waited for each "
                      "other, or for evaluation.");
  buf_put_cstr(ret, "</li>\n<li>With any number of jobs it takes at least the critical path: ");
  put_time(ret, model->critical_ns);
  buf_put_cstr(ret, ".</li>\n<li>The longest build on it is <b>");
  put_name(ret, longest);
  buf_put_cstr(ret, "</b> with ");
  put_time(ret, length_of(longest));
  if (longest->phase_count) {
    size_t best = 0;
    uint64_t best_ns = 0;
    for (size_t i = 0; i < longest->phase_count; i++) {
      uint64_t end_ns = i + 1 < longest->phase_count ? longest->phases[i + 1].start_ns : longest->stop_ns;
      if (end_ns - longest->phases[i].start_ns > best_ns) best = i, best_ns = end_ns - longest->phases[i].start_ns;
    }
    if (best_ns * 2 >= length_of(longest)) {
      buf_put_cstr(ret, ", most of it in ");
      put_escaped(ret, span_cstr(longest->phases[best].name));
      buf_put_cstr(ret, " (");
      put_time(ret, best_ns);
      buf_put_char(ret, ')');
    }
  }
  buf_put_cstr(ret, ".</li>\n");
}

static void put_advice(const BuildTraceModel *model, unsigned max_jobs, Buf *ret) {
  size_t waits;
  uint64_t wait_ns = sum_of(model, "waiting", &waits), begin_ns = first_build_after(model);
  buf_put_cstr(ret, "<h2>What would have helped</h2>\n<div class=card><ul>\n");
  if (!model->critical_count) buf_put_cstr(ret, "<li>Nothing was built.</li>\n");
  else put_critical_advice(model, max_jobs, ret);
  if (model->critical_count && begin_ns * 10 >= wall_of(model)) {
    buf_put_cstr(ret, "<li>The first build began after ");
    put_time(ret, begin_ns);
    buf_put_cstr(ret, ": evaluation is a part of what is waited for (<code>firn eval --eval-profile</code> shows "
                      "where it spends its time).</li>\n");
  }
  if (waits) {
    buf_printf(ret, "<li>Parts of the evaluation waited %zu time%s for builds, ", waits, waits == 1 ? "" : "s");
    put_time(ret, wait_ns);
    buf_put_cstr(ret, " in sum; the rest went on meanwhile.</li>\n");
  }
  buf_put_cstr(ret, "</ul></div>\n");
}

// --- timeline

static double chart_x(const BuildTraceModel *model, uint64_t at_ns) {
  uint64_t wall_ns = wall_of(model);
  double width = CHART_WIDTH - LABEL_WIDTH;
  return LABEL_WIDTH + (wall_ns ? (double)(at_ns - model->first_ns) / (double)wall_ns * width : 0.0);
}

static void put_bar(const BuildTraceModel *model, const BuildTraceItem *item, size_t row, Buf *ret) {
  double x = chart_x(model, item->start_ns), width = chart_x(model, item->stop_ns) - x;
  size_t y = row * ROW_HEIGHT;
  if (width < 1) width = 1;
  buf_put_cstr(ret, "<g class=item><title>");
  if (is_row(item, "waiting")) buf_put_cstr(ret, "evaluation waits for ");
  if (is_row(item, "fetch")) buf_put_cstr(ret, "fetching ");
  put_name(ret, item);
  buf_put_cstr(ret, ": ");
  put_time(ret, length_of(item));
  buf_put_cstr(ret, ", from ");
  put_time(ret, item->start_ns - model->first_ns);
  buf_put_cstr(ret, " to ");
  put_time(ret, item->stop_ns - model->first_ns);
  if (cpu_of(item)) {
    buf_put_cstr(ret, ", processor ");
    put_time(ret, cpu_of(item));
  }
  for (size_t i = 0; i < item->phase_count; i++) {
    uint64_t end_ns = i + 1 < item->phase_count ? item->phases[i + 1].start_ns : item->stop_ns;
    buf_put_cstr(ret, "&#10;");
    put_escaped(ret, span_cstr(item->phases[i].name));
    buf_put_char(ret, ' ');
    put_time(ret, end_ns - item->phases[i].start_ns);
  }
  buf_printf(ret, "</title><rect class=%s x=%.1f y=%zu width=%.1f height=%d rx=3 />", class_of(item), x, y + 2, width,
             ROW_HEIGHT - 4);
  if (width >= LABEL_MIN_WIDTH) {
    Span name = span_cstr(item->name);
    size_t fits = (size_t)((width - 8) / 6.8);
    bool cut = name.len > fits;
    buf_printf(ret, "<text class=in x=%.1f y=%zu>", x + 5, y + 15);
    put_escaped(ret, span_sub(name, 0, cut ? fits - 1 : name.len));
    buf_put_cstr(ret, cut ? "…</text>" : "</text>");
  }
  buf_put_cstr(ret, "</g>\n");
}

// Spans are on rows above the builds, one for each name: evaluation, what it waited for, fetches.
typedef struct Rows {
  const char *names[ROWS_MAX];
  size_t count;
} Rows;

static size_t find_row(Rows *rows, const char *name) {
  for (size_t i = 0; i < rows->count; i++)
    if (strcmp(rows->names[i], name) == 0) return i;
  if (rows->count < ROWS_MAX) rows->names[rows->count++] = name;
  return rows->count - 1;
}

static void collect_rows(const BuildTraceModel *model, Rows *rows) {
  static const char *const order[] = {"evaluation", "waiting", "fetch", ""};
  for (size_t k = 0; k < ARRAY_LEN(order); k++)
    for (size_t i = 0; i < model->count; i++)
      if (is_row(&model->items[i], order[k])) find_row(rows, model->items[i].row);
}

// A round number of nanoseconds that gives between 5 and 12 marks.
static uint64_t tick_of(uint64_t wall_ns) {
  static const uint64_t steps[] = {1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000, 86400};
  for (uint64_t unit = 1000000; unit <= 100000000; unit *= 10)
    for (unsigned step = 1; step <= 5; step += step == 1 ? 1 : 3)
      if (wall_ns / (unit * step) <= 10) return unit * step;
  for (size_t i = 0; i < ARRAY_LEN(steps); i++)
    if (wall_ns / (steps[i] * 1000000000) <= 10) return steps[i] * 1000000000;
  return wall_ns / 10 + 1;
}

static void put_ticks(const BuildTraceModel *model, size_t height, Buf *ret) {
  uint64_t wall_ns = wall_of(model), tick_ns = tick_of(wall_ns);
  for (uint64_t at = 0; at <= wall_ns; at += tick_ns) {
    double x = chart_x(model, model->first_ns + at);
    buf_printf(ret, "<line x1=%.1f x2=%.1f y1=0 y2=%zu /><text class=tick x=%.1f y=%zu text-anchor=%s>", x, x, height,
               x, height + 16,
               at == 0                ? "start"
               : x > CHART_WIDTH - 24 ? "end"
                                      : "middle");
    if (tick_ns < 10000000) buf_printf(ret, "%.0f ms", (double)at / 1e6);
    else if (tick_ns < 1000000000) buf_printf(ret, "%.*f s", tick_ns < 100000000 ? 2 : 1, (double)at / 1e9);
    else if (wall_ns < (uint64_t)60 * 1000000000) buf_printf(ret, "%.0f s", (double)at / 1e9);
    else
      buf_printf(ret, "%llu:%02llu", (unsigned long long)(at / 60000000000u),
                 (unsigned long long)(at / 1000000000 % 60));
    buf_put_cstr(ret, "</text>\n");
  }
}

static void put_row_labels(const Rows *rows, size_t lane_count, Buf *ret) {
  static const char *const kinds[] = {"evaluation", "waiting", "fetch"};
  const char *former = "";
  for (size_t i = 0; i < rows->count; i++) {
    const char *label = rows->names[i];
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
      if (strncmp(label, kinds[k], strlen(kinds[k])) == 0) label = kinds[k];
    if (strcmp(label, former) == 0) continue;
    buf_printf(ret, "<text class=row x=0 y=%zu>", i * ROW_HEIGHT + 15);
    put_escaped(ret, span_cstr(label));
    buf_put_cstr(ret, "</text>\n");
    former = label;
  }
  if (lane_count) buf_printf(ret, "<text class=row x=0 y=%zu>builds</text>\n", rows->count * ROW_HEIGHT + 15);
}

static void put_legend(Buf *ret) {
  static const char *const kinds[][2] = {
      {"evaluation", "evaluation"}, {"waiting", "evaluation waits for a build"}, {"fetch", "fetch"},
      {"build", "build"},           {"critical", "on the critical path"},        {"failed", "failed"}};
  buf_put_cstr(ret, "<p class=soft>");
  for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
    buf_printf(ret, "<span class=key style=\"background:var(--%s)\"></span>%s", kinds[i][0], kinds[i][1]);
  buf_put_cstr(ret, "</p>\n");
}

static void put_timeline(const BuildTraceModel *model, Buf *ret) {
  Rows rows = {.count = 0};
  collect_rows(model, &rows);
  size_t height = (rows.count + model->lane_count) * ROW_HEIGHT + 4;
  buf_put_cstr(ret, "<h2>Timeline</h2>\n");
  put_legend(ret);
  buf_printf(ret, "<div class=card><svg id=timeline width=%d height=%zu viewBox=\"0 0 %d %zu\">\n", CHART_WIDTH,
             height + 22, CHART_WIDTH, height + 22);
  put_ticks(model, height, ret);
  put_row_labels(&rows, model->lane_count, ret);
  for (size_t i = 0; i < model->count; i++) {
    const BuildTraceItem *item = &model->items[i];
    put_bar(model, item, item->row ? find_row(&rows, item->row) : rows.count + item->lane, ret);
  }
  buf_put_cstr(ret, "</svg></div>\n");
}

// --- how many at once

typedef struct Edge {
  uint64_t at_ns;
  int change;
} Edge;

static int cmp_edges(const void *a, const void *b) {
  const Edge *x = a, *y = b;
  if (x->at_ns != y->at_ns) return x->at_ns < y->at_ns ? -1 : 1;
  return x->change - y->change;
}

static void put_load(const BuildTraceModel *model, unsigned max_jobs, Buf *ret) {
  Edge *edges = mem_alloc_array(2 * model->count + 1, sizeof *edges);
  size_t count = 0;
  for (size_t i = 0; i < model->count; i++) {
    if (model->items[i].row) continue;
    edges[count++] = (Edge){model->items[i].start_ns, 1};
    edges[count++] = (Edge){model->items[i].stop_ns, -1};
  }
  if (count) qsort(edges, count, sizeof *edges, cmp_edges);
  double top = max_jobs > model->lane_count ? max_jobs : (double)model->lane_count,
         scale = (LOAD_HEIGHT - 6) / (top > 0 ? top : 1);
  int running = 0;
  buf_printf(
      ret,
      "<h2>Builds at once</h2>\n<div class=card><svg width=%d height=%d viewBox=\"0 0 %d %d\">\n<path class=load "
      "d=\"M%d %d",
      CHART_WIDTH, LOAD_HEIGHT, CHART_WIDTH, LOAD_HEIGHT, LABEL_WIDTH, LOAD_HEIGHT);
  for (size_t i = 0; i < count; i++) {
    running += edges[i].change;
    buf_printf(ret, "H%.1fV%.1f", chart_x(model, edges[i].at_ns), LOAD_HEIGHT - running * scale);
  }
  buf_printf(ret, "V%dZ\"/>\n", LOAD_HEIGHT);
  buf_printf(ret, "<line class=limit x1=%d x2=%d y1=%.1f y2=%.1f />", LABEL_WIDTH, CHART_WIDTH,
             LOAD_HEIGHT - max_jobs * scale, LOAD_HEIGHT - max_jobs * scale);
  buf_printf(ret, "<text class=row x=0 y=%.1f>%u jobs</text></svg></div>\n", LOAD_HEIGHT - max_jobs * scale + 10,
             max_jobs);
  mem_free(edges);
}

// --- tables

static void put_row(const BuildTraceModel *model, const BuildTraceItem *item, uint64_t longest_ns, Buf *ret) {
  buf_put_cstr(ret, "<tr><td>");
  put_name(ret, item);
  buf_put_cstr(ret, item->failed ? " <span class=bad>failed</span></td><td class=n>" : "</td><td class=n>");
  put_time(ret, length_of(item));
  buf_put_cstr(ret, "</td><td class=n>");
  put_time(ret, item->start_ns - model->first_ns);
  buf_put_cstr(ret, "</td><td class=n>");
  if (cpu_of(item)) put_time(ret, cpu_of(item));
  buf_put_cstr(ret, "</td><td class=n>");
  if (item->usage.peak_memory_bytes) {
    if (!item->usage.is_whole_group) buf_put_cstr(ret, "≥ ");
    put_size(ret, item->usage.peak_memory_bytes);
  }
  double share = longest_ns ? (double)length_of(item) / (double)longest_ns * 100 : 0;
  buf_printf(ret, "</td><td style=\"width:35%%\"><span class=\"bar %s\" style=\"width:%.1f%%\"></span></td></tr>\n",
             class_of(item), share < 0.5 ? 0.5 : share);
}

static int cmp_length(const void *a, const void *b) {
  const BuildTraceItem *x = *(const BuildTraceItem *const *)a, *y = *(const BuildTraceItem *const *)b;
  if (length_of(x) != length_of(y)) return length_of(x) < length_of(y) ? 1 : -1;
  return strcmp(x->name, y->name);
}

static const char table_head[] = "<div class=card><table><tr><th>build</th><th class=n>took</th><th class=n>started "
                                 "at</th><th class=n>processor</th><th class=n>peak memory</th><th></th></tr>\n";

static void put_tables(const BuildTraceModel *model, Buf *ret) {
  const BuildTraceItem **builds = mem_alloc_array(model->count + 1, sizeof *builds);
  size_t count = 0;
  for (size_t i = 0; i < model->count; i++)
    if (!model->items[i].row) builds[count++] = &model->items[i];
  if (count) qsort(builds, count, sizeof *builds, cmp_length);
  uint64_t longest_ns = count ? length_of(builds[0]) : 0;
  buf_printf(ret, "<h2>Critical path</h2>\n<p class=soft>Each build waited for the one above it.</p>\n%s", table_head);
  for (size_t i = 0; i < model->critical_count; i++) put_row(model, &model->items[model->critical[i]], longest_ns, ret);
  buf_printf(ret, "</table></div>\n<h2>All builds, longest first</h2>\n%s", table_head);
  for (size_t i = 0; i < count; i++) put_row(model, builds[i], longest_ns, ret);
  buf_put_cstr(ret, "</table></div>\n");
  mem_free(builds);
}

void build_trace_html_format(const BuildTraceModel *model, unsigned max_jobs, Buf *ret) {
  buf_printf(ret,
             "<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport "
             "content=\"width=device-width\"><title>firn timings</title><link rel=icon "
             "href=\"data:,\"><style>%s</style></head><body><main>\n<h1>Where the time went</h1>\n<p class=soft>A "
             "session of firn. Point at a bar to see more.</p>\n",
             style);
  put_tiles(model, max_jobs, ret);
  put_advice(model, max_jobs, ret);
  put_timeline(model, ret);
  if (model->critical_count) {
    put_load(model, max_jobs, ret);
    put_tables(model, ret);
  }
  buf_put_cstr(ret, "</main></body></html>\n");
}
