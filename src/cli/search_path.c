// search_path.c: see search_path.h. Behaviour: Nix 2.26, EvalSettings.
#include "cli/search_path.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"

void search_path_done(SearchPath *path) {
  mem_free(path->entries);
  *path = (SearchPath){0};
}

// "https://x", "channel:x", "flake:x"
static bool is_pseudo_url(Span s) {
  static const char *const schemes[] = {"http", "https", "file", "channel", "git", "s3", "ssh"};
  if (span_has_prefix(s, SPAN("channel:")) || span_has_prefix(s, SPAN("flake:"))) return true;
  size_t end = span_find(s, SPAN("://"));
  if (end == SIZE_MAX) return false;
  for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
    if (span_eq_cstr(span_sub(s, 0, end), schemes[i])) return true;
  return false;
}

// The canonical absolute path; text that is no file path stays.
static Span absolute(Span path, Arena *arena) {
  if (is_pseudo_url(path) || path.len == 0) return arena_dup(arena, path);
  char *cwd = path.data[0] == '/' ? NULL : getcwd(NULL, 0);
  Buf buf CLEANUP(buf_done) = BUF_INIT;
  fs_path_canon(cwd ? span_cstr(cwd) : SPAN("/"), path, &buf);
  free(cwd);
  return arena_dup(arena, buf_span(&buf));
}

void search_path_add(SearchPath *path, Span entry, Arena *arena) {
  Span prefix = {"", 0};
  size_t equals = span_find_char(entry, '=');
  if (equals != SIZE_MAX) {
    prefix = span_sub(entry, 0, equals);
    entry = span_from(entry, equals + 1);
  }
  MEM_RESERVE(path->entries, path->cap, path->count + 1);
  path->entries[path->count++] = (VmSearchEntry){arena_dup(arena, prefix), absolute(entry, arena)};
}

void search_path_add_list(SearchPath *path, Span text, Arena *arena) {
  for (size_t i = 0; i < text.len;) {
    size_t start = i, value = i;
    while (i < text.len && text.data[i] != ':') {
      if (text.data[i] == '=') value = i + 1;
      i++;
    }
    // The colon belongs to a URL: the entry goes on to the next one.
    if (i < text.len && (is_pseudo_url(span_from(span_sub(text, 0, i + 3), value)) ||
                         is_pseudo_url(span_from(span_sub(text, 0, i + 1), value)))) {
      i++;
      while (i < text.len && text.data[i] != ':') i++;
    }
    if (i > start) search_path_add(path, span_sub(text, start, i - start), arena);
    i++;
  }
}

static void add_if_there(SearchPath *path, const char *prefix, const char *file, Arena *arena) {
  if (access(file, F_OK) == 0)
    search_path_add(path, span_cstr(arena_printf(arena, "%s%s%s", prefix, *prefix ? "=" : "", file)), arena);
}

void search_path_add_defaults(SearchPath *path, const char *user_channels, Arena *arena) {
  add_if_there(path, "", user_channels, arena);
  add_if_there(path, "nixpkgs", "/nix/var/nix/profiles/per-user/root/channels/nixpkgs", arena);
  add_if_there(path, "", "/nix/var/nix/profiles/per-user/root/channels", arena);
}
