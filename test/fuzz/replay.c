// replay.c: runs a fuzz target over its corpus without libFuzzer, as an ordinary TAP test: each input as it is, cut short
// at up to PREFIX_COUNT places, and with MUTATION_COUNT seeded mutations. One process per input, so that a crash names it.
// The input that is running is kept in a file; a crash leaves it there for study.
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/process.h"
#include "harness.h"

enum { PREFIX_COUNT = 64, MUTATION_COUNT = 400, MAX_INPUT_BYTES = 1 << 20 };

static const char *crash_path;

// The target gets a heap copy of the exact size, so that AddressSanitizer sees the first byte read beyond.
static void run_input(Span input) {
  if (crash_path) {
    Err err = ERR_INIT;
    CHECK_OK(fs_write_file_atomic(crash_path, input, 0644, false, &err), &err);
  }
  char *copy = mem_alloc(input.len);
  if (input.len) memcpy(copy, input.data, input.len);
  LLVMFuzzerTestOneInput((const uint8_t *)copy, input.len);
  mem_free(copy);
}

static void mutate(uint64_t *rng, Buf *input) {
  static const char interesting[] = {0, 1, '"', '\\', '(', '/', '.', 0x7f, (char)0x80, (char)0xff};
  size_t change_count = 1 + test_random_below(rng, 4);
  for (size_t i = 0; i < change_count; i++) {
    size_t at = test_random_below(rng, input->len + 1);
    switch (test_random_below(rng, 5)) {
    case 0: // flip a bit
      if (at < input->len) input->data[at] ^= (char)(1 << test_random_below(rng, 8));
      break;
    case 1: // an interesting byte
      if (at < input->len) input->data[at] = interesting[test_random_below(rng, sizeof interesting)];
      break;
    case 2: { // remove a run
      size_t len = test_random_below(rng, 16);
      if (len > input->len - at) len = input->len - at;
      memmove(input->data + at, input->data + at + len, input->len - at - len);
      input->len -= len;
      break;
    }
    case 3: // a huge little-endian number
      for (size_t k = at; k < input->len && k < at + 8; k++) input->data[k] = (char)0xff;
      break;
    default: { // repeat a run
      size_t len = test_random_below(rng, 16);
      if (len > input->len - at) len = input->len - at;
      buf_reserve(input, len);
      memmove(input->data + at + len, input->data + at, input->len - at);
      input->len += len;
    }
    }
  }
}

static void run_with_variants(Span seed_input, uint64_t rng) {
  run_input(seed_input);
  size_t step = seed_input.len / PREFIX_COUNT + 1;
  for (size_t len = 0; len < seed_input.len; len += step) run_input(span_sub(seed_input, 0, len));
  Buf mutant = BUF_INIT;
  for (size_t i = 0; i < MUTATION_COUNT; i++) {
    buf_clear(&mutant);
    buf_put_span(&mutant, seed_input);
    mutate(&rng, &mutant);
    run_input(buf_span(&mutant));
  }
  buf_done(&mutant);
}

static bool run_file(const char *path, uint64_t rng) {
  Buf input = BUF_INIT;
  Err err = ERR_INIT;
  CHECK_OK(fs_read_file(path, MAX_INPUT_BYTES, &input, &err), &err);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    run_with_variants(buf_span(&input), rng);
    buf_done(&input);
    exit(EXIT_SUCCESS);
  }
  buf_done(&input);
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status == 0) return true;
  Buf how = BUF_INIT;
  process_format_status(status, &how);
  test_note("%s or a mutation of it: the target %s; run with FIRN_FUZZ_CRASH=FILE and this seed to keep the input",
            path, buf_cstr(&how));
  buf_done(&how);
  return false;
}

static int is_input(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

int main(int argc, char **argv) {
  crash_path = getenv("FIRN_FUZZ_CRASH");
  struct dirent **entries;
  int count = argc == 2 ? scandir(argv[1], &entries, is_input, alphasort) : -1;
  if (count <= 0) {
    fprintf(stderr, "usage: %s CORPUS-DIRECTORY (not empty)\n", argv[0]);
    return EXIT_FAILURE;
  }
  uint64_t seed = test_seed();
  printf("1..%d\n", count);
  bool ok = true;
  for (int i = 0; i < count; i++) {
    Buf path = BUF_INIT;
    fs_path_join(&path, span_cstr(argv[1]), span_cstr(entries[i]->d_name));
    bool passed = run_file(buf_cstr(&path), seed);
    printf("%sok %d - %s\n", passed ? "" : "not ", i + 1, entries[i]->d_name);
    ok &= passed;
    buf_done(&path);
    mem_free(entries[i]);
  }
  free(entries);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
