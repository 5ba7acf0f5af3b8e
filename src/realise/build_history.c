// build_history.c: see build_history.h.
#include "realise/build_history.h"

#include "base/fs.h"
#include "formats/drv_name.h"

#define MAGIC "firn-history 1\n"

static void file_of(const char *state_dir, Span drv_name, Buf *ret) {
  Span package, version;
  drv_name_parse(drv_name, &package, &version);
  buf_printf(ret, "%s/history/%.*s", state_dir, SPAN_ARG(package));
}

static bool parse_record(Span *rest, BuildHistoryRecord *ret) {
  Span line, word;
  uint64_t number = 0;
  *ret = (BuildHistoryRecord){.drv_base = SPAN("")};
  if (!span_split(rest, '\n', &line) || !span_split(&line, ' ', &ret->drv_base)) return false;
  if (!span_split(&line, ' ', &word) || !span_parse_i64(word, &ret->ended_s)) return false;
  for (bool more = true; more;) {
    more = span_split(&line, ' ', &word);
    if (!span_parse_u64(word, &number)) return false;
    if (more && ret->duration_count < BUILD_HISTORY_DURATIONS_MAX) ret->durations_ms[ret->duration_count++] = number;
  }
  // The last number is the length of the text.
  if (number >= rest->len || rest->data[number] != '\n') return false;
  ret->text = span_sub(*rest, 0, (size_t)number);
  *rest = span_from(*rest, (size_t)number + 1);
  return true;
}

size_t build_history_find(const char *state_dir, Span drv_name, Arena *arena, BuildHistoryRecord **ret) {
  Buf path CLEANUP(buf_done) = BUF_INIT, content CLEANUP(buf_done) = BUF_INIT;
  Err ignored = ERR_INIT;
  size_t count = 0;
  *ret = ARENA_ARRAY(arena, BuildHistoryRecord, BUILD_HISTORY_RECORDS_MAX);
  file_of(state_dir, drv_name, &path);
  if (!fs_read_file(buf_cstr(&path), BUILD_HISTORY_FILE_BYTES_MAX, &content, &ignored)) return err_done(&ignored), 0;
  Span rest = arena_dup(arena, buf_span(&content));
  if (!span_has_prefix(rest, SPAN(MAGIC))) return 0;
  rest = span_from(rest, sizeof(MAGIC) - 1);
  while (count < BUILD_HISTORY_RECORDS_MAX && rest.len && parse_record(&rest, &(*ret)[count])) count++;
  return count;
}

static void put_record(const BuildHistoryRecord *record, Buf *ret) {
  buf_printf(ret, "%.*s %lld", SPAN_ARG(record->drv_base), (long long)record->ended_s);
  for (size_t i = 0; i < record->duration_count; i++)
    buf_printf(ret, " %llu", (unsigned long long)record->durations_ms[i]);
  buf_printf(ret, " %zu\n", record->text.len);
  buf_put_span(ret, record->text);
  buf_put_char(ret, '\n');
}

bool build_history_add(const char *state_dir, const StorePath *drv, Span text, uint64_t duration_ms, int64_t ended_s,
                       Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Buf path CLEANUP(buf_done) = BUF_INIT, base CLEANUP(buf_done) = BUF_INIT, out CLEANUP(buf_done) = BUF_INIT;
  BuildHistoryRecord *records;
  Span name = store_path_name(drv);
  if (span_has_suffix(name, SPAN(".drv"))) name.len -= 4;
  size_t count = build_history_find(state_dir, name, &arena, &records);
  store_path_format_base(drv, &base);
  BuildHistoryRecord added = {.drv_base = buf_span(&base), .ended_s = ended_s, .text = text};
  added.durations_ms[added.duration_count++] = duration_ms;
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; span_eq(records[i].drv_base, added.drv_base) && j < records[i].duration_count; j++)
      if (added.duration_count < BUILD_HISTORY_DURATIONS_MAX)
        added.durations_ms[added.duration_count++] = records[i].durations_ms[j];
  buf_put_cstr(&out, MAGIC);
  put_record(&added, &out);
  size_t kept = 1;
  for (size_t i = 0; i < count && kept < BUILD_HISTORY_RECORDS_MAX; i++) {
    if (span_eq(records[i].drv_base, added.drv_base)) continue;
    put_record(&records[i], &out);
    kept++;
  }
  file_of(state_dir, name, &path);
  const char *dir = arena_dup(&arena, fs_path_dir(buf_span(&path))).data;
  return fs_mkdir_all(dir, 0755, err) && fs_write_file_atomic(buf_cstr(&path), buf_span(&out), 0644, false, err);
}

// "<hash>-hello-2.10.drv" is called "hello-2.10".
static bool is_called(const BuildHistoryRecord *record, Span drv_name) {
  Span base = span_from(record->drv_base, STORE_PATH_HASH_CHARS + 1);
  return base.len == drv_name.len + 4 && span_has_prefix(base, drv_name);
}

uint64_t build_history_mean_ms(const char *state_dir, Span drv_name) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  BuildHistoryRecord *records;
  size_t count = build_history_find(state_dir, drv_name, &arena, &records);
  for (int exact = 1; exact >= 0; exact--) {
    uint64_t sum_ms = 0, builds = 0;
    for (size_t i = 0; i < count; i++) {
      if (exact && !is_called(&records[i], drv_name)) continue;
      for (size_t j = 0; j < records[i].duration_count; j++) sum_ms += records[i].durations_ms[j];
      builds += records[i].duration_count;
    }
    if (builds) return sum_ms / builds;
  }
  return 0;
}
