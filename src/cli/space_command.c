// space_command.c: what takes how much, and making room: `firn store du`, `firn store gc`, nix-collect-garbage.
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "cli/user_dirs.h"
#include "cli/command_list.h"
#include "cli/store_command.h"
#include "formats/json_write.h"
#include "store/profile.h"
#include "store/store_du.h"

// ---- du

static void put_bytes(Buf *out, uint64_t bytes) {
  static const char units[] = "BKMGTPE";
  double value = (double)bytes;
  int unit = 0;
  for (; value >= 1024 && unit < 6; unit++) value /= 1024;
  buf_printf(out, unit ? "%8.1f%c" : "%8.0f%c", value, units[unit]);
}

static void put_table(Store *store, const StoreDu *du, Buf *out) {
  buf_put_cstr(out, "      own   closure   root\n");
  for (size_t i = 0; i < du->count; i++) {
    const StoreDuRoot *root = &du->roots[i];
    put_bytes(out, root->own_bytes);
    buf_put_char(out, ' ');
    put_bytes(out, root->closure_bytes);
    buf_printf(out, "   %s -> ", root->source);
    store_format_path(store, &root->path, out);
    buf_put_char(out, '\n');
  }
  put_bytes(out, du->shared_bytes);
  buf_put_cstr(out, "             kept by several roots\n");
  put_bytes(out, du->dead_bytes);
  buf_put_cstr(out, "             kept by none\n");
  put_bytes(out, du->total_bytes);
  buf_put_cstr(out, "             in all\n");
}

static bool put_number(JsonWrite *json, Span key, uint64_t value, Err *err) {
  if (!json_write_key(json, key, err)) return false;
  json_write_uint(json, value);
  return true;
}

static bool put_root_json(Store *store, const StoreDuRoot *root, JsonWrite *json, Err *err) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  store_format_path(store, &root->path, &path);
  json_write_object_begin(json);
  bool ok = put_number(json, SPAN("closureBytes"), root->closure_bytes, err) &&
            put_number(json, SPAN("ownBytes"), root->own_bytes, err) &&
            put_number(json, SPAN("ownPathCount"), root->own_path_count, err) &&
            json_write_key(json, SPAN("path"), err) && json_write_str(json, buf_span(&path), err) &&
            put_number(json, SPAN("pathCount"), root->path_count, err) && json_write_key(json, SPAN("root"), err) &&
            json_write_str(json, span_cstr(root->source), err);
  json_write_object_end(json);
  return ok;
}

static bool put_du_json(Store *store, const StoreDu *du, Buf *out, Err *err) {
  JsonWrite json;
  json_write_init(&json, out, 0);
  json_write_object_begin(&json);
  if (!put_number(&json, SPAN("deadBytes"), du->dead_bytes, err) || !json_write_key(&json, SPAN("roots"), err))
    return false;
  json_write_array_begin(&json);
  for (size_t i = 0; i < du->count; i++)
    if (!put_root_json(store, &du->roots[i], &json, err)) return false;
  json_write_array_end(&json);
  if (!put_number(&json, SPAN("sharedBytes"), du->shared_bytes, err) ||
      !put_number(&json, SPAN("totalBytes"), du->total_bytes, err))
    return false;
  json_write_object_end(&json);
  buf_put_char(out, '\n');
  return true;
}

