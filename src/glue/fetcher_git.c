// fetcher_git.c: trees of Git repositories, through the git program; see fetcher.h.
//
// Remote repositories are mirrored in $XDG_CACHE_HOME/firn/git/<hash of the URL>, a bare repository in which each wanted ref is fetched
// once; local ones are read in place. The tree is written by `git archive`, with everything in attributes that would change contents
// switched off (info/attributes of a throw-away git directory), so that what arrives is what was committed, as in Nix 2.26; export-ignore is
// honoured when asked for. A local working tree with changes gives its tracked files as they are.
#include "glue/fetcher.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/process.h"
#include "glue/source_hash.h"
#include "glue/store_io.h"
#include "store/store_add.h"

void fetcher_git_tree_done(FetcherGitTree *tree) {
  buf_done(&tree->store_path);
  buf_done(&tree->rev);
  buf_done(&tree->dirty_rev);
}

typedef struct Repo {
  const Fetcher *fetcher;
  const FetcherGit *git;
  int lock_fd; // of a mirror: two fetches into one at a time would take each other's refs
  Buf dir;     // local: the working tree or bare repository; remote: the mirror
  bool is_local;
  bool is_dirty; // local working tree with changes, and no ref or rev was asked for
  Buf scratch;   // removed at the end
} Repo;

static void repo_done(Repo *repo) {
  fs_close_fd(&repo->lock_fd);
  Err ignored = ERR_INIT;
  if (repo->scratch.len && !fs_remove_tree(buf_cstr(&repo->scratch), &ignored))
    log_msg(LOG_INFO, "%s", err_message(&ignored));
  err_done(&ignored);
  buf_done(&repo->scratch);
  buf_done(&repo->dir);
}

#define GIT_ARGS_MAX 24

// Runs `git -C dir args...`; its standard output, without the last newline, in *ret (may be NULL).
static bool git_run(const Repo *repo, const char *const *args, Buf *ret, bool *ret_failed, Err *err) {
  const char *argv[GIT_ARGS_MAX + 1] = {"git", "-C", repo->dir.data};
  size_t count = 3;
  for (size_t i = 0; args[i]; i++) {
    assert(count < GIT_ARGS_MAX);
    argv[count++] = args[i];
  }
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = argv;
  spec.cancel_fd = repo->fetcher->cancel_fd;
  Buf out CLEANUP(buf_done) = BUF_INIT, errors CLEANUP(buf_done) = BUF_INIT;
  int status;
  if (!process_run(&spec, &out, &errors, &status, err))
    return err->kind == ERR_INTERRUPTED ? false
                                        : err_wrap(err, "fetching Git repository '%.*s'", SPAN_ARG(repo->git->url));
  if (ret_failed) *ret_failed = status != 0;
  if (status != 0 && !ret_failed)
    return err_set(err, ERR_IO, "fetching Git repository '%.*s': 'git %s' failed: %.*s", SPAN_ARG(repo->git->url),
                   args[0], SPAN_ARG(span_trim(buf_span(&errors))));
  if (ret) {
    buf_put_span(ret, buf_span(&out));
    if (ret->len && ret->data[ret->len - 1] == '\n') ret->len--;
    buf_cstr(ret);
  }
  return true;
}

static bool open_local(Repo *repo, Span path, Err *err) {
  repo->is_local = true;
  fs_path_canon(SPAN("/"), path, &repo->dir);
  if (!fs_exists(buf_cstr(&repo->dir)))
    return err_set(err, ERR_NOT_FOUND, "path '%s' does not exist", buf_cstr(&repo->dir));
  Buf bare CLEANUP(buf_done) = BUF_INIT, changes CLEANUP(buf_done) = BUF_INIT;
  if (!git_run(repo, (const char *[]){"rev-parse", "--is-bare-repository", NULL}, &bare, NULL, err)) return false;
  if (span_eq_cstr(buf_span(&bare), "true") || repo->git->rev.len || repo->git->ref.len) return true;
  if (!git_run(repo, (const char *[]){"status", "--porcelain", "--untracked-files=no", NULL}, &changes, NULL, err))
    return false;
  repo->is_dirty = changes.len > 0;
  return true;
}

