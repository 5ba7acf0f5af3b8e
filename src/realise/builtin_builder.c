// builtin_builder.c: see builtin_builder.h.
#include "realise/builtin_builder.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "castore/castore_nar.h"
#include "realise/build_env.h"

enum { SAID_BYTES_MAX = 1 << 20 };

static bool get_attr(const Derivation *drv, const char *name, Span *ret, Err *err) {
  const DerivationEnv *env = derivation_find_env(drv, span_cstr(name));
  *ret = (Span){"", 0};
  if (!env) return err_set(err, ERR_OTHER, "attribute '%s' missing", name);
  *ret = env->value;
  return true;
}

static bool attr_is_1(const Derivation *drv, const char *name) {
  const DerivationEnv *env = derivation_find_env(drv, span_cstr(name));
  return env && span_eq(env->value, SPAN("1"));
}

// --- programs: fetching, decompressing and unpacking are left to those that everybody has; none of them is one that the derivation
// chooses, and what they do ends with us

static bool spawn(const BuiltinBuildInput *input, ProcessSpec *spec, Process *process, Err *err) {
  BuiltinCancel *cancel = input->cancel;
  // A group of its own: what the program starts is killed with it.
  spec->new_session = spec->die_with_parent = true;
  pthread_mutex_lock(&cancel->mutex);
  bool ok =
      cancel->cancelled ? err_set(err, ERR_INTERRUPTED, "interrupted by the user") : process_spawn(spec, process, err);
  if (ok) cancel->child = process;
  pthread_mutex_unlock(&cancel->mutex);
  return ok;
}

