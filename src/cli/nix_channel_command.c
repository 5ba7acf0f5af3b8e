// nix_channel_command.c: `nix-channel`: lists of URLs whose newest expressions are kept in the profile "channels". Nix 2.26: nix-channel.cc.
//
//   ~/.nix-channels   lines "URL NAME"
//   <profiles>/channels       a user environment with a folder for each channel; ~/.nix-defexpr/channels leads to it
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/user_dirs.h"
#include "cli/user_env.h"
#include "eval/print.h"

typedef struct Channel {
  Span name, url;
} Channel;

typedef struct Channels {
  Channel *items; // owned; by name; text is in the session's arena
  size_t count, cap;
} Channels;

static void channels_done(Channels *channels) {
  mem_free(channels->items);
}

// ---- the list

static const char *list_path(Session *session) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  user_dirs_path(session->settings, "channels", &path);
  return arena_dup(&session->arena, buf_span(&path)).data;
}

static void set_channel(Channels *channels, Span name, Span url) {
  size_t at = 0;
  while (at < channels->count && span_cmp(channels->items[at].name, name) < 0) at++;
  if (at == channels->count || !span_eq(channels->items[at].name, name)) {
    MEM_RESERVE(channels->items, channels->cap, channels->count + 1);
    memmove(channels->items + at + 1, channels->items + at, (channels->count - at) * sizeof(Channel));
    channels->count++;
  }
  channels->items[at] = (Channel){name, url};
}

static Span without_slashes(Span url) {
  while (url.len && url.data[url.len - 1] == '/') url.len--;
  return url;
}

static bool read_channels(Session *session, Channels *ret, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  const char *path = list_path(session);
  if (!fs_exists(path)) return true;
  if (!fs_read_file(path, 1 << 20, &text, err)) return false;
  Span rest = arena_dup(&session->arena, buf_span(&text)), line, url;
  for (bool more = true; more;) {
    more = span_split(&rest, '\n', &line);
    line = span_trim(line);
    if (!line.len || line.data[0] == '#') continue;
    span_split(&line, ' ', &url);
    Span name = span_trim(line);
    url = without_slashes(url);
    set_channel(ret, name.len ? name : fs_path_base(url), url);
  }
  return true;
}

static bool write_channels(Session *session, const Channels *channels, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < channels->count; i++)
    buf_printf(&text, "%.*s %.*s\n", SPAN_ARG(channels->items[i].url), SPAN_ARG(channels->items[i].name));
  const char *path = list_path(session), *dir = arena_dup(&session->arena, fs_path_dir(span_cstr(path))).data;
  return fs_mkdir_all(dir, 0755, err) && fs_write_file_atomic(path, buf_span(&text), 0644, false, err);
}

static bool is_name(Span name) {
  for (size_t i = 0; i < name.len; i++)
    if (!isalnum((unsigned char)name.data[i]) && name.data[i] != '_' && (i == 0 || !strchr(".-", name.data[i])))
      return false;
  return name.len > 0;
}

static bool add_channel(Session *session, Err *err) {
  const OptionList *options = &session->options;
  Channels channels CLEANUP(channels_done) = {0};
  if (options->operand_count < 1 || options->operand_count > 2)
    return err_set(err, ERR_USAGE, "'--add' requires one or two arguments");
  Span url = without_slashes(span_cstr(options->operands[0]));
  bool is_url = span_has_prefix(url, SPAN("file://")) || span_has_prefix(url, SPAN("http://")) ||
                span_has_prefix(url, SPAN("https://"));
  if (!is_url) return err_set(err, ERR_USAGE, "invalid channel URL '%.*s'", SPAN_ARG(url));
  Span name = options->operand_count > 1 ? span_cstr(options->operands[1]) : fs_path_base(url);
  if (options->operand_count == 1) {
    if (span_has_suffix(name, SPAN("-unstable"))) name.len -= 9;
    else if (span_has_suffix(name, SPAN("-stable"))) name.len -= 7;
  }
  if (!is_name(name)) return err_set(err, ERR_USAGE, "invalid channel identifier '%.*s'", SPAN_ARG(name));
  if (!read_channels(session, &channels, err)) return false;
  set_channel(&channels, name, url);
  return write_channels(session, &channels, err);
}