// Waits for whoever fetches into the mirror now, in this process or another.
static bool lock_mirror(Repo *repo, Err *err) {
  enum { LOOK_AGAIN_MS = 50 };
  Buf path CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&path, "%s.lock", repo->dir.data);
  if (!fs_open(buf_cstr(&path), O_RDWR | O_CREAT, 0666, &repo->lock_fd, err)) return false;
  while (flock(repo->lock_fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return err_set_errno(err, errno, "locking '%s'", buf_cstr(&path));
    struct pollfd cancel = {.fd = repo->fetcher->cancel_fd, .events = POLLIN};
    if (poll(&cancel, 1, LOOK_AGAIN_MS) > 0) return err_set(err, ERR_INTERRUPTED, "interrupted by the user");
  }
  return true;
}

static bool open_mirror(Repo *repo, Err *err) {
  Hash hash;
  Buf name CLEANUP(buf_done) = BUF_INIT;
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (!cache && !home)
    return err_set(err, ERR_OTHER, "cannot tell the cache directory: neither XDG_CACHE_HOME nor HOME is set");
  buf_put_cstr(&repo->dir, cache && *cache ? cache : home);
  if (!cache || !*cache) buf_put_cstr(&repo->dir, "/.cache");
  hash_of(HASH_SHA256, repo->git->url, &hash);
  hash_format(&hash, HASH_FORMAT_NIX32, false, &name);
  buf_printf(&repo->dir, "/firn/git/%s", buf_cstr(&name));
  buf_cstr(&repo->dir);
  if (!fs_mkdir_all(repo->dir.data, 0777, err) || !lock_mirror(repo, err)) return false;
  buf_clear(&name);
  buf_printf(&name, "%s/HEAD", repo->dir.data);
  return fs_exists(buf_cstr(&name)) ||
         git_run(repo, (const char *[]){"init", "--quiet", "--bare", NULL}, NULL, NULL, err);
}

static bool has_commit(Repo *repo, const char *rev, bool *ret, Err *err) {
  Buf name CLEANUP(buf_done) = BUF_INIT;
  bool failed;
  buf_printf(&name, "%s^{commit}", rev);
  if (!git_run(repo, (const char *[]){"cat-file", "-e", buf_cstr(&name), NULL}, NULL, &failed, err)) return false;
  *ret = !failed;
  return true;
}

// Fetches what is asked for into the mirror and finds the commit.
static bool fetch_remote(Repo *repo, Buf *ret_rev, Err *err) {
  const FetcherGit *git = repo->git;
  Buf url CLEANUP(buf_done) = BUF_INIT, spec CLEANUP(buf_done) = BUF_INIT, rev CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&url, git->url);
  buf_put_span(&rev, git->rev);
  bool have = false;
  if (rev.len && !has_commit(repo, buf_cstr(&rev), &have, err)) return false;
  if (!have) {
    if (git->all_refs) buf_put_cstr(&spec, "refs/*:refs/*");
    else if (git->ref.len) buf_printf(&spec, "+%.*s:refs/firn/wanted", SPAN_ARG(git->ref));
    else if (rev.len) buf_printf(&spec, "+%s:refs/firn/wanted", buf_cstr(&rev));
    else buf_put_cstr(&spec, "+HEAD:refs/firn/wanted");
    log_msg(LOG_INFO, "fetching Git repository '%s'...", buf_cstr(&url));
    const char *deep[] = {"fetch", "--quiet", "--force", "--", buf_cstr(&url), buf_cstr(&spec), NULL};
    const char *flat[] = {"fetch", "--quiet", "--force", "--depth", "1", "--", buf_cstr(&url), buf_cstr(&spec), NULL};
    if (!git_run(repo, git->shallow ? flat : deep, NULL, NULL, err)) return false;
  }
  if (!rev.len)
    return git_run(repo, (const char *[]){"rev-parse", "--verify", "refs/firn/wanted^{commit}", NULL}, ret_rev, NULL,
                   err);
  if (!have && !has_commit(repo, buf_cstr(&rev), &have, err)) return false;
  if (!have)
    return err_set(err, ERR_NOT_FOUND,
                   "Cannot find Git revision '%s' in ref '%.*s' of repository '%s'! Please make sure that the rev "
                   "exists on the ref you've specified or add allRefs = true;",
                   buf_cstr(&rev), SPAN_ARG(git->ref), buf_cstr(&url));
  buf_put_span(ret_rev, buf_span(&rev));
  return true;
}

