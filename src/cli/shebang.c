// shebang.c: see shebang.h.
#include "cli/shebang.h"

#include "base/fs.h"
#include "base/mem.h"
#include "cli/env_vars.h"

static void add_word(Shebang *shebang, Span word) {
  shebang->argv = mem_realloc_array(shebang->argv, (size_t)shebang->argc + 2, sizeof(*shebang->argv));
  shebang->argv[shebang->argc++] = (char *)(uintptr_t)arena_dup(&shebang->arena, word).data;
  shebang->argv[shebang->argc] = NULL;
}

void shebang_split(Shebang *ret, Span line) {
  Buf word CLEANUP(buf_done) = BUF_INIT;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < line.len; i++) {
    char c = line.data[i];
    bool escapes = c == '\\' && quote != '\'' && i + 1 < line.len;
    if (escapes) {
      buf_put_char(&word, line.data[++i]);
      in_word = true;
    } else if (quote ? c == quote : c == '"' || c == '\'') {
      quote = quote ? 0 : c;
      in_word = true;
    } else if (!quote && (c == ' ' || c == '\t' || c == '\r')) {
      if (in_word) add_word(ret, buf_span(&word));
      buf_clear(&word);
      in_word = false;
    } else {
      buf_put_char(&word, c);
      in_word = true;
    }
  }
  if (in_word) add_word(ret, buf_span(&word));
}

// "#! nix-shell -i bash": what follows the name. False for another line.
static bool match_line(Span line, const char *name, Span *ret) {
  if (!span_has_prefix(line, SPAN("#!"))) return false;
  line = span_trim(span_from(line, 2));
  size_t len = strlen(name);
  if (!span_has_prefix(line, span_cstr(name)) || line.len == len || !strchr(" \t", line.data[len])) return false;
  *ret = span_from(line, len);
  return true;
}

bool shebang_read(int argc, char **argv, const char *name, Shebang *ret) {
  Err ignored = ERR_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  *ret = (Shebang){.arena = ARENA_INIT};
  if (argc < 2 || argv[1][0] == '-') return false;
  struct stat st;
  if (stat(argv[1], &st) != 0 || !S_ISREG(st.st_mode)) return false;
  if (!fs_read_file(argv[1], SHEBANG_BYTES_MAX, &text, &ignored)) return err_done(&ignored), false;
  Span rest = buf_span(&text), line, words;
  if (!span_has_prefix(rest, SPAN("#!"))) return false;
  ret->script = argv[1];
  ret->script_args = argv + 2;
  add_word(ret, span_cstr(argv[0]));
  span_split(&rest, '\n', &line);
  for (bool more = true; more;) {
    more = span_split(&rest, '\n', &line);
    if (match_line(line, name, &words)) shebang_split(ret, words);
  }
  return true;
}

void shebang_done(Shebang *shebang) {
  mem_free(shebang->argv);
  arena_done(&shebang->arena);
}

const char *shebang_command(const Shebang *shebang, const char *interpreter, Arena *arena) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  buf_put_cstr(&text, "exec ");
  // Perl reads the first line of a script and starts what stands there, unless its own name is not "perl"; Ruby does so always, so the script is loaded.
  if (strstr(interpreter, "perl")) buf_put_cstr(&text, "-a PERL ");
  buf_printf(&text, "%s ", interpreter);
  if (strstr(interpreter, "ruby")) buf_put_cstr(&text, "-e 'load(ARGV.shift)' -- ");
  env_vars_quote(&text, span_cstr(shebang->script));
  for (char **arg = shebang->script_args; *arg; arg++) {
    buf_put_char(&text, ' ');
    env_vars_quote(&text, span_cstr(*arg));
  }
  return arena_dup(arena, buf_span(&text)).data;
}
