// parse_dump.c: prints the tree of each file like `nix-instantiate --parse`, or its error as "error: LINE:COLUMN MESSAGE".
//
// usage: parse_dump [--pipes] [--quiet] FILE...
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "eval/ast_print.h"
#include "eval/parser.h"

// Lines end in LF, CR LF or CR, as C++ Nix counts them.
static void print_position(Span source, uint32_t pos) {
  size_t line = 1, column = 1;
  for (uint32_t i = 0; i < pos && i < source.len; i++) {
    column++;
    bool cr_lf = source.data[i] == '\r' && i + 1 < source.len && source.data[i + 1] == '\n';
    if (source.data[i] == '\n' || (source.data[i] == '\r' && !cr_lf)) line++, column = 1;
  }
  printf("%zu:%zu", line, column);
}

static void print_error(Span source, const ParserError *error) {
  printf("error: ");
  print_position(source, error->pos);
  printf(" %s", error->message);
  if (error->other_pos != AST_NO_POS) print_position(source, error->other_pos);
  putchar('\n');
}

static bool dump(const char *path, const ParserOptions *options, bool quiet) {
  Buf source = BUF_INIT, out = BUF_INIT;
  Err err = ERR_INIT;
  if (!fs_read_file(path, PARSER_MAX_SOURCE_BYTES, &source, &err)) {
    fprintf(stderr, "%s\n", err_message(&err));
    exit(2);
  }
  Ast ast;
  ParserError error;
  bool ok = parser_parse(buf_span(&source), options, &ast, &error);
  if (ok) {
    const char *home = getenv("HOME");
    if (!quiet) {
      ast_print(&ast, fs_path_dir(span_cstr(path)), span_cstr(home ? home : "/"), &out);
      buf_put_char(&out, '\n');
      fwrite(out.data, 1, out.len, stdout);
    }
    ast_done(&ast);
  } else {
    print_error(buf_span(&source), &error);
    parser_error_done(&error);
  }
  buf_done(&source);
  buf_done(&out);
  return ok;
}

int main(int argc, char **argv) {
  ParserOptions options = {0};
  bool quiet = false, ok = true;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--pipes") == 0) options.pipe_operators = true;
    else if (strcmp(argv[i], "--quiet") == 0) quiet = true;
    else ok &= dump(argv[i], &options, quiet);
  }
  return ok ? 0 : 1;
}
