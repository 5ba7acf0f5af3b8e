// help_command.c: see help_command.h.
#include "cli/help_command.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/version.h"

// ---- --help

static void put_wrapped(Buf *out, const char *text, unsigned indent, unsigned column) {
  for (Span rest = span_cstr(text), word; span_split(&rest, ' ', &word) || word.len;) {
    if (column + word.len + 1 > 100 && column > indent) {
      buf_put_char(out, '\n');
      buf_put_repeat(out, ' ', indent);
      column = indent;
    }
    if (column > indent) {
      buf_put_char(out, ' ');
      column++;
    }
    buf_put_span(out, word);
    column += (unsigned)word.len;
  }
  buf_put_char(out, '\n');
}

static void put_option_name(Buf *out, const Option *option) {
  if (option->short_name) buf_printf(out, "-%c, ", option->short_name);
  buf_printf(out, "--%s", option->long_name);
  if (*option->args) buf_printf(out, " %s", option->args);
}

static void put_option(Buf *out, const Option *option) {
  enum { COLUMN = 36 };
  size_t start = out->len;
  buf_put_cstr(out, option->short_name ? "  " : "      ");
  put_option_name(out, option);
  unsigned width = (unsigned)(out->len - start);
  if (width + 2 > COLUMN) {
    buf_put_char(out, '\n');
    width = 0;
  }
  buf_put_repeat(out, ' ', COLUMN - width);
  put_wrapped(out, option->help, COLUMN, COLUMN);
}

static void put_usage(Buf *out, const Command *command) {
  buf_printf(out, "Usage: %s [OPTION]... %s\n\n", command_full_name(command), command->operands);
  buf_printf(out, "%s.\n", command->summary);
  out->data[out->len - strlen(command->summary) - 2] =
      (char)(command->summary[0] - ('a' <= command->summary[0] && command->summary[0] <= 'z' ? 32 : 0));
  for (int group = OPTION_GROUP_COUNT - 1; group >= 0; group--) {
    if (!(command->groups & 1u << group)) continue;
    bool first = true;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
      const Option *option = &option_table[i];
      // An option of several groups appears in the first of them that the command has.
      if (!(option->groups & 1u << group) || (option->groups & command->groups & ~((2u << group) - 1))) continue;
      if (first) buf_printf(out, "\n%s:\n", option_group_headings[group]);
      first = false;
      put_option(out, option);
    }
  }
}

int help_command_show(Session *session, const Command *command) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  put_usage(&out, command);
  session_print(session, buf_span(&out));
  return 0;
}

static void put_version(Buf *out, const char *program) {
  // Scripts look for the version of Nix's language and command line behind "(Nix)".
  if (strcmp(program, "firn") == 0) buf_printf(out, "firn %s (Nix) %s\n", VERSION_FIRN, VERSION_NIX);
  else buf_printf(out, "%s (Nix) %s\n", program, VERSION_NIX);
}

int help_command_version(Session *session) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  put_version(&out, session->command->program);
  session_print(session, buf_span(&out));
  return 0;
}

static void put_commands(Buf *out, const char *program) {
  buf_printf(out, "Usage: %s COMMAND [OPTION]...\n\nCommands:\n", program);
  for (size_t i = 0; i < command_count; i++)
    if (strcmp(command_table[i].program, program) == 0)
      buf_printf(out, "  %-18s %s\n", command_table[i].verb, command_table[i].summary);
  buf_printf(out, "\n'%s COMMAND --help' shows the options of a command.\n", program);
}

static const char *program_name(int argc, char **argv) {
  const char *program = argc > 0 ? fs_path_base(span_cstr(argv[0])).data : "firn";
  return strcmp(program, "nix") == 0 ? program : "firn";
}

bool help_command_bare(int argc, char **argv, int *ret_code) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (strcmp(argv[1], "--version") == 0) put_version(&out, program_name(argc, argv));
  else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) put_commands(&out, program_name(argc, argv));
  else return false;
  *ret_code = fputs(buf_cstr(&out), stdout) == EOF || fflush(stdout) != 0;
  return true;
}

