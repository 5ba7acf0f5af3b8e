// store_bench: one store operation per run, timed inside the process: store_bench <store root> <operation> [argument...]. bench/store pairs them
// with C++ Nix.
//
//   add PATH            adds a file or tree (stat cache used), prints the store path
//   add-cold PATH       the same without the stat cache
//   materialise PATH    makes the tree of a store path
//   dump PATH           NAR of a store path to nowhere
//   hash-path PATH      NAR hash of a path on disk
//   restore NAR DEST    a NAR file to disk
//   texts COUNT REFS    adds COUNT text files with REFS references each, in one process
//   chain COUNT REFS    the same with references to the texts before: makes a closure of COUNT paths, prints the last
//   closure PATH        prints the number of paths and their NAR size
//   sizes PATH          closure sizes of every path in the closure
//   export PATH FILE, import FILE
//   gc                  collects
//   check               verifies contents
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/castore_nar.h"
#include "store/store_add.h"
#include "store/store_check.h"
#include "store/store_export.h"
#include "store/store_gc.h"

static double bench_now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool bench_null_put(void *ctx, Span data, Err *err) {
  *(uint64_t *)ctx += data.len;
  return true;
}

static bool bench_texts(Store *store, size_t count, size_t ref_count, bool chain, StorePath *ret_last, Err *err) {
  StorePath *paths = mem_alloc_array(count + ref_count + 1, sizeof(*paths));
  StorePath refs[64];
  char *content = mem_alloc(2048);
  bool ok = true;
  if (ref_count > 64) ref_count = 64;
  for (size_t i = 0; ok && i < count; i++) {
    memset(content, 'x', 2047);
    snprintf(content, 2048, "%ld-%zu", (long)(chain ? 0 : getpid()), i);
    size_t n = 0;
    for (size_t r = 0; r < ref_count && r < i; r++) refs[n++] = paths[chain ? i - 1 - (r * r) % i : r];
    ok = store_add_text(store, SPAN("bench.drv.txt"), span_make(content, 2047), refs, n, &paths[i], err);
  }
  ok = ok && store_flush(store, err);
  *ret_last = paths[count - 1];
  mem_free(paths);
  mem_free(content);
  return ok;
}

