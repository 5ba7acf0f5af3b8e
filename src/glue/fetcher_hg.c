// fetcher_hg.c: trees of Mercurial repositories, through the hg program; see fetcher.h. Behaviour and wording: Nix 2.26, mercurial.cc.
//
// Every repository, local ones too, is cloned without a working copy to <cache>/hg/<hash of the URL>, and pulled into when what is wanted is not there or is
// asked for by name and the last pull is older than tarball-ttl. A tree is written by `hg archive`. Of a local working tree with changes, where neither a
// name nor a revision is asked for, the tracked files are taken as they are.
#include "glue/fetcher.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "glue/fetch_cache.h"
#include "glue/fetch_mirror.h"
#include "glue/fetch_tool.h"
#include "glue/fetch_tracked.h"
#include "glue/source_url.h"
#include "store/store_add.h"

extern char **environ;

void fetcher_hg_tree_done(FetcherHgTree *tree) {
  buf_done(&tree->store_path);
  buf_done(&tree->rev);
  buf_done(&tree->branch);
}

typedef struct HgRepo {
  const FetcherHg *hg;
  FetchTool tool;
  Arena arena;
  int lock_fd;
  bool is_local;
  Buf place; // the path or the URL
  Buf clone;
} HgRepo;

static void repo_done(HgRepo *repo) {
  fs_close_fd(&repo->lock_fd);
  fetch_tool_done(&repo->tool);
  buf_done(&repo->clone);
  buf_done(&repo->place);
  arena_done(&repo->arena);
}

// HGPLAIN: output does not depend on a user's settings.
static const char **plain_env(Arena *arena) {
  size_t count = 0, filled = 0;
  while (environ[count]) count++;
  const char **env = ARENA_ARRAY(arena, const char *, count + 2);
  for (size_t i = 0; i < count; i++)
    if (strncmp(environ[i], "HGPLAIN=", 8) != 0) env[filled++] = environ[i];
  env[filled++] = "HGPLAIN=";
  env[filled] = NULL;
  return env;
}

static bool hg_run(const HgRepo *repo, const char *const *args, Buf *ret, bool *ret_failed, Err *err) {
  return fetch_tool_output(&repo->tool, NULL, args, -1, ret, ret_failed, err);
}

// ---- a working tree with changes

static bool has_changes(HgRepo *repo, bool *ret, Err *err) {
  Buf inside CLEANUP(buf_done) = BUF_INIT, changes CLEANUP(buf_done) = BUF_INIT;
  *ret = false;
  buf_printf(&inside, "%s/.hg", repo->place.data);
  if (!repo->is_local || repo->hg->ref.len || repo->hg->rev.len || !fs_exists(buf_cstr(&inside))) return true;
  if (!hg_run(repo, (const char *[]){"status", "-R", repo->place.data, "--modified", "--added", "--removed", NULL},
              &changes, NULL, err))
    return false;
  *ret = changes.len > 0;
  return true;
}

static bool fetch_worktree(HgRepo *repo, FetcherHgTree *ret, Err *err) {
  const FetcherSettings *settings = repo->tool.fetcher->settings;
  Buf list CLEANUP(buf_done) = BUF_INIT;
  if (!settings->allow_dirty) return err_set(err, ERR_OTHER, "Mercurial tree '%s' is unclean", repo->place.data);
  if (settings->warn_dirty) log_warn("Mercurial tree '%s' is unclean", repo->place.data);
  if (!hg_run(repo, (const char *[]){"branch", "-R", repo->place.data, NULL}, &ret->branch, NULL, err) ||
      !hg_run(repo,
              (const char *[]){"status", "-R", repo->place.data, "--clean", "--modified", "--added", "--no-status",
                               "--print0", NULL},
              &list, NULL, err))
    return false;
  FetchTracked tracked CLEANUP(fetch_tracked_done) = FETCH_TRACKED_INIT;
  for (Span rest = buf_span(&list), name; span_split(&rest, 0, &name) || name.len;)
    if (name.len) fetch_tracked_add(&tracked, name);
  StorePath path;
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  options.filter = fetch_tracked_keep;
  options.filter_ctx = &tracked;
  if (!store_add_path(repo->tool.fetcher->store, repo->hg->name, repo->place.data, &options, &path, err)) return false;
  store_format_path(repo->tool.fetcher->store, &path, &ret->store_path);
  return true;
}

// ---- commits

// Is the last pull young enough? Its time is that of the lock.
static bool is_fresh(const HgRepo *repo) {
  struct stat st;
  return fstat(repo->lock_fd, &st) == 0 &&
         fetch_cache_is_fresh(st.st_mtime, repo->tool.fetcher->settings->tarball_ttl_s);
}