static bool wait_for(const BuiltinBuildInput *input, Process *process, int *ret_status, Err *err) {
  siginfo_t info;
  // Not reaped before nobody can kill it any more: its number would be another's.
  while (waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  pthread_mutex_lock(&input->cancel->mutex);
  input->cancel->child = NULL;
  pthread_mutex_unlock(&input->cancel->mutex);
  return process_wait(process, ret_status, err);
}

void builtin_builder_cancel(BuiltinCancel *cancel) {
  pthread_mutex_lock(&cancel->mutex);
  cancel->cancelled = true;
  if (cancel->child) {
    kill(-cancel->child->pid, SIGKILL);
    process_kill(cancel->child, SIGKILL, false);
  }
  pthread_mutex_unlock(&cancel->mutex);
}

// Runs to the end; a failure has what the program said, which goes to a file in `dir`.
static bool run_program(const BuiltinBuildInput *input, const char *dir, const char *const *argv, Err *err) {
  ProcessSpec spec = PROCESS_SPEC_INIT;
  Process process;
  Buf place CLEANUP(buf_done) = BUF_INIT, said CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  int status = 0;
  CLEANUP(fs_close_fd) int fd = -1;
  buf_printf(&place, "%s/said", dir);
  if (!fs_open(buf_cstr(&place), O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, err)) return false;
  spec.argv = argv;
  spec.stdout_fd = spec.stderr_fd = fd;
  if (!spawn(input, &spec, &process, err) || !wait_for(input, &process, &status, err)) return false;
  if (status == 0) return true;
  if (!fs_read_file(buf_cstr(&place), SAID_BYTES_MAX, &said, NULL)) buf_clear(&said);
  process_format_status(status, &text);
  return err_set(err, ERR_OTHER, "'%s' %s: %.*s", argv[0], buf_cstr(&text), SPAN_ARG(span_trim(buf_span(&said))));
}

// Restores the NAR that `xz` makes of a file.
static bool restore_xz(const BuiltinBuildInput *input, const char *file, const char *out, Err *err) {
  const char *argv[] = {"xz", "--decompress", "--stdout", "--", file, NULL};
  ProcessSpec spec = PROCESS_SPEC_INIT;
  int ends[2], status = 0;
  if (pipe2(ends, O_CLOEXEC) != 0) return err_set_errno(err, errno, "creating a pipe");
  CLEANUP(fs_close_fd) int read_fd = ends[0];
  CLEANUP(fs_close_fd) int write_fd = ends[1];
  spec.argv = argv;
  spec.stdout_fd = write_fd;
  Process process;
  if (!spawn(input, &spec, &process, err)) return false;
  fs_close_fd(&write_fd);
  ByteSource source = byte_stream_from_fd(&read_fd);
  bool ok = castore_nar_restore(&source, out, err);
  fs_close_fd(&read_fd); // a program that goes on writing ends of SIGPIPE
  if (!wait_for(input, &process, &status, ok ? err : NULL)) return false;
  if (ok && status != 0) return err_set(err, ERR_OTHER, "'%s' is not a valid xz file", file);
  return ok;
}

// --- builtin:fetchurl

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The path of a file: URL, with %xx decoded.
static void put_url_path(Span path, Buf *ret) {
  for (size_t i = 0; i < path.len; i++) {
    bool escaped =
        path.data[i] == '%' && i + 2 < path.len && hex_value(path.data[i + 1]) >= 0 && hex_value(path.data[i + 2]) >= 0;
    if (!escaped) {
      buf_put_char(ret, path.data[i]);
      continue;
    }
    buf_put_char(ret, (char)(hex_value(path.data[i + 1]) * 16 + hex_value(path.data[i + 2])));
    i += 2;
  }
}

// *ret is the path of a local file with the content of the URL: the file itself, or a download in `dir`.
static bool get_url(const BuiltinBuildInput *input, Span url, const char *dir, Buf *ret, Err *err) {
  if (span_has_prefix(url, SPAN("file://"))) {
    put_url_path(span_from(url, 7), ret);
    return true;
  }
  if (!span_has_prefix(url, SPAN("http://")) && !span_has_prefix(url, SPAN("https://")))
    return err_set(err, ERR_OTHER, "unable to download '%.*s': the scheme is not supported (file, http, https)",
                   SPAN_ARG(url));
  buf_printf(ret, "%s/download", dir);
  char *text = span_dup(url);
  const char *argv[] = {
      "curl", "--fail",  "--location",  "--silent", "--show-error", "--retry", "4",  "--connect-timeout",
      "15",   "--proto", "=http,https", "--output", buf_cstr(ret),  "--",      text, NULL};
  bool ok = run_program(input, dir, argv, err);
  mem_free(text);
  return ok || err_wrap(err, "unable to download '%.*s'", SPAN_ARG(url));
}

static bool copy_file(const char *from, const char *out, bool executable, Err *err) {
  CLEANUP(fs_close_fd) int from_fd = -1;
  CLEANUP(fs_close_fd) int to_fd = -1;
  if (!fs_open(from, O_RDONLY, 0, &from_fd, err)) return false;
  if (!fs_open(out, O_WRONLY | O_CREAT | O_EXCL, executable ? 0755 : 0644, &to_fd, err)) return false;
  ByteSource source = byte_stream_from_fd(&from_fd);
  ByteSink sink = byte_stream_to_fd(&to_fd);
  return byte_stream_copy(&source, &sink, err);
}

static bool restore_nar(const char *from, const char *out, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  if (!fs_open(from, O_RDONLY, 0, &fd, err)) return false;
  ByteSource source = byte_stream_from_fd(&fd);
  return castore_nar_restore(&source, out, err);
}

static bool fetchurl(const BuiltinBuildInput *input, const char *dir, const char *out, Err *err) {
  Span url;
  if (input->type != DERIVATION_TYPE_FIXED && input->type != DERIVATION_TYPE_IMPURE)
    return err_set(err, ERR_OTHER, "'builtin:fetchurl' must be a fixed-output or impure derivation");
  if (!get_attr(input->drv, "url", &url, err)) return false;
  Buf file = BUF_INIT;
  bool ok = get_url(input, url, dir, &file, err);
  if (ok && !attr_is_1(input->drv, "unpack"))
    ok = copy_file(buf_cstr(&file), out, attr_is_1(input->drv, "executable"), err);
  else if (ok && span_has_suffix(url, SPAN(".xz"))) ok = restore_xz(input, buf_cstr(&file), out, err);
  else if (ok) ok = restore_nar(buf_cstr(&file), out, err);
  buf_done(&file);
  return ok;
}

// --- builtin:unpack-channel

// The only entry of a directory; NULL when there is none or more than one.
static char *only_entry(const char *path) {
  DIR *dir = opendir(path);
  char *ret = NULL;
  size_t count = 0;
  for (struct dirent *entry; dir && (entry = readdir(dir));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    mem_free(ret);
    ret = span_dup(span_cstr(entry->d_name));
    count++;
  }
  if (dir) closedir(dir);
  if (count != 1) mem_free(STEAL(ret));
  return ret;
}

static bool name_channel(const char *out, Span name, Span src, Err *err) {
  char *entry = only_entry(out);
  if (!entry) return err_set(err, ERR_OTHER, "channel tarball '%.*s' contains more than one file", SPAN_ARG(src));
  Buf from = BUF_INIT, to = BUF_INIT;
  buf_printf(&from, "%s/%s", out, entry);
  buf_printf(&to, "%s/%.*s", out, SPAN_ARG(name));
  bool ok = rename(buf_cstr(&from), buf_cstr(&to)) == 0 || err_set_errno(err, errno, "renaming '%s'", from.data);
  buf_done(&from);
  buf_done(&to);
  mem_free(entry);
  return ok;
}

static bool unpack_channel(const BuiltinBuildInput *input, const char *dir, const char *out, Err *err) {
  Span name, src, rest;
  StorePath path;
  if (!get_attr(input->drv, "channelName", &name, err) || !get_attr(input->drv, "src", &src, err)) return false;
  if (!name.len || span_find_char(name, '/') != SIZE_MAX || span_eq(name, SPAN(".")) || span_eq(name, SPAN("..")))
    return err_set(err, ERR_OTHER, "channelName is not allowed to contain filesystem separators, got %.*s",
                   SPAN_ARG(name));
  if (!store_path_split(src, store_dir(input->store), &path, &rest, err)) return false;
  Buf file = BUF_INIT;
  store_format_physical(input->store, &path, &file);
  buf_put_span(&file, rest);
  // tar refuses to leave the directory by itself.
  const char *argv[] = {"tar", "--extract", "--no-same-owner", "--file", buf_cstr(&file), "--directory", out, NULL};
  bool ok = fs_mkdir_all(out, 0755, err) && run_program(input, dir, argv, err) && name_channel(out, name, src, err);
  buf_done(&file);
  return ok;
}

// --- the frame

static bool buildenv(const BuiltinBuildInput *input, const char *out, Err *err) {
  Span packages, manifest;
  return get_attr(input->drv, "derivations", &packages, err) && get_attr(input->drv, "manifest", &manifest, err) &&
         build_env_make(input->store, packages, manifest, out, NULL, err);
}

static bool make_dir(const BuiltinBuildInput *input, BuiltinBuild *build, Err *err) {
  Buf dir = BUF_INIT;
  bool ok = store_scratch(input->store, SPAN("-builtin"), &dir, err) && fs_mkdir_all(buf_cstr(&dir), 0700, err);
  if (ok) build->dir = buf_take(&dir);
  buf_done(&dir);
  return ok;
}

static void set_places(const BuiltinBuildInput *input, BuiltinBuild *build) {
  size_t count = input->request->output_count;
  BuildOutput *outputs = ARENA_ARRAY(&build->arena, BuildOutput, count);
  for (size_t i = 0; i < count; i++) {
    Span base = fs_path_base(input->request->outputs[i]);
    outputs[i] = (BuildOutput){
        .host_path = arena_printf(&build->arena, "%s/%.*s", build->dir ? build->dir : "", SPAN_ARG(base))};
  }
  build->result.outputs = outputs;
  build->result.output_count = count;
}

static bool run(const BuiltinBuildInput *input, BuiltinBuild *build, Err *err) {
  const Derivation *drv = input->drv;
  Span name = span_from(drv->builder, sizeof "builtin:" - 1);
  size_t out = 0;
  if (!make_dir(input, build, err)) return false;
  set_places(input, build);
  while (out < drv->output_count && !span_eq(drv->outputs[out].name, SPAN("out"))) out++;
  if (out == drv->output_count)
    return err_set(err, ERR_OTHER, "'%.*s' requires an 'out' output", SPAN_ARG(drv->builder));
  const char *place = build->result.outputs[input->output_order[out]].host_path;
  if (span_eq(name, SPAN("fetchurl"))) return fetchurl(input, build->dir, place, err);
  if (span_eq(name, SPAN("buildenv"))) return buildenv(input, place, err);
  if (span_eq(name, SPAN("unpack-channel"))) return unpack_channel(input, build->dir, place, err);
  return err_set(err, ERR_OTHER, "unsupported builtin builder '%.*s'", SPAN_ARG(name));
}

static void set_failure(BuiltinBuild *build, Err *err) {
  Span *line = ARENA_NEW(&build->arena, Span);
  *line = span_cstr(arena_printf(&build->arena, "error: %s", err_message(err)));
  build->result.log_tail = line;
  build->result.log_tail_count = 1;
  build->result.outcome = err->kind == ERR_INTERRUPTED ? BUILD_CANCELLED : BUILD_EXITED;
  build->result.exit_code = 1;
  err_done(err);
}

void builtin_builder_run(const BuiltinBuildInput *input, BuiltinBuild *ret) {
  Err err = ERR_INIT;
  *ret = (BuiltinBuild){.arena = ARENA_INIT};
  ret->result.start_ns = loop_now_ns();
  if (!run(input, ret, &err)) set_failure(ret, &err);
  ret->result.stop_ns = loop_now_ns();
}

void builtin_builder_done(BuiltinBuild *build) {
  Err err = ERR_INIT;
  if (build->dir && !fs_remove_tree(build->dir, &err)) log_warn("removing '%s': %s", build->dir, err_message(&err));
  err_done(&err);
  mem_free(build->dir);
  arena_done(&build->arena);
  *build = (BuiltinBuild){0};
}
