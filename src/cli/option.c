// option.c: see option.h.
#include "cli/option.h"

#include <ctype.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/suggestion.h"
#include "cli/option_group_names.h"

const Option option_table[OPTION_COUNT] = {
#define OPTION(id, long_name, short_name, args, groups, setting, help) \
  [OPT_##id] = {long_name, short_name, args, groups, setting, help},
#include "cli/option.def"
#undef OPTION
};

const char *const option_group_headings[OPTION_GROUP_COUNT] = {
#define OPTION_GROUP(name, heading) [OPTION_GROUP_INDEX_##name] = heading,
#include "cli/option_group.def"
#undef OPTION_GROUP
};

unsigned option_arg_count(const Option *option) {
  unsigned count = option->args[0] != 0;
  for (const char *p = option->args; *p; p++) count += *p == ' ';
  return count;
}

bool option_takes_rest(const Option *option) {
  return span_has_suffix(span_cstr(option->args), SPAN("..."));
}

void option_list_done(OptionList *list) {
  mem_free(list->uses);
  mem_free(list->operands);
  mem_free(list->rest);
  for (size_t i = 0; i < list->owned_count; i++) mem_free(list->owned[i]);
  mem_free(list->owned);
  *list = (OptionList){0};
}

static char *own(OptionList *list, Span text) {
  MEM_RESERVE(list->owned, list->owned_cap, list->owned_count + 1);
  return list->owned[list->owned_count++] = span_dup(text);
}

static void add_operand(OptionList *list, const char *operand) {
  MEM_RESERVE(list->operands, list->operand_cap, list->operand_count + 1);
  list->operands[list->operand_count++] = operand;
}

static const Option *find_long(const char *name, uint64_t groups) {
  for (size_t i = 0; i < OPTION_COUNT; i++)
    if ((option_table[i].groups & groups) && strcmp(option_table[i].long_name, name) == 0) return &option_table[i];
  return NULL;
}
static const Option *find_short(char name, uint64_t groups) {
  for (size_t i = 0; i < OPTION_COUNT; i++)
    if ((option_table[i].groups & groups) && option_table[i].short_name == name) return &option_table[i];
  return NULL;
}

// The words still to be read: argv, and before it what a bundle of short options was split into.
typedef struct Words {
  char **argv;
  int argc, next;
} Words;

static const char *next_word(Words *words) {
  return words->next < words->argc ? words->argv[words->next++] : NULL;
}

static bool use_rest(const char *given, const char *inline_arg, Words *words, OptionList *ret, Err *err) {
  int count = words->argc - words->next;
  size_t at = 0;
  if (!inline_arg && count == 0) return err_set(err, ERR_USAGE, "'%s' requires at least one argument", given);
  mem_free(ret->rest);
  ret->rest = mem_alloc_array((size_t)count + 2, sizeof(*ret->rest));
  if (inline_arg) ret->rest[at++] = inline_arg;
  for (const char *word; (word = next_word(words));) ret->rest[at++] = word;
  ret->rest[at] = NULL;
  return true;
}

static bool apply_setting(const Option *option, const char *arg, Setting *settings, Err *err) {
  const char *equals = strchr(option->setting, '=');
  Span name = span_make(option->setting, (size_t)(equals - option->setting));
  return setting_set(settings, name, strcmp(equals + 1, "$1") == 0 ? span_cstr(arg) : span_cstr(equals + 1),
                     SETTING_COMMAND_LINE, err);
}

// `given` is how it was written, for messages; `inline_arg` the text after '=' (NULL: none).
static bool use_option(const Option *option, const char *given, const char *inline_arg, Words *words, Setting *settings,
                       OptionList *ret, Err *err) {
  OptionUse use = {
      .id = (OptionId)(option - option_table), .operand_at = ret->operand_count, .is_short = given[1] != '-'};
  unsigned count = option_takes_rest(option) ? 0 : option_arg_count(option);
  if (option_takes_rest(option)) {
    if (!use_rest(given, inline_arg, words, ret, err)) return false;
    inline_arg = NULL;
  }
  if (inline_arg && count != 1) return err_set(err, ERR_USAGE, "option '%s' does not take '=%s'", given, inline_arg);
  for (unsigned i = 0; i < count; i++) {
    use.args[i] = inline_arg ? inline_arg : next_word(words);
    if (!use.args[i])
      return count == 1 ? err_set(err, ERR_USAGE, "'%s' requires an argument", given)
                        : err_set(err, ERR_USAGE, "flag '%s' requires %u argument(s), but only %u were given", given,
                                  count, i);
  }
  MEM_RESERVE(ret->uses, ret->use_cap, ret->use_count + 1);
  ret->uses[ret->use_count++] = use;
  if (use.id == OPT_option) {
    Err failed = ERR_INIT;
    if (setting_set(settings, span_cstr(use.args[0]), span_cstr(use.args[1]), SETTING_COMMAND_LINE, &failed))
      return true;
    if (!ret->lenient) return err_move(err, &failed);
    log_warn("error: %s", err_message(&failed)); // and goes on with what was set before
    err_done(&failed);
    return true;
  }
  return !option->setting || apply_setting(option, use.args[0], settings, err);
}

// --max-call-depth 5, --keep-outputs, --no-keep-outputs
static bool use_setting(const char *given, const char *inline_arg, Words *words, Setting *settings, bool *ret_used,
                        Err *err) {
  Span name = span_cstr(given + 2);
  SettingId id;
  bool negated = false;
  *ret_used = true;
  bool found = setting_find(name, &id);
  if (!found && span_has_prefix(name, SPAN("no-"))) found = negated = setting_find(span_from(name, 3), &id);
  // The sandbox is a switch with three positions.
  if (!found && span_eq_cstr(name, "relaxed-sandbox"))
    return setting_set(settings, SPAN("sandbox"), SPAN("relaxed"), SETTING_COMMAND_LINE, err);
  bool extra = false;
  if (!found && span_has_prefix(name, SPAN("extra-"))) found = extra = setting_find(span_from(name, 6), &id);
  if (!found) return *ret_used = false, true;
  bool is_bool = setting_table[id].type == SETTING_BOOL || id == SETTING_ID_sandbox;
  if (negated && !is_bool) return *ret_used = false, true;
  if (is_bool && !extra)
    return setting_set(settings, negated ? span_from(name, 3) : name, negated ? SPAN("false") : SPAN("true"),
                       SETTING_COMMAND_LINE, err);
  const char *value = inline_arg ? inline_arg : next_word(words);
  if (!value) return err_set(err, ERR_USAGE, "'%s' requires an argument", given);
  return setting_set(settings, name, span_cstr(value), SETTING_COMMAND_LINE, err);
}

// The old commands have words of their own for it.
static const char *unknown_word(uint64_t groups) {
  return groups & CHANNEL                  ? "unsupported argument"
         : groups & (NIX_ENV | STORE_VERB) ? "unknown flag"
                                           : "unrecognised flag";
}

// Names one that is spelled nearly the same.
static bool unknown_flag(const char *given, uint64_t groups, Err *err) {
  Span *names = mem_alloc_array(OPTION_COUNT, sizeof(Span));
  size_t count = 0;
  Buf text CLEANUP(buf_done) = BUF_INIT, all CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < OPTION_COUNT; i++)
    if (option_table[i].groups & groups) buf_printf(&all, "--%s ", option_table[i].long_name);
  for (Span rest = buf_span(&all); rest.len; count++) span_split(&rest, ' ', &names[count]);
  suggestion_format(span_cstr(given), names, count, &text);
  mem_free(names);
  return err_set(err, ERR_USAGE, "%s '%s'%s%s", unknown_word(groups), given, text.len ? "\n" : "", buf_cstr(&text));
}