static const Command *find_by_words(const char *program, const OptionList *list) {
  Buf verb CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < list->operand_count; i++) buf_printf(&verb, "%s%s", i ? " " : "", list->operands[i]);
  for (size_t i = 0; i < command_count; i++) {
    const Command *command = &command_table[i];
    if (strcmp(command->program, program) == 0 && span_eq_cstr(buf_span(&verb), command->verb)) return command;
    if (*command->verb == 0 && span_eq_cstr(buf_span(&verb), command->program)) return command;
  }
  return NULL;
}

int help_command_run(Session *session) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  const Command *command = find_by_words("firn", &session->options);
  if (command) put_usage(&out, command);
  else put_commands(&out, "firn");
  session_print(session, buf_span(&out));
  return 0;
}

// ---- manual pages

static void put_roff(Buf *out, const char *text) {
  for (const char *p = text; *p; p++) {
    if (*p == '-') buf_put_cstr(out, "\\-");
    else if (*p == '\\') buf_put_cstr(out, "\\\\");
    else buf_put_char(out, *p);
  }
}

static void put_man(Buf *out, const Command *command) {
  Buf name CLEANUP(buf_done) = BUF_INIT;
  buf_put_cstr(&name, command_full_name(command));
  for (size_t i = 0; i < name.len; i++)
    if (name.data[i] == ' ') name.data[i] = '-';
  buf_printf(out, ".TH \"%s\" 1 \"\" \"firn %s\"\n.SH NAME\n", buf_cstr(&name), VERSION_FIRN);
  put_roff(out, buf_cstr(&name));
  buf_put_cstr(out, " \\- ");
  put_roff(out, command->summary);
  buf_put_cstr(out, "\n.SH SYNOPSIS\n.B ");
  put_roff(out, command_full_name(command));
  buf_put_cstr(out, "\n[\\fIOPTION\\fR]... ");
  put_roff(out, command->operands);
  buf_put_cstr(out, "\n.SH OPTIONS\n");
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    if (!(option_table[i].groups & command->groups)) continue;
    Buf line CLEANUP(buf_done) = BUF_INIT;
    put_option_name(&line, &option_table[i]);
    buf_put_cstr(out, ".TP\n\\fB");
    put_roff(out, buf_cstr(&line));
    buf_put_cstr(out, "\\fR\n");
    put_roff(out, option_table[i].help);
    buf_put_char(out, '\n');
  }
}

int help_command_man(Session *session) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  const Command *command = find_by_words("firn", &session->options);
  if (!command) command = session->command;
  put_man(&out, command);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- completion

// The shells call the program with NIX_GET_COMPLETIONS=<index>; the first line of the answer tells the kind, the others are
// candidates, with a description behind a TAB.
static const char bash_script[] = "_firn_complete() {\n"
                                  "  local -a words\n"
                                  "  local cur kind have_type=\n"
                                  "  _get_comp_words_by_ref -n ':=&' words cword cur 2>/dev/null || { "
                                  "words=(\"${COMP_WORDS[@]}\"); cword=$COMP_CWORD; cur=${COMP_WORDS[COMP_CWORD]}; }\n"
                                  "  while IFS= read -r line; do\n"
                                  "    local completion=${line%%\t*}\n"
                                  "    if [[ -z $have_type ]]; then\n"
                                  "      have_type=1\n"
                                  "      [[ $completion == filenames ]] && compopt -o filenames\n"
                                  "      [[ $completion == attrs ]] && compopt -o nospace\n"
                                  "      continue\n"
                                  "    fi\n"
                                  "    COMPREPLY+=(\"$completion\")\n"
                                  "  done < <(NIX_GET_COMPLETIONS=$cword \"${words[@]}\" 2>/dev/null)\n"
                                  "}\n"
                                  "complete -F _firn_complete firn\n";
