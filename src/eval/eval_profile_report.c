// eval_profile_report.c: see eval_profile_report.h.
#include "eval/eval_profile_report.h"

#include <stdlib.h>

#include "base/mem.h"
#include "formats/json_write.h"

#define SPEEDSCOPE_MAX_NUMBERS ((uint64_t)3 << 20) // frame numbers of all samples, beyond which samples are merged

// ---- names ----

static void put_place(const EvalProfileFrame *frame, Buf *ret) {
  if (!frame->file.len) return;
  buf_printf(ret, " %.*s", SPAN_ARG(frame->file));
  if (frame->line) buf_printf(ret, ":%u:%u", frame->line, frame->column);
}

static void put_label(const EvalProfileFrame *frame, bool with_place, Buf *ret) {
  switch (frame->kind) {
  case EVAL_PROFILE_FUNCTION: buf_put_span(ret, frame->name.len ? frame->name : SPAN("lambda")); break;
  case EVAL_PROFILE_VALUE:
    if (frame->name.len) buf_printf(ret, "%.*s =", SPAN_ARG(frame->name));
    else buf_put_cstr(ret, "value");
    break;
  case EVAL_PROFILE_FILE: buf_printf(ret, "file %.*s", SPAN_ARG(frame->name)); return;
  case EVAL_PROFILE_BUILTIN: buf_printf(ret, "builtins.%.*s", SPAN_ARG(frame->name)); return;
  case EVAL_PROFILE_CALL:
    buf_printf(ret, "call of %.*s", SPAN_ARG(frame->name.len ? frame->name : SPAN("a builtin")));
    break;
  case EVAL_PROFILE_PACKAGE: buf_printf(ret, "derivation %.*s", SPAN_ARG(frame->name)); return;
  case EVAL_PROFILE_OPTION: buf_printf(ret, "option %.*s", SPAN_ARG(frame->name)); return;
  case EVAL_PROFILE_CONTEXT: buf_put_span(ret, frame->name.len ? frame->name : SPAN("an error context")); return;
  case EVAL_PROFILE_INNER: buf_printf(ret, "(%.*s)", SPAN_ARG(frame->name)); return;
  }
  if (with_place) put_place(frame, ret);
}

// ---- stacks ----

typedef struct Stack {
  uint32_t *frames; // from the innermost; owned
  size_t count, cap;
} Stack;

static void stack_of(const EvalProfileResult *result, uint32_t node, Stack *ret) {
  ret->count = 0;
  for (; node; node = result->nodes[node].parent) {
    MEM_RESERVE(ret->frames, ret->cap, ret->count + 1);
    ret->frames[ret->count++] = result->nodes[node].frame;
  }
}

void eval_profile_report_folded(const EvalProfileResult *result, Buf *ret) {
  Stack stack = {0};
  Buf label CLEANUP(buf_done) = BUF_INIT;
  for (uint32_t node = 1; node < result->node_count; node++) {
    uint64_t us = (result->nodes[node].self_ns + 500) / 1000;
    if (us == 0) continue;
    stack_of(result, node, &stack);
    for (size_t i = stack.count; i-- > 0;) {
      buf_clear(&label);
      put_label(&result->frames[stack.frames[i]], true, &label);
      for (size_t j = 0; j < label.len; j++)
        buf_put_char(ret, label.data[j] == ';' || label.data[j] == '\n' ? ',' : label.data[j]);
      buf_put_char(ret, i ? ';' : ' ');
    }
    buf_printf(ret, "%llu\n", (unsigned long long)us);
  }
  mem_free(stack.frames);
}

// ---- what time is rolled up to ----

typedef enum Category { BY_PACKAGE, BY_OPTION, BY_FILE, BY_FUNCTION, CATEGORY_COUNT } Category;

// For each category, which entity a frame belongs to: its number + 1; 0: none.
typedef struct Entities {
  uint32_t *of_frame; // owned
  Span *names;        // owned; text in `text`
  uint32_t count, cap;
} Entities;

static bool belongs(const EvalProfileFrame *frame, Category category, Buf *ret_name) {
  switch (category) {
  case BY_PACKAGE:
    if (frame->kind == EVAL_PROFILE_PACKAGE) buf_put_span(ret_name, frame->name);
    break;
  case BY_OPTION:
    if (frame->kind == EVAL_PROFILE_OPTION) buf_put_span(ret_name, frame->name);
    break;
  case BY_FILE: buf_put_span(ret_name, frame->file); break;
  case BY_FUNCTION:
    if (frame->kind != EVAL_PROFILE_PACKAGE && frame->kind != EVAL_PROFILE_OPTION &&
        frame->kind != EVAL_PROFILE_CONTEXT)
      put_label(frame, true, ret_name);
    break;
  case CATEGORY_COUNT: break;
  }
  return ret_name->len > 0;
}

