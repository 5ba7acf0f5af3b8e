// suggestion.c: see suggestion.h.
#include "base/suggestion.h"

#include <stdbool.h>
#include <string.h>

// Levenshtein distance, or anything above `limit` when it is above.
static unsigned edit_distance(Span a, Span b, unsigned limit, Buf *scratch) {
  size_t difference = a.len > b.len ? a.len - b.len : b.len - a.len;
  if (difference > limit) return limit + 1;
  buf_clear(scratch);
  buf_reserve(scratch, (b.len + 1) * sizeof(unsigned));
  unsigned *row = (unsigned *)(void *)scratch->data;
  for (size_t j = 0; j <= b.len; j++) row[j] = (unsigned)j;
  for (size_t i = 0; i < a.len; i++) {
    unsigned diagonal = row[0], best = row[0] = (unsigned)i + 1;
    for (size_t j = 0; j < b.len; j++) {
      unsigned cost = diagonal + (a.data[i] != b.data[j]);
      diagonal = row[j + 1];
      if (diagonal + 1 < cost) cost = diagonal + 1;
      if (row[j] + 1 < cost) cost = row[j] + 1;
      row[j + 1] = cost;
      if (cost < best) best = cost;
    }
    if (best > limit) return limit + 1;
  }
  return row[b.len];
}

typedef struct Suggestion {
  unsigned distance;
  Span text;
} Suggestion;

static bool suggestion_less(Suggestion a, Suggestion b) {
  return a.distance != b.distance ? a.distance < b.distance : span_cmp(a.text, b.text) < 0;
}

void suggestion_format(Span name, const Span *candidates, size_t count, Buf *ret) {
  Suggestion best[SUGGESTION_MAX + 1];
  size_t n = 0;
  Buf scratch = BUF_INIT;
  for (size_t i = 0; i < count; i++) {
    Suggestion s = {edit_distance(name, candidates[i], SUGGESTION_MAX_DISTANCE, &scratch), candidates[i]};
    if (s.distance > SUGGESTION_MAX_DISTANCE) continue;
    size_t k = n;
    while (k && suggestion_less(s, best[k - 1])) k--;
    if (k && span_eq(best[k - 1].text, s.text)) continue;
    memmove(best + k + 1, best + k, (n - k) * sizeof *best);
    best[k] = s;
    if (n < SUGGESTION_MAX) n++;
  }
  buf_done(&scratch);
  if (!n) return;
  buf_put_cstr(ret, n > 1 ? "Did you mean one of " : "Did you mean ");
  for (size_t i = 0; i < n; i++) {
    if (i) buf_put_cstr(ret, i + 1 == n ? " or " : ", ");
    buf_put_span(ret, best[i].text);
  }
  buf_put_char(ret, '?');
}
