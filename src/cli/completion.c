// completion.c: see completion.h.
#include "cli/completion.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/env_source.h"
#include "cli/target.h"
#include "eval/attrs.h"

static const char *program_of(int argc, char **argv) {
  const char *name = argc > 0 ? fs_path_base(span_cstr(argv[0])).data : "firn";
  for (size_t i = 0; i < command_count; i++)
    if (strcmp(command_table[i].program, name) == 0) return name;
  return "firn";
}

static bool begins(const char *text, const char *prefix) {
  return strncmp(text, prefix, strlen(prefix)) == 0;
}

// ---- commands

static void put_verbs(const char *program, const char *prefix, int at, char **argv) {
  Map seen CLEANUP(map_done) = MAP_INIT;
  for (size_t i = 0; i < command_count; i++) {
    const Command *command = &command_table[i];
    if (strcmp(command->program, program) != 0) continue;
    Span rest = span_cstr(command->verb), word = {NULL, 0};
    bool matches = true;
    for (int j = 1; j < at && matches; j++)
      matches = (span_split(&rest, ' ', &word) || word.len) && span_eq_cstr(word, argv[j]);
    if (!matches || !(span_split(&rest, ' ', &word) || word.len) || !span_has_prefix(word, span_cstr(prefix))) continue;
    if (map_has(&seen, word)) continue;
    map_set(&seen, word, NULL);
    printf("%.*s\t%s\n", SPAN_ARG(word), rest.len ? "" : command->summary);
  }
}

// ---- options

static void put_options(const Command *command, const char *prefix) {
  const char *name = begins(prefix, "--") ? prefix + 2 : "";
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    const Option *option = &option_table[i];
    if ((option->groups & command->groups) && begins(option->long_name, name))
      printf("--%s\t%s\n", option->long_name, option->help);
  }
  for (size_t i = 0; i < SETTING_COUNT; i++)
    if (begins(setting_table[i].name, name)) printf("--%s\t%s\n", setting_table[i].name, setting_table[i].help);
}

static const Option *find_option(const Command *command, const char *word) {
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    const Option *option = &option_table[i];
    if (!(option->groups & command->groups)) continue;
    bool is_long = begins(word, "--") && strcmp(option->long_name, word + 2) == 0;
    // Of a bundle ("-iA"), the last letter is the one that may take an argument.
    bool is_short = word[0] == '-' && word[1] != '-' && word[1] && option->short_name == word[strlen(word) - 1];
    if (is_long || is_short) return option;
  }
  return NULL;
}

// The option of which the word at `at` is an argument, and which argument; NULL: of none.
static const Option *option_at(const Command *command, char **argv, int from, int at, unsigned *ret_argument) {
  for (int i = from; i < at; i++) {
    const Option *option = find_option(command, argv[i]);
    if (!option) continue;
    if (option_takes_rest(option)) {
      *ret_argument = (unsigned)(at - i - 1);
      return option;
    }
    unsigned count = option_arg_count(option);
    if ((unsigned)(at - i) <= count) {
      *ret_argument = (unsigned)(at - i - 1);
      return option;
    }
    i += (int)count;
  }
  return NULL;
}

static void put_words(const char *const *words, const char *prefix) {
  printf("normal\n");
  for (; *words; words++)
    if (begins(*words, prefix)) printf("%s\t\n", *words);
}

static void put_settings(const char *prefix) {
  printf("normal\n");
  for (size_t i = 0; i < SETTING_COUNT; i++)
    if (begins(setting_table[i].name, prefix)) printf("%s\t%s\n", setting_table[i].name, setting_table[i].help);
}

// ---- attributes

// "python3Packages.num" looks for what begins with "num" in python3Packages.
static void put_attrs_of(Session *session, const TargetRoot *root, const char *prefix) {
  int code;
  Vm *vm = session->vm;
  HeapRoot value = {0}, args = {0}, set = {0};
  size_t dot = span_rfind_char(span_cstr(prefix), '.');
  Span path = span_sub(span_cstr(prefix), 0, dot == SIZE_MAX ? 0 : dot);
  Span start = span_from(span_cstr(prefix), dot == SIZE_MAX ? 0 : dot + 1);
  heap_add_root(&vm->heap, &value, VALUE_NULL);
  heap_add_root(&vm->heap, &args, VALUE_EMPTY_ATTRS);
  heap_add_root(&vm->heap, &set, VALUE_NULL);
  bool ok = target_auto_args(session, &args, &code) && target_eval_root(session, root, &value, &code);
  if (ok && !target_select(session, &value, &args, arena_dup(&session->arena, path).data, &set))
    session_eval_failed(session, NULL);
  else if (ok && value_is_attrs(set.value) && attrs_count(set.value)) {
    Value flat = attrs_flatten(vm, set.value);
    for (uint32_t i = 0; i < attrs_count(flat); i++) {
      Span name = symbol_text(vm->symbols, attrs_flat_shape(flat)->names[i]);
      if (span_has_prefix(name, start)) printf("%.*s%s%.*s\t\n", SPAN_ARG(path), path.len ? "." : "", SPAN_ARG(name));
    }
  }
  heap_remove_root(&vm->heap, &set);
  heap_remove_root(&vm->heap, &args);
  heap_remove_root(&vm->heap, &value);
}

