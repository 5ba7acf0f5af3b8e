// regex.c: depth-first search over the nodes of a program, with the choices and the changes that have to be undone on a stack of
// its own. The order of the search and what counts as the result are those of libstdc++'s _Executor in its POSIX mode:
//
//   - a repetition goes on as long as it can, and gives up an iteration only if what follows cannot match otherwise;
//   - of an alternative both branches are always tried, the left one first, and the match that ends later wins, the earlier found
//     one if they end at the same place. A choice inside a repetition, though, is settled by the first match.
//   - an iteration that matches nothing may be entered twice at one place, then the repetition ends.
//
// That search takes exponential time for some patterns ("(a*)*b"). But what can be found behind a byte that has just been taken depends on the next node and
// the place only: counters speak of the place where they were set, and a group's bounds decide nothing. So a second visit finds nothing that is better
// than what the first one did (of two matches that end at the same place the earlier found one stays), and it suffices to know whether the first
// one found any. An attempt that has taken REMEMBER_STEPS begins to write that down, two bits for each node and place: from there on the work is at most the
// number of nodes times the number of places. Iterations that match nothing stay at their place, and there counters do matter: nested ones can be
// combined in exponentially many ways. They are given up where nothing is left to be tried: every byte that could be taken next, after
// whatever iterations, is known to lead nowhere (is_hopeless). Only where that table would be larger than REGEX_MAX_MEMO_BYTES the limit on steps is all there is.
#include "eval/regex.h"

#include "base/map.h"
#include "base/mem.h"
#include "eval/regex_program.h"

enum { CACHE_MAX_PATTERNS = 1024, REMEMBER_STEPS = 4096 };

typedef enum RecordKind {
  RECORD_REPEAT,  // unless there is a match: go on with `next` of the node, at a
  RECORD_LOOP,    // the same for the places from b down to a
  RECORD_ALT,     // the second branch, at a
  RECORD_MATCHED, // a branch before had a match (a)
  RECORD_OPEN,    // restore the begin of a group (a)
  RECORD_CLOSE,   // restore its end (a)
  RECORD_COUNTER, // restore a counter (place a, count b)
  RECORD_VISIT,   // all that can be found from the node at a has been
} RecordKind;

typedef struct Record {
  uint32_t kind;   // RecordKind
  uint32_t number; // node, group or counter
  size_t a, b;
} Record;

typedef struct Counter {
  size_t place, count;
} Counter;

struct Regex {
  RegexProgram program;
  Span pattern;           // owned text
  uint64_t remember_from; // REMEMBER_STEPS
  // Scratch for one search; owned.
  Record *records;
  size_t record_count, record_cap;
  RegexGroup *current, *best; // by group, number 0 unused; end is REGEX_UNMATCHED until the group has matched
  Counter *counters;
  uint32_t *seen,
      *work; // by node, of is_hopeless: where it was last seen, and what is left to look at; NULL until needed
  uint32_t seen_round;
};

typedef struct Search {
  Regex *regex;
  const char *text;
  size_t begin, end; // where this attempt begins; the end of the subject
  bool exact;        // up to the end
  bool not_empty;
  bool at_start;    // ^ matches at begin
  bool matched;     // on the path that is being explored
  size_t best_end;  // REGEX_UNMATCHED: no match yet
  size_t open_alts; // RECORD_ALTs pending
  uint64_t steps, remember_from;
  uint64_t
      *visits; // owned; NULL: nothing is remembered (yet). Two bits for each node and place: visited, and found a match
} Search;

// ---- one attempt ----

static inline void push(Regex *regex, RecordKind kind, uint32_t number, size_t a, size_t b) {
  if (UNLIKELY(regex->record_count == regex->record_cap))
    MEM_RESERVE(regex->records, regex->record_cap, regex->record_count + 64);
  regex->records[regex->record_count++] = (Record){(uint32_t)kind, number, a, b};
}

static inline bool matches_byte(const RegexNode *node, unsigned char byte) {
  switch (node->op) {
  case REGEX_OP_CHAR: return byte == node->byte;
  case REGEX_OP_ANY: return byte != '\0';
  default: return regex_program_set_has(node->set, byte);
  }
}

