// pos_test.c: numbers of positions and the lines they are in.
#include "eval/pos.h"

#include "harness.h"

static void check_pos(PosTable *table, PosId id, uint32_t line, uint32_t column) {
  Pos pos;
  CHECK(pos_resolve(table, id, &pos));
  CHECK_EQ_INT(pos.line, line);
  CHECK_EQ_INT(pos.column, column);
}

TEST(lines_end_in_three_ways) {
  PosTable *table = pos_table_new();
  const PosSource *s = pos_add_source(table, (Span){NULL, 0}, SPAN("«string»"), SPAN("ab\ncd\r\nef\rgh"));
  check_pos(table, pos_of(s, 0), 1, 1);
  check_pos(table, pos_of(s, 2), 1, 3); // the line feed belongs to its line
  check_pos(table, pos_of(s, 3), 2, 1);
  check_pos(table, pos_of(s, 7), 3, 1);
  check_pos(table, pos_of(s, 10), 4, 1);
  check_pos(table, pos_of(s, 12), 4, 3); // the end of the text
  CHECK_STR(pos_line(table, s, 2), "cd");
  CHECK_STR(pos_line(table, s, 4), "gh");
  CHECK(pos_line(table, s, 5).data == NULL);
  CHECK(pos_line(table, s, 0).data == NULL);
  CHECK_EQ_INT(pos_of(s, 13), 0);
  pos_table_free(table);
}

TEST(a_last_line_feed_begins_a_line) {
  PosTable *table = pos_table_new();
  const PosSource *s = pos_add_source(table, (Span){NULL, 0}, SPAN("x"), SPAN("a\n"));
  check_pos(table, pos_of(s, 2), 2, 1);
  CHECK_STR(pos_line(table, s, 2), "");
  CHECK(pos_line(table, s, 2).data != NULL);
  pos_table_free(table);
}

TEST(sources_do_not_overlap) {
  PosTable *table = pos_table_new();
  const PosSource *empty = pos_add_source(table, (Span){NULL, 0}, SPAN("e"), SPAN(""));
  const PosSource *a = pos_add_source(table, SPAN("/a"), SPAN("/a"), SPAN("abc"));
  const PosSource *b = pos_add_source(table, SPAN("/b"), SPAN("/b"), SPAN("\nb"));
  CHECK(pos_source(table, pos_of(empty, 0)) == empty);
  CHECK(pos_source(table, pos_of(a, 0)) == a);
  CHECK(pos_source(table, pos_of(a, 3)) == a);
  CHECK(pos_source(table, pos_of(b, 0)) == b);
  check_pos(table, pos_of(b, 1), 2, 1);
  CHECK(pos_source(table, 0) == NULL);
  CHECK(pos_source(table, pos_of(b, 2) + 1) == NULL);
  Pos pos;
  CHECK(!pos_resolve(table, 0, &pos));
  pos_table_free(table);
}

static bool read_source(void *ctx, Span path, Buf *ret) {
  ++*(int *)ctx;
  if (!span_eq_cstr(path, "/there")) return false;
  buf_put_cstr(ret, "x\ny");
  return true;
}

TEST(a_text_is_read_when_a_line_is_asked_for) {
  PosTable *table = pos_table_new();
  int reads = 0;
  pos_table_set_reader(table, read_source, &reads);
  const PosSource *there = pos_add_source(table, SPAN("/there"), SPAN("/there"), (Span){NULL, 3});
  const PosSource *changed = pos_add_source(table, SPAN("/there"), SPAN("/there"), (Span){NULL, 5});
  const PosSource *gone = pos_add_source(table, SPAN("/gone"), SPAN("/gone"), (Span){NULL, 3});
  CHECK(pos_source(table, pos_of(there, 2)) == there);
  CHECK_EQ_INT(reads, 0);
  check_pos(table, pos_of(there, 2), 2, 1);
  check_pos(table, pos_of(there, 0), 1, 1);
  CHECK_EQ_INT(reads, 1);
  Pos pos;
  CHECK(!pos_resolve(table, pos_of(changed, 1), &pos)); // another length: not the file that was compiled
  CHECK(!pos_resolve(table, pos_of(gone, 1), &pos));
  CHECK(pos.source == gone && pos.line == 0);
  CHECK(!pos_resolve(table, pos_of(gone, 1), &pos));
  CHECK_EQ_INT(reads, 3);
  pos_table_free(table);
}

TEST_MAIN()