static bool find_local_rev(Repo *repo, Buf *ret_rev, Err *err) {
  const FetcherGit *git = repo->git;
  Buf name CLEANUP(buf_done) = BUF_INIT;
  if (git->rev.len) buf_put_span(&name, git->rev);
  else if (git->ref.len) buf_put_span(&name, git->ref);
  else buf_put_cstr(&name, "HEAD");
  buf_put_cstr(&name, "^{commit}");
  return git_run(repo, (const char *[]){"rev-parse", "--verify", "--end-of-options", buf_cstr(&name), NULL}, ret_rev,
                 NULL, err);
}

// A git directory that borrows the objects of the repository and switches conversions off.
static bool make_plain_dir(Repo *repo, bool export_ignore, Buf *ret, Err *err) {
  Buf objects CLEANUP(buf_done) = BUF_INIT, file CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  fs_path_join(ret, buf_span(&repo->scratch), SPAN("git"));
  Repo plain = {.fetcher = repo->fetcher, .git = repo->git, .dir = *ret};
  if (!fs_mkdir_all(buf_cstr(ret), 0700, err)) return false;
  plain.dir = *ret;
  if (!git_run(repo, (const char *[]){"rev-parse", "--path-format=absolute", "--git-path", "objects", NULL}, &objects,
               NULL, err) ||
      !git_run(&plain, (const char *[]){"init", "--quiet", "--bare", NULL}, NULL, NULL, err))
    return false;
  fs_path_join(&file, buf_span(ret), SPAN("objects/info/alternates"));
  buf_put_char(&objects, '\n');
  if (!fs_write_file_atomic(buf_cstr(&file), buf_span(&objects), 0600, false, err)) return false;
  buf_clear(&file);
  fs_path_join(&file, buf_span(ret), SPAN("info"));
  if (!fs_mkdir_all(buf_cstr(&file), 0700, err)) return false;
  buf_put_cstr(&file, "/attributes");
  buf_put_cstr(&text, "* -text -eol -ident -filter -working-tree-encoding -export-subst");
  buf_put_cstr(&text, export_ignore ? "\n" : " -export-ignore\n");
  return fs_write_file_atomic(buf_cstr(&file), buf_span(&text), 0600, false, err);
}

static bool run_tar(const Repo *repo, const char *const *argv, Err *err) {
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = argv;
  spec.cancel_fd = repo->fetcher->cancel_fd;
  Buf out CLEANUP(buf_done) = BUF_INIT, errors CLEANUP(buf_done) = BUF_INIT;
  int status;
  if (!process_run(&spec, &out, &errors, &status, err)) return false;
  return status == 0 || err_set(err, ERR_IO, "copying a Git tree: %.*s", SPAN_ARG(span_trim(buf_span(&errors))));
}

static bool extract(Repo *repo, const char *rev, Buf *ret_tree, Err *err) {
  Buf plain_dir CLEANUP(buf_done) = BUF_INIT, archive CLEANUP(buf_done) = BUF_INIT;
  if (!make_plain_dir(repo, repo->git->export_ignore, &plain_dir, err)) return false;
  fs_path_join(&archive, buf_span(&repo->scratch), SPAN("tree.tar"));
  fs_path_join(ret_tree, buf_span(&repo->scratch), SPAN("tree"));
  if (!fs_mkdir_all(buf_cstr(ret_tree), 0700, err)) return false;
  Repo plain = {.fetcher = repo->fetcher, .git = repo->git, .dir = plain_dir};
  if (!git_run(&plain, (const char *[]){"archive", "--format=tar", "--output", buf_cstr(&archive), rev, NULL}, NULL,
               NULL, err))
    return false;
  const char *tar[] = {
      "tar", "--extract", "--no-same-owner", "--file", buf_cstr(&archive), "--directory", buf_cstr(ret_tree), NULL};
  return run_tar(repo, tar, err);
}

