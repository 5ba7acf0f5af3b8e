// nar_index.c: see nar_index.h.
#include "cli/nar_index.h"

#include "base/fs.h"
#include "base/mem.h"

void nar_index_init(NarIndex *index) {
  *index = (NarIndex){.arena = ARENA_INIT};
  nar_read_init(&index->nar);
}

void nar_index_done(NarIndex *index) {
  nar_read_done(&index->nar);
  buf_done(&index->path);
  buf_done(&index->open);
  arena_done(&index->arena);
  mem_free(index->entries);
}

void nar_index_cat(NarIndex *index, Span path, const ByteSink *sink) {
  index->wanted = path.len == 1 ? SPAN("") : path;
  index->wanted_sink = sink;
}

// ---- reading

static void add(NarIndex *index, const NarReadEvent *event, CastoreKind kind) {
  if (index->wanted_sink) {
    bool is_wanted = span_eq(buf_span(&index->path), index->wanted);
    if (is_wanted) index->found_kind = kind;
    index->is_found = index->is_found || is_wanted;
    index->is_inside = is_wanted && kind == CASTORE_FILE;
    return;
  }
  MEM_RESERVE(index->entries, index->cap, index->count + 1);
  index->entries[index->count] = (NarIndexEntry){.path = arena_dup(&index->arena, buf_span(&index->path)),
                                                 .kind = kind,
                                                 .executable = event->executable,
                                                 .size_bytes = event->size_bytes,
                                                 .offset = event->content_offset,
                                                 .end = index->count + 1};
  if (kind == CASTORE_SYMLINK) index->entries[index->count].target = arena_dup(&index->arena, event->data);
  index->count++;
}

static void leave(NarIndex *index) {
  size_t slash = span_rfind_char(buf_span(&index->path), '/');
  index->path.len = slash == SIZE_MAX ? 0 : slash;
}

static bool take_event(NarIndex *index, const NarReadEvent *event, Err *err) {
  static const CastoreKind kinds[] = {[NAR_READ_DIR_BEGIN] = CASTORE_DIRECTORY,
                                      [NAR_READ_FILE_BEGIN] = CASTORE_FILE,
                                      [NAR_READ_SYMLINK] = CASTORE_SYMLINK};
  size_t number = index->count;
  switch (event->kind) {
  case NAR_READ_FILE_DATA: return !index->is_inside || byte_stream_put(index->wanted_sink, event->data, err);
  case NAR_READ_FILE_END:
    index->is_inside = false;
    leave(index);
    return true;
  case NAR_READ_DIR_END:
    index->open.len -= sizeof(number);
    memcpy(&number, index->open.data + index->open.len, sizeof(number));
    if (!index->wanted_sink) index->entries[number].end = index->count;
    leave(index);
    return true;
  case NAR_READ_DIR_BEGIN: buf_put(&index->open, &number, sizeof(number)); break;
  case NAR_READ_FILE_BEGIN:
  case NAR_READ_SYMLINK: break;
  }
  // Only the root has no name.
  if (event->name.len) buf_printf(&index->path, "/%.*s", SPAN_ARG(event->name));
  add(index, event, kinds[event->kind]);
  if (event->kind == NAR_READ_SYMLINK) leave(index);
  return true;
}

static bool put(void *ctx, Span data, Err *err) {
  NarIndex *index = ctx;
  NarReadEvent event;
  NarReadStatus status;
  while ((status = nar_read_next(&index->nar, &data, &event, err)) == NAR_READ_EVENT)
    if (!take_event(index, &event, err)) return false;
  return status != NAR_READ_ERROR;
}

ByteSink nar_index_sink(NarIndex *index) {
  return (ByteSink){put, index};
}

bool nar_index_finish(NarIndex *index, Err *err) {
  return nar_read_finish(&index->nar, err);
}

static const NarIndexEntry *find(const NarIndex *index, Span text) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  fs_path_canon(SPAN("/"), text, &path);
  Span wanted = path.len == 1 ? SPAN("") : buf_span(&path);
  for (size_t i = 0; i < index->count; i++)
    if (span_eq(index->entries[i].path, wanted)) return &index->entries[i];
  return NULL;
}

// ---- printing

