// build_trace_html.c: see build_trace_html.h.
#include "realise/build_trace_html.h"

#include <stdlib.h>
#include <string.h>

enum { CHART_WIDTH = 1100, ROW_HEIGHT = 18, LABEL_MIN_WIDTH = 30 };

static const char style[] =
    "body{font:14px system-ui,sans-serif;margin:2em;max-width:1200px;color:#222;background:#fff}"
    "h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}"
    "table{border-collapse:collapse}td,th{padding:2px 10px 2px "
    "0;text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "svg{background:#f6f6f6}rect.build{fill:#7aa6d8}rect.critical{fill:#e08a2e}rect.failed{fill:#c8372d}rect.span{fill:"
    "#8cb88c}"
    "text{font:11px "
    "system-ui,sans-serif}.key{display:inline-block;width:1em;height:1em;vertical-align:-2px;margin-left:1em}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}svg{background:#262626}text{fill:#ddd}}";

static void put_escaped(Buf *ret, const char *text) {
  for (; *text; text++) {
    if (*text == '<') buf_put_cstr(ret, "&lt;");
    else if (*text == '>') buf_put_cstr(ret, "&gt;");
    else if (*text == '&') buf_put_cstr(ret, "&amp;");
    else if (*text == '"') buf_put_cstr(ret, "&quot;");
    else buf_put_char(ret, *text);
  }
}

static double seconds(uint64_t ns) {
  return (double)ns / 1e9;
}

static const char *class_of(const BuildTraceItem *item) {
  return item->row ? "span" : item->failed ? "failed" : item->critical ? "critical" : "build";
}

// --- totals

static void put_advice(const BuildTraceModel *model, unsigned max_jobs, Buf *ret) {
  uint64_t wall_ns = model->last_ns - model->first_ns;
  uint64_t slots_ns = max_jobs ? model->build_ns / max_jobs : 0;
  buf_put_cstr(ret, "<p>");
  if (!model->critical_count) buf_put_cstr(ret, "Nothing was built.");
  else if (model->critical_ns * 10 >= wall_ns * 9)
    buf_put_cstr(ret, "The critical path takes nearly all of the time: more jobs would not help, only making its "
                      "builds faster or independent of each other.");
  else if (slots_ns * 10 >= wall_ns * 8)
    buf_printf(ret, "The %u build slots were busy nearly all of the time: more of them would help.", max_jobs);
  else
    buf_put_cstr(ret, "Much of the time neither the slots nor the critical path were the limit: what was waited for is "
                      "outside of the builds (evaluation, fetching, the disk).");
  buf_put_cstr(ret, "</p>\n");
}

static void put_totals(const BuildTraceModel *model, unsigned max_jobs, Buf *ret) {
  size_t builds = 0, failed = 0;
  for (size_t i = 0; i < model->count; i++) {
    builds += !model->items[i].row;
    failed += model->items[i].failed;
  }
  uint64_t wall_ns = model->last_ns - model->first_ns;
  buf_put_cstr(ret, "<table>\n");
  buf_printf(ret, "<tr><td>builds</td><td class=n>%zu</td><td>%zu failed</td></tr>\n", builds, failed);
  buf_printf(ret, "<tr><td>wall time</td><td class=n>%.2f s</td><td></td></tr>\n", seconds(wall_ns));
  buf_printf(ret,
             "<tr><td>sum of builds</td><td class=n>%.2f s</td><td>%.1f at once on average, %u allowed</td></tr>\n",
             seconds(model->build_ns), wall_ns ? (double)model->build_ns / (double)wall_ns : 0.0, max_jobs);
  buf_printf(ret, "<tr><td>critical path</td><td class=n>%.2f s</td><td>%zu builds</td></tr>\n",
             seconds(model->critical_ns), model->critical_count);
  buf_put_cstr(ret, "</table>\n");
  put_advice(model, max_jobs, ret);
}

// --- timeline

static double chart_x(const BuildTraceModel *model, uint64_t at_ns) {
  uint64_t wall_ns = model->last_ns - model->first_ns;
  return wall_ns ? (double)(at_ns - model->first_ns) / (double)wall_ns * CHART_WIDTH : 0.0;
}

static void put_bar(const BuildTraceModel *model, const BuildTraceItem *item, size_t row, Buf *ret) {
  double x = chart_x(model, item->start_ns), width = chart_x(model, item->stop_ns) - x;
  size_t y = row * ROW_HEIGHT;
  if (width < 0.5) width = 0.5;
  buf_printf(ret, "<g><title>");
  put_escaped(ret, item->name);
  buf_printf(ret, ": %.2f s, from %.2f s to %.2f s", seconds(item->stop_ns - item->start_ns),
             seconds(item->start_ns - model->first_ns), seconds(item->stop_ns - model->first_ns));
  for (size_t i = 0; i < item->phase_count; i++) {
    uint64_t end_ns = i + 1 < item->phase_count ? item->phases[i + 1].start_ns : item->stop_ns;
    buf_put_cstr(ret, "&#10;");
    put_escaped(ret, item->phases[i].name);
    buf_printf(ret, " %.2f s", seconds(end_ns - item->phases[i].start_ns));
  }
  buf_printf(ret, "</title><rect class=%s x=%.1f y=%zu width=%.1f height=%d />", class_of(item), x, y + 1, width,
             ROW_HEIGHT - 2);
  if (width >= LABEL_MIN_WIDTH) {
    size_t fits = (size_t)(width / 6.5);
    Span name = span_sub(span_cstr(item->name), 0, fits);
    char *label = span_dup(name);
    buf_printf(ret, "<text x=%.1f y=%zu>", x + 3, y + 13);
    put_escaped(ret, label);
    buf_put_cstr(ret, "</text>");
    mem_free(label);
  }
  buf_put_cstr(ret, "</g>\n");
}

// Spans are on rows above the builds, one for each name; rows are few.
static size_t find_row(const char *rows[], size_t *count, size_t max, const char *name) {
  for (size_t i = 0; i < *count; i++)
    if (strcmp(rows[i], name) == 0) return i;
  if (*count < max) rows[(*count)++] = name;
  return *count - 1;
}

static void put_timeline(const BuildTraceModel *model, Buf *ret) {
  const char *rows[16];
  size_t row_count = 0;
  for (size_t i = 0; i < model->count; i++)
    if (model->items[i].row) find_row(rows, &row_count, ARRAY_LEN(rows), model->items[i].row);
  size_t height = (row_count + model->lane_count + 1) * ROW_HEIGHT;
  buf_put_cstr(ret, "<h2>Timeline</h2>\n<p><span class=key style=\"background:#7aa6d8\"></span> build"
                    "<span class=key style=\"background:#e08a2e\"></span> on the critical path"
                    "<span class=key style=\"background:#c8372d\"></span> failed"
                    "<span class=key style=\"background:#8cb88c\"></span> evaluation</p>\n");
  buf_printf(ret, "<svg width=%d height=%zu viewBox=\"0 0 %d %zu\">\n", CHART_WIDTH, height, CHART_WIDTH, height);
  for (size_t i = 0; i < model->count; i++) {
    const BuildTraceItem *item = &model->items[i];
    size_t row = item->row ? find_row(rows, &row_count, ARRAY_LEN(rows), item->row) : row_count + item->lane;
    put_bar(model, item, row, ret);
  }
  for (int i = 0; i <= 10; i++)
    buf_printf(ret, "<text x=%d y=%zu text-anchor=%s>%.1f s</text>\n", i * CHART_WIDTH / 10, height - 4,
               i == 0    ? "start"
               : i == 10 ? "end"
                         : "middle",
               seconds(model->last_ns - model->first_ns) * i / 10);
  buf_put_cstr(ret, "</svg>\n");
}

// --- tables

static void put_row(const BuildTraceModel *model, const BuildTraceItem *item, Buf *ret) {
  buf_put_cstr(ret, "<tr><td>");
  put_escaped(ret, item->name);
  buf_printf(ret, "</td><td class=n>%.2f s</td><td class=n>%.2f s</td><td>%s</td></tr>\n",
             seconds(item->stop_ns - item->start_ns), seconds(item->start_ns - model->first_ns),
             item->failed ? "failed" : "");
}

static const char table_head[] = "<table><tr><th>build</th><th>took</th><th>started at</th><th></th></tr>\n";

static int cmp_length(const void *a, const void *b) {
  const BuildTraceItem *x = *(const BuildTraceItem *const *)a, *y = *(const BuildTraceItem *const *)b;
  uint64_t length_x = x->stop_ns - x->start_ns, length_y = y->stop_ns - y->start_ns;
  return length_x != length_y ? (length_x < length_y ? 1 : -1) : strcmp(x->name, y->name);
}

static void put_tables(const BuildTraceModel *model, Buf *ret) {
  const BuildTraceItem **builds = mem_alloc_array(model->count + 1, sizeof *builds);
  size_t count = 0;
  for (size_t i = 0; i < model->count; i++)
    if (!model->items[i].row) builds[count++] = &model->items[i];
  if (count) qsort(builds, count, sizeof *builds, cmp_length);
  buf_printf(ret, "<h2>Critical path</h2>\n%s", table_head);
  for (size_t i = 0; i < model->critical_count; i++) put_row(model, &model->items[model->critical[i]], ret);
  buf_printf(ret, "</table>\n<h2>All builds, longest first</h2>\n%s", table_head);
  for (size_t i = 0; i < count; i++) put_row(model, builds[i], ret);
  buf_put_cstr(ret, "</table>\n");
  mem_free(builds);
}

void build_trace_html_format(const BuildTraceModel *model, unsigned max_jobs, Buf *ret) {
  buf_printf(ret,
             "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>firn "
             "timings</title><style>%s</style></head><body>\n<h1>Timings</h1>\n",
             style);
  put_totals(model, max_jobs, ret);
  put_timeline(model, ret);
  put_tables(model, ret);
  buf_put_cstr(ret, "</body></html>\n");
}
