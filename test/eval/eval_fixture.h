// eval_fixture.h: an evaluator for tests: files come from memory (added with eval_fixture_add) or from the disk, nothing is built, and the
// store is a set of names. Answers can be made to wait.
#pragma once

#include "base/map.h"
#include "eval/vm.h"

typedef struct EvalFixture {
  EvalIo io;    // first
  Map files;    // path -> owned Buf *
  Map env;      // name -> C string
  Buf messages; // what trace and warn printed, a line each
  bool disk;    // other paths are looked up on the disk
  bool slow;    // the first question about each path is answered "wait"
  Map asked;    // for `slow`
  EvalIoWait next_wait;
  VmSettings settings;
  Vm *vm;
} EvalFixture;

// Fills in defaults; change `settings`, `disk` and `slow` afterwards, before the first evaluation.
void eval_fixture_init(EvalFixture *fixture);
void eval_fixture_done(EvalFixture *fixture);
void eval_fixture_add(EvalFixture *fixture, const char *path, const char *content);

Vm *eval_fixture_vm(EvalFixture *fixture); // made on first use
// Value of an expression (its text as «string»), forced deeply with `strict`, as print_plain shows it; of an error "error: ..." as
// eval_error_format shows it with the whole trace.
void eval_fixture_eval(EvalFixture *fixture, const char *expression, bool strict, Buf *ret);
// The same for a file on disk or in memory.
void eval_fixture_eval_file(EvalFixture *fixture, const char *path, bool strict, Buf *ret);

// CHECK_EVAL("1 + 1", "2"): in a fresh evaluator, strictly.
#define CHECK_EVAL(expression, expected) eval_fixture_check(__FILE__, __LINE__, expression, expected, true)
#define CHECK_EVAL_LAZY(expression, expected) eval_fixture_check(__FILE__, __LINE__, expression, expected, false)
void eval_fixture_check(const char *file, int line, const char *expression, const char *expected, bool strict);
// The error's message alone, without trace.
#define CHECK_EVAL_ERROR(expression, expected) eval_fixture_check_error(__FILE__, __LINE__, expression, expected)
void eval_fixture_check_error(const char *file, int line, const char *expression, const char *expected);