// Where the longest run of bytes from `place` ends that `node` matches.
static size_t run_end(const Search *s, const RegexNode *node, size_t place) {
  const char *text = s->text;
  size_t end = s->end;
  switch (node->op) {
  case REGEX_OP_CHAR:
    while (place < end && (uint8_t)text[place] == node->byte) place++;
    return place;
  case REGEX_OP_ANY: {
    const char *nul = memchr(text + place, '\0', end - place);
    return nul ? (size_t)(nul - text) : end;
  }
  default:
    while (place < end && regex_program_set_has(node->set, (unsigned char)text[place])) place++;
    return place;
  }
}

// Of the two bits the number of the first.
static uint64_t visit_bit(const Search *s, uint32_t index, size_t place) {
  return 2 * ((uint64_t)index * (s->end + 1) + place);
}

static void start_remembering(Search *s) {
  uint64_t count = (uint64_t)s->regex->program.node_count * (s->end + 1);
  s->remember_from = UINT64_MAX;
  if (s->end > UINT32_MAX || count / 4 > REGEX_MAX_MEMO_BYTES) return;
  s->visits = mem_alloc_zero((size_t)(count / 32 + 1) * sizeof(uint64_t));
}

static inline bool remembers(Search *s) {
  if (UNLIKELY(s->steps >= s->remember_from)) start_remembering(s);
  return s->visits != NULL;
}

static bool is_visited(const Search *s, uint32_t index, size_t place, bool *ret_matched) {
  uint64_t bit = visit_bit(s, index, place), bits = s->visits[bit >> 6] >> (bit & 63);
  *ret_matched = (bits & 2) != 0;
  return bits & 1;
}

static void set_visited(Search *s, uint32_t index, size_t place, bool matched) {
  uint64_t bit = visit_bit(s, index, place);
  s->visits[bit >> 6] |= (matched ? UINT64_C(3) : UINT64_C(1)) << (bit & 63);
}

// Has all that follows the byte before `place` been looked at, beginning at this node? Otherwise it is written down that it will have been.
static bool was_visited(Search *s, uint32_t index, size_t place) {
  if (is_visited(s, index, place, &s->matched)) return true;
  push(s->regex, RECORD_VISIT, index, place, 0);
  return false;
}

// Of a LOOP at `place`: the end of its run, or of the part of it that no earlier run has gone through. The node itself counts as visited at a
// place when all iterations from there on, and what follows each, have been looked at; *ret_done is whether a match was found there.
static size_t new_run_end(Search *s, uint32_t index, size_t place, bool *ret_done) {
  const RegexNode *body = &s->regex->program.nodes[s->regex->program.nodes[index].alt];
  for (*ret_done = false; place < s->end && matches_byte(body, (unsigned char)s->text[place]); place++)
    if (is_visited(s, index, place + 1, ret_done)) break;
  return place;
}

// Leads the byte at `place`, taken by this node, nowhere? Yes too where it cannot be taken.
static bool leads_nowhere(const Search *s, uint32_t index, size_t place) {
  const RegexNode *node = &s->regex->program.nodes[index];
  bool loop = node->op == REGEX_OP_LOOP, matched;
  const RegexNode *body = loop ? &s->regex->program.nodes[node->alt] : node;
  if (place == s->end || !matches_byte(body, (unsigned char)s->text[place])) return true;
  return is_visited(s, loop ? index : node->next, place + 1, &matched) && !matched;
}

// Nothing that can be reached from the node without taking a byte leads anywhere. Counters are not looked at: they only forbid ways.
static bool is_hopeless(Search *s, uint32_t index, size_t place) {
  Regex *regex = s->regex;
  if (!regex->seen) {
    regex->seen = mem_alloc_zero(regex->program.node_count * sizeof(uint32_t));
    regex->work = mem_alloc_array(regex->program.node_count, sizeof(uint32_t));
  }
  if (++regex->seen_round == 0) {
    memset(regex->seen, 0, regex->program.node_count * sizeof(uint32_t));
    regex->seen_round = 1;
  }
  uint32_t count = 0;
  regex->work[count++] = index;
  regex->seen[index] = regex->seen_round;
  while (count) {
    const RegexNode *node = &regex->program.nodes[index = regex->work[--count]];
    bool passes = true, branches = false;
    s->steps++;
    switch ((RegexOp)node->op) {
    case REGEX_OP_CHAR:
    case REGEX_OP_ANY:
    case REGEX_OP_SET:
      if (!leads_nowhere(s, index, place)) return false;
      passes = false;
      break;
    case REGEX_OP_LOOP:
      if (!leads_nowhere(s, index, place)) return false;
      break;
    case REGEX_OP_BEGIN: passes = place == s->begin && s->at_start; break;
    case REGEX_OP_END: passes = place == s->end; break;
    case REGEX_OP_REPEAT:
    case REGEX_OP_ALT: branches = true; break;
    case REGEX_OP_OPEN:
    case REGEX_OP_CLOSE: break;
    case REGEX_OP_ACCEPT:
      if (!(s->exact && place != s->end) && !(s->not_empty && place == s->begin)) return false;
      passes = false;
      break;
    }
    if (passes && regex->seen[node->next] != regex->seen_round) {
      regex->seen[node->next] = regex->seen_round;
      regex->work[count++] = node->next;
    }
    if (branches && regex->seen[node->alt] != regex->seen_round) {
      regex->seen[node->alt] = regex->seen_round;
      regex->work[count++] = node->alt;
    }
  }
  return true;
}