int space_command_du(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StoreDu du CLEANUP(store_du_done) = STORE_DU_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (!session_store(session, &store, &err) || !store_du_run(store, true, &du, &err))
    return session_fail(session, &err);
  bool ok = true;
  if (option_has(&session->options, OPT_json)) ok = put_du_json(store, &du, &out, &err);
  else put_table(store, &du, &out);
  if (!ok) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- old generations

typedef struct OldGenerations {
  ProfileDelete what;
  bool dry_run;
} OldGenerations;

static bool delete_old(void *ctx, const char *profile, Err *err) {
  const OldGenerations *old = ctx;
  ProfileGenerations deleted CLEANUP(profile_generations_done) = PROFILE_GENERATIONS_INIT;
  log_msg(LOG_INFO, "removing old generations of profile %s", profile);
  bool ok = profile_delete(profile, &old->what, old->dry_run, &deleted, err);
  for (size_t i = 0; i < deleted.count; i++)
    log_msg(LOG_NOTICE, old->dry_run ? "would remove profile version %llu" : "removing profile version %llu",
            (unsigned long long)deleted.items[i].number);
  return ok;
}

static bool is_asked(const Session *session) {
  return option_has(&session->options, OPT_delete_old) || option_has(&session->options, OPT_delete_older_than);
}

static bool read_old(const Session *session, OldGenerations *ret, Err *err) {
  const char *age = option_get(&session->options, OPT_delete_older_than);
  *ret = (OldGenerations){.what = PROFILE_DELETE_INIT, .dry_run = option_has(&session->options, OPT_gc_dry_run)};
  ret->what.kind = age ? PROFILE_DELETE_OLDER_THAN : PROFILE_DELETE_OTHERS;
  return !age || profile_parse_age(span_cstr(age), time(NULL), &ret->what.before_s, err);
}

// In the profiles of the store, and of the user where those are elsewhere.
static bool delete_old_generations(Session *session, Store *store, Err *err) {
  OldGenerations old;
  Buf all CLEANUP(buf_done) = BUF_INIT, own CLEANUP(buf_done) = BUF_INIT;
  if (!read_old(session, &old, err)) return false;
  buf_printf(&all, "%s/var/nix/profiles", store_root(store));
  if (!profile_dir(store, &own, err) || !profile_each(buf_cstr(&all), delete_old, &old, err)) return false;
  if (!span_has_prefix(buf_span(&own), buf_span(&all)) && !profile_each(buf_cstr(&own), delete_old, &old, err))
    return false;
  // What ~/.nix-profile leads to may be anywhere.
  Buf link CLEANUP(buf_done) = BUF_INIT, profile CLEANUP(buf_done) = BUF_INIT;
  user_dirs_path(session->settings, "profile", &link);
  if (!fs_exists(buf_cstr(&link))) return true;
  if (!profile_default(store, buf_cstr(&link), &profile, err)) return false;
  Span dir = fs_path_dir(buf_span(&profile));
  bool done = span_has_prefix(dir, buf_span(&all)) || span_has_prefix(dir, buf_span(&own));
  return done || profile_each(arena_dup(&session->arena, dir).data, delete_old, &old, err);
}

int space_command_gc(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StoreGcOptions options;
  if (!session_store(session, &store, &err) || (is_asked(session) && !delete_old_generations(session, store, &err)))
    return session_fail(session, &err);
  if (!store_command_gc_options(session, &options, &err)) return session_fail(session, &err);
  // What would be deleted is printed; C++ Nix then only says nothing.
  if (option_has(&session->options, OPT_gc_dry_run)) options.action = STORE_GC_PRINT_DEAD;
  return store_command_collect(session, &options, &err) ? 0 : session_fail(session, &err);
}

int space_command_collect_garbage(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StoreGcOptions options;
  if (!store_command_operands(session, 0, 0, &err) || !store_command_gc_options(session, &options, &err) ||
      !session_store(session, &store, &err) || (is_asked(session) && !delete_old_generations(session, store, &err)))
    return session_fail(session, &err);
  if (option_has(&session->options, OPT_gc_dry_run)) return 0;
  return store_command_collect(session, &options, &err) ? 0 : session_fail(session, &err);
}

// Equal files are one file from the start; what can be given back are packed copies of them, and objects that nobody needs.
int space_command_optimise(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  uint64_t freed = 0;
  if (!session_store(session, &store, &err) || !store_gc_optimise(store, &freed, &err))
    return session_fail(session, &err);
  log_msg(LOG_INFO, "%.2f MiB freed", (double)freed / (1 << 20));
  return 0;
}