// Removes what git keeps in a working tree for itself: `.git`, a directory or (in submodules) a file.
static bool remove_git_entries(const char *dir, Err *err) {
  EvalDirList list;
  if (!store_io_list_physical(dir, &list, err)) return false;
  bool ok = true;
  for (size_t i = 0; ok && i < list.count; i++) {
    Buf path CLEANUP(buf_done) = BUF_INIT;
    fs_path_join(&path, span_cstr(dir), span_cstr(list.entries[i].name));
    if (strcmp(list.entries[i].name, ".git") == 0) ok = fs_remove_tree(buf_cstr(&path), err);
    else if (list.entries[i].type == EVAL_FILE_DIRECTORY) ok = remove_git_entries(buf_cstr(&path), err);
  }
  eval_io_dir_list_done(&list);
  return ok;
}

// A checkout of our own, which borrows the objects, with those of the submodules in it. Relative URLs of these are meant from where
// the repository came from.
static bool checkout_with_submodules(Repo *repo, const char *rev, Buf *ret_tree, Err *err) {
  Buf objects CLEANUP(buf_done) = BUF_INIT, file CLEANUP(buf_done) = BUF_INIT, url CLEANUP(buf_done) = BUF_INIT;
  fs_path_join(ret_tree, buf_span(&repo->scratch), SPAN("tree"));
  buf_put_span(&url, repo->git->url);
  if (!fs_mkdir_all(buf_cstr(ret_tree), 0700, err)) return false;
  Repo tree = {.fetcher = repo->fetcher, .git = repo->git, .dir = *ret_tree};
  if (!git_run(repo, (const char *[]){"rev-parse", "--path-format=absolute", "--git-path", "objects", NULL}, &objects,
               NULL, err) ||
      !git_run(&tree, (const char *[]){"init", "--quiet", NULL}, NULL, NULL, err))
    return false;
  fs_path_join(&file, buf_span(ret_tree), SPAN(".git/objects/info/alternates"));
  buf_put_char(&objects, '\n');
  return fs_write_file_atomic(buf_cstr(&file), buf_span(&objects), 0600, false, err) &&
         git_run(&tree, (const char *[]){"config", "remote.origin.url", buf_cstr(&url), NULL}, NULL, NULL, err) &&
         git_run(&tree, (const char *[]){"-c", "advice.detachedHead=false", "checkout", "--quiet", rev, NULL}, NULL,
                 NULL, err) &&
         git_run(&tree,
                 (const char *[]){"-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init",
                                  "--recursive", NULL},
                 NULL, NULL, err) &&
         remove_git_entries(ret_tree->data, err);
}

// Tracked files of a working tree with changes.
static bool copy_tracked(Repo *repo, Buf *ret_tree, Err *err) {
  fs_path_join(ret_tree, buf_span(&repo->scratch), SPAN("tree"));
  if (!fs_mkdir_all(buf_cstr(ret_tree), 0700, err)) return false;
  Buf list CLEANUP(buf_done) = BUF_INIT, names CLEANUP(buf_done) = BUF_INIT, top CLEANUP(buf_done) = BUF_INIT;
  if (!git_run(repo, (const char *[]){"rev-parse", "--show-toplevel", NULL}, &top, NULL, err) ||
      !git_run(repo,
               (const char *[]){"ls-files", "-z", "--full-name", repo->git->submodules ? "--recurse-submodules" : ":/",
                                repo->git->submodules ? ":/" : NULL, NULL},
               &list, NULL, err))
    return false;
  // Deleted files are still listed.
  for (Span rest = buf_span(&list), name; span_split(&rest, 0, &name) || name.len;) {
    Buf path CLEANUP(buf_done) = BUF_INIT;
    fs_path_join(&path, buf_span(&top), name);
    if (!name.len || !fs_exists(buf_cstr(&path))) continue;
    buf_put_span(&names, name);
    buf_put_char(&names, 0);
  }
  Buf file CLEANUP(buf_done) = BUF_INIT, archive CLEANUP(buf_done) = BUF_INIT;
  fs_path_join(&file, buf_span(&repo->scratch), SPAN("names"));
  fs_path_join(&archive, buf_span(&repo->scratch), SPAN("tree.tar"));
  if (!fs_write_file_atomic(buf_cstr(&file), buf_span(&names), 0600, false, err)) return false;
  // --directory counts for the names that follow it.
  const char *create[] = {"tar",         "--create",     "--no-recursion", "--file",       buf_cstr(&archive),
                          "--directory", buf_cstr(&top), "--null",         "--files-from", buf_cstr(&file),
                          NULL};
  const char *unpack[] = {
      "tar", "--extract", "--no-same-owner", "--file", buf_cstr(&archive), "--directory", buf_cstr(ret_tree), NULL};
  return run_tar(repo, create, err) && run_tar(repo, unpack, err);
}