static bool read_long(const char *word, uint64_t groups, Words *words, Setting *settings, OptionList *ret, Err *err) {
  const char *equals = strchr(word, '=');
  const char *name = equals ? own(ret, span_make(word, (size_t)(equals - word))) : word;
  const Option *option = find_long(name + 2, groups);
  if (option) return use_option(option, name, equals ? equals + 1 : NULL, words, settings, ret, err);
  bool used;
  if (!use_setting(name, equals ? equals + 1 : NULL, words, settings, &used, err)) return false;
  return used || unknown_flag(name, groups, err);
}

static bool read_short(const char *word, uint64_t groups, Words *words, Setting *settings, OptionList *ret, Err *err) {
  for (const char *p = word + 1; *p; p++) {
    const Option *option = find_short(*p, groups);
    char name[3] = {'-', *p, 0};
    if (!option) return err_set(err, ERR_USAGE, "%s '%s'", unknown_word(groups), p == word + 1 ? word : name);
    // The rest of the word is the argument when it cannot be more options ("-j4", "-I/x"), or when there is no other reading.
    bool rest_is_arg = p[1] && (option_arg_count(option) == 1 || option_takes_rest(option));
    if (!use_option(option, name, rest_is_arg ? p + 1 : NULL, words, settings, ret, err)) return false;
    if (rest_is_arg) break;
  }
  return true;
}

bool option_parse(int argc, char **argv, uint64_t groups, Setting *settings, OptionList *ret, Err *err) {
  Words words = {argv, argc, 0};
  bool options_ended = false;
  for (const char *word; (word = next_word(&words));) {
    if (options_ended || word[0] != '-' || word[1] == 0) {
      add_operand(ret, word);
    } else if (strcmp(word, "--") == 0) {
      options_ended = true;
    } else if (!(word[1] == '-' ? read_long(word, groups, &words, settings, ret, err)
                                : read_short(word, groups, &words, settings, ret, err))) {
      return false;
    }
  }
  return true;
}

bool option_add_stdin(OptionList *list, bool by_line, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (list->has_stdin) return true;
  if (!fs_read_fd(STDIN_FILENO, OPTION_STDIN_BYTES_MAX, &text, err)) return err_wrap(err, "reading standard input");
  list->has_stdin = true;
  Span rest = buf_span(&text), operand;
  while (by_line ? span_split(&rest, '\n', &operand) || operand.len : setting_next_word(&rest, &operand))
    if (operand.len) add_operand(list, own(list, operand));
  return true;
}

bool option_has(const OptionList *list, OptionId id) {
  return option_uses(list, id) > 0;
}

const char *option_get(const OptionList *list, OptionId id) {
  for (size_t i = list->use_count; i-- > 0;)
    if (list->uses[i].id == id) return list->uses[i].args[0];
  return NULL;
}

size_t option_uses(const OptionList *list, OptionId id) {
  size_t count = 0;
  for (size_t i = 0; i < list->use_count; i++) count += list->uses[i].id == id;
  return count;
}
