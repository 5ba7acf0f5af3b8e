// pos.c: positions; line tables are made per source when somebody asks for a line.
#include "eval/pos.h"

#include "base/mem.h"

typedef struct PosEntry {
  PosSource source; // first: a PosSource of this table is a PosEntry
  uint32_t *lines;  // offsets of line starts, owned; NULL: not counted yet
  uint32_t line_count;
  bool unreadable;
} PosEntry;

struct PosTable {
  PosEntry **entries; // ascending by base
  size_t count, cap;
  uint64_t next_base;
  PosReadFn read;
  void *read_ctx;
};

PosTable *pos_table_new(void) {
  return mem_alloc_zero(sizeof(PosTable));
}

void pos_table_set_reader(PosTable *table, PosReadFn read, void *ctx) {
  table->read = read;
  table->read_ctx = ctx;
}

void pos_table_free(PosTable *table) {
  if (!table) return;
  for (size_t i = 0; i < table->count; i++) {
    PosEntry *e = table->entries[i];
    mem_free(e->source.path);
    mem_free(e->source.origin);
    mem_free(e->source.text);
    mem_free(e->lines);
    mem_free(e);
  }
  mem_free(table->entries);
  mem_free(table);
}

const PosSource *pos_add_source(PosTable *table, Span path, Span origin, Span text) {
  PosEntry *e = mem_alloc_zero(sizeof *e);
  if (path.data) e->source.path = span_dup(path);
  e->source.origin = span_dup(origin);
  if (text.data) e->source.text = span_dup(text);
  // One number more than bytes: the end of the text has a position too. When the numbers are used up (4 GiB of sources), further
  // sources get none and their positions are unknown.
  uint64_t end = table->next_base + text.len + 1;
  if (end < UINT32_MAX) {
    e->source.len = text.len;
    e->source.base = (PosId)table->next_base;
    table->next_base = end;
  } else {
    e->source.base = UINT32_MAX;
  }
  MEM_RESERVE(table->entries, table->cap, table->count + 1);
  table->entries[table->count++] = e;
  return &e->source;
}

PosId pos_of(const PosSource *source, uint32_t offset) {
  if (source->base == UINT32_MAX || offset > source->len) return 0;
  return source->base + 1 + offset;
}

static PosEntry *pos_find(const PosTable *table, PosId pos) {
  if (!pos) return NULL;
  uint32_t index = pos - 1;
  size_t lo = 0, hi = table->count; // the last entry whose base is not above index
  while (hi - lo > 1) {
    size_t mid = (lo + hi) / 2;
    if (table->entries[mid]->source.base <= index) lo = mid;
    else hi = mid;
  }
  if (lo == table->count) return NULL;
  PosEntry *e = table->entries[lo];
  return index >= e->source.base && index - e->source.base <= e->source.len ? e : NULL;
}

const PosSource *pos_source(const PosTable *table, PosId pos) {
  const PosEntry *e = pos_find(table, pos);
  return e ? &e->source : NULL;
}

// A line ends with "\n", "\r\n" or "\r": the offset of the end of the line that contains `at`, *ret_next the start of the next.
static size_t pos_line_end(Span text, size_t at, size_t *ret_next) {
  size_t end = at;
  while (end < text.len && text.data[end] != '\n' && text.data[end] != '\r') end++;
  *ret_next = end;
  if (end < text.len) *ret_next += text.data[end] == '\r' && end + 1 < text.len && text.data[end + 1] == '\n' ? 2 : 1;
  return end;
}

static bool pos_count_lines(PosTable *table, PosEntry *e) {
  if (e->lines) return true;
  if (e->unreadable) return false;
  PosSource *source = &e->source;
  if (!source->text) {
    Buf text = BUF_INIT;
    bool ok = table->read && source->path && table->read(table->read_ctx, span_cstr(source->path), &text);
    // A file of another size is another file: its lines would be wrong.
    if (!ok || text.len != source->len) {
      buf_done(&text);
      e->unreadable = true;
      return false;
    }
    source->text = buf_take(&text);
  }
  Span text = span_make(source->text, source->len);
  uint32_t cap = 0;
  for (size_t at = 0;;) {
    MEM_RESERVE(e->lines, cap, e->line_count + 1);
    e->lines[e->line_count++] = (uint32_t)at;
    size_t next;
    if (pos_line_end(text, at, &next) == text.len) break;
    at = next;
  }
  return true;
}

bool pos_resolve(PosTable *table, PosId pos, Pos *ret) {
  PosEntry *e = pos_find(table, pos);
  *ret = (Pos){e ? &e->source : NULL, 0, 0};
  if (!e || !pos_count_lines(table, e)) return false;
  uint32_t offset = pos - 1 - e->source.base, lo = 0, hi = e->line_count;
  while (hi - lo > 1) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (e->lines[mid] <= offset) lo = mid;
    else hi = mid;
  }
  ret->line = lo + 1;
  ret->column = offset - e->lines[lo] + 1;
  return true;
}

Span pos_line(PosTable *table, const PosSource *source, uint32_t line) {
  PosEntry *e = (PosEntry *)source; // see PosEntry
  if (!pos_count_lines(table, e) || line == 0 || line > e->line_count) return (Span){NULL, 0};
  Span text = span_make(source->text, source->len);
  size_t start = e->lines[line - 1], next;
  return span_make(text.data + start, pos_line_end(text, start, &next) - start);
}