void nar_index_put_line(const NarIndexEntry *entry, Span name, bool is_long, Buf *out) {
  if (is_long)
    buf_printf(out, "%s %20llu ",
               entry->kind == CASTORE_DIRECTORY ? "dr-xr-xr-x"
               : entry->kind == CASTORE_SYMLINK ? "lrwxrwxrwx"
               : entry->executable              ? "-r-xr-xr-x"
                                                : "-r--r--r--",
               (unsigned long long)entry->size_bytes);
  buf_put_span(out, name);
  if (is_long && entry->kind == CASTORE_SYMLINK) buf_printf(out, " -> %.*s", SPAN_ARG(entry->target));
  buf_put_char(out, '\n');
}

static void put_text(const NarIndex *index, const NarIndexEntry *top, const OptionList *options, Buf *out) {
  bool is_long = option_has(options, OPT_long_list), recursive = option_has(options, OPT_list_recursive);
  if (top->kind != CASTORE_DIRECTORY || option_has(options, OPT_directory)) {
    nar_index_put_line(top, top->kind == CASTORE_DIRECTORY ? SPAN(".") : fs_path_base(top->path), is_long, out);
    if (!recursive || top->kind != CASTORE_DIRECTORY) return;
  }
  for (size_t i = (size_t)(top - index->entries) + 1; i < top->end; i = recursive ? i + 1 : index->entries[i].end) {
    Buf name CLEANUP(buf_done) = BUF_INIT;
    buf_printf(&name, ".%.*s", SPAN_ARG(span_from(index->entries[i].path, top->path.len)));
    nar_index_put_line(&index->entries[i], buf_span(&name), is_long, out);
  }
}

bool nar_index_put_leaf(const NarIndexEntry *entry, JsonWrite *json, Err *err) {
  if (entry->kind == CASTORE_SYMLINK)
    return json_write_key(json, SPAN("target"), err) && json_write_str(json, entry->target, err);
  if (entry->executable) {
    if (!json_write_key(json, SPAN("executable"), err)) return false;
    json_write_bool(json, true);
  }
  if (entry->offset) {
    if (!json_write_key(json, SPAN("narOffset"), err)) return false;
    json_write_uint(json, entry->offset);
  }
  if (!json_write_key(json, SPAN("size"), err)) return false;
  json_write_uint(json, entry->size_bytes);
  return true;
}

bool nar_index_put_type(const NarIndexEntry *entry, JsonWrite *json, Err *err) {
  static const char *const types[] = {
      [CASTORE_DIRECTORY] = "directory", [CASTORE_FILE] = "regular", [CASTORE_SYMLINK] = "symlink"};
  return json_write_key(json, SPAN("type"), err) && json_write_str(json, span_cstr(types[entry->kind]), err);
}

static bool put_json(const NarIndex *index, const NarIndexEntry *entry, bool recursive, bool is_top, JsonWrite *json,
                     Err *err) {
  json_write_object_begin(json);
  if (!recursive && !is_top) return json_write_object_end(json), true;
  if (entry->kind == CASTORE_DIRECTORY) {
    if (!json_write_key(json, SPAN("entries"), err)) return false;
    json_write_object_begin(json);
    for (size_t i = (size_t)(entry - index->entries) + 1; i < entry->end; i = index->entries[i].end)
      if (!json_write_key(json, fs_path_base(index->entries[i].path), err) ||
          !put_json(index, &index->entries[i], recursive, false, json, err))
        return false;
    json_write_object_end(json);
  } else if (!nar_index_put_leaf(entry, json, err)) {
    return false;
  }
  if (!nar_index_put_type(entry, json, err)) return false;
  json_write_object_end(json);
  return true;
}

bool nar_index_list(const NarIndex *index, Span path, const char *operand, const OptionList *options, Buf *out,
                    Err *err) {
  JsonWrite json;
  const NarIndexEntry *top = find(index, path);
  if (!top) return err_set(err, ERR_NOT_FOUND, "path '%s' does not exist", operand);
  if (!option_has(options, OPT_json)) return put_text(index, top, options, out), true;
  json_write_init(&json, out, 0);
  if (!put_json(index, top, option_has(options, OPT_list_recursive), true, &json, err)) return false;
  buf_put_char(out, '\n');
  return true;
}