static void entities_init(const EvalProfileResult *result, Category category, Arena *arena, Entities *ret) {
  Map numbers CLEANUP(map_done) = MAP_INIT;
  Buf name CLEANUP(buf_done) = BUF_INIT;
  *ret = (Entities){.of_frame = mem_alloc_zero((result->frame_count + 1) * sizeof(uint32_t))};
  for (uint32_t i = 0; i < result->frame_count; i++) {
    buf_clear(&name);
    if (!belongs(&result->frames[i], category, &name)) continue;
    uintptr_t number = (uintptr_t)map_get(&numbers, buf_span(&name));
    if (!number) {
      MEM_RESERVE(ret->names, ret->cap, ret->count + 1);
      ret->names[ret->count++] = arena_dup(arena, buf_span(&name));
      number = ret->count;
      map_set(&numbers, buf_span(&name), (void *)number);
    }
    ret->of_frame[i] = (uint32_t)number;
  }
}

static void entities_done(Entities *entities) {
  mem_free(entities->of_frame);
  mem_free(entities->names);
}

// ---- tables ----

typedef struct Row {
  Span name;
  uint64_t self_ns, total_ns;
} Row;

static int compare_rows(const void *a, const void *b) {
  const Row *left = a, *right = b;
  if (left->self_ns != right->self_ns) return left->self_ns < right->self_ns ? 1 : -1;
  return span_cmp(left->name, right->name);
}

static void put_table(const EvalProfileResult *result, Category category, unsigned limit, Buf *ret) {
  static const char *const headings[CATEGORY_COUNT] = {"packages", "options", "files", "functions and values"};
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Entities entities;
  entities_init(result, category, &arena, &entities);
  Row *rows = mem_alloc_zero((entities.count + 1) * sizeof(Row));
  uint32_t *seen = mem_alloc_zero((entities.count + 1) * sizeof(uint32_t)); // the last node that counted it
  for (uint32_t i = 0; i < entities.count; i++) rows[i].name = entities.names[i];
  for (uint32_t node = 1; node < result->node_count; node++) {
    uint64_t ns = result->nodes[node].self_ns;
    bool is_self = true;
    for (uint32_t up = node; ns && up; up = result->nodes[up].parent) {
      uint32_t entity = entities.of_frame[result->nodes[up].frame];
      if (!entity || seen[entity] == node) continue;
      seen[entity] = node;
      rows[entity - 1].total_ns += ns;
      if (is_self) rows[entity - 1].self_ns += ns;
      is_self = false;
    }
  }
  if (entities.count) {
    qsort(rows, entities.count, sizeof(Row), compare_rows);
    buf_printf(ret, "\n%10s %6s %10s  %s\n", "self", "", "total", headings[category]);
  }
  for (uint32_t i = 0; i < entities.count && i < limit && rows[i].total_ns; i++)
    buf_printf(ret, "%7.1f ms %5.1f%% %7.1f ms  %.*s\n", (double)rows[i].self_ns / 1e6,
               result->total_ns ? 100.0 * (double)rows[i].self_ns / (double)result->total_ns : 0,
               (double)rows[i].total_ns / 1e6, SPAN_ARG(rows[i].name));
  mem_free(seen);
  mem_free(rows);
  entities_done(&entities);
}

void eval_profile_report_summary(const EvalProfileResult *result, unsigned rows, Buf *ret) {
  buf_printf(ret, "evaluation: %.1f ms of processor time in %llu samples, %.1f ms of it collecting garbage\n",
             (double)result->total_ns / 1e6, (unsigned long long)result->taken, (double)result->collect_ns / 1e6);
  for (Category category = 0; category < CATEGORY_COUNT; category++) put_table(result, category, rows, ret);
}

// ---- Speedscope ----

static void put_key(JsonWrite *json, const char *name) {
  Err err = ERR_INIT;
  if (!json_write_key(json, span_cstr(name), &err)) err_done(&err);
}

static void put_frame(JsonWrite *json, Span name, const EvalProfileFrame *place) {
  json_write_object_begin(json);
  put_key(json, "name");
  json_write_text(json, name);
  if (place && place->file.len) {
    put_key(json, "file");
    json_write_text(json, place->file);
  }
  if (place && place->line) {
    put_key(json, "line");
    json_write_uint(json, place->line);
    put_key(json, "col");
    json_write_uint(json, place->column);
  }
  json_write_object_end(json);
}

typedef struct Speedscope {
  const EvalProfileResult *result;
  JsonWrite json;
  Stack stack;
  EvalProfileSample *samples; // in order of time, or one for each stack
  size_t sample_count;
} Speedscope;

