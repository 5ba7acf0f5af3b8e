// fetcher_git.c: trees of Git repositories, through the git program; see fetcher.h. Behaviour and wording: Nix 2.26, git.cc.
//
// Remote repositories, and bare ones on disk, are mirrored in <cache>/git/<hash of the URL>, in which each wanted ref is fetched under its own name; the time
// of its file says when. Repositories with a working tree are read in place. A tree is written by `git archive`, with everything in attributes that would
// change contents switched off (info/attributes of a throw-away git directory), so that what arrives is what was committed; export-ignore is honoured when asked
// for. Of a working tree, where neither a ref nor a commit is asked for, the tracked files are taken as they are.
#include "glue/fetcher.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "glue/fetch_cache.h"
#include "glue/fetch_mirror.h"
#include "glue/fetch_tool.h"
#include "glue/fetch_tracked.h"
#include "glue/source_url.h"
#include "glue/store_io.h"
#include "store/store_add.h"

void fetcher_git_tree_done(FetcherGitTree *tree) {
  buf_done(&tree->store_path);
  buf_done(&tree->rev);
  buf_done(&tree->ref);
  buf_done(&tree->dirty_rev);
}

typedef struct Repo {
  const FetcherGit *git;
  FetchTool tool;
  Arena arena;
  int lock_fd;   // of a mirror: two fetches into one at a time would take each other's refs
  Buf dir;       // local: the working tree; remote: the mirror
  Buf location;  // what messages call it: the path or the URL
  bool is_local; // there is a working tree
} Repo;

static void repo_done(Repo *repo) {
  fs_close_fd(&repo->lock_fd);
  fetch_tool_done(&repo->tool);
  buf_done(&repo->location);
  buf_done(&repo->dir);
  arena_done(&repo->arena);
}

// fetch_tool_output of `git -C dir args...`.
static bool git_in(const Repo *repo, const char *dir, const char *const *args, Buf *ret, bool *ret_failed, Err *err) {
  return fetch_tool_output(&repo->tool, dir, args, -1, ret, ret_failed, err);
}

static bool git_run(const Repo *repo, const char *const *args, Buf *ret, bool *ret_failed, Err *err) {
  return git_in(repo, repo->dir.data, args, ret, ret_failed, err);
}

// ---- where it is

static bool open_mirror(Repo *repo, Err *err) {
  const char *suffix = repo->git->shallow ? "-shallow" : "";
  Buf name CLEANUP(buf_done) = BUF_INIT;
  if (!fetch_mirror_lock(repo->tool.fetcher, "git", buf_span(&repo->location), suffix, &repo->dir, &repo->lock_fd,
                         err) ||
      !fs_mkdir_all(repo->dir.data, 0777, err))
    return false;
  buf_printf(&name, "%s/HEAD", repo->dir.data);
  // The first branch has a name that no repository has: HEAD leads nowhere until a fetch sets it.
  return fs_exists(buf_cstr(&name)) ||
         git_run(repo, (const char *[]){"-c", "init.defaultBranch=firn-none", "init", "--quiet", "--bare", NULL}, NULL,
                 NULL, err);
}

static bool open_repo(Repo *repo, Err *err) {
  SourceUrl url;
  if (!source_url_parse(repo->git->url, &repo->arena, &url, err)) return false;
  Buf inside CLEANUP(buf_done) = BUF_INIT;
  bool is_file = span_eq_cstr(url.scheme, "file");
  if (is_file) buf_printf(&inside, "%.*s/.git", SPAN_ARG(url.path));
  if (is_file && fs_exists(buf_cstr(&inside))) {
    repo->is_local = true;
    char *cwd = url.path.data[0] == '/' ? NULL : getcwd(NULL, 0);
    fs_path_canon(cwd ? span_cstr(cwd) : SPAN("/"), url.path, &repo->dir);
    free(cwd);
    buf_put_span(&repo->location, buf_span(&repo->dir));
    buf_cstr(&repo->dir);
    repo->tool.place = buf_cstr(&repo->location);
    return true;
  }
  if (is_file) url.param_count = 0; // git would take them for part of the name
  source_url_format(&url, &repo->location);
  repo->tool.place = buf_cstr(&repo->location);
  return open_mirror(repo, err);
}

