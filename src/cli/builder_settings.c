// builder_settings.c: see builder_settings.h.
#include "cli/builder_settings.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"

// "/inside=/outside?" of sandbox-paths; '?' allows it to be missing.
static bool read_bind(Span word, Arena *arena, LocalBuilderConfig *config, SandboxBind *ret, bool *ret_is_bind,
                      Err *err) {
  Span inside;
  bool optional = span_has_suffix(word, SPAN("?"));
  if (optional) word.len--;
  span_split(&word, '=', &inside);
  const char *path = arena_dup(arena, inside).data;
  const char *source = word.len ? arena_dup(arena, word).data : path;
  struct stat st;
  *ret_is_bind = false;
  if (stat(source, &st) != 0) {
    int failed = errno;
    return optional || err_set_errno(err, failed, "sandbox path '%s'", source);
  }
  // The shell is given to builders by its own option of the sandbox.
  if (strcmp(path, "/bin/sh") == 0) {
    config->shell = source;
    return true;
  }
  *ret_is_bind = true;
  *ret = (SandboxBind){.path = path, .source = source, .is_dir = S_ISDIR(st.st_mode), .writable = true};
  return true;
}

static bool read_binds(const Setting *settings, Arena *arena, LocalBuilderConfig *config, Err *err) {
  Span rest = span_cstr(setting_text(settings, SETTING_ID_sandbox_paths)), word;
  size_t count = 0;
  while (setting_next_word(&rest, &word)) count++;
  SandboxBind *binds = ARENA_ARRAY(arena, SandboxBind, count);
  config->extra_binds = binds;
  rest = span_cstr(setting_text(settings, SETTING_ID_sandbox_paths));
  while (setting_next_word(&rest, &word)) {
    bool is_bind;
    if (!read_bind(word, arena, config, &binds[config->extra_bind_count], &is_bind, err)) return false;
    config->extra_bind_count += is_bind;
  }
  return true;
}

static bool read_backend(const Setting *settings, Arena *arena, LocalBuilderConfig *config, Err *err) {
  Span text = span_cstr(setting_text(settings, SETTING_ID_sandbox_backend));
  if (span_eq(text, SPAN("auto"))) {
    config->executor = SANDBOX_EXECUTOR_AUTO;
  } else if (span_eq(text, SPAN("native"))) {
    config->executor = SANDBOX_EXECUTOR_NATIVE;
  } else if (span_eq(text, SPAN("bubblewrap"))) {
    config->executor = SANDBOX_EXECUTOR_BUBBLEWRAP;
  } else if (span_has_prefix(text, SPAN("oci://"))) {
    Span runtime = span_from(text, strlen("oci://"));
    config->executor = SANDBOX_EXECUTOR_OCI;
    config->oci_runtime = runtime.len ? arena_dup(arena, runtime).data : NULL;
  } else {
    return err_set(err, ERR_USAGE,
                   "setting 'sandbox-backend' is auto, native, bubblewrap, oci:// or oci://PROGRAM, not '%.*s'",
                   SPAN_ARG(text));
  }
  return true;
}

// Bytes, or percent of the machine's memory. Half is what the kernel does by itself.
static bool read_shm_size(const Setting *settings, LocalBuilderConfig *config, Err *err) {
  static const char units[] = "KMGT";
  Span text = span_cstr(setting_text(settings, SETTING_ID_sandbox_dev_shm_size)), digits = text;
  uint64_t number, unit = 1;
  if (span_eq(text, SPAN("50%")) || !text.len) return true;
  char last = text.data[text.len - 1];
  const char *found = strchr(units, last >= 'a' && last <= 'z' ? last - 'a' + 'A' : last);
  if (last == '%' || found) digits.len--;
  if (found) unit = UINT64_C(1) << (10 * (found - units + 1));
  if (last == '%') unit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 100;
  if (span_parse_u64(digits, &number) && !__builtin_mul_overflow(number, unit, &config->shm_size_bytes)) return true;
  return err_set(err, ERR_USAGE, "setting 'sandbox-dev-shm-size' has invalid value '%.*s'", SPAN_ARG(text));
}

bool builder_settings_read(const Setting *settings, Arena *arena, LocalBuilderConfig *ret, Err *err) {
  const char *host_dir = setting_text(settings, SETTING_ID_build_dir);
  if (*host_dir && host_dir[0] != '/')
    return err_set(err, ERR_USAGE, "setting 'build-dir' is an absolute path, not '%s'", host_dir);
  ret->host_build_dir = *host_dir ? host_dir : NULL;
  ret->build_dir = setting_text(settings, SETTING_ID_sandbox_build_dir);
  ret->filter_syscalls = setting_bool(settings, SETTING_ID_filter_syscalls);
  ret->use_cgroups = setting_bool(settings, SETTING_ID_use_cgroups);
  ret->limits = (BuildCgroupLimits){
      .memory_bytes = (uint64_t)setting_int(settings, SETTING_ID_build_memory_max),
      .cpu_percent = (uint64_t)setting_int(settings, SETTING_ID_build_cpu_max),
      .pid_count = (uint64_t)setting_int(settings, SETTING_ID_build_pids_max),
  };
  return read_backend(settings, arena, ret, err) && read_shm_size(settings, ret, err) &&
         read_binds(settings, arena, ret, err);
}

// The default names a file that mostly is not there, and one that is there and empty names nothing either.
static bool names_machines(Span text) {
  text = span_trim(text);
  if (!span_has_prefix(text, SPAN("@"))) return text.len > 0;
  CLEANUP(mem_free_ptr) char *path = span_dup(span_from(text, 1));
  Buf content CLEANUP(buf_done) = BUF_INIT;
  return fs_read_file(path, 1 << 20, &content, NULL) && span_trim(buf_span(&content)).len > 0;
}

void builder_settings_check_remote(const Setting *settings) {
  const char *builders = setting_text(settings, SETTING_ID_builders);
  if (names_machines(span_cstr(builders)))
    log_warn("setting 'builders' ('%s') names machines, but firn builds only on this one", builders);
}
