# tools/lint on small trees: a clean one passes, and each rule finds what it is for.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
lint=$FIRN_TEST_SOURCE_DIR/../tools/lint

make_tree() {
  mkdir -p tree/src/base tree/src/eval tree/tools
  cd tree
  printf 'base:\neval: base\n' > tools/layers.txt
  printf "part_sources = files('noun.c')\n" > src/base/meson.build
  printf "part_sources = files('thing.c')\n" > src/eval/meson.build
  cat > src/base/noun.h <<'END'
// noun.h: a noun.
#pragma once

#include <stdbool.h>

int noun_get(void);
END
  cat > src/base/noun.c <<'END'
// noun.c: see noun.h.
#include "base/noun.h"

static const char *const names[] = {"goto x; malloc(1)"};

int noun_get(void) {
  return names[0][0]; // printf("x") in a comment
}
END
  cat > src/eval/thing.c <<'END'
// thing.c: a thing.
#include "base/noun.h"

int thing_get(void);
int thing_get(void) {
  return noun_get();
}
END
}

finds() { # TEXT...: each must stand in a finding
  run "$lint" --root .
  [ "$status" = 1 ] || { show_run; fail "lint found nothing"; }
  for text; do expect_out_has "$text"; done
}

# At the end of noun.c, from line 9.
add() {
  printf '%s\n' "$1" >> src/base/noun.c
}

test_clean_tree() {
  make_tree
  run "$lint" --root .
  expect_out_has 'no findings'
  expect_status 0
}

test_arrows() {
  make_tree
  printf '// thing.h: x\n#pragma once\n' > src/eval/thing.h
  printf '#include "eval/thing.h"\n#include "noun.h"\n' >> src/base/noun.c
  finds "src/base/noun.c:9: arrows: 'base' may not include 'eval'" "no file src/noun.h"
}

test_generated_headers_may_be_included() {
  make_tree
  add '#include "base/made.h"'
  echo "made = custom_target('made', output: 'made.h')" >> src/base/meson.build
  run "$lint" --root .
  expect_status 0
}

test_cycle_of_layers() {
  make_tree
  printf 'base: eval\neval: base\n' > tools/layers.txt
  finds 'layers: cycle among: base eval'
}

test_unknown_part() {
  make_tree
  mkdir src/other
  printf '// x.h: x\n#pragma once\n' > src/other/x.h
  finds "'other' is not in tools/layers.txt"
}

test_names() {
  make_tree
  cp src/base/noun.h src/eval/noun.h
  finds "src/eval/noun.h:1: names: the name 'noun' is taken by src/base/noun.c"
}

test_headers() {
  make_tree
  printf '// wrong.h: other name\nint x;\n' > src/base/bare.h
  printf '#include <stdio.h>\n#include "base/noun.h"\n' > src/base/noun.c
  finds "src/base/bare.h:1: headers: the first line is not '// bare.h" 'bare.h:1: headers: #pragma once' \
    'src/base/noun.c:1: headers: the first include is not its own header'
}

test_self_contained() {
  make_tree
  printf '// needs.h: x\n#pragma once\nsize_t needs_it(void);\n' > src/base/needs.h
  finds 'src/base/needs.h:1: self-contained:' size_t
}

test_symbols() {
  make_tree
  add 'int other_get(void) {
  return 0;
}
static int fine(void) {
  return 0;
}'
  finds "src/base/noun.c:9: symbols: 'other_get' does not start with 'noun_'"
  [ "$(grep -c symbols <<< "$out")" = 1 ] || fail "more than one finding: $out"
}

test_symbols_of_a_module_in_several_files() {
  make_tree
  printf '// noun_more.c: more of it.\n#include "base/noun.h"\n#define QUICK static inline\n' > src/base/noun_more.c
  printf 'int noun_more(void) {\n  return 1;\n}\nint noun_extra(void) {\n  return 1;\n}\nQUICK int other(void) {\n  return 1;\n}\n' >> src/base/noun_more.c
  printf "part_sources = files('noun.c', 'noun_more.c')\n" > src/base/meson.build
  run "$lint" --root .
  expect_status 0
}

