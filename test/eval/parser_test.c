// parser_test.c: the golden cases in parse/ (made with C++ Nix), the structure of the tree where printing does not show it,
// and laws: no nesting is too deep for the C stack, time is linear, names are shared, the parser and the automaton agree.
#include "harness.h"

#include <time.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "eval/ast_print.h"
#include "eval/parser.h"
#include "eval/syntax_error.h"

static const ParserOptions no_options = {0};

static void put_line_column(Buf *out, Span source, uint32_t pos) {
  size_t line = 1, column = 1;
  for (uint32_t i = 0; i < pos && i < source.len; i++) {
    column++;
    if (source.data[i] == '\n') line++, column = 1;
  }
  buf_printf(out, "%zu:%zu", line, column);
}

// The tree, or the error as "line:column message".
static void parse_and_show(Span source, const ParserOptions *options, Buf *out) {
  Ast ast;
  ParserError error;
  if (parser_parse(source, options, &ast, &error)) {
    ast_print(&ast, SPAN("/base"), SPAN("/home/me"), out);
    ast_done(&ast);
    return;
  }
  CHECK(ast.root == NULL && ast.names == NULL);
  put_line_column(out, source, error.pos);
  buf_printf(out, " %s", error.message);
  if (error.other_pos != AST_NO_POS) put_line_column(out, source, error.other_pos);
  parser_error_done(&error);
}

static void check_parse(const char *source, const char *want) {
  Buf got = BUF_INIT;
  parse_and_show(span_cstr(source), &no_options, &got);
  CHECK_STR(buf_span(&got), want);
  buf_done(&got);
}

// ---- golden cases ----

static Span take_until(Span *rest, const char *line) {
  Span text = {rest->data, 0};
  Span head;
  while (rest->len) {
    Span before = *rest;
    (void)span_split(rest, '\n', &head);
    if (span_has_prefix(head, span_cstr(line))) {
      *rest = before;
      break;
    }
    text.len = (size_t)((rest->len ? rest->data : before.data + before.len) - text.data);
  }
  return text;
}

static void check_golden(const char *path) {
  Buf file = BUF_INIT, got = BUF_INIT;
  Err err = ERR_INIT;
  CHECK_OK(fs_read_file(test_source_path(path), 1 << 20, &file, &err), &err);
  Span rest = buf_span(&file), name, line;
  (void)take_until(&rest, "= ");
  int count = 0;
  while (span_split(&rest, '\n', &name)) {
    Span source = take_until(&rest, "-");
    (void)span_split(&rest, '\n', &line);
    CHECK_STR(line, "-");
    Span want = take_until(&rest, "= ");
    buf_clear(&got);
    if (source.len) source.len--; // the newline before "-" is not part of the source
    parse_and_show(source, &no_options, &got);
    buf_put_char(&got, '\n');
    if (!span_eq(buf_span(&got), want))
      test_fail(path, count, "case '%.*s'\n  got  %.*s  want %.*s", SPAN_ARG(name), SPAN_ARG(buf_span(&got)),
                SPAN_ARG(want));
    count++;
  }
  CHECK(count > 20);
  buf_done(&file);
  buf_done(&got);
}

TEST(golden_ok) {
  check_golden("eval/parse/ok.txt");
}
TEST(golden_fail) {
  check_golden("eval/parse/fail.txt");
}

// ---- options, odd bytes ----

TEST(pipes) {
  ParserOptions options = {.pipe_operators = true};
  Buf got = BUF_INIT;
  parse_and_show(SPAN("a: f: g: [ (a |> f |> g) (g <| f <| a) (a |> f a) (a + 1 |> f) (f <| a -> a) ]"), &options,
                 &got);
  CHECK_STR(buf_span(&got), "(a: (f: (g: [ ((g (f a))) ((g (f a))) ((f a a)) ((f (a + 1))) ((f (a -> a))) ])))");
  buf_clear(&got);
  parse_and_show(SPAN("a |> f <| b"), &options, &got);
  CHECK_STR(buf_span(&got), "1:8 syntax error, unexpected '<|', expecting end of file");
  buf_done(&got);
}