// `entities`: NULL for all frames; else only the frames of an entity, whose number is counted from `first`.
static void put_profile(Speedscope *s, const char *name, const Entities *entities, uint32_t first) {
  JsonWrite *json = &s->json;
  uint64_t end_us = 0;
  json_write_object_begin(json);
  put_key(json, "type");
  json_write_text(json, SPAN("sampled"));
  put_key(json, "name");
  json_write_text(json, span_cstr(name));
  put_key(json, "unit");
  json_write_text(json, SPAN("microseconds"));
  put_key(json, "startValue");
  json_write_uint(json, 0);
  put_key(json, "weights");
  json_write_array_begin(json);
  for (size_t i = 0; i < s->sample_count; i++) {
    uint64_t us = (s->samples[i].ns + 500) / 1000;
    json_write_uint(json, us);
    end_us += us;
  }
  json_write_array_end(json);
  put_key(json, "endValue");
  json_write_uint(json, end_us);
  put_key(json, "samples");
  json_write_array_begin(json);
  for (size_t i = 0; i < s->sample_count; i++) {
    stack_of(s->result, s->samples[i].node, &s->stack);
    uint32_t last = UINT32_MAX;
    json_write_array_begin(json);
    for (size_t j = s->stack.count; j-- > 0;) {
      uint32_t frame = s->stack.frames[j], entity = entities ? entities->of_frame[frame] : 0;
      if (entities && (!entity || entity == last)) continue;
      last = entity;
      json_write_uint(json, entities ? first + entity - 1 : frame);
    }
    json_write_array_end(json);
  }
  json_write_array_end(json);
  json_write_object_end(json);
}

// Each stack once, when the samples one by one would be too long.
static void choose_samples(Speedscope *s, Arena *arena) {
  const EvalProfileResult *result = s->result;
  uint64_t numbers = 0;
  uint32_t *depth = mem_alloc_zero((result->node_count + 1) * sizeof(uint32_t));
  for (uint32_t i = 1; i < result->node_count; i++) depth[i] = depth[result->nodes[i].parent] + 1;
  for (size_t i = 0; i < result->sample_count; i++) numbers += depth[result->samples[i].node];
  mem_free(depth);
  s->samples = result->samples;
  s->sample_count = result->sample_count;
  if (numbers <= SPEEDSCOPE_MAX_NUMBERS) return;
  s->samples = ARENA_ARRAY(arena, EvalProfileSample, result->node_count);
  s->sample_count = 0;
  for (uint32_t i = 1; i < result->node_count; i++)
    if (result->nodes[i].self_ns) s->samples[s->sample_count++] = (EvalProfileSample){i, result->nodes[i].self_ns};
}

void eval_profile_report_speedscope(const EvalProfileResult *result, Span name, Buf *ret) {
  static const char *const names[] = {"packages", "options", "files"};
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Buf label CLEANUP(buf_done) = BUF_INIT;
  Entities entities[3];
  Speedscope s = {.result = result};
  JsonWrite *json = &s.json;
  choose_samples(&s, &arena);
  json_write_init(json, ret, 0);
  json_write_object_begin(json);
  put_key(json, "$schema");
  json_write_text(json, SPAN("https://www.speedscope.app/file-format-schema.json"));
  put_key(json, "exporter");
  json_write_text(json, SPAN("firn"));
  put_key(json, "name");
  json_write_text(json, name);
  put_key(json, "activeProfileIndex");
  json_write_uint(json, 0);
  put_key(json, "shared");
  json_write_object_begin(json);
  put_key(json, "frames");
  json_write_array_begin(json);
  for (uint32_t i = 0; i < result->frame_count; i++) {
    buf_clear(&label);
    put_label(&result->frames[i], false, &label);
    put_frame(json, buf_span(&label), &result->frames[i]);
  }
  for (Category c = BY_PACKAGE; c <= BY_FILE; c++) {
    entities_init(result, c, &arena, &entities[c]);
    for (uint32_t i = 0; i < entities[c].count; i++) put_frame(json, entities[c].names[i], NULL);
  }
  json_write_array_end(json);
  json_write_object_end(json);
  put_key(json, "profiles");
  json_write_array_begin(json);
  put_profile(&s, "everything", NULL, 0);
  uint32_t first = result->frame_count;
  for (Category c = BY_PACKAGE; c <= BY_FILE; c++) {
    put_profile(&s, names[c], &entities[c], first);
    first += entities[c].count;
    entities_done(&entities[c]);
  }
  json_write_array_end(json);
  json_write_object_end(json);
  buf_put_char(ret, '\n');
  mem_free(s.stack.frames);
}
