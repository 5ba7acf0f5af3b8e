// search_command.c: `nix search` and `firn search`: packages whose attribute path, name or description match. Nix 2.26: search.cc; sets are gone into
// where recurseForDerivations says so, and packages that cannot be evaluated are passed over.
#include <regex.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/installable.h"
#include "cli/package.h"
#include "formats/drv_name.h"
#include "formats/json_write.h"

// ---- matches

typedef struct Patterns {
  regex_t *items; // owned
  size_t count;
} Patterns;

static void patterns_done(Patterns *patterns) {
  for (size_t i = 0; i < patterns->count; i++) regfree(&patterns->items[i]);
  mem_free(patterns->items);
}

static bool patterns_add(Patterns *patterns, const char *text, Err *err) {
  if (regcomp(&patterns->items[patterns->count], text, REG_EXTENDED | REG_ICASE) != 0)
    return err_set(err, ERR_USAGE, "'%s' is not a regular expression", text);
  patterns->count++;
  return true;
}

typedef struct Range {
  size_t start, end;
} Range;

typedef struct Ranges {
  Range *items; // owned
  size_t count, cap;
} Ranges;

static void ranges_done(Ranges *ranges) {
  mem_free(ranges->items);
}

// Everything in `text` (NUL-terminated) that the pattern matches. Nothing: false.
static bool add_matches(const regex_t *pattern, Span text, Ranges *ret) {
  size_t before = ret->count;
  for (size_t at = 0; at <= text.len;) {
    regmatch_t match;
    if (regexec(pattern, text.data + at, 1, &match, at ? REG_NOTBOL : 0) != 0) break;
    MEM_RESERVE(ret->items, ret->cap, ret->count + 1);
    ret->items[ret->count++] = (Range){at + (size_t)match.rm_so, at + (size_t)match.rm_eo};
    at += (size_t)match.rm_eo + (match.rm_so == match.rm_eo);
  }
  return ret->count > before;
}

static int cmp_ranges(const void *a, const void *b) {
  size_t x = ((const Range *)a)->start, y = ((const Range *)b)->start;
  return (x > y) - (x < y);
}

// Matches that touch are one.
static void put_marked(Span text, Ranges *ranges, const char *before, const char *behind, Buf *ret) {
  size_t at = 0;
  if (ranges->count) qsort(ranges->items, ranges->count, sizeof(Range), cmp_ranges);
  for (size_t i = 0; i < ranges->count;) {
    Range range = ranges->items[i];
    while (++i < ranges->count && ranges->items[i].start <= range.end)
      if (ranges->items[i].end > range.end) range.end = ranges->items[i].end;
    buf_put_span(ret, span_sub(text, at, range.start - at));
    buf_put_cstr(ret, before);
    buf_put_span(ret, span_sub(text, range.start, range.end - range.start));
    buf_put_cstr(ret, behind);
    at = range.end;
  }
  buf_put_span(ret, span_from(text, at));
}

// ---- packages

typedef struct Search {
  Session *session;
  Patterns wanted, excluded;
  bool json, colour;
  size_t found;
  Span below; // `nix search`: attribute paths are told from here on
  JsonWrite writer;
  Buf out;
} Search;

static bool matches(const Patterns *patterns, Span attr, Span name, Span description) {
  for (size_t i = 0; i < patterns->count; i++)
    if (regexec(&patterns->items[i], attr.data, 0, NULL, 0) == 0 ||
        regexec(&patterns->items[i], name.data, 0, NULL, 0) == 0 ||
        regexec(&patterns->items[i], description.data, 0, NULL, 0) == 0)
      return true;
  return false;
}

static Span description_of(Session *session, const Package *package) {
  const JsonTree *text = package_meta(package, SPAN("description"));
  if (!text || text->kind != JSON_TREE_STRING) return SPAN("");
  Span copy = arena_dup(&session->arena, text->string);
  for (size_t i = 0; i < copy.len; i++)
    if (copy.data[i] == '\n') ((char *)(uintptr_t)copy.data)[i] = ' ';
  return copy;
}

static bool put_json(Search *search, Span attr, Span name, Span version, Span description, Err *err) {
  JsonWrite *json = &search->writer;
  if (!json_write_key(json, attr, err)) return false;
  json_write_object_begin(json);
  bool ok = json_write_key(json, SPAN("description"), err) && json_write_str(json, description, err) &&
            json_write_key(json, SPAN("pname"), err) && json_write_str(json, name, err) &&
            json_write_key(json, SPAN("version"), err) && json_write_str(json, version, err);
  json_write_object_end(json);
  return ok;
}

static void put_lines(Search *search, Span attr, Ranges *in_attr, Span version, Span description, Ranges *in_text) {
  const char *green = search->colour ? "\033[32;1m" : "", *bold = search->colour ? "\033[0;1m" : "",
             *plain = search->colour ? "\033[0m" : "";
  if (search->found > 1) buf_put_char(&search->out, '\n');
  buf_printf(&search->out, "* %s", bold);
  put_marked(attr, in_attr, green, bold, &search->out);
  buf_put_cstr(&search->out, plain);
  if (version.len) buf_printf(&search->out, " (%.*s)", SPAN_ARG(version));
  buf_put_char(&search->out, '\n');
  if (!description.len) return;
  buf_put_cstr(&search->out, "  ");
  put_marked(description, in_text, green, plain, &search->out);
  buf_put_char(&search->out, '\n');
}