// Enters the body of a REPEAT, if it may be entered again at this place.
static bool enter_repeat(Search *s, uint32_t index, const RegexNode *node, size_t place) {
  Regex *regex = s->regex;
  if (node->number == REGEX_NO_COUNTER) {
    push(regex, RECORD_REPEAT, index, place, 0);
    return true;
  }
  Counter *counter = &regex->counters[node->number];
  bool again = counter->count > 0 && counter->place == place;
  if (again && counter->count >= 2) return false;
  push(regex, RECORD_REPEAT, index, place, 0);
  push(regex, RECORD_COUNTER, node->number, counter->place, counter->count);
  *counter = (Counter){place, again ? counter->count + 1 : 1};
  return true;
}

// At the end of the pattern. True: no other path can do better.
static bool accept(Search *s, size_t place) {
  if ((s->exact && place != s->end) || (s->not_empty && place == s->begin)) return false;
  s->matched = true;
  if (s->best_end == REGEX_UNMATCHED || s->best_end < place) {
    s->best_end = place;
    memcpy(s->regex->best, s->regex->current, (s->regex->program.group_count + 1) * sizeof(RegexGroup));
  }
  return place == s->end || s->open_alts == 0;
}

// Follows the nodes until the path ends. True: the search is over.
static bool walk(Search *s, uint32_t index, size_t place) {
  Regex *regex = s->regex;
  const RegexNode *nodes = regex->program.nodes;
  for (;; s->steps++) {
    const RegexNode *node = &nodes[index];
    switch ((RegexOp)node->op) {
    case REGEX_OP_CHAR:
    case REGEX_OP_ANY:
    case REGEX_OP_SET:
      if (place == s->end || !matches_byte(node, (unsigned char)s->text[place])) return false;
      place++;
      if (UNLIKELY(remembers(s)) && was_visited(s, node->next, place)) return false;
      break;
    case REGEX_OP_BEGIN:
      if (place != s->begin || !s->at_start) return false;
      break;
    case REGEX_OP_END:
      if (place != s->end) return false;
      break;
    case REGEX_OP_OPEN:
      push(regex, RECORD_OPEN, node->number, regex->current[node->number].begin, 0);
      regex->current[node->number].begin = place;
      break;
    case REGEX_OP_CLOSE:
      push(regex, RECORD_CLOSE, node->number, regex->current[node->number].end, 0);
      regex->current[node->number].end = place;
      break;
    case REGEX_OP_LOOP: {
      bool remember = remembers(s), done = false;
      size_t last = remember ? new_run_end(s, index, place, &done) : run_end(s, &nodes[node->alt], place);
      if (done) {
        for (size_t i = place + 1; i <= last; i++) set_visited(s, index, i, true);
        s->matched = true;
        return false;
      }
      s->steps += last - place;
      if (last == place) break;
      push(regex, RECORD_LOOP, index, place, last);
      place = last;
      if (remember && was_visited(s, node->next, place)) return false;
      break;
    }
    case REGEX_OP_REPEAT:
      if (UNLIKELY(node->number != REGEX_NO_COUNTER && remembers(s)) && is_hopeless(s, index, place)) return false;
      if (!enter_repeat(s, index, node, place)) break;
      index = node->alt;
      continue;
    case REGEX_OP_ALT:
      push(regex, RECORD_ALT, index, place, 0);
      s->open_alts++;
      index = node->alt;
      continue;
    case REGEX_OP_ACCEPT: return accept(s, place);
    }
    index = node->next;
  }
}