// ---- commits

static bool has_commit(Repo *repo, const char *rev, bool *ret, Err *err) {
  Buf name CLEANUP(buf_done) = BUF_INIT;
  bool failed;
  buf_printf(&name, "%s^{commit}", rev);
  if (!git_run(repo, (const char *[]){"cat-file", "-e", buf_cstr(&name), NULL}, NULL, &failed, err)) return false;
  *ret = !failed;
  return true;
}

static bool resolve_ref(Repo *repo, const char *ref, Buf *ret_rev, Err *err) {
  Buf name CLEANUP(buf_done) = BUF_INIT;
  bool failed;
  buf_printf(&name, "%s^{commit}", ref);
  if (!git_run(repo, (const char *[]){"rev-parse", "--quiet", "--verify", "--end-of-options", buf_cstr(&name), NULL},
               ret_rev, &failed, err))
    return false;
  return !failed || err_set(err, ERR_NOT_FOUND, "resolving Git reference '%s': revspec '%s' not found", ref, ref);
}

// The branch that HEAD names; empty where it names none.
static bool head_ref(Repo *repo, Buf *ret, Err *err) {
  bool failed;
  if (!git_run(repo, (const char *[]){"symbolic-ref", "--quiet", "HEAD", NULL}, ret, &failed, err)) return false;
  if (failed) buf_clear(ret);
  return true;
}

static bool local_commit(Repo *repo, FetcherGitTree *ret, Err *err) {
  const FetcherGit *git = repo->git;
  bool there;
  buf_put_span(&ret->ref, git->ref);
  buf_put_span(&ret->rev, git->rev);
  if (!git->ref.len && !head_ref(repo, &ret->ref, err)) return false;
  if (!ret->ref.len) {
    log_warn("could not read HEAD ref from repo at '%s', using 'master'", repo->location.data);
    buf_put_cstr(&ret->ref, "master");
  }
  if (!ret->rev.len) return resolve_ref(repo, buf_cstr(&ret->ref), &ret->rev, err);
  if (!has_commit(repo, buf_cstr(&ret->rev), &there, err)) return false;
  return there || err_set(err, ERR_NOT_FOUND, "getting Git object '%s': object not found - no match for id (%s)",
                          buf_cstr(&ret->rev), buf_cstr(&ret->rev));
}

// Is the file of this name in the mirror younger than tarball-ttl?
static bool is_fresh(const Repo *repo, const char *name) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  struct stat st;
  buf_printf(&path, "%s/%s", repo->dir.data, name);
  return stat(buf_cstr(&path), &st) == 0 &&
         fetch_cache_is_fresh(st.st_mtime, repo->tool.fetcher->settings->tarball_ttl_s);
}

// "ref: refs/heads/main\tHEAD" or "<commit>\tHEAD" is the first line.
static bool read_remote_head(Repo *repo, Buf *ret, Err *err) {
  FetchToolRun run CLEANUP(fetch_tool_run_done) = FETCH_TOOL_RUN_INIT;
  if (!fetch_tool_run(&repo->tool, repo->dir.data,
                      (const char *[]){"ls-remote", "--symref", "--", repo->location.data, "HEAD", NULL}, &run, err))
    return false;
  Span rest = buf_span(&run.out), line, target;
  span_split(&rest, '\n', &line);
  bool found = span_split(&line, '\t', &target) && span_eq_cstr(line, "HEAD");
  if (found) buf_put_span(ret, span_has_prefix(target, SPAN("ref:")) ? span_trim(span_from(target, 4)) : target);
  else if (run.status != 0) log_msg(LOG_NOTICE, "%.*s", SPAN_ARG(span_trim(buf_span(&run.errors))));
  return true;
}

