// power_loss_test.c: the power fails while firn adds, builds, collects and checks. Whatever the disk then holds, the next start finds a sound store with
// everything in it that was reported as done, and work goes on.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../castore/random_tree.h"
#include "base/fs.h"
#include "base/process.h"
#include "harness.h"
#include "power_disk.h"
#include "power_log.h"
#include "store/store_check.h"
#include "store/store_gc.h"
#include "store_fixture.h"

#define SAMPLES 60u
#define TORTURE_SAMPLES 4000u

// What is called loose has no root: from the word "collecting" on nobody expects it to stay.
static const char script[] =
    "set -e\n"
    "cat > x.nix <<'END'\n"
    "let sh = name: script: derivation { inherit name; system = builtins.currentSystem; builder = \"/bin/sh\"; PATH = "
    "\"/bin\";\n"
    "  args = [ \"-c\" script ]; };\n"
    "in rec {\n"
    "  a = sh \"kept-a\" \"mkdir $out; echo a > $out/a; echo aa > $out/aa; echo x > $out/same\";\n"
    "  b = sh \"kept-b\" \"mkdir -p $out/d; echo b > $out/d/b; echo x > $out/same; echo ${a} > $out/ref\";\n"
    "  c = sh \"kept-c\" \"echo ${b} > $out\";\n"
    "  d = sh \"loose-d\" \"mkdir $out; echo ${a} > $out/x; echo d > $out/d\";\n"
    "  i = builtins.readFile (sh \"loose-i\" \"echo i > $out\");\n"
    "}\n"
    "END\n"
    "echo text > loose-text\n"
    "firn store add loose-tree\n"
    "nix-store --add loose-text\n"
    "nix-build x.nix -A a -o $LINKS/a\n"
    "nix-build x.nix -A d --no-out-link &\n"
    "firn store add loose-more &\n"
    "wait\n"
    "nix-build x.nix -A b -o $LINKS/b\n"
    "firn eval -f x.nix i\n"
    "firn store check --contents\n"
    "firn eval --raw -E '\"\\ncollecting\\n\"'\n"
    "nix-store --gc &\n"
    "nix-build x.nix -A c -o $LINKS/c &\n"
    "wait\n"
    "firn store add loose-tree\n"
    "nix-store --optimise\n"
    "nix-build x.nix -A d --no-out-link\n";

typedef struct Lab {
  const char *root, *log; // what is recorded, and where
  PowerDisk *disk;
} Lab;

static void make_links(const char *bin) {
  static const char *const names[] = {"firn", "nix-store", "nix-build"};
  Err err = ERR_INIT;
  CHECK_OK(fs_mkdir_all(bin, 0755, &err), &err);
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    CLEANUP(buf_done) Buf link = BUF_INIT;
    buf_printf(&link, "%s/%s", bin, names[i]);
    CHECK(symlink(test_build_path("test/firn_recorded"), buf_cstr(&link)) == 0);
  }
}

static void set_path(const char *bin) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  buf_printf(&path, "%s:%s", bin, getenv("PATH"));
  setenv("PATH", buf_cstr(&path), 1);
}

static void record(Lab *lab, uint64_t *rng) {
  Err err = ERR_INIT;
  int status;
  CLEANUP(buf_done) Buf out = BUF_INIT;
  CLEANUP(buf_done) Buf errors = BUF_INIT;
  CLEANUP(buf_done) Buf url = BUF_INIT;
  *lab = (Lab){.root = test_temp_path("disk"), .log = test_temp_path("log")};
  CHECK_OK(fs_mkdir_all(lab->root, 0755, &err), &err);
  random_tree_make(test_temp_path("loose-tree"), 40, rng);
  random_tree_make(test_temp_path("loose-more"), 20, rng);
  make_links(test_temp_path("bin"));
  set_path(test_temp_path("bin"));
  buf_printf(&url, "firn:%s/s", lab->root);
  setenv("NIX_REMOTE", buf_cstr(&url), 1);
  setenv("NIX_CONF_DIR", test_temp_dir(), 1);
  setenv("HOME", test_temp_dir(), 1);
  setenv("XDG_CACHE_HOME", test_temp_path("cache"), 1);
  setenv("LINKS", test_temp_path("disk/links"), 1);
  setenv("FIRN_BOOT_ID", "before", 1);
  setenv(POWER_LOG_ENV, lab->log, 1);
  setenv(POWER_LOG_ROOT_ENV, lab->root, 1);
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = (const char *[]){"sh", "-c", script, NULL};
  spec.cwd = test_temp_dir();
  CHECK_OK(process_run(&spec, &out, &errors, &status, &err), &err);
  unsetenv(POWER_LOG_ENV);
  if (status != 0)
    test_fail(__FILE__, __LINE__, "the recorded commands failed:\n%s%s", buf_cstr(&out), buf_cstr(&errors));
  CHECK_OK(power_disk_open(lab->log, lab->root, &lab->disk, &err), &err);
}

