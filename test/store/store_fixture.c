// store_fixture.c: a store in the test's folder, and paths in it.
#include "store_fixture.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "harness.h"

Store *store_fixture_open(const char *name) {
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf url = BUF_INIT;
  Store *store;
  buf_printf(&url, "firn:%s", test_temp_path(name));
  CHECK_OK(store_open(&(StoreOptions){.url = buf_span(&url), .no_sync = true}, &store, &err), &err);
  return store;
}

StorePath store_fixture_text(Store *store, const char *name, const char *content, const StorePath *refs,
                             size_t ref_count) {
  Err err = ERR_INIT;
  StorePath path;
  CHECK_OK(store_add_text(store, span_cstr(name), span_cstr(content), refs, ref_count, &path, &err), &err);
  return path;
}

StorePath store_fixture_tree(Store *store, const char *name, const char *disk_path) {
  Err err = ERR_INIT;
  StorePath path;
  CHECK_OK(store_add_path(store, span_cstr(name), disk_path, NULL, &path, &err), &err);
  return path;
}

StorePath store_fixture_output(Store *store, char hash_char, const char *name, const char *content,
                               const StorePath *refs, size_t ref_count) {
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf scratch = BUF_INIT;
  CLEANUP(buf_done) Buf file = BUF_INIT;
  CLEANUP(buf_done) Buf base = BUF_INIT;
  PathInfo info = {.refs = (StorePath *)refs, .ref_count = ref_count};
  buf_put_repeat(&base, hash_char, 32);
  buf_printf(&base, "-%s", name);
  CHECK_OK(store_path_parse_base(buf_span(&base), &info.path, &err), &err);
  CHECK_OK(store_scratch(store, SPAN("-out"), &scratch, &err), &err);
  buf_printf(&file, "%s/bin", buf_cstr(&scratch));
  CHECK_OK(fs_mkdir_all(buf_cstr(&file), 0755, &err), &err);
  buf_put_cstr(&file, "/run");
  CHECK_OK(fs_write_file_atomic(buf_cstr(&file), span_cstr(content), 0755, false, &err), &err);
  CastoreImport import;
  CHECK_OK(store_add_scan(store, buf_cstr(&scratch), NULL, &import, &err), &err);
  info.root = import.root;
  info.nar_size_bytes = import.nar_size_bytes;
  memcpy(info.nar_sha256, import.nar_sha256, 32);
  CHECK_OK(
      store_register(store, &(StoreRegistration){.info = &info, .tree = buf_cstr(&scratch), .ultimate = true}, 1, &err),
      &err);
  store_add_scan_done(store, &import);
  return info.path;
}

bool store_fixture_valid(Store *store, const StorePath *path) {
  Err err = ERR_INIT;
  bool valid;
  CHECK_OK(store_is_valid(store, path, &valid, &err), &err);
  return valid;
}

bool store_fixture_build(const char *store_name, const char *name, const char *script, const char *link, StorePath *ret,
                         Buf *ret_errors) {
  Err err = ERR_INIT;
  int status;
  CLEANUP(buf_done) Buf url = BUF_INIT;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  CLEANUP(buf_done) Buf out = BUF_INIT;
  CLEANUP(buf_done) Buf errors = BUF_INIT;
  buf_printf(&url, "firn:%s", test_temp_path(store_name));
  buf_printf(&text,
             "derivation { name = \"%s\"; system = builtins.currentSystem; builder = \"/bin/sh\"; PATH = \"/bin\"; "
             "args = [ \"-c\" \"%s\" ]; }",
             name, script);
  ProcessSpec spec = PROCESS_SPEC_INIT;
  const char *argv[] = {test_build_path("bin/nix-build"),
                        "--store",
                        buf_cstr(&url),
                        "-E",
                        buf_cstr(&text),
                        link ? "-o" : "--no-out-link",
                        link,
                        NULL};
  spec.argv = argv;
  CHECK_OK(process_run(&spec, &out, &errors, &status, &err), &err);
  bool ok = status == 0 && store_path_parse(span_trim(buf_span(&out)), STORE_PATH_DIR, ret, NULL);
  if (!ok && ret_errors) buf_put_span(ret_errors, buf_span(&errors));
  return ok;
}

void store_fixture_nix(const char *const *argv, Buf *ret_stdout) {
  ProcessSpec spec = PROCESS_SPEC_INIT;
  CLEANUP(buf_done) Buf message = BUF_INIT;
  int status;
  Err err = ERR_INIT;
  const char *const probe[] = {"nix-store", "--version", NULL};
  spec.argv = probe;
  if (!process_run(&spec, &message, NULL, &status, NULL) || status != 0) test_skip("nix-store is not installed");
  setenv("NIX_CONFIG", "build-users-group =\nsubstituters =", 1);
  spec.argv = argv;
  buf_clear(&message);
  CHECK_OK(process_run(&spec, ret_stdout, &message, &status, &err), &err);
  if (status != 0) test_fail(__FILE__, __LINE__, "%s failed: %s", argv[0], buf_cstr(&message));
}