static bool default_ref(Repo *repo, Buf *ret, Err *err) {
  Buf known CLEANUP(buf_done) = BUF_INIT;
  bool leads_somewhere = false;
  if (!head_ref(repo, &known, err)) return false;
  if (known.len && !span_eq_cstr(buf_span(&known), "refs/heads/firn-none")) {
    Err ignored = ERR_INIT;
    Buf rev CLEANUP(buf_done) = BUF_INIT;
    leads_somewhere = resolve_ref(repo, buf_cstr(&known), &rev, &ignored);
    err_done(&ignored);
  }
  if (!(leads_somewhere && is_fresh(repo, "HEAD")) && !read_remote_head(repo, ret, err)) return false;
  if (ret->len) return true;
  if (leads_somewhere) {
    if (!is_fresh(repo, "HEAD"))
      log_warn("could not get HEAD ref for repository '%s'; using expired cached ref '%s'", repo->location.data,
               buf_cstr(&known));
    buf_put_span(ret, buf_span(&known));
    return true;
  }
  log_warn("could not read HEAD ref from repo at '%s', using 'master'", repo->location.data);
  buf_put_cstr(ret, "master");
  return true;
}

// What is fetched for a ref, and as what.
static void put_refspec(const Repo *repo, Span ref, Buf *ret) {
  const FetcherGit *git = repo->git;
  if (git->all_refs) buf_put_cstr(ret, "refs/*:refs/*");
  else if (git->rev.len) buf_put_span(ret, git->rev);
  else if (span_has_prefix(ref, SPAN("refs/"))) buf_printf(ret, "%.*s:%.*s", SPAN_ARG(ref), SPAN_ARG(ref));
  else if (span_eq_cstr(ref, "HEAD")) buf_put_cstr(ret, "HEAD:refs/firn/HEAD");
  else buf_printf(ret, "refs/heads/%.*s:refs/heads/%.*s", SPAN_ARG(ref), SPAN_ARG(ref));
}

// Where `ref` is in the mirror.
static void put_local_ref(Span ref, Buf *ret) {
  if (span_eq_cstr(ref, "HEAD")) buf_put_cstr(ret, "refs/firn/HEAD");
  else buf_printf(ret, "%s%.*s", span_has_prefix(ref, SPAN("refs/")) ? "" : "refs/heads/", SPAN_ARG(ref));
}

static bool update_mirror(Repo *repo, Span ref, const char *local_ref, Err *err) {
  const FetcherGit *git = repo->git;
  Buf spec CLEANUP(buf_done) = BUF_INIT, file CLEANUP(buf_done) = BUF_INIT;
  FetchToolRun run CLEANUP(fetch_tool_run_done) = FETCH_TOOL_RUN_INIT;
  put_refspec(repo, ref, &spec);
  log_msg(LOG_INFO, "fetching Git repository '%s'...", repo->location.data);
  const char *deep[] = {"fetch", "--quiet",           "--force",       "--update-head-ok",
                        "--",    repo->location.data, buf_cstr(&spec), NULL};
  const char *flat[] = {"fetch", "--quiet", "--force",           "--update-head-ok", "--depth",
                        "1",     "--",      repo->location.data, buf_cstr(&spec),    NULL};
  if (!fetch_tool_run(&repo->tool, repo->dir.data, git->shallow ? flat : deep, &run, err)) return false;
  buf_printf(&file, "%s/%s", repo->dir.data, local_ref);
  if (run.status != 0) {
    // Git's words: whether that matters is found out when the commit is looked for.
    log_msg(LOG_NOTICE, "%.*s", SPAN_ARG(span_trim(buf_span(&run.errors))));
    if (!git->rev.len && fs_exists(buf_cstr(&file)))
      log_warn("could not update local clone of Git repository '%s'; continuing with the most recent version",
               repo->location.data);
  }
  if (!git->rev.len) (void)utimensat(AT_FDCWD, buf_cstr(&file), NULL, 0); // not there: fetched again next time
  bool ignored;
  return git->ref.len || run.status != 0 || !span_has_prefix(ref, SPAN("refs/")) ||
         git_run(repo, (const char *[]){"symbolic-ref", "--", "HEAD", local_ref, NULL}, NULL, &ignored, err);
}

