// access_check_test.c: what restricted and pure evaluation may look at.
#include "glue/access_check.h"

#include "harness.h"

static bool allowed(const AccessCheck *check, const char *path) {
  Err err = ERR_INIT;
  bool ok = access_check_path(check, span_cstr(path), &err);
  err_done(&err);
  return ok;
}
static bool uri_allowed(const AccessCheck *check, const char *uri) {
  Err err = ERR_INIT;
  bool ok = access_check_uri(check, span_cstr(uri), &err);
  err_done(&err);
  return ok;
}

TEST(everything_without_restrictions) {
  AccessCheck check = ACCESS_CHECK_INIT;
  CHECK(allowed(&check, "/etc/passwd"));
  CHECK(uri_allowed(&check, "https://example.org"));
  access_check_done(&check);
}

TEST(prefixes_and_their_ancestors) {
  AccessCheck check = ACCESS_CHECK_INIT;
  check.restrict_eval = true;
  CHECK(!allowed(&check, "/"));
  access_check_allow(&check, SPAN("/a/b"));
  CHECK(allowed(&check, "/a/b"));
  CHECK(allowed(&check, "/a/b/c/d"));
  CHECK(allowed(&check, "/a")); // on the way
  CHECK(allowed(&check, "/"));
  CHECK(!allowed(&check, "/a/bc"));
  CHECK(!allowed(&check, "/a/c"));
  CHECK(!allowed(&check, "/b"));
  access_check_allow(&check, SPAN("/"));
  CHECK(allowed(&check, "/anything"));
  access_check_done(&check);
}

TEST(messages) {
  AccessCheck check = ACCESS_CHECK_INIT;
  Err err = ERR_INIT;
  check.restrict_eval = true;
  CHECK_ERR(access_check_path(&check, SPAN("/x"), &err), &err, ERR_EVAL,
            "access to absolute path '/x' is forbidden in restricted mode");
  check.pure_eval = true;
  CHECK_ERR(access_check_path(&check, SPAN("/x"), &err), &err, ERR_EVAL,
            "access to absolute path '/x' is forbidden in pure evaluation mode (use '--impure' to override)");
  access_check_done(&check);
}

TEST(uris) {
  AccessCheck check = ACCESS_CHECK_INIT;
  check.restrict_eval = true;
  access_check_allow_uri(&check, SPAN("https://a.org/x"));
  access_check_allow_uri(&check, SPAN("http://b.org/"));
  access_check_allow_uri(&check, SPAN("github:"));
  access_check_allow(&check, SPAN("/allowed"));
  CHECK(uri_allowed(&check, "https://a.org/x"));
  CHECK(uri_allowed(&check, "https://a.org/x/y"));
  CHECK(!uri_allowed(&check, "https://a.org/xy"));
  CHECK(!uri_allowed(&check, "https://a.org"));
  CHECK(uri_allowed(&check, "http://b.org/y"));
  CHECK(uri_allowed(&check, "github:a/b"));
  CHECK(uri_allowed(&check, "file:///allowed/x"));
  CHECK(!uri_allowed(&check, "file:///etc"));
  CHECK(uri_allowed(&check, "/allowed"));
  access_check_done(&check);
}

TEST_MAIN()
