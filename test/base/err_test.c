#include "base/err.h"

#include <errno.h>

#include "harness.h"

TEST(a_message_is_a_path_of_operations) {
  Err err = ERR_INIT;
  CHECK(!err_is_set(&err));
  CHECK(!err_set_errno(&err, ENOENT, "opening '%s'", "/a/x"));
  CHECK(!err_wrap(&err, "adding '%s' to the store", "./x"));
  CHECK_STR(span_cstr(err_message(&err)), "adding './x' to the store: opening '/a/x': No such file or directory");
  CHECK_EQ_INT(err.kind, ERR_NOT_FOUND);
  CHECK_EQ_INT(err.sys_errno, ENOENT);
  err_done(&err);
  CHECK(!err_is_set(&err) && err.message == NULL);
}

TEST(what_is_named_is_not_named_again) {
  Err err = ERR_INIT;
  err_set(&err, ERR_OTHER, "file '/a/x' has an unsupported type");
  CHECK(!err_wrap_unless_named(&err, "/a", "adding '%s' to the store", "/a"));
  CHECK_STR(span_cstr(err_message(&err)), "file '/a/x' has an unsupported type");
  CHECK(!err_wrap_unless_named(&err, "/b", "adding '%s' to the store", "/b"));
  CHECK_STR(span_cstr(err_message(&err)), "adding '/b' to the store: file '/a/x' has an unsupported type");
  err_done(&err);
}

TEST(kinds_and_exit_codes) {
  Err err = ERR_INIT;
  err_set_errno(&err, EACCES, "x");
  CHECK_EQ_INT(err.kind, ERR_IO);
  err_done(&err);
  CHECK_EQ_INT(err_exit_code(ERR_OTHER), 1);
  CHECK_EQ_INT(err_exit_code(ERR_BUILD_FAILED), 100);
  CHECK_EQ_INT(err_exit_code(ERR_HASH_MISMATCH), 102);
  CHECK_EQ_INT(err_exit_code(ERR_NONE), 0);
}

TEST(the_first_error_stays) {
  Err err = ERR_INIT;
  err_set(&err, ERR_CORRUPT, "first");
  err_set(&err, ERR_OTHER, "second");
  err_set_errno(&err, EIO, "third");
  CHECK_STR(span_cstr(err_message(&err)), "first");
  CHECK_EQ_INT(err.kind, ERR_CORRUPT);
  err_done(&err);
}

TEST(null_is_allowed) {
  CHECK(!err_set(NULL, ERR_OTHER, "x"));
  CHECK(!err_set_errno(NULL, EIO, "x"));
  CHECK(!err_wrap(NULL, "x"));
}

TEST(move_leaves_the_source_unset) {
  Err from = ERR_INIT, to = ERR_INIT;
  err_set(&from, ERR_LIMIT, "too much");
  CHECK(!err_move(&to, &from));
  CHECK(!err_is_set(&from));
  CHECK_EQ_INT(to.kind, ERR_LIMIT);
  err_set(&from, ERR_OTHER, "later");
  err_move(&to, &from);
  CHECK(!err_is_set(&from));
  CHECK_STR(span_cstr(err_message(&to)), "too much");
  err_done(&to);
  err_set(&from, ERR_OTHER, "unwanted");
  err_move(NULL, &from);
  CHECK(!err_is_set(&from));
}

TEST_MAIN()