static bool remote_commit(Repo *repo, FetcherGitTree *ret, Err *err) {
  const FetcherGit *git = repo->git;
  Buf local_ref CLEANUP(buf_done) = BUF_INIT;
  bool there = false;
  buf_put_span(&ret->ref, git->ref);
  buf_put_span(&ret->rev, git->rev);
  if (!git->ref.len && !default_ref(repo, &ret->ref, err)) return false;
  put_local_ref(buf_span(&ret->ref), &local_ref);
  if (git->rev.len && !has_commit(repo, buf_cstr(&ret->rev), &there, err)) return false;
  bool must_fetch = git->rev.len ? !there : git->all_refs || !is_fresh(repo, buf_cstr(&local_ref));
  if (must_fetch && !update_mirror(repo, buf_span(&ret->ref), buf_cstr(&local_ref), err)) return false;
  if (!git->rev.len) {
    bool is_head = span_eq_cstr(buf_span(&ret->ref), "HEAD");
    return resolve_ref(repo, is_head ? buf_cstr(&local_ref) : buf_cstr(&ret->ref), &ret->rev, err);
  }
  if (must_fetch && !has_commit(repo, buf_cstr(&ret->rev), &there, err)) return false;
  return there || err_set(err, ERR_NOT_FOUND,
                          "Cannot find Git revision '%s' in ref '%s' of repository '%s'! Please make sure that the "
                          "rev exists on the ref you've specified or add allRefs = true; to fetchGit.",
                          buf_cstr(&ret->rev), buf_cstr(&ret->ref), repo->location.data);
}

static bool read_number(Repo *repo, const char *const *args, int64_t *ret, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (!git_run(repo, args, &text, NULL, err)) return false;
  return span_parse_i64(span_trim(buf_span(&text)), ret) ||
         err_set(err, ERR_OTHER, "git %s gave '%s' instead of a number", args[0], buf_cstr(&text));
}

static bool read_time(Repo *repo, const char *rev, FetcherGitTree *ret, Err *err) {
  return read_number(repo, (const char *[]){"log", "-1", "--format=%ct", "--no-show-signature", rev, NULL},
                     &ret->last_modified, err);
}

static bool read_count(Repo *repo, const char *rev, FetcherGitTree *ret, Err *err) {
  int64_t count = 0;
  if (!read_number(repo, (const char *[]){"rev-list", "--count", rev, NULL}, &count, err)) return false;
  ret->rev_count = (uint64_t)count;
  ret->has_rev_count = true;
  return true;
}

// ---- trees of commits

static bool keep_tree(Repo *repo, const StorePath *path, FetcherGitTree *ret, Err *err) {
  PathInfoRecord *info;
  if (!store_get(repo->tool.fetcher->store, path, &info, err)) return false;
  memcpy(ret->nar_sha256, info->info.nar_sha256, sizeof ret->nar_sha256);
  path_info_service_record_free(info);
  store_format_path(repo->tool.fetcher->store, path, &ret->store_path);
  return true;
}

// Lets the git directory at `dir` read the objects of the repository.
static bool borrow_objects(const Repo *repo, Span dir, Err *err) {
  Buf objects CLEANUP(buf_done) = BUF_INIT, file CLEANUP(buf_done) = BUF_INIT;
  if (!git_run(repo, (const char *[]){"rev-parse", "--path-format=absolute", "--git-path", "objects", NULL}, &objects,
               NULL, err))
    return false;
  buf_put_char(&objects, '\n');
  fs_path_join(&file, dir, SPAN("objects/info/alternates"));
  return fs_write_file_atomic(buf_cstr(&file), buf_span(&objects), 0600, false, err);
}

