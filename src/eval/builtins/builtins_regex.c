// builtins_regex.c: builtins.match and builtins.split, on regex.h.
#include "base/mem.h"
#include "eval/builtins/builtins_util.h"
#include "eval/builtins/registry.h"
#include "eval/regex.h"

#define GROUPS_AT_HAND 32 // more come from the heap

typedef struct Search {
  Regex *regex;
  size_t count;       // groups, the whole match included
  RegexGroup *groups; // `at_hand` or owned
  RegexGroup at_hand[GROUPS_AT_HAND];
} Search;

static bool search_init(Search *s, Vm *vm, Value pattern) {
  if (!vm->regexes) vm->regexes = regex_cache_new();
  Err err = ERR_INIT;
  s->regex = regex_cache_get(vm->regexes, str_span(pattern), &err);
  s->groups = s->at_hand;
  if (!s->regex) {
    eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
    return false;
  }
  s->count = regex_group_count(s->regex) + 1;
  if (s->count > GROUPS_AT_HAND) s->groups = mem_alloc_array(s->count, sizeof *s->groups);
  return true;
}

static void search_done(Search *s) {
  if (s->groups != s->at_hand) mem_free(s->groups);
}

// The groups of a match as a list: strings, null for one that took no part.
static Value group_list(Vm *vm, const Search *s, Span subject) {
  if (s->count == 1) return VALUE_EMPTY_LIST;
  List *list = list_new(vm, s->count - 1);
  for (size_t i = 1; i < s->count; i++) {
    RegexGroup g = s->groups[i];
    list->items[i - 1] =
        g.begin == REGEX_UNMATCHED ? VALUE_NULL : str_plain(vm, span_sub(subject, g.begin, g.end - g.begin));
  }
  return list_value(list);
}

static Value match_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG1 "match")) return VALUE_ERROR;
  Search s;
  if (!search_init(&s, vm, args[0])) return VALUE_ERROR;
  Value result = VALUE_ERROR;
  if (expect_string(vm, args[1], ARG2 "match")) {
    bool matched = false;
    Err err = ERR_INIT;
    if (!regex_match(s.regex, str_span(args[1]), &matched, s.groups, &err))
      eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
    else result = matched ? group_list(vm, &s, str_span(args[1])) : VALUE_NULL;
  }
  search_done(&s);
  return result;
}

static Value split(Vm *vm, Search *s, Value string) {
  Span subject = str_span(string);
  ListBuilder list = LIST_BUILDER_INIT;
  RegexIter iter = {0};
  Err err = ERR_INIT;
  bool matched = false;
  size_t at = 0; // end of the last match
  bool ok;
  while ((ok = regex_next(s->regex, subject, &iter, &matched, s->groups, &err)) && matched) {
    list_builder_add(&list, str_plain(vm, span_sub(subject, at, s->groups[0].begin - at)));
    list_builder_add(&list, group_list(vm, s, subject));
    at = s->groups[0].end;
  }
  if (!ok) {
    list_builder_done(&list);
    return eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
  }
  // Without a match the string stays what it is, context included; the pieces have none.
  list_builder_add(&list, list.count ? str_plain(vm, span_from(subject, at)) : string);
  return list_builder_finish(vm, &list);
}

static Value split_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG1 "split")) return VALUE_ERROR;
  Search s;
  if (!search_init(&s, vm, args[0])) return VALUE_ERROR;
  Value result = expect_string(vm, args[1], ARG2 "split") ? split(vm, &s, args[1]) : VALUE_ERROR;
  search_done(&s);
  return result;
}

static const Builtin rows[] = {
    {"match",
     2,
     3,
     0,
     match_fn,
     NULL,
     "regex str",
     "Match the whole string *str* against the POSIX extended regular expression *regex*. The result is `null` without "
     "a match, else the list of "
     "what the groups matched.\n\n```nix\nbuiltins.match \"a(b)(c)\" \"abc\"\n```\n\nis `[ \"b\" \"c\" ]`, and\n\n"
     "```nix\nbuiltins.match \"ab\" \"abc\"\n```\n\nis `null`.",
     "sS",
     {ARG1 "match", ARG2 "match"}},
    {"split",
     2,
     3,
     0,
     split_fn,
     NULL,
     "regex str",
     "Split the string *str* at the matches of the POSIX extended regular expression *regex*: a list of the pieces "
     "between them and, where a match "
     "was, of the list of what its groups matched.\n\n```nix\nbuiltins.split \"([ac])\" \"abc\"\n```\n\n"
     "is `[ \"\" [ \"a\" ] \"b\" [ \"c\" ] \"\" ]`.",
     "sS",
     {ARG1 "split", ARG2 "split"}},
};

const BuiltinTable builtins_regex_table = {rows, ARRAY_LEN(rows)};
