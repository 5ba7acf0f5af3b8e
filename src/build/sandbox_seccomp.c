// sandbox_seccomp.c: see sandbox_seccomp.h.
#include "build/sandbox_seccomp.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"

// Younger than libseccomp 2.5.4; the same number on every architecture.
enum { SYSCALL_FCHMODAT2 = 452 };

// Each returns 0 or a negative errno, as libseccomp does.
static int add_architectures(scmp_filter_ctx ctx) {
#if defined(__x86_64__)
  static const uint32_t extra[] = {SCMP_ARCH_X86, SCMP_ARCH_X32};
#elif defined(__aarch64__)
  static const uint32_t extra[] = {SCMP_ARCH_ARM};
#else
#error "name the 32-bit system call tables of this architecture"
#endif
  for (size_t i = 0; i < ARRAY_LEN(extra); i++) {
    int status = seccomp_arch_add(ctx, extra[i]);
    if (status != 0 && status != -EEXIST) return status;
  }
  return 0;
}

static int forbid_mode_bits(scmp_filter_ctx ctx) {
  static const struct {
    int syscall;
    unsigned mode_arg;
  } calls[] = {{SCMP_SYS(chmod), 1}, {SCMP_SYS(fchmod), 1}, {SCMP_SYS(fchmodat), 2}, {SYSCALL_FCHMODAT2, 2}};
  static const scmp_datum_t bits[] = {S_ISUID, S_ISGID};
  for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
    for (size_t j = 0; j < ARRAY_LEN(bits); j++) {
      struct scmp_arg_cmp has_bit = SCMP_CMP(calls[i].mode_arg, SCMP_CMP_MASKED_EQ, bits[j], bits[j]);
      int status = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), calls[i].syscall, 1, &has_bit);
      if (status != 0) return status;
    }
  }
  return 0;
}

static int forbid_attributes(scmp_filter_ctx ctx) {
  static const int calls[] = {SCMP_SYS(getxattr), SCMP_SYS(lgetxattr), SCMP_SYS(fgetxattr),
                              SCMP_SYS(setxattr), SCMP_SYS(lsetxattr), SCMP_SYS(fsetxattr)};
  for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
    int status = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOTSUP), calls[i], 0);
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
