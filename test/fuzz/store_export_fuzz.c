// store_export_fuzz.c: whatever is imported into a store, as an export stream or as the text of a database, is whole: it can be exported, and what is
// exported is imported again. The first byte says which.
#include "store/store_export.h"

#include "fuzz/fuzz.h"
#include "store/store_check.h"

// One store of each kind for all inputs: opening one costs more than a thousand of them. Paths stay valid, so later inputs may refer to earlier ones. What a
// database says about paths is believed, so its store cannot be exported.
static Store *open_store(Store **store) {
  if (!*store) FUZZ_CHECK(store_open(&(StoreOptions){.url = SPAN("memory:"), .no_sync = true}, store, NULL));
  return *store;
}

static void import_stream(Store *store, Span data) {
  StorePathList paths = STORE_PATH_LIST_INIT, again = STORE_PATH_LIST_INIT;
  Buf written = BUF_INIT;
  ByteSource source = byte_stream_from_span(&data);
  bool ok = store_export_read(store, &source, &paths, NULL);
  // What came before the end of a broken stream is valid, too.
  ByteSink sink = byte_stream_to_buf(&written);
  FUZZ_CHECK(store_export_write(store, paths.paths, paths.count, &sink, NULL));
  Span rest = buf_span(&written);
  source = byte_stream_from_span(&rest);
  FUZZ_CHECK(store_export_read(store, &source, &again, NULL));
  FUZZ_CHECK(!ok || again.count == paths.count);
  store_path_list_done(&paths);
  store_path_list_done(&again);
  buf_done(&written);
}

static void import_text(Store *store, Span data) {
  StorePathList paths = STORE_PATH_LIST_INIT;
  ByteSource source = byte_stream_from_span(&data);
  (void)!store_export_load_db(store, &source, true, true, &paths, NULL);
  for (size_t i = 0; i < paths.count; i++) {
    bool valid;
    FUZZ_CHECK(store_is_valid(store, &paths.paths[i], &valid, NULL));
  }
  store_path_list_done(&paths);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  static Store *of_streams, *of_texts;
  if (size_bytes == 0) return 0;
  Span rest = span_make(data + 1, size_bytes - 1);
  if (data[0] == 't') import_text(open_store(&of_texts), rest);
  else import_stream(open_store(&of_streams), rest);
  return 0;
}