// One iteration less of a LOOP, whose record is the newest. True: its `next` is to be followed at *ret_place.
static bool resume_loop(Search *s, size_t *ret_place) {
  Regex *regex = s->regex;
  Record *record = &regex->records[regex->record_count - 1];
  uint32_t index = record->number;
  bool remember = remembers(s);
  for (size_t place = record->b; remember && s->matched && place > record->a; place--)
    set_visited(s, index, place, true);
  if (s->matched) {
    regex->record_count--;
    return false;
  }
  if (remember) set_visited(s, index, record->b, false);
  *ret_place = --record->b;
  s->steps++;
  if (record->b == record->a) {
    regex->record_count--;
    return true;
  }
  return !(remember && was_visited(s, regex->program.nodes[index].next, *ret_place));
}

// Undoes the newest record. True: *ret_place is where its node's `next` is to be followed.
static bool resume(Search *s, uint32_t *ret_node, size_t *ret_place) {
  Regex *regex = s->regex;
  Record *record = &regex->records[regex->record_count - 1];
  *ret_node = record->number;
  *ret_place = record->a;
  if (record->kind == RECORD_LOOP) return resume_loop(s, ret_place);
  regex->record_count--;
  switch ((RecordKind)record->kind) {
  case RECORD_LOOP: return false;
  case RECORD_REPEAT: return !s->matched;
  case RECORD_ALT: {
    s->open_alts--;
    uint32_t number = record->number;
    push(regex, RECORD_MATCHED, number, s->matched, 0);
    s->matched = false;
    return true;
  }
  case RECORD_MATCHED: s->matched |= record->a != 0; return false;
  case RECORD_OPEN: regex->current[record->number].begin = record->a; return false;
  case RECORD_CLOSE: regex->current[record->number].end = record->a; return false;
  case RECORD_COUNTER: regex->counters[record->number] = (Counter){record->a, record->b}; return false;
  case RECORD_VISIT: set_visited(s, record->number, record->a, s->matched); return false;
  }
  return false;
}

static bool fail_limit(const Regex *regex, Err *err) {
  return err_set(err, ERR_EVAL, "memory limit exceeded by regular expression '%.*s'", SPAN_ARG(regex->pattern));
}

// All ways to match from s->begin. False: a limit was hit; the result is s->best_end.
static bool attempt(Search *s, Err *err) {
  Regex *regex = s->regex;
  for (uint32_t i = 0; i <= regex->program.group_count; i++)
    regex->current[i] = (RegexGroup){REGEX_UNMATCHED, REGEX_UNMATCHED};
  memset(regex->counters, 0, regex->program.counter_count * sizeof(Counter));
  regex->record_count = 0;
  s->matched = false;
  s->best_end = REGEX_UNMATCHED;
  s->open_alts = 0;
  if (walk(s, regex->program.start, s->begin)) return true;
  while (regex->record_count) {
    if (UNLIKELY(s->steps > REGEX_MAX_STEPS || regex->record_count > REGEX_MAX_PENDING)) return fail_limit(regex, err);
    if (s->matched && s->open_alts == 0) return true;
    uint32_t node;
    size_t place;
    if (resume(s, &node, &place) && walk(s, regex->program.nodes[node].next, place)) return true;
  }
  return true;
}

static void copy_groups(const Search *s, RegexGroup *ret_groups) {
  ret_groups[0] = (RegexGroup){s->begin, s->best_end};
  for (uint32_t i = 1; i <= s->regex->program.group_count; i++) {
    ret_groups[i] = s->regex->best[i];
    if (ret_groups[i].end == REGEX_UNMATCHED) ret_groups[i].begin = REGEX_UNMATCHED;
  }
}

// ---- searching ----

// The first place from `place` where a match can begin, or past the end.
static size_t skip_hopeless(const Search *s, size_t place) {
  const RegexProgram *program = &s->regex->program;
  if (program->can_be_empty) return place;
  while (place < s->end && !regex_program_set_has(&program->first, (unsigned char)s->text[place])) place++;
  return place < s->end ? place : s->end + 1;
}

static bool search(Search *s, bool continuous, Err *err, bool *ret_matched) {
  *ret_matched = false;
  for (size_t first = s->begin;; s->begin++) {
    s->begin = continuous ? s->begin : skip_hopeless(s, s->begin);
    if (s->begin > s->end) return true;
    if (s->begin != first) s->at_start = false;
    if (!attempt(s, err)) return false;
    if (s->best_end != REGEX_UNMATCHED) {
      *ret_matched = true;
      return true;
    }
    if (continuous) return true;
  }
}