TEST(url_literals_off) {
  ParserOptions options = {.no_url_literals = true};
  Buf got = BUF_INIT;
  parse_and_show(SPAN("[ http://x ]"), &options, &got);
  CHECK_STR(buf_span(&got), "1:3 URL literals are disabled");
  buf_done(&got);
}

TEST(line_ends) {
  check_parse("\"a\r\nb\rc\\\r\nd$\re\"", "\"a\\nb\\nc\\r\\nd$\\ne\"");
  check_parse("''\r\n  a\r\n  b''", "\"\\r\\n  a\\r\\n  b\"");
  check_parse("1 # a\r+ 2", "(1 + 2)");
}

TEST(lines_of_blanks) {
  check_parse("''\n \n    x\n      \n  ''", "\"\\nx\\n  \\n\"");
  check_parse("''  ''", "\"\"");
  check_parse("''   \n''", "\"\"");
}

TEST(nul_bytes) {
  Buf got = BUF_INIT;
  parse_and_show(span_make("1\0garbage", 9), &no_options, &got);
  CHECK_STR(buf_span(&got), "1"); // bison takes a NUL for the end
  buf_clear(&got);
  parse_and_show(span_make("\"a\0b\"", 5), &no_options, &got);
  CHECK_STR(buf_span(&got),
            "1:2 input string 'a␀b' cannot be represented as Nix string because it contains null bytes");
  buf_done(&got);
}

// ---- the tree ----

static Ast parse(const char *source) {
  Ast ast;
  ParserError error;
  if (!parser_parse(span_cstr(source), &no_options, &ast, &error)) test_fail(__FILE__, __LINE__, "%s", error.message);
  return ast;
}

TEST(names_are_shared) {
  Ast ast = parse("{ a = a.b; b.\"a\" = x: x; }");
  CHECK_EQ_INT(ast.name_count, 3);
  CHECK_STR(ast.names[0].text, "a");
  CHECK_STR(ast.names[1].text, "b");
  CHECK_STR(ast.names[2].text, "x");
  ast_done(&ast);
}

TEST(positions_of_parts) {
  Ast ast = parse("(a) + \"x${ b }\"");
  const ExprPair *sum = (const ExprPair *)ast.root;
  CHECK_EQ_INT(sum->head.kind, EXPR_ADD);
  CHECK_EQ_INT(sum->head.pos, 4);
  CHECK_EQ_INT(sum->first_pos, 0);
  CHECK_EQ_INT(sum->second_pos, 6);
  const ExprInterp *interp = (const ExprInterp *)sum->second;
  CHECK_EQ_INT(interp->head.pos, 7);
  CHECK_EQ_INT(interp->part_pos[0], 7);
  CHECK_EQ_INT(interp->part_pos[1], 8);
  ast_done(&ast);
}

TEST(lambdas_know_their_names) {
  Ast ast = parse("{ f = x: y: (z: z); }");
  const ExprAttrs *set = (const ExprAttrs *)ast.root;
  const ExprLambda *lambda = (const ExprLambda *)set->attrs[0].value;
  for (int i = 0; i < 3; i++, lambda = (const ExprLambda *)lambda->body) {
    CHECK_EQ_INT(lambda->head.kind, EXPR_LAMBDA);
    CHECK_STR(ast.names[lambda->self_name].text, "f");
  }
  ast_done(&ast);
}

