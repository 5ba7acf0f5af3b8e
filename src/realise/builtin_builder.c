// builtin_builder.c: see builtin_builder.h.
#include "realise/builtin_builder.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "castore/castore_nar.h"
#include "realise/build_env.h"

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

// --- builtin:fetchurl

// The path of a file: URL, with %xx decoded.
static bool url_to_path(Span url, Buf *ret, Err *err) {
  Span path = url;
  if (span_has_prefix(path, SPAN("file://"))) path = span_from(path, 7);
  else return err_set(err, ERR_OTHER, "cannot fetch '%.*s': only file:// URLs are supported here", SPAN_ARG(url));
  for (size_t i = 0; i < path.len; i++) {
    unsigned value;
    if (path.data[i] == '%' && i + 2 < path.len &&
        sscanf((char[]){path.data[i + 1], path.data[i + 2], 0}, "%2x", &value) == 1) {
      buf_put_char(ret, (char)value);
      i += 2;
    } else buf_put_char(ret, path.data[i]);
  }
  return true;
}

static bool write_file(int from, const char *out, bool executable, Err *err) {
  CLEANUP(fs_close_fd) int to = -1;
  if (!fs_open(out, O_WRONLY | O_CREAT | O_EXCL, executable ? 0755 : 0644, &to, err)) return false;
  ByteSource source = byte_stream_from_fd(&from);
  ByteSink sink = byte_stream_to_fd(&to);
  return byte_stream_copy(&source, &sink, err);
}

static bool fetch_file(const Derivation *drv, Span url, const char *out, Err *err) {
  Buf path = BUF_INIT;
  CLEANUP(fs_close_fd) int from = -1;
  bool ok = url_to_path(url, &path, err) && fs_open(buf_cstr(&path), O_RDONLY, 0, &from, err);
  buf_done(&path);
  if (!ok) return false;
  if (!attr_is_1(drv, "unpack")) return write_file(from, out, attr_is_1(drv, "executable"), err);
  if (span_has_suffix(url, SPAN(".xz")))
    return err_set(err, ERR_OTHER, "cannot unpack '%.*s': xz is not supported here", SPAN_ARG(url));
  ByteSource source = byte_stream_from_fd(&from);
  return castore_nar_restore(&source, out, err);
}

static bool fetchurl(const BuiltinBuildInput *input, const char *out, Err *err) {
  Span url;
  if (input->type != DERIVATION_TYPE_FIXED && input->type != DERIVATION_TYPE_IMPURE)
    return err_set(err, ERR_OTHER, "'builtin:fetchurl' must be a fixed-output or impure derivation");
  return get_attr(input->drv, "url", &url, err) && fetch_file(input->drv, url, out, err);
}

// --- the frame

static bool buildenv(const BuiltinBuildInput *input, const char *out, Err *err) {
  Span packages, manifest;
  return get_attr(input->drv, "derivations", &packages, err) && get_attr(input->drv, "manifest", &manifest, err) &&
         build_env_make(input->store, packages, manifest, out, err);
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
  if (span_eq(name, SPAN("fetchurl"))) return fetchurl(input, place, err);
  if (span_eq(name, SPAN("buildenv"))) return buildenv(input, place, err);
  return err_set(err, ERR_OTHER, "unsupported builtin builder '%.*s'", SPAN_ARG(name));
}

static void set_failure(BuiltinBuild *build, Err *err) {
  Span *line = ARENA_NEW(&build->arena, Span);
  *line = span_cstr(arena_printf(&build->arena, "error: %s", err_message(err)));
  build->result.log_tail = line;
  build->result.log_tail_count = 1;
  build->result.outcome = BUILD_EXITED;
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
