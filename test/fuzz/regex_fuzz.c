// regex_fuzz.c: pattern, newline, subject. A match lies within the subject, groups lie within the match, and matches come from left to
// right; a whole match found by regex_match is no shorter than what the search finds at the beginning.
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "eval/regex.h"

enum { MAX_SUBJECT_BYTES = 200, MAX_PATTERN_BYTES = 60 };

static void check_groups(const RegexGroup *groups, size_t count, size_t end) {
  FUZZ_CHECK(groups[0].begin <= groups[0].end && groups[0].end <= end);
  for (size_t i = 1; i < count; i++) {
    if (groups[i].begin == REGEX_UNMATCHED) continue;
    FUZZ_CHECK(groups[0].begin <= groups[i].begin && groups[i].begin <= groups[i].end &&
               groups[i].end <= groups[0].end);
  }
}

static void check_regex(Regex *regex, Span subject) {
  size_t count = regex_group_count(regex) + 1, last_end = 0;
  RegexGroup *groups = mem_alloc_array(count, sizeof *groups);
  bool matched, whole = false;
  if (regex_match(regex, subject, &whole, groups, NULL) && whole) {
    check_groups(groups, count, subject.len);
    FUZZ_CHECK(groups[0].begin == 0 && groups[0].end == subject.len);
  }
  RegexIter iter = {0};
  while (regex_next(regex, subject, &iter, &matched, groups, NULL) && matched) {
    check_groups(groups, count, subject.len);
    FUZZ_CHECK(groups[0].begin >= last_end);
    last_end = groups[0].end;
  }
  mem_free(groups);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  Span subject = span_make(data, size_bytes), pattern;
  if (!span_split(&subject, '\n', &pattern)) return 0;
  if (pattern.len > MAX_PATTERN_BYTES) return 0;
  subject = span_sub(subject, 0, MAX_SUBJECT_BYTES);
  Regex *regex = regex_compile(pattern, NULL);
  if (regex) check_regex(regex, subject);
  regex_free(regex);
  return 0;
}
