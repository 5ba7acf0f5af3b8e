// sandbox_seccomp.c: see sandbox_seccomp.h.
#include "build/sandbox_seccomp.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"

// Younger than libseccomp 2.5.4; the same number on every architecture.
enum { SYSCALL_FCHMODAT2 = 452 };

typedef struct Call {
  const char *name;
  int number;
  unsigned mode_arg;
} Call;

static const Call mode_calls[] = {{"chmod", SCMP_SYS(chmod), 1},
                                  {"fchmod", SCMP_SYS(fchmod), 1},
                                  {"fchmodat", SCMP_SYS(fchmodat), 2},
                                  {"fchmodat2", SYSCALL_FCHMODAT2, 2}};
static const unsigned mode_bits[] = {S_ISUID, S_ISGID};
static const Call attribute_calls[] = {{"getxattr", SCMP_SYS(getxattr), 0},   {"lgetxattr", SCMP_SYS(lgetxattr), 0},
                                       {"fgetxattr", SCMP_SYS(fgetxattr), 0}, {"setxattr", SCMP_SYS(setxattr), 0},
                                       {"lsetxattr", SCMP_SYS(lsetxattr), 0}, {"fsetxattr", SCMP_SYS(fsetxattr), 0}};

#if defined(__x86_64__)
static const uint32_t extra_architectures[] = {SCMP_ARCH_X86, SCMP_ARCH_X32};
static const char *const architecture_names[] = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#elif defined(__aarch64__)
static const uint32_t extra_architectures[] = {SCMP_ARCH_ARM};
static const char *const architecture_names[] = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#else
#error "name the 32-bit system call tables of this architecture"
#endif

// Each returns 0 or a negative errno, as libseccomp does.
static int add_architectures(scmp_filter_ctx ctx) {
  for (size_t i = 0; i < ARRAY_LEN(extra_architectures); i++) {
    int status = seccomp_arch_add(ctx, extra_architectures[i]);
    if (status != 0 && status != -EEXIST) return status;
  }
  return 0;
}

static int forbid_mode_bits(scmp_filter_ctx ctx) {
  for (size_t i = 0; i < ARRAY_LEN(mode_calls); i++) {
    for (size_t j = 0; j < ARRAY_LEN(mode_bits); j++) {
      struct scmp_arg_cmp has_bit = SCMP_CMP(mode_calls[i].mode_arg, SCMP_CMP_MASKED_EQ, mode_bits[j], mode_bits[j]);
      int status = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), mode_calls[i].number, 1, &has_bit);
      if (status != 0) return status;
    }
  }
  return 0;
}

static int forbid_attributes(scmp_filter_ctx ctx) {
  for (size_t i = 0; i < ARRAY_LEN(attribute_calls); i++) {
    int status = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOTSUP), attribute_calls[i].number, 0);
    if (status != 0) return status;
  }
  return 0;
}

static int export_program(scmp_filter_ctx ctx, Buf *ret, Err *err) {
  CLEANUP(fs_close_fd) int fd = memfd_create("seccomp", MFD_CLOEXEC);
  if (fd < 0) return -errno;
  int status = seccomp_export_bpf(ctx, fd);
  if (status != 0) return status;
  if (lseek(fd, 0, SEEK_SET) != 0) return -errno;
  return fs_read_fd(fd, 0, ret, err) ? 0 : -EIO;
}

bool sandbox_seccomp_program(Buf *ret, Err *err) {
  scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
  if (!ctx) return err_set(err, ERR_OTHER, "creating the system call filter: libseccomp refused");
  int status = add_architectures(ctx);
  if (status == 0) status = forbid_mode_bits(ctx);
  if (status == 0) status = forbid_attributes(ctx);
  if (status == 0) status = export_program(ctx, ret, err);
  seccomp_release(ctx);
  if (status == 0) return true;
  return (err && err_is_set(err)) ? false : err_set_errno(err, -status, "creating the system call filter");
}

static void put_oci_rule(JsonWrite *json, const char *name, int error, const unsigned *arg, unsigned bits) {
  json_write_object_begin(json);
  json_write_text_key(json, SPAN("names"));
  json_write_array_begin(json);
  json_write_text(json, span_cstr(name));
  json_write_array_end(json);
  json_write_text_key(json, SPAN("action"));
  json_write_text(json, SPAN("SCMP_ACT_ERRNO"));
  json_write_text_key(json, SPAN("errnoRet"));
  json_write_int(json, error);
  if (arg) {
    json_write_text_key(json, SPAN("args"));
    json_write_array_begin(json);
    json_write_object_begin(json);
    json_write_text_key(json, SPAN("index"));
    json_write_uint(json, *arg);
    json_write_text_key(json, SPAN("value"));
    json_write_uint(json, bits);
    json_write_text_key(json, SPAN("valueTwo"));
    json_write_uint(json, bits);
    json_write_text_key(json, SPAN("op"));
    json_write_text(json, SPAN("SCMP_CMP_MASKED_EQ"));
    json_write_object_end(json);
    json_write_array_end(json);
  }
  json_write_object_end(json);
}

void sandbox_seccomp_write_oci(JsonWrite *json) {
  json_write_object_begin(json);
  json_write_text_key(json, SPAN("defaultAction"));
  json_write_text(json, SPAN("SCMP_ACT_ALLOW"));
  json_write_text_key(json, SPAN("architectures"));
  json_write_array_begin(json);
  for (size_t i = 0; i < ARRAY_LEN(architecture_names); i++) json_write_text(json, span_cstr(architecture_names[i]));
  json_write_array_end(json);
  json_write_text_key(json, SPAN("syscalls"));
  json_write_array_begin(json);
  for (size_t i = 0; i < ARRAY_LEN(mode_calls); i++)
    for (size_t j = 0; j < ARRAY_LEN(mode_bits); j++)
      put_oci_rule(json, mode_calls[i].name, EPERM, &mode_calls[i].mode_arg, mode_bits[j]);
  for (size_t i = 0; i < ARRAY_LEN(attribute_calls); i++) put_oci_rule(json, attribute_calls[i].name, ENOTSUP, NULL, 0);
  json_write_array_end(json);
  json_write_object_end(json);
}