test_must_check() {
  make_tree
  printf 'typedef struct Err Err;\nbool noun_load(int x,\n               Err *err);\n' >> src/base/noun.h
  finds "src/base/noun.h:8: must-check: 'noun_load'"
}

test_calls() {
  make_tree
  add 'static void f(char *s) {
  sprintf(s, "x");
  char *p = malloc(1);
  printf("x");
  fprintf(stderr, "x");
}'
  finds 'noun.c:10: calls: sprintf' 'noun.c:11: calls: malloc' 'noun.c:12: calls: printf: libraries' 'noun.c:13: calls: libraries'
}

test_goto() {
  make_tree
  add 'static void f(int x) {
out:
  if (x) goto out;
  goto fail;
fail:;
}'
  finds 'noun.c:11: goto: goto out goes backwards' 'noun.c:12: goto: goto fail'
}

test_state() {
  make_tree
  add 'static int counter;
static const char *name = "x";
static int f(void) {
  static int calls = 0;
  static const int table[] = {1};
  return calls++ + table[0];
}'
  finds "noun.c:9: state: static mutable state 'counter'" "state 'name'" "noun.c:12: state: static mutable state 'calls'"
  [ "$(grep -c ': state:' <<< "$out")" = 3 ] || fail "not three findings: $out"
}

test_size() {
  make_tree
  { echo 'static int f(int x) {'; seq -f '  x += %.0f;' 120; echo '  return x;'; echo '}'; seq -f '// %.0f' 1500; } >> src/base/noun.c
  finds "noun.c:9: size: 'f' has 123 lines" 'lines; the limit is 1500'
}

test_text() {
  make_tree
  printf 'int x;   \n\tint y;\n// TO%s later\nlast' DO >> src/base/noun.c
  finds 'noun.c:9: text: white space' 'noun.c:10: text: a tab' 'noun.c:11: text: a mark' 'text: no newline'
}

test_build() {
  make_tree
  printf '// lost.c: x\n' > src/base/lost.c
  echo "x = dependency('libfoo')" >> src/base/meson.build
  finds 'src/base/lost.c:1: build: is not named in src/base/meson.build' "tools/setup does not install the dependency 'libfoo'"
}

test_references() {
  make_tree
  add '// Test: test/base/noun_test.c, and see src/base/noun.h.'
  finds 'noun.c:9: references: there is no test/base/noun_test.c'
  [ "$(grep -c references <<< "$out")" = 1 ] || fail "more than one finding: $out"
}

test_scripts() {
  make_tree
  printf '#!/bin/sh\nif true\n' > tools/broken
  printf '#!/usr/bin/env python3\ndef f(:\n' > tools/broken.py
  finds 'tools/broken:1: scripts: has an interpreter line' 'tools/broken:1: scripts: tools/broken: line' 'tools/broken.py:2: scripts'
}

test_format() {
  command -v clang-format-14 > /dev/null || skip 'no clang-format-14'
  make_tree
  echo 'BasedOnStyle: LLVM' > .clang-format
  add 'static   int  z( void )  { return 0 ;}'
  finds 'noun.c:9: format: 1 lines'
  "$lint" --root . --fix-format
  run "$lint" --root .
  expect_status 0
}

test_exceptions() {
  make_tree
  add 'int other_get(void) {
  return 0;
}'
  echo 'symbols src/base/noun.c:other_get it is an old friend' > tools/lint-exceptions.txt
  run "$lint" --root .
  expect_status 0
  echo 'goto src/base/noun.c it had one once' >> tools/lint-exceptions.txt
  echo 'size src/base/noun.c' >> tools/lint-exceptions.txt
  finds 'lint-exceptions.txt:2: exceptions: excuses nothing' 'lint-exceptions.txt:3: exceptions: want: RULE'
}

run_tests