static bool bench_run(Store *store, int argc, char **argv, Err *err) {
  const char *what = argv[0], *arg = argc > 1 ? argv[1] : "";
  CLEANUP(buf_done) Buf text = BUF_INIT;
  StorePath path = {.name_len = 0};
  uint64_t bytes = 0;
  ByteSink sink = {bench_null_put, &bytes};
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  if (strncmp(what, "add", 3) == 0) {
    options.no_stat_cache = strcmp(what, "add-cold") == 0;
    if (!store_add_path(store, fs_path_base(span_cstr(arg)), arg, &options, &path, err)) return false;
    store_format_path(store, &path, &text);
    printf("%s\n", buf_cstr(&text));
    return true;
  }
  if (strcmp(what, "materialise") == 0)
    return store_parse_path(store, span_cstr(arg), &path, err) && store_materialise(store, &path, 1, err);
  if (strcmp(what, "dump") == 0)
    return store_parse_path(store, span_cstr(arg), &path, err) && store_dump(store, &path, &sink, err);
  if (strcmp(what, "hash-path") == 0) {
    CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
    options.dry_run = true;
    options.no_stat_cache = true;
    return store_add_path(store, SPAN("x"), arg, &options, &path, err);
  }
  if (strcmp(what, "restore") == 0 && argc > 2) {
    CLEANUP(fs_close_fd) int fd = -1;
    if (!fs_open(arg, O_RDONLY, 0, &fd, err)) return false;
    ByteSource source = byte_stream_from_fd(&fd);
    return castore_nar_restore(&source, argv[2], err);
  }
  if (strcmp(what, "texts") == 0 || strcmp(what, "chain") == 0) {
    bool ok = bench_texts(store, strtoul(arg, NULL, 10), argc > 2 ? strtoul(argv[2], NULL, 10) : 0, what[0] == 'c',
                          &path, err);
    if (ok) store_format_path(store, &path, &text);
    if (ok) printf("%s\n", buf_cstr(&text));
    return ok;
  }
  if (strcmp(what, "closure") == 0) {
    size_t count;
    StorePathList list = STORE_PATH_LIST_INIT;
    double start = bench_now_s();
    if (!store_parse_path(store, span_cstr(arg), &path, err) || !store_closure(store, &path, 1, NULL, &list, err))
      return false;
    double middle = bench_now_s();
    if (!store_closure_size(store, &path, &bytes, &count, err)) return false;
    printf("%zu paths, %llu bytes; closure %.1f ms, size %.1f ms\n", list.count, (unsigned long long)bytes,
           (middle - start) * 1e3, (bench_now_s() - middle) * 1e3);
    store_path_list_done(&list);
    return true;
  }
  if (strcmp(what, "sizes") == 0) {
    StorePathList list = STORE_PATH_LIST_INIT;
    if (!store_parse_path(store, span_cstr(arg), &path, err) || !store_closure(store, &path, 1, NULL, &list, err))
      return false;
    uint64_t *sizes = mem_alloc_array(list.count + 1, sizeof(*sizes));
    bool ok = store_closure_sizes(store, list.paths, list.count, sizes, err);
    mem_free(sizes);
    store_path_list_done(&list);
    return ok;
  }
  if (strcmp(what, "export") == 0 || strcmp(what, "import") == 0) {
    CLEANUP(fs_close_fd) int fd = -1;
    StorePathList list = STORE_PATH_LIST_INIT;
    bool ok;
    if (what[0] == 'e') {
      ByteSink to = byte_stream_to_fd(&fd);
      ok = argc > 2 && store_parse_path(store, span_cstr(arg), &path, err) &&
           fs_open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, err) &&
           store_export_write(store, &path, 1, &to, err);
    } else {
      ByteSource from = byte_stream_from_fd(&fd);
      ok = fs_open(arg, O_RDONLY, 0, &fd, err) && store_export_read(store, &from, &list, err);
    }
    store_path_list_done(&list);
    return ok;
  }
  if (strcmp(what, "gc") == 0) {
    StoreGcResult result = STORE_GC_RESULT_INIT;
    bool ok =
        store_gc_run(store, &(StoreGcOptions){.action = STORE_GC_DELETE_DEAD, .keep_derivations = true}, &result, err);
    printf("%zu paths, %llu objects, %llu bytes\n", result.paths.count, (unsigned long long)result.object_count,
           (unsigned long long)result.freed_bytes);
    store_gc_result_done(&result);
    return ok;
  }
  if (strcmp(what, "check") == 0) {
    StoreCheckResult result;
    bool ok = store_check_run(store, &(StoreCheckOptions){.contents = true}, &result, err);
    printf("%llu paths, %llu objects, %llu bytes, %llu problems\n", (unsigned long long)result.paths,
           (unsigned long long)result.objects, (unsigned long long)result.bytes, (unsigned long long)result.problems);
    return ok;
  }
  return err_set(err, ERR_USAGE, "unknown operation '%s'", what);
}

int main(int argc, char **argv) {
  Err err = ERR_INIT;
  Store *store = NULL;
  if (argc < 3) {
    fprintf(stderr, "usage: store_bench <store root> <operation> [argument...]\n");
    return 1;
  }
  CLEANUP(buf_done) Buf url = BUF_INIT;
  buf_printf(&url, "firn:%s", argv[1]);
  double start = bench_now_s();
  bool ok =
      store_open(&(StoreOptions){.url = buf_span(&url), .no_sync = getenv("BENCH_NO_SYNC") != NULL}, &store, &err);
  double opened = bench_now_s();
  ok = ok && bench_run(store, argc - 2, argv + 2, &err);
  double done = bench_now_s();
  store_free(store);
  if (!ok) fprintf(stderr, "error: %s\n", err_message(&err));
  else fprintf(stderr, "open %.1f ms, %s %.1f ms\n", (opened - start) * 1e3, argv[2], (done - opened) * 1e3);
  err_done(&err);
  return ok ? 0 : 1;
}
