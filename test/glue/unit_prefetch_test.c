// unit_prefetch_test.c: what a second thread has compiled is what the evaluator would have made, and nothing else is ever handed out.
#include "glue/unit_prefetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "eval/memory_io.h"
#include "harness.h"

#define SMALL_COUNT 60u
#define LARGE_ITEMS 20000u // well above the size that counts as large

static MemoryIo io;

static Vm *open_vm(void) {
  memory_io_init(&io, NULL, 0);
  const VmSettings settings = {.current_system = "x86_64-linux", .store_dir = "/nix/store"};
  return vm_new(&io.io, &settings, NULL, 0);
}

static const char *small_path(unsigned i) {
  char name[32];
  snprintf(name, sizeof name, "small%u.nix", i);
  return test_temp_path(name);
}

static void write_file(const char *path, Span text) {
  Err err = ERR_INIT;
  CHECK_OK(fs_write_file_atomic(path, text, 0600, false, &err), &err);
}

static void write_files(void) {
  Buf large CLEANUP(buf_done) = BUF_INIT;
  buf_put_cstr(&large, "[");
  for (unsigned i = 0; i < LARGE_ITEMS; i++) buf_printf(&large, " (x: x + %u)", i);
  buf_put_cstr(&large, " ]");
  write_file(test_temp_path("large.nix"), buf_span(&large));
  for (unsigned i = 0; i < SMALL_COUNT; i++) {
    char text[64];
    snprintf(text, sizeof text, "{ value = %u; f = x: x.y.z%u; }", i, i);
    write_file(small_path(i), span_cstr(text));
  }
}

static EvalStat stat_of(const char *path) {
  struct stat st = {0};
  CHECK(lstat(path, &st) == 0);
  return (EvalStat){.type = EVAL_FILE_REGULAR,
                    .size_bytes = (uint64_t)st.st_size,
                    .dev = st.st_dev,
                    .ino = st.st_ino,
                    .mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec,
                    .ctime_ns = (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec};
}

// Asks for the file; whether it had been compiled. What comes is what compiling it now gives.
static bool ask(UnitPrefetch *prefetch, Vm *vm, const char *path) {
  UnitStore *store = unit_prefetch_store(prefetch);
  EvalStat st = stat_of(path);
  const uint32_t *image = store->ops->find(store, span_cstr(path), &st);
  if (!image) return false;
  Buf text CLEANUP(buf_done) = BUF_INIT, want CLEANUP(buf_done) = BUF_INIT;
  Err err = ERR_INIT;
  CHECK_OK(fs_read_file(path, SIZE_MAX, &text, &err), &err);
  CHECK(vm_compile(vm, buf_span(&text), &want));
  CHECK(memcmp(image, want.data, want.len) == 0);
  return true;
}

// One evaluation: half of the small files, the large one, the others. The number of files that were compiled ahead.
static unsigned evaluate(useconds_t pause_us) {
  Vm *vm = open_vm();
  UnitPrefetch *prefetch = unit_prefetch_start(vm, NULL, span_cstr(test_temp_path("lists")), SPAN("question"));
  unsigned ahead = 0;
  for (unsigned i = 0; i < SMALL_COUNT / 2; i++) {
    ahead += ask(prefetch, vm, small_path(i));
    if (i == 0) usleep(pause_us);
  }
  ahead += ask(prefetch, vm, test_temp_path("large.nix"));
  for (unsigned i = SMALL_COUNT / 2; i < SMALL_COUNT; i++) ahead += ask(prefetch, vm, small_path(i));
  unit_prefetch_finish(prefetch);
  vm_free(vm);
  unit_prefetch_free(prefetch);
  return ahead;
}

// The only file in the folder of lists.
static char *list_path(void) {
  FsList lists CLEANUP(fs_list_done) = FS_LIST_INIT;
  Err err = ERR_INIT;
  CHECK_OK(fs_list_dir(test_temp_path("lists"), &lists, &err), &err);
  CHECK_EQ_INT(lists.count, 1);
  Buf path = BUF_INIT;
  buf_printf(&path, "%s/%s", test_temp_path("lists"), lists.entries[0].name);
  return buf_take(&path);
}

static void read_list(Buf *ret) {
  char *path = list_path();
  Err err = ERR_INIT;
  CHECK_OK(fs_read_file(path, SIZE_MAX, ret, &err), &err);
  free(path);
}

TEST(compiled_ahead) {
  write_files();
  CHECK_EQ_INT(evaluate(0), 0); // no list yet
  Buf list CLEANUP(buf_done) = BUF_INIT, want CLEANUP(buf_done) = BUF_INIT;
  read_list(&list);
  buf_printf(&want, "%s\n\n", test_temp_path("large.nix"));
  for (unsigned i = 0; i < SMALL_COUNT; i++) buf_printf(&want, "%s\n", small_path(i));
  CHECK_STR(buf_span(&list), buf_cstr(&want));
  CHECK_EQ_INT(evaluate(0), 0); // written within the same tick of the clock, for all we know
  usleep(UNIT_CACHE_RACY_NS / 1000 + 100000);
  CHECK(evaluate(500000) > SMALL_COUNT / 2);                 // the thread had the time for all
  for (unsigned i = 0; i < 20; i++) (void)evaluate(i * 100); // meets the thread anywhere
}

TEST(other_files_than_listed) {
  write_files();
  (void)evaluate(0);
  usleep(UNIT_CACHE_RACY_NS / 1000 + 100000);
  CHECK_OK(unlink(test_temp_path("large.nix")) == 0, &(Err)ERR_INIT);
  CHECK(mkdir(test_temp_path("large.nix"), 0700) == 0);
  write_file(small_path(1), SPAN("syntax error {"));
  write_file(small_path(2), SPAN("1 + 1"));
  Vm *vm = open_vm();
  UnitPrefetch *prefetch = unit_prefetch_start(vm, NULL, span_cstr(test_temp_path("lists")), SPAN("question"));
  (void)ask(prefetch, vm, small_path(0));
  usleep(200000);
  CHECK(!ask(prefetch, vm, test_temp_path("large.nix")));
  CHECK(!ask(prefetch, vm, small_path(1)));
  CHECK(!ask(prefetch, vm, small_path(2))); // too new
  (void)ask(prefetch, vm, small_path(3));
  unit_prefetch_finish(prefetch);
  vm_free(vm);
  unit_prefetch_free(prefetch);
}

TEST(lists_that_make_no_sense) {
  write_files();
  (void)evaluate(0);
  usleep(UNIT_CACHE_RACY_NS / 1000 + 100000);
  const Span lists[] = {SPAN(""),
                        SPAN("\n"),
                        SPAN("\n\n\n"),
                        SPAN("no newline"),
                        SPAN("\0\0\n/\n\n/dev/null\n//\n"),
                        SPAN("/proc/self/mem\n\n/nowhere/x.nix\n")};
  char *path = list_path();
  for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
    write_file(path, lists[i]);
    CHECK(evaluate(1000) <= SMALL_COUNT);
  }
  Buf twice CLEANUP(buf_done) = BUF_INIT; // the same file again and again
  for (unsigned i = 0; i < 1000; i++) buf_printf(&twice, "%s\n%s", small_path(0), i % 3 ? "" : "\n");
  write_file(path, buf_span(&twice));
  (void)evaluate(1000);
  free(path);
}

TEST_MAIN()