static bool read_number(Repo *repo, const char *const *args, int64_t *ret, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (!git_run(repo, args, &text, NULL, err)) return false;
  return span_parse_i64(span_trim(buf_span(&text)), ret) ||
         err_set(err, ERR_OTHER, "git %s gave '%s' instead of a number", args[0], buf_cstr(&text));
}

static bool describe(Repo *repo, const char *rev, FetcherGitTree *ret, Err *err) {
  int64_t count = 0;
  if (!read_number(repo, (const char *[]){"log", "-1", "--format=%ct", rev, NULL}, &ret->last_modified, err))
    return false;
  Buf shallow CLEANUP(buf_done) = BUF_INIT;
  if (repo->git->shallow || repo->is_dirty) return true;
  if (!git_run(repo, (const char *[]){"rev-parse", "--is-shallow-repository", NULL}, &shallow, NULL, err)) return false;
  if (span_eq_cstr(buf_span(&shallow), "true"))
    return err_set(err, ERR_OTHER,
                   "'%.*s' is a shallow Git repository, but shallow repositories are only allowed when `shallow = "
                   "true;` is specified",
                   SPAN_ARG(repo->git->url));
  if (!read_number(repo, (const char *[]){"rev-list", "--count", rev, NULL}, &count, err)) return false;
  ret->rev_count = (uint64_t)count;
  ret->has_rev_count = true;
  return true;
}

static bool find_rev(Repo *repo, FetcherGitTree *ret, Err *err) {
  if (!repo->is_local) return fetch_remote(repo, &ret->rev, err);
  if (!repo->is_dirty) return find_local_rev(repo, &ret->rev, err);
  log_warn("Git tree '%s' is dirty", buf_cstr(&repo->dir));
  if (!find_local_rev(repo, &ret->dirty_rev, err)) return false;
  buf_cstr(&ret->dirty_rev);
  return true;
}

bool fetcher_git(const Fetcher *fetcher, const FetcherGit *git, FetcherGitTree *ret, Err *err) {
  Repo repo CLEANUP(repo_done) = {.fetcher = fetcher, .git = git, .lock_fd = -1};
  Span url = git->url;
  bool is_path = span_has_prefix(url, SPAN("/")) || span_has_prefix(url, SPAN("file://"));
  if (is_path ? !open_local(&repo, span_has_prefix(url, SPAN("/")) ? url : span_from(url, 7), err)
              : !open_mirror(&repo, err))
    return false;

  Store *store = fetcher->store;
  Buf tree CLEANUP(buf_done) = BUF_INIT;
  if (!find_rev(&repo, ret, err) || !store_scratch(store, SPAN("-git"), &repo.scratch, err) ||
      !fs_mkdir_all(buf_cstr(&repo.scratch), 0700, err))
    return false;
  const char *commit = repo.is_dirty ? buf_cstr(&ret->dirty_rev) : buf_cstr(&ret->rev);
  if (!describe(&repo, commit, ret, err)) return false;
  if (repo.is_dirty     ? !copy_tracked(&repo, &tree, err)
      : git->submodules ? !checkout_with_submodules(&repo, commit, &tree, err)
                        : !extract(&repo, commit, &tree, err))
    return false;
  if (repo.is_dirty) buf_put_cstr(&ret->dirty_rev, "-dirty");

  StorePath path;
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  options.no_stat_cache = true;
  if (!source_hash_path(buf_cstr(&tree), CA_NAR, NULL, ret->nar_sha256, err) ||
      !store_add_path(store, git->name, buf_cstr(&tree), &options, &path, err))
    return false;
  store_format_path(store, &path, &ret->store_path);
  return true;
}