// A git directory that borrows the objects of the repository and switches conversions off.
static bool make_plain_dir(Repo *repo, Buf *ret, Err *err) {
  Buf file CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  fs_path_join(ret, buf_span(&repo->tool.scratch), SPAN("git"));
  if (!fs_mkdir_all(buf_cstr(ret), 0700, err) ||
      !git_in(repo, ret->data, (const char *[]){"init", "--quiet", "--bare", NULL}, NULL, NULL, err) ||
      !borrow_objects(repo, buf_span(ret), err))
    return false;
  fs_path_join(&file, buf_span(ret), SPAN("info"));
  if (!fs_mkdir_all(buf_cstr(&file), 0700, err)) return false;
  buf_put_cstr(&file, "/attributes");
  buf_put_cstr(&text, "* -text -eol -ident -filter -working-tree-encoding -export-subst");
  buf_put_cstr(&text, repo->git->export_ignore ? "\n" : " -export-ignore\n");
  return fs_write_file_atomic(buf_cstr(&file), buf_span(&text), 0600, false, err);
}

static bool add_commit(Repo *repo, FetcherGitTree *ret, Err *err) {
  Buf plain_dir CLEANUP(buf_done) = BUF_INIT, archive CLEANUP(buf_done) = BUF_INIT;
  int fd CLEANUP(fs_close_fd) = -1;
  StorePath path;
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  if (!fetch_tool_make_scratch(&repo->tool, err) || !make_plain_dir(repo, &plain_dir, err)) return false;
  fs_path_join(&archive, buf_span(&repo->tool.scratch), SPAN("tree.tar"));
  if (!git_in(repo, plain_dir.data,
              (const char *[]){"archive", "--format=tar", "--output", buf_cstr(&archive), buf_cstr(&ret->rev), NULL},
              NULL, NULL, err) ||
      !fs_open(buf_cstr(&archive), O_RDONLY, 0, &fd, err))
    return false;
  ByteSource bytes = byte_stream_from_fd(&fd);
  return store_add_archive(repo->tool.fetcher->store, repo->git->name, &bytes, false, &options, &path, NULL, err) &&
         keep_tree(repo, &path, ret, err);
}

// Leaves out what git keeps in a working tree for itself: `.git`, a directory or (in submodules) a file.
static bool keep_all_but_git(void *ctx, Span path, CastoreKind kind, bool *ret_keep, Err *err) {
  (void)ctx, (void)kind, (void)err;
  *ret_keep = !span_eq_cstr(fs_path_base(path), ".git");
  return true;
}

// A checkout of our own, which borrows the objects, with those of the submodules in it. Relative URLs of these are meant from where
// the repository came from.
static bool add_with_submodules(Repo *repo, FetcherGitTree *ret, Err *err) {
  Buf git_dir CLEANUP(buf_done) = BUF_INIT, tree CLEANUP(buf_done) = BUF_INIT, url CLEANUP(buf_done) = BUF_INIT;
  bool failed = true;
  if (!fetch_tool_make_scratch(&repo->tool, err)) return false;
  fs_path_join(&tree, buf_span(&repo->tool.scratch), SPAN("tree"));
  fs_path_join(&git_dir, buf_span(&tree), SPAN(".git"));
  if (repo->is_local && !git_run(repo, (const char *[]){"config", "remote.origin.url", NULL}, &url, &failed, err))
    return false;
  if (failed) {
    buf_clear(&url);
    buf_put_span(&url, buf_span(&repo->location));
  }
  StorePath path;
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  options.no_stat_cache = true;
  options.filter = keep_all_but_git;
  return fs_mkdir_all(buf_cstr(&tree), 0700, err) &&
         git_in(repo, tree.data, (const char *[]){"init", "--quiet", NULL}, NULL, NULL, err) &&
         borrow_objects(repo, buf_span(&git_dir), err) &&
         git_in(repo, tree.data, (const char *[]){"config", "remote.origin.url", buf_cstr(&url), NULL}, NULL, NULL,
                err) &&
         git_in(repo, tree.data,
                (const char *[]){"-c", "advice.detachedHead=false", "-c", "core.autocrlf=false", "checkout", "--quiet",
                                 buf_cstr(&ret->rev), NULL},
                NULL, NULL, err) &&
         git_in(repo, tree.data,
                (const char *[]){"-c", "protocol.file.allow=always", "-c", "core.autocrlf=false", "submodule",
                                 "--quiet", "update", "--init", "--recursive", NULL},
                NULL, NULL, err) &&
         store_add_path(repo->tool.fetcher->store, repo->git->name, tree.data, &options, &path, err) &&
         keep_tree(repo, &path, ret, err);
}