// Where attributes are looked for with these options.
static bool find_root(Session *session, TargetRoot *ret, Err *err) {
  const OptionList *options = &session->options;
  const Command *command = session->command;
  const char *file = option_get(options, OPT_file), *expr = option_get(options, OPT_expr);
  if (strcmp(command->program, "nix-env") == 0) return env_source_root(session, ret, err);
  bool from_nixpkgs =
      option_has(options, OPT_packages) || strcmp(command->verb, "shell") == 0 || strcmp(command->verb, "run") == 0;
  if (expr) *ret = (TargetRoot){TARGET_EXPR, expr};
  else if (file) *ret = (TargetRoot){TARGET_FILE, file};
  else if (from_nixpkgs) *ret = (TargetRoot){TARGET_FILE, "<nixpkgs>"};
  else if (options->operand_count)
    *ret = (TargetRoot){option_has(options, OPT_expr_flag) ? TARGET_EXPR : TARGET_FILE, options->operands[0]};
  else
    *ret = (TargetRoot){TARGET_FILE,
                        fs_exists("shell.nix") && strcmp(command->program, "nix-shell") == 0 ? "shell.nix" : "."};
  return true;
}

// The line without the word that is completed (and the option that it belongs to) is what says where to look.
static void put_attrs(const Command *command, int argc, char **argv, const char *prefix) {
  Session session;
  Err err = ERR_INIT;
  TargetRoot root;
  printf("attrs\n");
  fflush(stdout);
  session_init(&session, command);
  bool ok = setting_read_all(session.settings, &err) &&
            option_parse(argc, argv, command->groups, session.settings, &session.options, &err) &&
            session_start(&session, &err) && session_vm(&session, &err) && find_root(&session, &root, &err);
  if (ok) put_attrs_of(&session, &root, prefix);
  fflush(stdout);
  err_done(&err);
  session_done(&session);
}

// Whether operands of this line are attributes, not files.
static bool takes_attrs(const Command *command, char **argv, int from, int at) {
  bool is_nix = strcmp(command->program, "nix") == 0, is_firn = strcmp(command->program, "firn") == 0;
  bool has_root = false, packages = false, env_attrs = false;
  for (int i = from; i < at; i++) {
    const Option *option = find_option(command, argv[i]);
    OptionId id = option ? (OptionId)(option - option_table) : OPTION_COUNT;
    has_root = has_root || id == OPT_file || id == OPT_expr;
    packages = packages || id == OPT_packages;
    env_attrs = env_attrs || id == OPT_env_attr;
  }
  bool of_nixpkgs = is_firn && (strcmp(command->verb, "shell") == 0 || strcmp(command->verb, "run") == 0);
  if (packages || of_nixpkgs || env_attrs) return true;
  return is_nix && has_root && (command->groups & OPTION_SELECT_GROUP);
}

// ---- the answer

static bool is_label(const char *args, unsigned argument, const char *label) {
  Span rest = span_cstr(args), word;
  for (unsigned i = 0; span_split(&rest, ' ', &word) || word.len; i++)
    if (i == argument) return span_eq_cstr(word, label);
  return false;
}

static void put_argument(const Command *command, const Option *option, unsigned argument, int argc, char **argv,
                         const char *prefix) {
  static const char *const formats[] = {"raw", "raw-with-logs", "internal-json", "bar", "bar-with-logs", NULL};
  OptionId id = (OptionId)(option - option_table);
  if (id == OPT_attr) put_attrs(command, argc, argv, prefix);
  else if (id == OPT_log_format) put_words(formats, prefix);
  else if (id == OPT_option && argument == 0) put_settings(prefix);
  else if (is_label(option->args, argument, "FILE") || is_label(option->args, argument, "PATH") ||
           is_label(option->args, argument, "DIR") || option_takes_rest(option))
    printf("filenames\n");
  else printf("normal\n");
}

bool completion_answer(int argc, char **argv, int *ret_code) {
  static const char *const shells[] = {"bash", "fish", "zsh", NULL};
  const char *index_text = getenv("NIX_GET_COMPLETIONS");
  uint64_t index;
  *ret_code = 0;
  if (!index_text || !span_parse_u64(span_cstr(index_text), &index) || index == 0) return false;
  // Nothing below is to see it: programs that are started would answer likewise.
  unsetenv("NIX_GET_COMPLETIONS");
  int at = index < (uint64_t)argc ? (int)index : argc, used;
  const char *prefix = at < argc ? argv[at] : "";
  char **words = mem_alloc_array((size_t)argc + 1, sizeof(*words)); // command_find moves them
  memcpy(words, argv, ((size_t)argc + 1) * sizeof(*words));
  Err ignored = ERR_INIT;
  unsigned argument;
  const Command *command = command_find(at, words, &used, &ignored);
  err_done(&ignored);
  const Option *option = command ? option_at(command, words, used, at, &argument) : NULL;
  if (!command) {
    printf("normal\n");
    put_verbs(program_of(argc, argv), prefix, at, argv);
  } else if (option) {
    put_argument(command, option, argument, at - used - 1 - (int)argument, words + used, prefix);
  } else if (prefix[0] == '-') {
    printf("normal\n");
    put_options(command, prefix);
  } else if (strcmp(command->verb, "completion") == 0) {
    put_words(shells, prefix);
  } else if (takes_attrs(command, words, used, at)) {
    put_attrs(command, at - used, words + used, prefix);
  } else {
    printf("filenames\n");
  }
  mem_free(words);
  return true;
}
