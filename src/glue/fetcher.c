// fetcher.c: files and tarballs; see fetcher.h. Git is in fetcher_git.c.
#include "glue/fetcher.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/process.h"
#include "glue/source_hash.h"
#include "glue/store_io.h"

// A directory that is removed again.
static void remove_dir(Buf *path) {
  Err ignored = ERR_INIT;
  if (path->len && !fs_remove_tree(buf_cstr(path), &ignored)) log_msg(LOG_INFO, "%s", err_message(&ignored));
  err_done(&ignored);
  buf_done(path);
}

// curl's words for an answer that --fail makes an error: "curl: (22) The requested URL returned error: 404".
static bool find_http_error(Span text, Span *ret_code) {
  static const char before[] = "returned error: ";
  size_t len = sizeof before - 1;
  for (size_t i = 0; i + len <= text.len; i++) {
    if (memcmp(text.data + i, before, len) != 0) continue;
    *ret_code = span_trim(span_from(text, i + len));
    return true;
  }
  return false;
}

static bool run(const Fetcher *fetcher, const char *const *argv, const char *what, Err *err) {
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = argv;
  spec.cancel_fd = fetcher->cancel_fd;
  Buf out CLEANUP(buf_done) = BUF_INIT, errors CLEANUP(buf_done) = BUF_INIT;
  int status;
  Span code;
  if (!process_run(&spec, &out, &errors, &status, err))
    return err->kind == ERR_INTERRUPTED ? false : err_wrap(err, "%s", what);
  if (status == 0) return true;
  if (find_http_error(buf_span(&errors), &code))
    return err_set(err, ERR_IO, "%s: HTTP error %.*s", what, SPAN_ARG(code));
  Buf how CLEANUP(buf_done) = BUF_INIT;
  process_format_status(status, &how);
  return err_set(err, ERR_IO, "%s: '%s' %s: %.*s", what, argv[0], buf_cstr(&how),
                 SPAN_ARG(span_trim(buf_span(&errors))));
}

static void free_real(char **path) {
  free(*path); // from realpath
}

bool fetcher_local_path(const FetcherFile *file, Buf *ret_path, Err *err) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  fs_path_canon(SPAN("/"), span_from(file->url, 7), &path);
  char *real CLEANUP(free_real) = realpath(buf_cstr(&path), NULL);
  struct stat st;
  if (!real || stat(real, &st) != 0) {
    int failed = errno;
    return err_set_errno(err, failed, "unable to download '%.*s'", SPAN_ARG(file->url));
  }
  buf_put_cstr(ret_path, real);
  return S_ISREG(st.st_mode) ||
         err_set(err, ERR_IO, "unable to download '%.*s': it is not a regular file", SPAN_ARG(file->url));
}

// A file on disk with the content of the URL: the file itself for file://, else a download in `scratch`.
static bool get_file(const Fetcher *fetcher, const FetcherFile *file, Span scratch, Buf *ret_path, Err *err) {
  if (span_has_prefix(file->url, SPAN("file://"))) return fetcher_local_path(file, ret_path, err);
  if (!span_has_prefix(file->url, SPAN("http://")) && !span_has_prefix(file->url, SPAN("https://")))
    return err_set(err, ERR_OTHER, "unable to download '%.*s': the scheme is not supported (file, http, https)",
                   SPAN_ARG(file->url));
  Buf url CLEANUP(buf_done) = BUF_INIT, what CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&url, file->url);
  fs_path_join(ret_path, scratch, SPAN("download"));
  buf_printf(&what, "unable to download '%.*s'", SPAN_ARG(file->url));
  const char *argv[] = {
      "curl",    "--fail",      "--location", "--silent",         "--show-error", "--retry",      "4",
      "--proto", "=http,https", "--output",   buf_cstr(ret_path), "--",           buf_cstr(&url), NULL};
  log_msg(LOG_INFO, "downloading '%s'...", buf_cstr(&url));
  return run(fetcher, argv, buf_cstr(&what), err);
}

