// regex_test.c: the cases in regex/cases.txt (made with libstdc++: pattern, subject and result, by tabs), limits, time and the cache.
#include "harness.h"

#include <time.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "eval/regex.h"

static void put_group(Buf *out, RegexGroup group) {
  if (group.begin == REGEX_UNMATCHED) buf_put_cstr(out, " -");
  else buf_printf(out, " %zu,%zu", group.begin, group.end);
}

// "M" and the groups of a whole match or "N", then all matches from left to right with their groups.
static void show(Span pattern, Span subject, Buf *out) {
  Err err = ERR_INIT;
  Regex *regex = regex_compile(pattern, &err);
  if (!regex) {
    buf_put_cstr(out, span_find(span_cstr(err_message(&err)), SPAN("memory limit")) != SIZE_MAX ? "SPACE" : "INVALID");
    err_done(&err);
    return;
  }
  size_t count = regex_group_count(regex) + 1;
  RegexGroup *groups = mem_alloc_array(count, sizeof *groups);
  bool matched;
  CHECK_OK(regex_match(regex, subject, &matched, groups, &err), &err);
  buf_put_cstr(out, matched ? "M" : "N");
  for (size_t i = 1; matched && i < count; i++) put_group(out, groups[i]);
  buf_put_cstr(out, " |");
  RegexIter iter = {0};
  for (;;) {
    CHECK_OK(regex_next(regex, subject, &iter, &matched, groups, &err), &err);
    if (!matched) break;
    buf_put_cstr(out, " [");
    for (size_t i = 0; i < count; i++) put_group(out, groups[i]);
    buf_put_cstr(out, " ]");
  }
  mem_free(groups);
  regex_free(regex);
}

TEST(cases_of_libstdcxx) {
  Buf file = BUF_INIT, got = BUF_INIT;
  Err err = ERR_INIT;
  CHECK_OK(fs_read_file(test_source_path("eval/regex/cases.txt"), 1 << 20, &file, &err), &err);
  Span rest = buf_span(&file), line, pattern, subject;
  int count = 0;
  while (span_split(&rest, '\n', &line)) {
    CHECK(span_split(&line, '\t', &pattern) && span_split(&line, '\t', &subject));
    buf_clear(&got);
    show(pattern, subject, &got);
    if (!span_eq(buf_span(&got), line))
      test_fail("regex/cases.txt", count + 1, "'%.*s' on '%.*s'\n  got  %.*s\n  want %.*s", SPAN_ARG(pattern),
                SPAN_ARG(subject), SPAN_ARG(buf_span(&got)), SPAN_ARG(line));
    count++;
  }
  CHECK(count > 300);
  buf_done(&file);
  buf_done(&got);
}

static void check(const char *pattern, Span subject, const char *want) {
  Buf got = BUF_INIT;
  show(span_cstr(pattern), subject, &got);
  CHECK_STR(buf_span(&got), want);
  buf_done(&got);
}

TEST(bytes) {
  check(".", SPAN("\n"), "M | [ 0,1 ]");
  check(".", span_make("\0", 1), "N |");
  check("[^a]", span_make("\0", 1), "M | [ 0,1 ]");
  check("[\x80-\xff]+", SPAN("\xc3\xa9"), "M | [ 0,2 ]");
  check("[[:alpha:]]", SPAN("\xc3"), "N |");
  check("a", (Span){NULL, 0}, "N |");
}

TEST(messages) {
  Err err = ERR_INIT;
  CHECK_ERR(regex_compile(SPAN("(a"), &err) != NULL, &err, ERR_EVAL, "invalid regular expression '(a'");
  CHECK_ERR(regex_compile(SPAN("a{200000}"), &err) != NULL, &err, ERR_EVAL,
            "memory limit exceeded by regular expression 'a{200000}'");
}

static Buf repeat(const char *text, int count) {
  Buf buf = BUF_INIT;
  for (int i = 0; i < count; i++) buf_put_cstr(&buf, text);
  return buf;
}

// std::regex would run out of C stack.
TEST(long_subjects_need_no_c_stack) {
  static const char *const patterns[] = {"(a|b)*", "(a)*", "(a?)*", "((a)|(b))+", ".*", "(.|\n)*", "[ab]*b?"};
  Buf subject = repeat("a", 500000);
  for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
    Err err = ERR_INIT;
    Regex *regex = regex_compile(span_cstr(patterns[i]), &err);
    RegexGroup groups[4];
    bool matched;
    CHECK_OK(regex_match(regex, buf_span(&subject), &matched, groups, &err), &err);
    CHECK(matched);
    regex_free(regex);
  }
  buf_done(&subject);
}

TEST(deep_patterns) {
  Err err = ERR_INIT;
  Buf ok = repeat("(", 900), deep = repeat("(", 200000), stars = repeat("*", 200000), wide = repeat("a|", 20000);
  for (int i = 0; i < 900; i++) buf_put_char(&ok, ')');
  Regex *regex = regex_compile(buf_span(&ok), &err);
  CHECK(regex != NULL);
  regex_free(regex);
  CHECK_ERR(regex_compile(buf_span(&deep), &err) != NULL, &err, ERR_EVAL, "memory limit");
  Buf starred = repeat("a", 1);
  buf_put_span(&starred, buf_span(&stars));
  CHECK_ERR(regex_compile(buf_span(&starred), &err) != NULL, &err, ERR_EVAL, "memory limit");
  regex = regex_compile(buf_span(&wide), &err);
  CHECK(regex != NULL);
  regex_free(regex);
  buf_done(&ok);
  buf_done(&deep);
  buf_done(&stars);
  buf_done(&starred);
  buf_done(&wide);
}