TEST(inherit_from_numbers_move_with_a_merge) {
  Ast ast = parse("x: { a = { inherit (x.p) b; }; a = { inherit (x.q) c d; inherit (x.r) e; }; }");
  const ExprAttrs *set = (const ExprAttrs *)((const ExprLambda *)ast.root)->body;
  CHECK_EQ_INT(set->attr_count, 1);
  set = (const ExprAttrs *)set->attrs[0].value;
  CHECK_EQ_INT(set->inherit_from_count, 3);
  const uint32_t want[] = {0, 1, 1, 2};
  for (uint32_t i = 0; i < 4; i++) CHECK_EQ_INT(set->attrs[i].from, want[i]);
  ast_done(&ast);
}

TEST(documentation) {
  const char *source = "{ /** one */ f = x: y: x; g = /** two */ x: /* no */ x; h = x: /** three */ y: y; }";
  Ast ast = parse(source);
  CHECK_EQ_INT(ast.doc_count, 4);
  const char *const want[] = {"/** one */", "/** one */", "/** two */", "/** three */"};
  for (uint32_t i = 0; i < 4; i++)
    CHECK_STR(span_make(source + ast.docs[i].begin, ast.docs[i].end - ast.docs[i].begin), want[i]);
  ast_done(&ast);
}

TEST(cursed_or) {
  const char *source = "a: [ [ (x: x) or ] (a (x: x) or) (a.b or a or) [ (a or) ] (a (a or)) (a or [ ]) ]";
  Ast ast = parse(source);
  static const char *const want[] = {"(x: x) or", "(x: x) or", "a or"};
  CHECK_EQ_INT(ast.cursed_or_count, 3);
  for (uint32_t i = 0; i < 3; i++)
    CHECK_STR(span_make(source + ast.cursed_ors[i].begin, ast.cursed_ors[i].end - ast.cursed_ors[i].begin), want[i]);
  ast_done(&ast);
}

// ---- laws ----

static void put_times(Buf *buf, const char *text, int count) {
  for (int i = 0; i < count; i++) buf_put_cstr(buf, text);
}

TEST(deep_nesting_needs_no_c_stack) {
  static const struct {
    const char *before, *middle, *after;
  } shapes[] = {
      {"(", "1", ")"},
      {"[", "", "]"},
      {"{a=", "1", ";}"},
      {"x: ", "1", ""},
      {"{a?", "1", "}:1"},
      {"-", "1", ""},
      {"!", "1", ""},
      {"1+", "1", ""},
      {"f ", "x", ""},
      {"[]++", "[]", ""},
      {"\"${", "1", "}\""},
      {"''${", "1", "}''"},
      {"if 1 then 2 else ", "3", ""},
      {"if ", "1", " then 1 else 1"},
      {"with a; ", "1", ""},
      {"let a = 1; in ", "1", ""},
      {"let a = ", "1", "; in 1"},
      {"a.b or ", "c", ""},
      {"a.${", "a", "}"},
      {"./${", "1", "}"},
      {"(", "f", " x)"},
      {"{inherit(", "1", ")a;}"},
      {"let {body=", "1", ";}"},
      {"a.", "a", ""},
      {"(f x (", "y", "))"},
      {"a?", "b", ""},
      {"{a=1;b=rec ", "{ }", ";}"},
  };
  Buf source = BUF_INIT, printed = BUF_INIT;
  for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
    buf_clear(&source);
    buf_clear(&printed);
    put_times(&source, shapes[i].before, 150000);
    buf_put_cstr(&source, shapes[i].middle);
    put_times(&source, shapes[i].after, 150000);
    parse_and_show(buf_span(&source), &no_options, &printed);
    if (span_find(span_sub(buf_span(&printed), 0, 200), SPAN("error")) != SIZE_MAX)
      test_fail(__FILE__, __LINE__, "%s: %.*s", shapes[i].before, 200, printed.data);
  }
  buf_done(&source);
  buf_done(&printed);
}