// The directory that holds the tree: the single directory at the top of the archive, or all of it.
static bool find_top(Buf *path, Err *err) {
  EvalDirList list;
  if (!store_io_list_physical(buf_cstr(path), &list, err)) return false;
  if (list.count == 1 && list.entries[0].type == EVAL_FILE_DIRECTORY) {
    buf_put_char(path, '/');
    buf_put_cstr(path, list.entries[0].name);
  }
  eval_io_dir_list_done(&list);
  return true;
}

static bool unpack(const Fetcher *fetcher, const FetcherFile *file, const char *archive, Span scratch, Buf *ret_dir,
                   Err *err) {
  Buf what CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&what, "unpacking '%.*s'", SPAN_ARG(file->url));
  fs_path_join(ret_dir, scratch, SPAN("tree"));
  if (!fs_mkdir_all(buf_cstr(ret_dir), 0700, err)) return false;
  const char *tar[] = {"tar",    "--extract", "--no-same-owner", "--no-same-permissions",
                       "--file", archive,     "--directory",     buf_cstr(ret_dir),
                       NULL};
  const char *zip[] = {"unzip", "-qq", archive, "-d", buf_cstr(ret_dir), NULL};
  char magic[4] = "";
  size_t got = 0;
  int fd CLEANUP(fs_close_fd) = -1;
  if (!fs_open(archive, O_RDONLY, 0, &fd, err) || !fs_read_full(fd, magic, sizeof(magic), &got, err)) return false;
  bool is_zip = got == 4 && memcmp(magic, "PK\3\4", 4) == 0;
  return run(fetcher, is_zip ? zip : tar, buf_cstr(&what), err) && find_top(ret_dir, err);
}

static bool mismatch(const FetcherFile *file, const Hash *got, Err *err) {
  Buf want_text CLEANUP(buf_done) = BUF_INIT, got_text CLEANUP(buf_done) = BUF_INIT;
  hash_format_nix32(file->expected, &want_text);
  hash_format_nix32(got, &got_text);
  return err_set(err, ERR_HASH_MISMATCH,
                 "hash mismatch in file downloaded from '%.*s':\n  specified: %s\n  got:       %s", SPAN_ARG(file->url),
                 buf_cstr(&want_text), buf_cstr(&got_text));
}

bool fetcher_check_hash(const FetcherFile *file, const char *path, Err *err) {
  Hash hash = {.algo = HASH_SHA256};
  if (!file->expected) return true;
  if (!source_hash_path(path, file->unpack ? CA_NAR : CA_FLAT, NULL, hash.bytes, err)) return false;
  return hash_eq(file->expected, &hash) || mismatch(file, &hash, err);
}

// The hash is compared before anything is added.
static bool add(const Fetcher *fetcher, const FetcherFile *file, const char *path, Buf *ret, Err *err) {
  StorePath added;
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  options.method = file->unpack ? CA_NAR : CA_FLAT;
  if (!fetcher_check_hash(file, path, err) || !store_add_path(fetcher->store, file->name, path, &options, &added, err))
    return false;
  store_format_path(fetcher->store, &added, ret);
  return true;
}

void fetcher_expand_url(Span url, Buf *ret) {
  if (span_has_prefix(url, SPAN("channel:")))
    buf_printf(ret, "https://nixos.org/channels/%.*s/nixexprs.tar.xz", SPAN_ARG(span_from(url, 8)));
  else buf_put_span(ret, url);
}

bool fetcher_file(const Fetcher *fetcher, const FetcherFile *file, Buf *ret_store_path, Err *err) {
  Buf scratch CLEANUP(remove_dir) = BUF_INIT, path CLEANUP(buf_done) = BUF_INIT, tree CLEANUP(buf_done) = BUF_INIT;
  if (!store_scratch(fetcher->store, SPAN("-fetch"), &scratch, err) || !fs_mkdir_all(buf_cstr(&scratch), 0700, err) ||
      !get_file(fetcher, file, buf_span(&scratch), &path, err))
    return false;
  if (!file->unpack) return add(fetcher, file, buf_cstr(&path), ret_store_path, err);
  return unpack(fetcher, file, buf_cstr(&path), buf_span(&scratch), &tree, err) &&
         add(fetcher, file, buf_cstr(&tree), ret_store_path, err);
}