static int list_channels(Session *session) {
  Channels channels CLEANUP(channels_done) = {0};
  Err err = ERR_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (session->options.operand_count) err_set(&err, ERR_USAGE, "'--list' expects no arguments");
  if (err_is_set(&err) || !read_channels(session, &channels, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < channels.count; i++)
    buf_printf(&out, "%.*s %.*s\n", SPAN_ARG(channels.items[i].name), SPAN_ARG(channels.items[i].url));
  session_print(session, buf_span(&out));
  return 0;
}

// ---- the profile

static bool profile_path(Session *session, const char **ret, Err *err) {
  Store *store;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  if (!session_store(session, &store, err) || !profile_dir(store, &path, err)) return false;
  buf_put_cstr(&path, "/channels");
  *ret = arena_dup(&session->arena, buf_span(&path)).data;
  return true;
}

// ~/.nix-defexpr/channels, where nix-env and <nixpkgs> look.
static bool link_profile(Session *session, const char *profile, Err *err) {
  Buf dir CLEANUP(buf_done) = BUF_INIT, link CLEANUP(buf_done) = BUF_INIT, temporary CLEANUP(buf_done) = BUF_INIT;
  user_dirs_path(session->settings, "defexpr", &dir);
  buf_printf(&link, "%s/channels", buf_cstr(&dir));
  buf_printf(&temporary, "%s.%d", buf_cstr(&link), (int)getpid());
  if (!fs_mkdir_all(buf_cstr(&dir), 0755, err)) return false;
  unlink(buf_cstr(&temporary));
  return (symlink(profile, buf_cstr(&temporary)) == 0 && rename(buf_cstr(&temporary), buf_cstr(&link)) == 0) ||
         err_set_errno(err, errno, "making '%s'", buf_cstr(&link));
}

static bool install(Session *session, const char *profile, const UserEnv *env, int *ret_code) {
  Err err = ERR_INIT;
  for (bool changed = true; changed;) {
    StorePath before;
    bool has_before;
    if (!user_env_current(session, profile, &before, &has_before, &err))
      return *ret_code = session_fail(session, &err), false;
    if (!user_env_install(session, env, profile, &before, has_before, &changed, ret_code)) return false;
  }
  return true;
}

static int remove_channel(Session *session) {
  Err err = ERR_INIT;
  const OptionList *options = &session->options;
  const char *profile;
  int code = 0;
  Channels channels CLEANUP(channels_done) = {0};
  UserEnv installed CLEANUP(user_env_done) = {0}, kept CLEANUP(user_env_done) = {0};
  if (options->operand_count != 1) err_set(&err, ERR_USAGE, "'--remove' requires one argument");
  if (err_is_set(&err) || !read_channels(session, &channels, &err)) return session_fail(session, &err);
  Span name = span_cstr(options->operands[0]);
  size_t count = 0;
  for (size_t i = 0; i < channels.count; i++)
    if (!span_eq(channels.items[i].name, name)) channels.items[count++] = channels.items[i];
  channels.count = count;
  if (!write_channels(session, &channels, &err) || !profile_path(session, &profile, &err))
    return session_fail(session, &err);
  if (!user_env_read(session, profile, &installed, &code)) return code;
  for (size_t i = 0; i < installed.count; i++) {
    Span full = installed.items[i].name;
    bool is_it = span_has_prefix(full, name) && (full.len == name.len || full.data[name.len] == '-');
    if (!is_it) user_env_add(&kept, &installed.items[i]);
  }
  if (kept.count != installed.count) log_msg(LOG_INFO, "uninstalling '%.*s'", SPAN_ARG(name));
  else log_warn("selector '%.*s' matched no installed derivations", SPAN_ARG(name));
  return install(session, profile, &kept, &code) ? 0 : code;
}

// ---- --update

static bool is_tarball(Span url) {
  static const char *const suffixes[] = {".tar.gz", ".tar.xz", ".tar.bz2"};
  for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
    if (span_has_suffix(url, span_cstr(suffixes[i]))) return true;
  return false;
}

// "nixos-20.09": a version in the URL becomes a part of the name.
static Span versioned_name(Session *session, const Channel *channel) {
  Span base = fs_path_base(channel->url);
  for (size_t i = 0; i + 1 < base.len; i++)
    if (base.data[i] == '-' && isdigit((unsigned char)base.data[i + 1]))
      return span_cstr(
          arena_printf(&session->arena, "%.*s%.*s", SPAN_ARG(channel->name), SPAN_ARG(span_from(base, i))));
  return channel->name;
}

// The channel as a package: its derivation unpacks what is fetched from `file` ("" or "/nixexprs.tar.xz" behind the URL).
static bool find_package(Session *session, const Channel *channel, const char *file, UserEnv *ret, int *ret_code) {
  Buf text CLEANUP(buf_done) = BUF_INIT, url CLEANUP(buf_done) = BUF_INIT;
  Err err = ERR_INIT;
  const char *attr = "";
  size_t first = 0;
  buf_printf(&url, "%.*s%s", SPAN_ARG(channel->url), file);
  buf_put_cstr(
      &text,
      "derivation { builder = \"builtin:unpack-channel\"; system = \"builtin\"; preferLocalBuild = true; name = ");
  print_string_literal(versioned_name(session, channel), &text);
  buf_put_cstr(&text, "; channelName = ");
  print_string_literal(channel->name, &text);
  buf_put_cstr(&text, "; src = builtins.fetchurl ");
  print_string_literal(buf_span(&url), &text);
  buf_put_cstr(&text, "; }");
  TargetRoot root = {TARGET_EXPR, buf_cstr(&text)};
  TargetQuery query = {.roots = &root, .root_count = 1, .attr_paths = &attr, .attr_path_count = 1};
  PackageSet *set = package_set_new(session, &query, false, ret_code);
  if (!set) return false;
  UserEnvElement element;
  bool ok = package_set_count(set) == 1 && package_set_complete(set, &first, 1, ret_code);
  if (ok && !user_env_element(session, package_set_get(set, 0), &element, &err)) {
    *ret_code = session_fail(session, &err);
    ok = false;
  }
  if (ok) user_env_add(ret, &element);
  package_set_free(set);
  return ok;
}

static bool is_wanted(const Session *session, Span name) {
  const OptionList *options = &session->options;
  for (size_t i = 0; i < options->operand_count; i++)
    if (span_eq_cstr(name, options->operands[i])) return true;
  return options->operand_count == 0;
}

// A channel that is not to be updated stays as it is.
static bool keep_package(const UserEnv *installed, Span name, UserEnv *ret) {
  for (size_t i = 0; i < installed->count; i++) {
    if (!span_eq(installed->items[i].name, name)) continue;
    user_env_add(ret, &installed->items[i]);
    return true;
  }
  return false;
}

static int update_channels(Session *session) {
  Err err = ERR_INIT;
  const char *profile;
  int code = 0;
  Channels channels CLEANUP(channels_done) = {0};
  UserEnv installed CLEANUP(user_env_done) = {0}, env CLEANUP(user_env_done) = {0};
  if (!read_channels(session, &channels, &err) || !profile_path(session, &profile, &err))
    return session_fail(session, &err);
  if (!user_env_read(session, profile, &installed, &code)) return code;
  for (size_t i = 0; i < channels.count; i++) {
    const Channel *channel = &channels.items[i];
    if (!is_wanted(session, channel->name) && keep_package(&installed, versioned_name(session, channel), &env))
      continue;
    if (is_tarball(channel->url)) {
      if (!find_package(session, channel, "", &env, &code)) return code;
      continue;
    }
    // Old channels have the second form only.
    if (find_package(session, channel, "/nixexprs.tar.xz", &env, &code)) continue;
    code = 0;
    if (!find_package(session, channel, "/nixexprs.tar.bz2", &env, &code)) return code;
  }
  log_msg(LOG_NOTICE, "unpacking %zu channels...", channels.count);
  if (!install(session, profile, &env, &code)) return code;
  return link_profile(session, profile, &err) ? 0 : session_fail(session, &err);
}

static int roll_back(Session *session) {
  Err err = ERR_INIT;
  const char *profile;
  uint64_t number, from, to;
  const OptionList *options = &session->options;
  bool given = options->operand_count == 1;
  if (options->operand_count > 1) err_set(&err, ERR_USAGE, "'--rollback' has at most one argument");
  else if (given && !span_parse_u64(span_cstr(options->operands[0]), &number))
    err_set(&err, ERR_USAGE, "expected a generation number");
  if (err_is_set(&err) || !profile_path(session, &profile, &err) ||
      !profile_switch(profile, given ? &number : NULL, false, &from, &to, &err))
    return session_fail(session, &err);
  log_msg(LOG_NOTICE, "switching profile from version %llu to %llu", (unsigned long long)from, (unsigned long long)to);
  return 0;
}

static int list_generations(Session *session) {
  Err err = ERR_INIT;
  const char *profile;
  ProfileGenerations generations CLEANUP(profile_generations_done) = PROFILE_GENERATIONS_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (!profile_path(session, &profile, &err) || !profile_list(profile, &generations, &err))
    return session_fail(session, &err);
  user_env_format_generations(&generations, &out);
  session_print(session, buf_span(&out));
  return 0;
}

int nix_channel_command_run(Session *session) {
  static const OptionId operations[] = {OPT_channel_add,    OPT_channel_remove,   OPT_channel_list,
                                        OPT_channel_update, OPT_channel_rollback, OPT_channel_generations};
  Err err = ERR_INIT;
  OptionId operation = OPTION_COUNT;
  for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
    if (!option_has(&session->options, operations[i])) continue;
    if (operation != OPTION_COUNT) err_set(&err, ERR_USAGE, "only one operation may be specified");
    operation = operations[i];
  }
  if (operation == OPTION_COUNT) err_set(&err, ERR_USAGE, "no command specified");
  if (err_is_set(&err)) return session_fail(session, &err);
  switch ((int)operation) {
  case OPT_channel_add: return add_channel(session, &err) ? 0 : session_fail(session, &err);
  case OPT_channel_remove: return remove_channel(session);
  case OPT_channel_list: return list_channels(session);
  case OPT_channel_update: return update_channels(session);
  case OPT_channel_rollback: return roll_back(session);
  default: return list_generations(session);
  }
}
