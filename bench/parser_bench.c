// parser_bench.c: parsing speed over files named on the standard input, one a line; files are read before the clock runs.
//
// usage: find DIR -name '*.nix' | parser_bench [REPETITIONS]
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "eval/parser.h"

typedef struct Result {
  size_t files, source_bytes, names, failed;
} Result;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static Result parse_all(const Buf *sources, size_t count) {
  Result result = {.files = count};
  const ParserOptions options = {0};
  for (size_t i = 0; i < count; i++) {
    Ast ast;
    ParserError error;
    result.source_bytes += sources[i].len;
    if (parser_parse(buf_span(&sources[i]), &options, &ast, &error)) {
      result.names += ast.name_count;
      ast_done(&ast);
    } else {
      result.failed++;
      parser_error_done(&error);
    }
  }
  return result;
}

int main(int argc, char **argv) {
  int64_t repetitions = 5;
  if (argc > 1 && !span_parse_i64(span_cstr(argv[1]), &repetitions)) return 2;
  Buf *sources = NULL;
  size_t count = 0, cap = 0;
  char path[4096];
  while (fgets(path, sizeof path, stdin)) {
    path[strcspn(path, "\n")] = '\0';
    MEM_RESERVE(sources, cap, count + 1);
    sources[count] = (Buf)BUF_INIT;
    Err err = ERR_INIT;
    if (fs_read_file(path, PARSER_MAX_SOURCE_BYTES, &sources[count], &err)) count++;
    else fprintf(stderr, "%s\n", err_message(&err));
    err_done(&err);
  }
  double best = 1e9;
  Result result = {0};
  for (int64_t i = 0; i < repetitions; i++) {
    double start = now();
    result = parse_all(sources, count);
    double seconds = now() - start;
    if (seconds < best) best = seconds;
  }
  printf("%zu files, %.2f MB, %zu names, %zu not parsed: %.2f ms, %.1f MB/s\n", result.files,
         (double)result.source_bytes / 1e6, result.names, result.failed, best * 1e3,
         (double)result.source_bytes / 1e6 / best);
  for (size_t i = 0; i < count; i++) buf_done(&sources[i]);
  mem_free(sources);
}