static bool fetch_commit(Repo *repo, FetcherGitTree *ret, Err *err) {
  const FetcherGit *git = repo->git;
  Buf shallow CLEANUP(buf_done) = BUF_INIT;
  if (!(repo->is_local ? local_commit(repo, ret, err) : remote_commit(repo, ret, err)) ||
      !git_run(repo, (const char *[]){"rev-parse", "--is-shallow-repository", NULL}, &shallow, NULL, err))
    return false;
  if (span_eq_cstr(buf_span(&shallow), "true") && !git->shallow)
    return err_set(err, ERR_OTHER,
                   "'%s' is a shallow Git repository, but shallow repositories are only allowed when `shallow = "
                   "true;` is specified",
                   repo->location.data);
  if (!read_time(repo, buf_cstr(&ret->rev), ret, err) ||
      (!git->shallow && !read_count(repo, buf_cstr(&ret->rev), ret, err)))
    return false;
  return git->submodules ? add_with_submodules(repo, ret, err) : add_commit(repo, ret, err);
}

// ---- working trees

// Takes what has the attribute export-ignore out again. A directory that has it takes all that is in it along.
static bool drop_ignored(Repo *repo, FetchTracked *tracked, Err *err) {
  Buf names CLEANUP(buf_done) = BUF_INIT, file CLEANUP(buf_done) = BUF_INIT;
  Buf attributes CLEANUP(buf_done) = BUF_INIT;
  int fd CLEANUP(fs_close_fd) = -1;
  for (MapEntry *e = map_first(&tracked->files); e; e = map_next(&tracked->files, e))
    buf_put(&names, e->key, e->key_len), buf_put_char(&names, 0);
  for (MapEntry *e = map_first(&tracked->dirs); e; e = map_next(&tracked->dirs, e)) {
    buf_put(&names, e->key, e->key_len);
    buf_put(&names, "\0", 1);
    buf_put(&names, e->key, e->key_len);
    buf_put(&names, "/\0", 2);
  }
  if (!names.len) return true;
  if (!fetch_tool_make_scratch(&repo->tool, err)) return false;
  fs_path_join(&file, buf_span(&repo->tool.scratch), SPAN("names"));
  if (!fs_write_file_atomic(buf_cstr(&file), buf_span(&names), 0600, false, err) ||
      !fs_open(buf_cstr(&file), O_RDONLY, 0, &fd, err) ||
      !fetch_tool_output(&repo->tool, repo->dir.data,
                         (const char *[]){"check-attr", "-z", "--stdin", "export-ignore", NULL}, fd, &attributes, NULL,
                         err))
    return false;
  Span rest = buf_span(&attributes), path, attr, value; // path NUL attribute NUL value NUL
  while (span_split(&rest, 0, &path) && span_split(&rest, 0, &attr) && span_split(&rest, 0, &value)) {
    if (!span_eq_cstr(value, "set")) continue;
    if (span_has_suffix(path, SPAN("/"))) path.len--;
    map_remove(&tracked->files, path);
    map_remove(&tracked->dirs, path);
  }
  return true;
}

