// regex.h: POSIX extended regular expressions exactly as std::regex (libstdc++, std::regex::extended) takes them, because that is
// what builtins.match and builtins.split of C++ Nix mean: which patterns are valid, what a bracket expression holds, and which of
// several possible matches and captures is found (neither POSIX's longest nor Perl's first: see regex.c).
//
// Bytes, not characters; the "C" locale. Unlike std::regex nothing here needs C stack in proportion to the text, patterns for which it takes
// exponential time take linear time here (regex.c), and a match that takes too many steps or too much memory is an error instead of a crash. A Regex has room for matching inside, so one
// Regex serves one thread at a time.
#pragma once

#include "base/err.h"
#include "base/span.h"

// As libstdc++: states of the automaton, that is, length of the pattern with all {n,m} written out.
#define REGEX_MAX_STATES 100000
// Of parentheses and of quantifiers on quantifiers.
#define REGEX_MAX_DEPTH 1000
// Per search; about a quarter of a second.
#define REGEX_MAX_STEPS 50000000
// Alternatives that a search may have pending, in memory about 100 MB.
#define REGEX_MAX_PENDING 4000000
// What a search may write down about where it has been.
#define REGEX_MAX_MEMO_BYTES ((uint64_t)64 << 20)

typedef struct Regex Regex;

// What a group matched: [begin, end) in the subject, or begin == REGEX_UNMATCHED.
typedef struct RegexGroup {
  size_t begin, end;
} RegexGroup;
#define REGEX_UNMATCHED SIZE_MAX

// NULL and ERR_EVAL with Nix's message ("invalid regular expression '%s'", "memory limit exceeded by regular expression '%s'").
Regex *regex_compile(Span pattern, Err *err);
void regex_free(Regex *regex);
// Number of groups, the whole match (number 0) not counted.
size_t regex_group_count(const Regex *regex);

// For tests: from which step of a search on it is written down where the search has been; 0: at once, UINT64_MAX: never.
void regex_remember_from(Regex *regex, uint64_t step);

// `ret_groups` has room for 1 + regex_group_count. False: *err is set (the limits above); *ret_matched otherwise.
// Matches the whole subject.
MUST_CHECK bool regex_match(Regex *regex, Span subject, bool *ret_matched, RegexGroup *ret_groups, Err *err);

// All matches from left to right, as std::cregex_iterator finds them:
//   RegexIter iter = {0};
//   while (regex_next(regex, subject, &iter, &matched, groups, err) && matched) ...
typedef struct RegexIter {
  size_t last_begin, last_end; // of the last match
  bool started, prev_avail, done;
} RegexIter;
MUST_CHECK bool regex_next(Regex *regex, Span subject, RegexIter *iter, bool *ret_matched, RegexGroup *ret_groups,
                           Err *err);

// Compiled patterns by text. Bounded: when it is full, it starts anew.
typedef struct RegexCache RegexCache;
RegexCache *regex_cache_new(void);
void regex_cache_free(RegexCache *cache);
// Borrowed, until the next call. NULL and *err as regex_compile; failures are not kept.
Regex *regex_cache_get(RegexCache *cache, Span pattern, Err *err);