// Exponential for std::regex, and for the search without its memory.
TEST(hostile_patterns_end) {
  static const char *const patterns[] = {"(a|aa|aaa|b)*c",
                                         "((((((((((((((((((((a*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*b",
                                         "((((((((((((((((((((a*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*b",
                                         "((a|aa)+)+b",
                                         "(a?)*(a?)*(a?)*b",
                                         "(.*)(.*)(.*)x",
                                         "(x+x+|a+a+)+y",
                                         "(a|b|ab|aab){9}c",
                                         "((a{1,9}){1,9})+c",
                                         "((((((((((((((((((((a*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*b",
                                         "(#****************************************|(a?**)**?****??***)b"};
  Err err = ERR_INIT;
  Buf subject = repeat("a", 5000);
  for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
    Regex *regex = regex_compile(span_cstr(patterns[i]), &err);
    RegexGroup groups[24];
    RegexIter iter = {0};
    bool matched = true;
    CHECK_OK(regex_match(regex, buf_span(&subject), &matched, groups, &err), &err);
    CHECK(!matched);
    CHECK_OK(regex_next(regex, buf_span(&subject), &iter, &matched, groups, &err), &err);
    CHECK(!matched);
    regex_free(regex);
  }
  buf_done(&subject);
}

TEST(searches_have_a_limit) {
  Err err = ERR_INIT;
  Regex *regex = regex_compile(SPAN("(a|aa|aaa|b)*c"), &err);
  Buf subject = repeat("a", 60);
  RegexGroup groups[2];
  bool matched;
  regex_remember_from(regex, UINT64_MAX);
  CHECK_ERR(regex_match(regex, buf_span(&subject), &matched, groups, &err), &err, ERR_EVAL, "memory limit exceeded");
  regex_free(regex);
  buf_done(&subject);
}

static void put_random(uint64_t *rng, Buf *buf, const char *const *pieces, size_t count, size_t length) {
  buf_clear(buf);
  for (size_t i = 0; i < length; i++) buf_put_cstr(buf, pieces[test_random_below(rng, count)]);
}

// False: a limit was hit.
static bool show_all(Regex *regex, Span subject, Buf *out) {
  size_t count = regex_group_count(regex) + 1;
  RegexGroup groups[64];
  RegexIter iter = {0};
  bool matched;
  if (!regex_match(regex, subject, &matched, groups, NULL)) return false;
  for (size_t i = 0; matched && i < count; i++) put_group(out, groups[i]);
  for (;;) {
    if (!regex_next(regex, subject, &iter, &matched, groups, NULL)) return false;
    buf_put_cstr(out, " |");
    if (!matched) return true;
    for (size_t i = 0; i < count; i++) put_group(out, groups[i]);
  }
}

TEST(memory_changes_no_result) {
  static const char *const pieces[] = {"a", "b", ".", "a", "[ab]", "(",     ")",   "*", "+",
                                       "?", "|", "^", "$", "{2}",  "{0,2}", "(a|", ")*"};
  static const char *const texts[] = {"a", "b", "c", "a"};
  Buf pattern = BUF_INIT, subject = BUF_INIT, plain = BUF_INIT, remembered = BUF_INIT;
  uint64_t rng = test_seed();
  int compared = 0;
  for (int i = 0; i < 20000; i++) {
    put_random(&rng, &pattern, pieces, ARRAY_LEN(pieces), 1 + test_random_below(&rng, 9));
    put_random(&rng, &subject, texts, ARRAY_LEN(texts), test_random_below(&rng, 8));
    Regex *regex = regex_compile(buf_span(&pattern), NULL);
    if (!regex) continue;
    buf_clear(&plain);
    buf_clear(&remembered);
    regex_remember_from(regex, UINT64_MAX);
    if (regex_group_count(regex) < 64 && show_all(regex, buf_span(&subject), &plain)) {
      regex_remember_from(regex, 0);
      CHECK(show_all(regex, buf_span(&subject), &remembered));
      if (!span_eq(buf_span(&plain), buf_span(&remembered)))
        test_fail(__FILE__, __LINE__, "'%s' on '%s'\n  plain      %s\n  remembered %s", buf_cstr(&pattern),
                  buf_cstr(&subject), buf_cstr(&plain), buf_cstr(&remembered));
      compared++;
    }
    regex_free(regex);
  }
  CHECK(compared > 1000);
  buf_done(&pattern);
  buf_done(&subject);
  buf_done(&plain);
  buf_done(&remembered);
}

TEST(cache_keeps_and_is_bounded) {
  RegexCache *cache = regex_cache_new();
  Err err = ERR_INIT;
  Regex *first = regex_cache_get(cache, SPAN("a+"), &err);
  CHECK(first != NULL);
  CHECK(regex_cache_get(cache, SPAN("a+"), &err) == first);
  CHECK_ERR(regex_cache_get(cache, SPAN("+"), &err) != NULL, &err, ERR_EVAL, "invalid regular expression");
  Buf pattern = BUF_INIT;
  for (int i = 0; i < 5000; i++) {
    buf_clear(&pattern);
    buf_printf(&pattern, "x%d", i);
    CHECK(regex_cache_get(cache, buf_span(&pattern), &err) != NULL);
  }
  buf_done(&pattern);
  regex_cache_free(cache);
}

TEST_MAIN()
