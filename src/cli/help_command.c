// help_command.c: see help_command.h.
#include "cli/help_command.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/embedded.h"
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
    if (!(command->groups & 1ull << group)) continue;
    bool first = true;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
      const Option *option = &option_table[i];
      // An option of several groups appears in the first of them that the command has.
      if (!(option->groups & 1ull << group) || (option->groups & command->groups & ~((2ull << group) - 1))) continue;
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
  if (argv[1][0] != '-') return false; // an unknown command
  bool version = false, help = false;
  for (int at = 1; at < argc && !version && !help; at++) { // also behind other options: nix --option X Y --version
    version = strcmp(argv[at], "--version") == 0;
    help = strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0;
  }
  if (version) put_version(&out, program_name(argc, argv));
  else if (help) put_commands(&out, program_name(argc, argv));
  else return false;
  *ret_code = fputs(buf_cstr(&out), stdout) == EOF || fflush(stdout) != 0;
  return true;
}

// "build" (of firn), "nix build", "nix-build"; also as manual pages are called: "nix3-build".
static const Command *find_by_words(const OptionList *list, const char *program) {
  Buf words CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < list->operand_count; i++) buf_printf(&words, "%s%s", i ? " " : "", list->operands[i]);
  Span given = buf_span(&words);
  bool is_page = span_has_prefix(given, SPAN("nix3-"));
  for (size_t i = 0; i < command_count; i++)
    if (span_eq_cstr(given, command_full_name(&command_table[i])) ||
        (!*command_table[i].verb && span_eq_cstr(given, command_table[i].program)))
      return &command_table[i];
  for (size_t i = 0; i < command_count; i++) {
    const Command *command = &command_table[i];
    Span verb = span_cstr(command->verb);
    if (strcmp(command->program, program) == 0 && span_eq(given, verb)) return command;
    if (!is_page || strcmp(command->program, "nix") != 0) continue;
    Buf page CLEANUP(buf_done) = BUF_INIT;
    buf_printf(&page, "nix3-%.*s", SPAN_ARG(verb));
    for (size_t j = 0; j < page.len; j++)
      if (page.data[j] == ' ') page.data[j] = '-';
    if (span_eq(given, buf_span(&page))) return command;
  }
  return NULL;
}

int help_command_run(Session *session) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  const Command *command = find_by_words(&session->options, session->command->program);
  if (command) put_usage(&out, command);
  else put_commands(&out, session->command->program);
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
  const Command *command = find_by_words(&session->options, session->command->program);
  if (!command) command = session->command;
  put_man(&out, command);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- completion

int help_command_completion(Session *session) {
  const char *shell = session->options.operand_count == 1 ? session->options.operands[0] : "";
  const char *script = strcmp(shell, "bash") == 0   ? embedded_completion_bash
                       : strcmp(shell, "zsh") == 0  ? embedded_completion_zsh
                       : strcmp(shell, "fish") == 0 ? embedded_completion_fish
                                                    : NULL;
  if (!script) {
    Err err = ERR_INIT;
    err_set(&err, ERR_USAGE, "which shell: bash, zsh or fish?");
    return session_fail(session, &err);
  }
  session_print(session, span_cstr(script));
  return 0;
}
