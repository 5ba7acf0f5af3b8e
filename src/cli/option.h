// option.h: the command line as data: which options exist (option.def), and what was given.
//
// The same table makes --help, completion and the manual pages (help.h).
#pragma once

#include "base/err.h"
#include "base/span.h"
#include "cli/setting.h"

typedef enum OptionGroupIndex {
#define OPTION_GROUP(name, heading) OPTION_GROUP_INDEX_##name,
#include "cli/option_group.def"
#undef OPTION_GROUP
  OPTION_GROUP_COUNT,
} OptionGroupIndex;

enum {
#define OPTION_GROUP(name, heading) OPTION_##name##_GROUP = 1ull << OPTION_GROUP_INDEX_##name,
#include "cli/option_group.def"
#undef OPTION_GROUP
};

typedef enum OptionId {
#define OPTION(id, long_name, short_name, args, groups, setting, help) OPT_##id,
#include "cli/option.def"
#undef OPTION
  OPTION_COUNT,
} OptionId;

typedef struct Option {
  const char *long_name;
  char short_name; // 0: none
  const char *args;
  uint64_t groups;
  const char *setting; // "name=value", "$1" for the argument; NULL: none
  const char *help;
} Option;

extern const Option option_table[OPTION_COUNT];
extern const char *const option_group_headings[OPTION_GROUP_COUNT];
unsigned option_arg_count(const Option *option);
// "COMMAND [ARG]...": takes all words that follow, at least one.
bool option_takes_rest(const Option *option);

#define OPTION_MAX_ARGS 2

// One option as it was given.
typedef struct OptionUse {
  OptionId id;
  const char *args[OPTION_MAX_ARGS]; // borrowed from argv
  size_t operand_at;                 // how many operands stood before it
  bool is_short;                     // written with one letter
} OptionUse;

typedef struct OptionList {
  OptionUse *uses; // in the order given
  size_t use_count, use_cap;
  const char **operands; // what is no option
  size_t operand_count, operand_cap;
  const char **rest; // what an option that takes everything behind it was given, NULL-terminated; NULL: none was
  char **owned;      // text that had to be cut out of argv, or came from standard input
  size_t owned_count, owned_cap;
  bool has_stdin; // standard input has been read
  // Set before reading: --option with a value that the setting does not take is only warned about, as in C++ Nix.
  bool lenient;
} OptionList;

void option_list_done(OptionList *list);

// Reads argv (without the program and the verb). Options that set something do so in `settings`; so does `--<setting> value` for any setting
// and `--no-<setting>` for boolean ones. "-qR" is "-q -R" and "-j4" is "-j 4". With `dashes_end`, "--" ends the options.
MUST_CHECK bool option_parse(int argc, char **argv, uint64_t groups, Setting *settings, OptionList *ret, Err *err);

// --stdin: standard input, up to OPTION_STDIN_BYTES_MAX, holds further operands, one a line or separated by white space. They are read once.
MUST_CHECK bool option_add_stdin(OptionList *list, bool by_line, Err *err);
#define OPTION_STDIN_BYTES_MAX ((size_t)256 << 20)

bool option_has(const OptionList *list, OptionId id);
// The first argument of the last use; NULL when it was not given.
const char *option_get(const OptionList *list, OptionId id);
size_t option_uses(const OptionList *list, OptionId id); // how often
