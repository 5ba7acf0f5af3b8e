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

// The words of a command line: blanks, quotes and backslashes as in a shell. Appended to argv of *ret.
static void split_words(Shebang *ret, Span line) {
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

// Reads the script argv[1] into `text`; *ret gets its name and arguments, *ret_lines what follows its first line. False: there is none.
static bool open_script(int argc, char **argv, Shebang *ret, Buf *text, Span *ret_lines) {
  Err ignored = ERR_INIT;
  struct stat st;
  Span first;
  if (argc < 2 || argv[1][0] == '-' || stat(argv[1], &st) != 0 || !S_ISREG(st.st_mode)) return false;
  if (!fs_read_file(argv[1], SHEBANG_BYTES_MAX, text, &ignored)) return err_done(&ignored), false;
  *ret_lines = buf_span(text);
  if (!span_has_prefix(*ret_lines, SPAN("#!"))) return false;
  ret->script = argv[1];
  ret->script_args = argv + 2;
  add_word(ret, span_cstr(argv[0]));
  span_split(ret_lines, '\n', &first);
  return true;
}

bool shebang_read(int argc, char **argv, const char *name, Shebang *ret) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Span rest, line, words;
  *ret = (Shebang){.arena = ARENA_INIT};
  if (!open_script(argc, argv, ret, &text, &rest)) return false;
  for (bool more = true; more;) {
    more = span_split(&rest, '\n', &line);
    if (match_line(line, name, &words)) split_words(ret, words);
  }
  return true;
}

// ---- nix

// How many backticks stand at `at`.
static size_t count_ticks(Span text, size_t at) {
  size_t count = 0;
  while (at + count < text.len && text.data[at + count] == '`') count++;
  return count;
}

// ``text``: up to two backticks, of which a blank in front is dropped. Three and more are that many less one.
static bool take_quoted(Span text, size_t *at, Buf *word, Err *err) {
  for (size_t i = *at; i < text.len;) {
    bool blank = text.data[i] == ' ' && count_ticks(text, i + 1) == 2;
    size_t ticks = count_ticks(text, i);
    if (blank || ticks == 2) {
      *at = i + 2 + blank;
      return true;
    }
    if (ticks >= 3) {
      buf_put_repeat(word, '`', ticks - 1);
      i += ticks;
    } else {
      buf_put_char(word, text.data[i++]);
    }
  }
  return err_set(err, ERR_USAGE, "unterminated quoted string in nix shebang");
}

static bool split_nix(Shebang *ret, Span text, Err *err) {
  Buf word CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < text.len;) {
    char c = text.data[i];
    if (c == '`') {
      if (count_ticks(text, i) < 2)
        return err_set(err, ERR_USAGE, "single backtick is not a supported syntax in the nix shebang.");
      Buf quoted CLEANUP(buf_done) = BUF_INIT;
      i += 2;
      if (!take_quoted(text, &i, &quoted, err)) return false;
      add_word(ret, buf_span(&quoted));
      continue;
    }
    bool is_blank = strchr(" \t\r\n", c) != NULL;
    if (!is_blank && strchr("$*~<>|;()[]{}'\"\\", c))
      return err_set(err, ERR_USAGE,
                     "unsupported unquoted character in nix shebang: %c. Use double backticks to escape?", c);
    if (c == '#' && !word.len)
      return err_set(err, ERR_USAGE,
                     "unquoted nix shebang argument cannot start with #. Use double backticks to escape?");
    if (!is_blank) buf_put_char(&word, c);
    else if (word.len) add_word(ret, buf_span(&word));
    if (is_blank) buf_clear(&word);
    i++;
  }
  if (word.len) add_word(ret, buf_span(&word));
  return true;
}

bool shebang_read_nix(int argc, char **argv, Shebang *ret, bool *ret_is_script, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT, lines CLEANUP(buf_done) = BUF_INIT;
  Span rest, line;
  *ret = (Shebang){.arena = ARENA_INIT};
  *ret_is_script = false;
  if (!open_script(argc, argv, ret, &text, &rest)) return true;
  for (bool more = true; more;) {
    more = span_split(&rest, '\n', &line);
    if (!line.len || !strchr("#/\\%@*-(", line.data[0])) break;
    if (!span_has_prefix(line, SPAN("#!"))) continue;
    line = span_trim(span_from(line, 2));
    bool is_ours = span_has_prefix(line, SPAN("nix")) && (line.len == 3 || line.data[3] == ' ');
    if (is_ours && line.len > 4) buf_printf(&lines, "%.*s\n", SPAN_ARG(span_from(line, 4)));
  }
  if (!split_nix(ret, buf_span(&lines), err)) return false;
  for (int i = 1; i < argc; i++) add_word(ret, span_cstr(argv[i]));
  return *ret_is_script = true;
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