bool regex_match(Regex *regex, Span subject, bool *ret_matched, RegexGroup *ret_groups, Err *err) {
  Search s = {
      .regex = regex, .text = subject.data ? subject.data : "", .end = subject.len, .exact = true, .at_start = true};
  s.remember_from = regex->remember_from;
  bool ok = attempt(&s, err);
  mem_free(s.visits);
  if (!ok) return false;
  *ret_matched = s.best_end != REGEX_UNMATCHED;
  if (*ret_matched) copy_groups(&s, ret_groups);
  return true;
}

// As std::regex_iterator: behind an empty match first a match that is not empty at the same place, then further on. That ^ does not
// match behind the beginning is only known from the second real search on.
static bool search_next(Search *s, RegexIter *iter, bool *ret_matched, Err *err) {
  if (iter->started && iter->last_begin == iter->last_end) {
    if (iter->last_end == s->end) return true;
    s->not_empty = true;
    if (!search(s, true, err, ret_matched)) return false;
    if (*ret_matched) return true;
    s->not_empty = false;
    s->begin++;
  }
  if (iter->started) iter->prev_avail = true;
  s->at_start = !iter->prev_avail;
  return search(s, false, err, ret_matched);
}

bool regex_next(Regex *regex, Span subject, RegexIter *iter, bool *ret_matched, RegexGroup *ret_groups, Err *err) {
  *ret_matched = false;
  if (iter->done) return true;
  Search s = {.regex = regex,
              .text = subject.data ? subject.data : "",
              .end = subject.len,
              .begin = iter->last_end,
              .at_start = !iter->prev_avail,
              .remember_from = regex->remember_from};
  bool ok = search_next(&s, iter, ret_matched, err);
  mem_free(s.visits);
  if (!ok) return false;
  iter->started = true;
  iter->done = !*ret_matched;
  if (*ret_matched) {
    copy_groups(&s, ret_groups);
    iter->last_begin = ret_groups[0].begin;
    iter->last_end = ret_groups[0].end;
  }
  return true;
}

// ---- life ----

Regex *regex_compile(Span pattern, Err *err) {
  RegexProgram program;
  if (!regex_program_build(pattern, &program, err)) return NULL;
  Regex *regex = mem_alloc(sizeof *regex);
  size_t groups = program.group_count + 1;
  *regex = (Regex){
      .program = program,
      .pattern = {span_dup(pattern), pattern.len},
      .remember_from = REMEMBER_STEPS,
      .current = mem_alloc_array(groups, sizeof(RegexGroup)),
      .best = mem_alloc_array(groups, sizeof(RegexGroup)),
      .counters = mem_alloc_array(program.counter_count + 1, sizeof(Counter)),
  };
  return regex;
}

void regex_free(Regex *regex) {
  if (!regex) return;
  regex_program_done(&regex->program);
  mem_free((char *)regex->pattern.data);
  mem_free(regex->records);
  mem_free(regex->current);
  mem_free(regex->best);
  mem_free(regex->counters);
  mem_free(regex->seen);
  mem_free(regex->work);
  mem_free(regex);
}

void regex_remember_from(Regex *regex, uint64_t step) {
  regex->remember_from = step;
}

size_t regex_group_count(const Regex *regex) {
  return regex->program.group_count;
}

struct RegexCache {
  Map map; // pattern -> Regex, owned
};

RegexCache *regex_cache_new(void) {
  return mem_alloc_zero(sizeof(RegexCache));
}

static void clear(RegexCache *cache) {
  for (MapEntry *entry = map_first(&cache->map); entry; entry = map_next(&cache->map, entry)) regex_free(entry->value);
  map_done(&cache->map);
  cache->map = (Map)MAP_INIT;
}

void regex_cache_free(RegexCache *cache) {
  if (!cache) return;
  clear(cache);
  mem_free(cache);
}

Regex *regex_cache_get(RegexCache *cache, Span pattern, Err *err) {
  Regex *regex = map_get(&cache->map, pattern);
  if (regex) return regex;
  regex = regex_compile(pattern, err);
  if (!regex) return NULL;
  if (cache->map.live_count >= CACHE_MAX_PATTERNS) clear(cache);
  (void)map_set(&cache->map, pattern, regex);
  return regex;
}