// Those of the index that still exist. Submodules count as files there, of which only `submodules` makes anything.
static bool list_tracked(Repo *repo, FetchTracked *ret, Err *err) {
  Buf list CLEANUP(buf_done) = BUF_INIT;
  bool deep = repo->git->submodules;
  if (!git_run(repo, (const char *[]){"ls-files", "-z", deep ? "--recurse-submodules" : "--full-name", NULL}, &list,
               NULL, err))
    return false;
  for (Span rest = buf_span(&list), name; span_split(&rest, 0, &name) || name.len;) {
    Buf path CLEANUP(buf_done) = BUF_INIT;
    struct stat st;
    fs_path_join(&path, buf_span(&repo->dir), name);
    if (name.len && lstat(buf_cstr(&path), &st) == 0 && !S_ISDIR(st.st_mode)) fetch_tracked_add(ret, name);
  }
  return !repo->git->export_ignore || drop_ignored(repo, ret, err);
}

static bool is_dirty(Repo *repo, bool *ret, Err *err) {
  Buf changes CLEANUP(buf_done) = BUF_INIT;
  static const char inner[] = "git status --porcelain --untracked-files=no --ignore-submodules=all";
  if (!git_run(repo, (const char *[]){"status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all", NULL},
               &changes, NULL, err) ||
      (repo->git->submodules &&
       !git_run(repo, (const char *[]){"submodule", "--quiet", "foreach", "--recursive", inner, NULL}, &changes, NULL,
                err)))
    return false;
  *ret = span_trim(buf_span(&changes)).len > 0;
  return true;
}

static bool describe_worktree(Repo *repo, FetcherGitTree *ret, Err *err) {
  Buf head CLEANUP(buf_done) = BUF_INIT;
  bool dirty, unborn;
  if (!git_run(repo, (const char *[]){"rev-parse", "--quiet", "--verify", "HEAD^{commit}", NULL}, &head, &unborn,
               err) ||
      !is_dirty(repo, &dirty, err))
    return false;
  if (!unborn && !read_time(repo, buf_cstr(&head), ret, err)) return false;
  if (dirty) {
    if (!repo->tool.fetcher->settings->allow_dirty)
      return err_set(err, ERR_OTHER, "Git tree '%s' is dirty", repo->location.data);
    if (repo->tool.fetcher->settings->warn_dirty) log_warn("Git tree '%s' is dirty", repo->location.data);
    if (!unborn) buf_printf(&ret->dirty_rev, "%s-dirty", buf_cstr(&head));
    return true;
  }
  buf_put_cstr(&ret->rev, unborn ? FETCHER_NULL_REV : buf_cstr(&head));
  ret->has_rev_count = true;
  return head_ref(repo, &ret->ref, err) && (unborn || read_count(repo, buf_cstr(&head), ret, err));
}

static bool fetch_worktree(Repo *repo, FetcherGitTree *ret, Err *err) {
  FetchTracked tracked CLEANUP(fetch_tracked_done) = FETCH_TRACKED_INIT;
  StorePath path;
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  options.filter = fetch_tracked_keep;
  options.filter_ctx = &tracked;
  return describe_worktree(repo, ret, err) && list_tracked(repo, &tracked, err) &&
         store_add_path(repo->tool.fetcher->store, repo->git->name, repo->dir.data, &options, &path, err) &&
         keep_tree(repo, &path, ret, err);
}

bool fetcher_git(const Fetcher *fetcher, const FetcherGit *git, FetcherGitTree *ret, Err *err) {
  Repo repo CLEANUP(repo_done) = {.git = git,
                                  .tool = {.fetcher = fetcher,
                                           .program = "git",
                                           .kind = "Git repository",
                                           .needed = "the program 'git' is needed to fetch Git repository"},
                                  .lock_fd = -1};
  if (!open_repo(&repo, err)) return false;
  if (git->export_ignore && git->submodules)
    return err_set(err, ERR_OTHER, "exportIgnore and submodules are not supported together yet");
  bool as_it_is = repo.is_local && !git->ref.len && !git->rev.len;
  return as_it_is ? fetch_worktree(&repo, ret, err) : fetch_commit(&repo, ret, err);
}