TEST(too_deep_is_an_error) {
  Buf source = BUF_INIT, got = BUF_INIT;
  put_times(&source, "[", PARSER_MAX_DEPTH + 1);
  parse_and_show(buf_span(&source), &no_options, &got);
  CHECK_STR(buf_span(&got), "1:1000001 the expression is nested more than 1000000 levels deep");
  buf_done(&source);
  buf_done(&got);
}

static double parse_seconds(Span source) {
  struct timespec start, end;
  Buf shown = BUF_INIT;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
  Ast ast;
  ParserError error;
  if (parser_parse(source, &no_options, &ast, &error)) ast_done(&ast);
  else parser_error_done(&error);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
  buf_done(&shown);
  return (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9;
}

// Inputs that a careless scanner reads again and again: half a megabyte of each would take minutes.
TEST(time_is_linear) {
  static const char *const hostile[] = {"a.", "/* ", "a.b_:",   "<a/",      "\"$",  "''$", "a+",
                                        "~/", "1.",  "((f x) ", "a = {}; ", "a/b ", "''",  "$${",
                                        "..", "x:",  "_.",      "\r",       "#",    "'",   "{a.b=1;"};
  for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
    Buf source = BUF_INIT;
    if (hostile[i][0] == 'a' && hostile[i][2] == '=') buf_put_cstr(&source, "{ ");
    while (source.len < 512 << 10) buf_put_cstr(&source, hostile[i]);
    double seconds = parse_seconds(buf_span(&source));
    if (seconds > 5) test_fail(__FILE__, __LINE__, "'%s' repeated: %.1f s", hostile[i], seconds);
    buf_done(&source);
  }
}

TEST(large_sets_are_linear) {
  Buf source = BUF_INIT;
  buf_put_cstr(&source, "{");
  for (int i = 0; i < 100000; i++)
    buf_printf(&source, "x%d = 1; a.b.c%d = {}; a.b.c%d.d = 2; inherit (y) z%d;", i, i, i, i);
  buf_put_cstr(&source, "}");
  CHECK(parse_seconds(buf_span(&source)) < 5);
  buf_done(&source);
}

static const char *const fragments[] = {
    "x",   "or",  "if", "then", "else", "assert", "with", "let", "in", "rec", "inherit", "1",   "2.5", "\"",
    "''",  "${",  "}",  "{",    "(",    ")",      "[",    "]",   ";",  ":",   ",",       ".",   "=",   "==",
    "<",   "&&",  "->", "//",   "++",   "+",      "-",    "*",   "?",  "!",   "@",       "...", "./a", "a/b",
    "<n>", "x:y", "/",  "'",    "$",    "\\",     "%",    " ",   "\n", "|>",  "<|",      "a/",
};

// The parser proper and bison's automaton are two implementations of one grammar.
TEST(parser_and_automaton_agree) {
  uint64_t rng = test_seed();
  ParserOptions options = {.pipe_operators = true};
  Buf source = BUF_INIT;
  for (int round = 0; round < 20000; round++) {
    buf_clear(&source);
    uint64_t count = 1 + test_random_below(&rng, 12);
    for (uint64_t i = 0; i < count; i++) {
      buf_put_cstr(&source, fragments[test_random_below(&rng, ARRAY_LEN(fragments))]);
      if (test_random_below(&rng, 2)) buf_put_char(&source, ' ');
    }
    Ast ast;
    ParserError error, syntax;
    bool ok = parser_parse(buf_span(&source), &options, &ast, &error);
    bool found = syntax_error_find(buf_span(&source), &options, &syntax);
    if (ok && found) test_fail(__FILE__, __LINE__, "accepted: %.*s\n%s", SPAN_ARG(buf_span(&source)), syntax.message);
    if (!ok && strstr(error.message, "syntax error"))
      CHECK(found && error.pos == syntax.pos && strcmp(error.message, syntax.message) == 0);
    if (found) parser_error_done(&syntax);
    if (ok) ast_done(&ast);
    else parser_error_done(&error);
  }
  buf_done(&source);
}

TEST_MAIN()