static Span shown_path(const Search *search, const Package *package) {
  Span path = package->attr_path, below = search->below;
  bool inside = below.len && path.len > below.len && span_has_prefix(path, below) && path.data[below.len] == '.';
  return inside ? span_from(path, below.len + 1) : path;
}

static bool look_at(Search *search, const Package *package, Err *err) {
  Span path = shown_path(search, package);
  Span name, version, description = description_of(search->session, package);
  Ranges in_attr CLEANUP(ranges_done) = {0}, in_name CLEANUP(ranges_done) = {0}, in_text CLEANUP(ranges_done) = {0};
  drv_name_parse(package->name, &name, &version);
  name = arena_dup(&search->session->arena, name);
  if (matches(&search->excluded, path, name, description)) return true;
  for (size_t i = 0; i < search->wanted.count; i++) {
    const regex_t *pattern = &search->wanted.items[i];
    bool hit = add_matches(pattern, path, &in_attr);
    hit |= add_matches(pattern, name, &in_name);
    hit |= add_matches(pattern, description, &in_text);
    if (!hit) return true;
  }
  search->found++;
  if (search->json) return put_json(search, path, name, version, description, err);
  put_lines(search, path, &in_attr, version, description, &in_text);
  return true;
}

static int cmp_packages(const void *a, const void *b, void *ctx) {
  return span_cmp(package_set_get(ctx, *(const size_t *)a)->attr_path,
                  package_set_get(ctx, *(const size_t *)b)->attr_path);
}

static int look_at_all(Search *search, PackageSet *set) {
  Err err = ERR_INIT;
  size_t count;
  int code = 0;
  size_t *indexes = package_set_indexes(set, &count);
  bool ok = package_set_meta(set, indexes, count, &code);
  if (count) qsort_r(indexes, count, sizeof(size_t), cmp_packages, set);
  if (search->json) json_write_object_begin(&search->writer);
  for (size_t i = 0; ok && i < count; i++) {
    const Package *package = package_set_get(set, indexes[i]);
    ok = package->failed || look_at(search, package, &err);
    if (!ok) code = session_fail(search->session, &err);
  }
  mem_free(indexes);
  if (!ok) return code;
  if (search->json) {
    json_write_object_end(&search->writer);
    buf_put_char(&search->out, '\n');
  } else if (!search->found) {
    err_set(&err, ERR_NOT_FOUND, "no results for the given search term(s)!");
    return session_fail(search->session, &err);
  }
  session_print(search->session, buf_span(&search->out));
  return 0;
}

// ---- the command

static bool read_patterns(Search *search, const char *const *texts, size_t count, Err *err) {
  const OptionList *options = &search->session->options;
  search->wanted.items = mem_alloc_array(count + 1, sizeof(regex_t));
  search->excluded.items = mem_alloc_array(options->use_count + 1, sizeof(regex_t));
  if (!count)
    return err_set(err, ERR_USAGE,
                   "Must provide at least one regex! To match all packages, use 'nix search <installable> ^'.");
  for (size_t i = 0; i < count; i++)
    if (!patterns_add(&search->wanted, texts[i], err)) return false;
  for (size_t i = 0; i < options->use_count; i++)
    if (options->uses[i].id == OPT_search_exclude && !patterns_add(&search->excluded, options->uses[i].args[0], err))
      return false;
  return true;
}

static int run(Session *session, const char *default_file, const char *attr, const char *const *texts, size_t count,
               bool colour) {
  Search search = {.session = session, .json = option_has(&session->options, OPT_search_json), .colour = colour};
  if (!default_file) search.below = span_cstr(attr);
  Err err = ERR_INIT;
  TargetRoot root;
  int code = 0;
  TargetQuery query = {.roots = &root, .root_count = 1, .attr_paths = &attr, .attr_path_count = 1};
  json_write_init(&search.writer, &search.out, 0);
  if (!read_patterns(&search, texts, count, &err) || !installable_root(session, default_file, &root, &err)) {
    code = session_fail(session, &err);
  } else {
    progress_evaluating(&session->progress, "evaluating");
    PackageSet *set = package_set_new(session, &query, true, &code);
    progress_evaluating(&session->progress, NULL);
    if (set) code = look_at_all(&search, set);
    package_set_free(set);
  }
  patterns_done(&search.wanted);
  patterns_done(&search.excluded);
  buf_done(&search.out);
  return code;
}

// The first operand is an attribute ("": all). Nix marks matches whether or not somebody looks.
int search_command_nix(Session *session) {
  const OptionList *options = &session->options;
  bool has_attr = options->operand_count > 0;
  return run(session, NULL, has_attr ? options->operands[0] : "", options->operands + has_attr,
             options->operand_count - has_attr, progress_may_colour());
}

int search_command_run(Session *session) {
  const OptionList *options = &session->options;
  const char *attr = option_get(options, OPT_attr);
  return run(session, "<nixpkgs>", attr ? attr : "", options->operands, options->operand_count,
             isatty(STDOUT_FILENO) && progress_may_colour());
}
