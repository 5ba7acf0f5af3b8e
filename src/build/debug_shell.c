// debug_shell.c: see debug_shell.h.
#include "build/debug_shell.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/fs.h"

struct DebugShell {
  Loop *loop;
  int master_fd;
  LoopSource *from_user, *from_shell;
  struct termios former;
};

bool debug_shell_is_possible(void) {
  return isatty(0) && isatty(2);
}

// Moves what is there. False at the end or on an error: then there is nothing more to move.
static bool move(int from, int to) {
  char data[4096];
  ssize_t got = read(from, data, sizeof data);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  return got > 0 && fs_write_all(to, span_make(data, (size_t)got), NULL);
}

static void on_user(void *ctx, uint32_t events UNUSED) {
  DebugShell *shell = ctx;
  if (move(0, shell->master_fd)) return;
  loop_remove(shell->from_user);
  shell->from_user = NULL;
}

static void on_shell(void *ctx, uint32_t events UNUSED) {
  DebugShell *shell = ctx;
  if (move(shell->master_fd, 2)) return;
  loop_remove(shell->from_shell);
  shell->from_shell = NULL;
}

bool debug_shell_start(Loop *loop, int master_fd, DebugShell **ret, Err *err) {
  DebugShell *shell = mem_alloc_zero(sizeof *shell);
  *shell = (DebugShell){.loop = loop, .master_fd = master_fd};
  struct winsize size;
  struct termios raw;
  if (ioctl(0, TIOCGWINSZ, &size) == 0) ioctl(master_fd, TIOCSWINSZ, &size);
  bool ok = tcgetattr(0, &shell->former) == 0 || err_set_errno(err, errno, "reading the terminal's settings");
  if (ok) {
    raw = shell->former;
    cfmakeraw(&raw);
    ok = tcsetattr(0, TCSANOW, &raw) == 0 || err_set_errno(err, errno, "changing the terminal's settings");
  }
  if (!ok) {
    mem_free(shell);
    return false;
  }
  if (!loop_add_fd(loop, 0, EPOLLIN, on_user, shell, &shell->from_user, err) ||
      !loop_add_fd(loop, master_fd, EPOLLIN, on_shell, shell, &shell->from_shell, err)) {
    debug_shell_stop(shell);
    return false;
  }
  *ret = shell;
  return true;
}

void debug_shell_stop(DebugShell *shell) {
  if (!shell) return;
  // What the shell printed last.
  while (shell->from_shell && move(shell->master_fd, 2) && errno != EAGAIN) errno = 0;
  loop_remove(shell->from_user);
  loop_remove(shell->from_shell);
  tcsetattr(0, TCSANOW, &shell->former);
  mem_free(shell);
}