static const char zsh_script[] = "#compdef firn\n"
                                 "_firn() {\n"
                                 "  local -a lines suggestions options\n"
                                 "  local kind\n"
                                 "  lines=(\"${(@f)$(NIX_GET_COMPLETIONS=$((CURRENT - 1)) $words[@] 2>/dev/null)}\")\n"
                                 "  kind=${lines[1]}\n"
                                 "  for line in ${lines:1}; do suggestions+=(\"${line%%\t*}\"); done\n"
                                 "  [[ $kind == filenames ]] && options=(-f)\n"
                                 "  [[ $kind == attrs ]] && options=(-S '')\n"
                                 "  compadd -J firn \"${options[@]}\" -a suggestions\n"
                                 "}\n"
                                 "compdef _firn firn\n";
static const char fish_script[] = "function _firn_complete\n"
                                  "  set -l words (commandline --current-process --tokenize --cut-at-cursor)\n"
                                  "  set -l last (commandline --current-token --cut-at-cursor)\n"
                                  "  env NIX_GET_COMPLETIONS=(count $words) $words $last 2>/dev/null | tail -n +2\n"
                                  "end\n"
                                  "complete --command firn --no-files --arguments '(_firn_complete)'\n";

int help_command_completion(Session *session) {
  const char *shell = session->options.operand_count == 1 ? session->options.operands[0] : "";
  const char *script = strcmp(shell, "bash") == 0   ? bash_script
                       : strcmp(shell, "zsh") == 0  ? zsh_script
                       : strcmp(shell, "fish") == 0 ? fish_script
                                                    : NULL;
  if (!script) {
    Err err = ERR_INIT;
    err_set(&err, ERR_USAGE, "which shell: bash, zsh or fish?");
    return session_fail(session, &err);
  }
  session_print(session, span_cstr(script));
  return 0;
}

static void complete_verbs(const char *program, const char *prefix, int at, char **argv) {
  Buf seen CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < command_count; i++) {
    const Command *command = &command_table[i];
    if (strcmp(command->program, program) != 0) continue;
    Span rest = span_cstr(command->verb), word = {NULL, 0};
    bool matches = true;
    for (int j = 1; j < at && matches; j++)
      matches = (span_split(&rest, ' ', &word) || word.len) && span_eq_cstr(word, argv[j]);
    if (!matches || !(span_split(&rest, ' ', &word) || word.len) || !span_has_prefix(word, span_cstr(prefix))) continue;
    Buf mark CLEANUP(buf_done) = BUF_INIT;
    buf_printf(&mark, " %.*s ", SPAN_ARG(word));
    if (span_find(buf_span(&seen), buf_span(&mark)) != SIZE_MAX) continue;
    buf_put_span(&seen, buf_span(&mark));
    printf("%.*s\t%s\n", SPAN_ARG(word), rest.len ? "" : command->summary);
  }
}

static void complete_options(const Command *command, const char *prefix) {
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    const Option *option = &option_table[i];
    if (!(option->groups & command->groups) || strlen(prefix) < 2) continue;
    if (span_has_prefix(span_cstr(option->long_name), span_cstr(prefix + 2)))
      printf("--%s\t%s\n", option->long_name, option->help);
  }
}

bool help_command_complete(int argc, char **argv, int *ret_code) {
  uint64_t index;
  *ret_code = 0;
  if (!span_parse_u64(span_cstr(getenv("NIX_GET_COMPLETIONS")), &index) || index == 0) return false;
  int at = index < (uint64_t)argc ? (int)index : argc;
  const char *prefix = at < argc ? argv[at] : "";
  Err ignored = ERR_INIT;
  int used;
  const Command *command = command_find(at, argv, &used, &ignored);
  err_done(&ignored);
  bool is_option = prefix[0] == '-';
  if (!command) {
    printf("normal\n");
    complete_verbs(program_name(argc, argv), prefix, at, argv);
  } else if (is_option) {
    printf("normal\n");
    complete_options(command, prefix);
  } else {
    printf("filenames\n");
  }
  return true;
}