static bool pull(HgRepo *repo, bool exists, Err *err) {
  log_msg(LOG_TALKATIVE, "fetching Mercurial repository '%s'", repo->place.data);
  const char *pull_args[] = {"pull", "-R", repo->clone.data, "--", repo->place.data, NULL};
  const char *clone_args[] = {"clone", "--noupdate", "--", repo->place.data, repo->clone.data, NULL};
  Buf journal CLEANUP(buf_done) = BUF_INIT;
  bool failed = false;
  if (!exists) {
    if (!hg_run(repo, clone_args, NULL, NULL, err)) return false;
  } else {
    if (!hg_run(repo, pull_args, NULL, &failed, err)) return false;
    // A transaction that somebody left unfinished; otherwise the second attempt says what is wrong.
    buf_printf(&journal, "%s/.hg/store/journal", repo->clone.data);
    if (failed && fs_exists(buf_cstr(&journal)) &&
        !hg_run(repo, (const char *[]){"recover", "-R", repo->clone.data, NULL}, NULL, NULL, err))
      return false;
    if (failed && !hg_run(repo, pull_args, NULL, NULL, err)) return false;
  }
  (void)futimens(repo->lock_fd, NULL); // a failure means another pull next time
  return true;
}

static bool has_rev(HgRepo *repo, const char *rev, bool *ret, Err *err) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool failed;
  if (!hg_run(repo, (const char *[]){"log", "-R", repo->clone.data, "-r", rev, "--template", "1", NULL}, &out, &failed,
              err))
    return false;
  *ret = !failed && span_eq_cstr(buf_span(&out), "1");
  return true;
}

static bool fetch_commit(HgRepo *repo, FetcherHgTree *ret, Err *err) {
  const FetcherHg *hg = repo->hg;
  Buf what CLEANUP(buf_done) = BUF_INIT, info CLEANUP(buf_done) = BUF_INIT;
  if (!fetch_mirror_lock(repo->tool.fetcher, "hg", buf_span(&repo->place), "", &repo->clone, &repo->lock_fd, err))
    return false;
  bool exists = fs_exists(repo->clone.data), there = false;
  buf_put_span(&what, hg->rev.len ? hg->rev : hg->ref.len ? hg->ref : SPAN("default"));
  // A name is looked up again only when the last pull is old.
  if (exists && (hg->rev.len || (!repo->is_local && is_fresh(repo))) && !has_rev(repo, buf_cstr(&what), &there, err))
    return false;
  if (!there && !pull(repo, exists, err)) return false;
  if (!hg_run(repo,
              (const char *[]){"log", "-R", repo->clone.data, "-r", buf_cstr(&what), "--template",
                               "{node} {rev} {branch}", NULL},
              &info, NULL, err))
    return false;
  Span rest = buf_span(&info), node, number;
  if (!span_split(&rest, ' ', &node) || !span_split(&rest, ' ', &number) || !span_parse_u64(number, &ret->rev_count))
    return err_set(err, ERR_OTHER, "hg log gave '%s' instead of one commit", buf_cstr(&info));
  buf_put_span(&ret->rev, node);
  buf_put_span(&ret->branch, rest);
  ret->has_rev_count = true;
  Buf tree CLEANUP(buf_done) = BUF_INIT, archival CLEANUP(buf_done) = BUF_INIT;
  if (!fetch_tool_make_scratch(&repo->tool, err)) return false;
  fs_path_join(&tree, buf_span(&repo->tool.scratch), SPAN("tree"));
  buf_printf(&archival, "%s/.hg_archival.txt", buf_cstr(&tree));
  if (!hg_run(repo,
              (const char *[]){"archive", "-R", repo->clone.data, "-r", buf_cstr(&ret->rev), buf_cstr(&tree), NULL},
              NULL, NULL, err))
    return false;
  if (unlink(buf_cstr(&archival)) != 0 && errno != ENOENT)
    return err_set_errno(err, errno, "removing '%s'", buf_cstr(&archival));
  StorePath path;
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  options.no_stat_cache = true;
  if (!store_add_path(repo->tool.fetcher->store, hg->name, buf_cstr(&tree), &options, &path, err)) return false;
  store_format_path(repo->tool.fetcher->store, &path, &ret->store_path);
  return true;
}

bool fetcher_hg(const Fetcher *fetcher, const FetcherHg *hg, FetcherHgTree *ret, Err *err) {
  HgRepo repo CLEANUP(repo_done) = {.hg = hg,
                                    .tool = {.fetcher = fetcher,
                                             .program = "hg",
                                             .kind = "Mercurial repository",
                                             .needed = "the program 'hg' (Mercurial) is needed to fetch"},
                                    .lock_fd = -1};
  SourceUrl url;
  bool changed;
  repo.tool.env = plain_env(&repo.arena);
  if (!source_url_parse(hg->url, &repo.arena, &url, err)) return false;
  repo.is_local = span_eq_cstr(url.scheme, "file");
  if (repo.is_local) buf_put_span(&repo.place, url.path);
  else source_url_format(&url, &repo.place);
  repo.tool.place = buf_cstr(&repo.place);
  if (!has_changes(&repo, &changed, err)) return false;
  return changed ? fetch_worktree(&repo, ret, err) : fetch_commit(&repo, ret, err);
}