// Which paths must be there: everything that was said, but for loose ones from before the collection.
static void expected_paths(const Lab *lab, size_t moment, StorePathList *ret) {
  CLEANUP(buf_done) Buf said = BUF_INIT;
  Span line;
  power_disk_said(lab->disk, moment, &said);
  Span rest = buf_span(&said);
  size_t collecting = span_find(rest, SPAN("\ncollecting\n"));
  bool is_before = collecting != SIZE_MAX;
  while (rest.len > 0) {
    StorePath path;
    if (!span_split(&rest, '\n', &line)) break;
    if (span_eq_cstr(line, "collecting")) is_before = false;
    if (!store_path_parse(line, STORE_PATH_DIR, &path, NULL)) continue;
    if (!is_before || span_has_prefix(store_path_name(&path), SPAN("kept"))) store_path_list_add(ret, &path);
  }
  // While the collection runs, what others add without a root may go again.
  if (collecting == SIZE_MAX) return;
  for (size_t i = 0; i < ret->count; i++)
    if (!span_has_prefix(store_path_name(&ret->paths[i]), SPAN("kept"))) ret->paths[i--] = ret->paths[--ret->count];
}

static void on_problem(void *ctx, const char *text, bool repaired) {
  test_note("%s%s", text, repaired ? " (repaired)" : "");
}

static void check_clean(Store *store) {
  Err err = ERR_INIT;
  StoreCheckResult result;
  CHECK_OK(store_check_run(store, &(StoreCheckOptions){.contents = true, .report = on_problem}, &result, &err), &err);
  CHECK_EQ_INT(result.problems, 0);
}

static void check_kept(Store *store, const StorePath *path) {
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf link = BUF_INIT;
  CLEANUP(buf_done) Buf target = BUF_INIT;
  if (!store_fixture_valid(store, path)) test_fail(__FILE__, __LINE__, "'%s' was reported and is gone", path->name);
  if (!span_has_prefix(store_path_name(path), SPAN("kept-"))) return;
  buf_printf(&link, "%s/%s", test_temp_path("disk/links"), path->name + strlen("kept-"));
  CHECK_OK(fs_read_link(buf_cstr(&link), &target, &err), &err);
  if (!fs_exists(buf_cstr(&target))) test_fail(__FILE__, __LINE__, "the tree '%s' is gone", buf_cstr(&target));
}

static size_t try_disk(const Lab *lab, size_t moment, bool reordered, uint64_t seed) {
  Err err = ERR_INIT;
  Store *store;
  StorePathList expected = STORE_PATH_LIST_INIT;
  CHECK_OK(fs_remove_tree(lab->root, &err), &err);
  CHECK_OK(fs_mkdir_all(lab->root, 0755, &err), &err);
  CHECK_OK(power_disk_make(lab->disk, moment, reordered, seed, lab->root, &err), &err);
  CHECK_OK(store_open(&(StoreOptions){.url = span_cstr(getenv("NIX_REMOTE"))}, &store, &err), &err);
  expected_paths(lab, moment, &expected);
  check_clean(store);
  for (size_t i = 0; i < expected.count; i++) check_kept(store, &expected.paths[i]);
  StorePath again = store_fixture_tree(store, "loose-tree", test_temp_path("loose-tree"));
  CHECK_OK(store_materialise(store, &again, 1, &err), &err);
  StoreGcResult gc = STORE_GC_RESULT_INIT;
  CHECK_OK(store_gc_run(store, &(StoreGcOptions){.action = STORE_GC_DELETE_DEAD}, &gc, &err), &err);
  store_gc_result_done(&gc);
  check_clean(store);
  size_t count = expected.count;
  store_path_list_done(&expected);
  store_free(store);
  return count;
}

// `sync` is the way of waiting for the disk (store_sync.h).
static void try_moments(const char *sync) {
  Lab lab;
  uint64_t rng = test_seed();
  size_t expected = 0, samples = getenv("FIRN_TORTURE") ? TORTURE_SAMPLES : SAMPLES;
  setenv("FIRN_SYNC", sync, 1);
  record(&lab, &rng);
  setenv("FIRN_BOOT_ID", "after", 1);
  for (size_t i = 0; i < samples; i++) {
    size_t moment = (size_t)test_random_below(&rng, power_disk_count(lab.disk) + 1);
    uint64_t seed = test_random(&rng);
    bool reordered = i % 3 == 2;
    const char *only = getenv("FIRN_TEST_MOMENT"); // "moment reordered seed", to look at one
    if (only) {
      unsigned long long parts[3];
      CHECK(sscanf(only, "%llu %llu %llu", &parts[0], &parts[1], &parts[2]) == 3);
      moment = (size_t)parts[0], reordered = parts[1] != 0, seed = parts[2], samples = i;
    }
    test_note("FIRN_TEST_MOMENT='%zu %d %llu'", moment, reordered, (unsigned long long)seed);
    expected += try_disk(&lab, moment, reordered, seed);
  }
  test_note("%zu disks out of %zu records; %zu reported paths were looked for", samples, power_disk_count(lab.disk),
            expected);
  power_disk_free(lab.disk);
}

TEST(any_moment) {
  try_moments("all");
}

TEST(any_moment_with_pieces) {
  try_moments("pieces");
}

TEST_MAIN()
