// command.c: see command.h.
#include "cli/command.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/suggestion.h"
#include "cli/command_list.h"
#include "cli/completion.h"
#include "cli/help_command.h"
#include "cli/option_group_names.h"
#include "cli/store_exec.h"
#include "eval/eval_error.h"

const Command command_table[] = {
#define COMMAND(program, verb, groups, operands, run, quiet, brief, summary) \
  {program, verb, groups, operands, summary, run, quiet, brief},
#include "cli/command.def"
#undef COMMAND
};
const size_t command_count = ARRAY_LEN(command_table);

const char *command_full_name(const Command *command) {
  static char name[64];
  snprintf(name, sizeof(name), "%s%s%s", command->program, *command->verb ? " " : "", command->verb);
  return name;
}

// How many words of argv (from `at`) the verb takes; -1 when they are others. "" takes none.
static int match_verb(const char *verb, int argc, char **argv, int at) {
  int words = 0;
  for (Span rest = span_cstr(verb), word; span_split(&rest, ' ', &word) || word.len; words++)
    if (at + words >= argc || !span_eq_cstr(word, argv[at + words])) return -1;
  return words;
}

static bool is_program(const char *name) {
  for (size_t i = 0; i < command_count; i++)
    if (strcmp(command_table[i].program, name) == 0) return true;
  return false;
}

// Commands of `nix` that there are not, and why.
static const char *const refused[][2] = {
    {"flake", "flakes are not supported: use '--file' or '--expr'"},
    {"registry", "flakes are not supported, so there is no registry"},
    {"bundle", "flakes are not supported, so nothing can be bundled"},
    {"fmt", "flakes are not supported, so there is no formatter to call"},
    {"formatter", "flakes are not supported, so there is no formatter to call"},
    {"upgrade-nix", "firn does not replace itself: install its new version in the way in which this one came"},
    {"daemon", "the daemon protocol is not supported: commands open the store themselves"},
};

static int cmp_spans(const void *a, const void *b) {
  return span_cmp(*(const Span *)a, *(const Span *)b);
}

// The words that may stand behind `prefix` ("", "store "), sorted, each once; owned by the caller.
static Span *next_words(const char *program, Span prefix, size_t *ret_count) {
  Span *words = mem_alloc_array(command_count + 1, sizeof(Span));
  size_t count = 0, kept = 0;
  for (size_t i = 0; i < command_count; i++) {
    Span verb = span_cstr(command_table[i].verb), word;
    if (strcmp(command_table[i].program, program) != 0 || !span_has_prefix(verb, prefix)) continue;
    verb = span_from(verb, prefix.len);
    span_split(&verb, ' ', &word);
    words[count++] = word;
  }
  if (count) qsort(words, count, sizeof(Span), cmp_spans);
  for (size_t i = 0; i < count; i++)
    if (!kept || !span_eq(words[i], words[kept - 1])) words[kept++] = words[i];
  *ret_count = kept;
  return words;
}

// Says what is wrong with the words from argv[at] on, which are no command.
static void refuse(const char *program, int argc, char **argv, int at, Err *err) {
  Buf prefix CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  size_t count;
  Span *words = next_words(program, SPAN(""), &count);
  for (size_t i = 0; i < ARRAY_LEN(refused) && strcmp(program, "nix") == 0; i++)
    if (strcmp(argv[at], refused[i][0]) == 0) buf_put_cstr(&text, refused[i][1]);
  for (bool deeper = !text.len; deeper;) {
    deeper = false;
    for (size_t i = 0; i < count && at < argc; i++) deeper = deeper || span_eq_cstr(words[i], argv[at]);
    if (!deeper) break;
    buf_printf(&prefix, "%s ", argv[at++]);
    mem_free(words);
    words = next_words(program, buf_span(&prefix), &count);
  }
  if (!text.len && (at >= argc || argv[at][0] == '-')) {
    buf_printf(&text, "%s %.*s requires a sub-command. Available sub-commands:\n", program, (int)prefix.len - 1,
               prefix.data);
    for (size_t i = 0; i < count; i++) buf_printf(&text, "\n\xc2\xb7 %.*s", SPAN_ARG(words[i]));
  } else if (!text.len) {
    buf_printf(&text, "'%s' is not a recognised command\n", argv[at]);
    suggestion_format(span_cstr(argv[at]), words, count, &text);
    while (text.len && text.data[text.len - 1] == '\n') text.len--;
  }
  mem_free(words);
  err_set(err, ERR_USAGE, "%s", buf_cstr(&text));
}

const Command *command_find(int argc, char **argv, int *ret_used, Err *err) {
  const char *program = argc > 0 ? fs_path_base(span_cstr(argv[0])).data : "firn";
  if (!is_program(program)) program = "firn";
  // Options before the verb ("nix --extra-experimental-features x eval"): the verb is the first word that begins a command.
  for (int at = 1; at <= argc; at++) {
    for (size_t i = 0; i < command_count; i++) {
      if (strcmp(command_table[i].program, program) != 0) continue;
      bool is_whole = *command_table[i].verb == 0;
      int words = match_verb(command_table[i].verb, argc, argv, at);
      if (words < 0) continue;
      if (is_whole) {
        *ret_used = 1;
        return &command_table[i];
      }
      // The options in front move behind the verb.
      for (int j = at - 1; j >= 1; j--) argv[j + words] = argv[j];
      *ret_used = 1 + words;
      return &command_table[i];
    }
    if (at < argc && argv[at][0] != '-' && at == 1) break;
  }
  if (argc <= 1 || argv[1][0] == '-') return err_set(err, ERR_USAGE, "no command given"), NULL;
  refuse(program, argc, argv, 1, err);
  return NULL;
}

// The `nix` commands evaluate purely, unless a file is named, in which case --pure-eval means nothing to them either.
static bool set_purity(Session *session, Err *err) {
  const OptionList *options = &session->options;
  const Command *command = session->command;
  if (strcmp(command->program, "nix") != 0 || !(command->groups & OPTION_SELECT_GROUP) ||
      strcmp(command->verb, "repl") == 0)
    return true;
  bool file = option_has(options, OPT_file);
  if (file && option_has(options, OPT_expr)) return err_set(err, ERR_USAGE, "'--file' and '--expr' are exclusive");
  bool said = session->settings[SETTING_ID_pure_eval].source == SETTING_COMMAND_LINE;
  if (!file && (said || !option_has(options, OPT_expr))) return true;
  return setting_set(session->settings, SPAN("pure-eval"), file ? SPAN("false") : SPAN("true"), SETTING_COMMAND_LINE,
                     err);
}

static int run_command(const Command *command, int argc, char **argv, const char *script) {
  Session session;
  Err err = ERR_INIT;
  session_init(&session, command);
  session.shebang.script = script;
  // argv[-1]: options are read without the program's name, which the lines of a script lack likewise.
  bool is_nix_shell = strcmp(command->program, "nix-shell") == 0 || strcmp(command->verb, "nix-shell") == 0;
  if (is_nix_shell && shebang_read(argc + 1, argv - 1, "nix-shell", &session.shebang)) {
    argc = session.shebang.argc - 1;
    argv = session.shebang.argv + 1;
  }
  int code;
  session.options.lenient = strcmp(command->program, "firn") != 0;
  if (!setting_read_all(session.settings, &err) ||
      !option_parse(argc, argv, command->groups, session.settings, &session.options, &err) ||
      !set_purity(&session, &err) || !session_start(&session, &err))
    code = session_fail(&session, &err);
  else if (option_has(&session.options, OPT_help)) code = help_command_show(&session, command);
  else if (option_has(&session.options, OPT_version)) code = help_command_version(&session);
  else code = command->run(&session);
  // A command that says nothing reports by its exit code.
  if (code == 0 && session.store && !store_sync(session.store, &err)) code = session_fail(&session, &err);
  session_done(&session);
  shebang_done(&session.shebang);
  return code;
}

static int fail_early(const char *program, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  eval_error_indent(SPAN("error: "), span_cstr(err_message(err)), &text);
  fprintf(stderr, "%s\nTry '%s --help' for more information.\n", buf_cstr(&text), program);
  err_done(err);
  return 1;
}

// `script`: the lines of a script are what is run; NULL: none.
static int dispatch(int argc, char **argv, const char *script) {
  Err err = ERR_INIT;
  int used, code;
  const Command *command = command_find(argc, argv, &used, &err);
  if (command) return run_command(command, argc - used, argv + used, script);
  if (argc > 1 && help_command_bare(argc, argv, &code)) return err_done(&err), code;
  return fail_early(argc > 0 ? fs_path_base(span_cstr(argv[0])).data : "firn", &err);
}

int command_main(int argc, char **argv) {
  Err err = ERR_INIT;
  int code;
  Shebang script = {.script = NULL};
  if (argc > 1 && strcmp(argv[1], STORE_EXEC_HELPER) == 0) return store_exec_helper(argc - 1, argv + 1);
  if (completion_answer(argc, argv, &code)) return code;
  bool is_nix = argc > 1 && strcmp(fs_path_base(span_cstr(argv[0])).data, "nix") == 0;
  bool is_script = false;
  if (is_nix && !shebang_read_nix(argc, argv, &script, &is_script, &err)) code = fail_early("nix", &err);
  else if (is_script) code = dispatch(script.argc, script.argv, script.script);
  else code = dispatch(argc, argv, NULL);
  shebang_done(&script);
  return code;
}
