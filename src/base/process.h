// process.h: child processes with explicit descriptors and environment, waited for by pidfd.
#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

typedef struct ProcessSpec {
  const char *program;                // NULL: argv[0]; looked up in PATH when it has no '/'
  const char *const *argv;            // NULL-terminated
  const char *const *env;             // NULL-terminated "K=V"; NULL inherits
  const char *cwd;                    // NULL inherits
  int stdin_fd, stdout_fd, stderr_fd; // -1: /dev/null for stdin, inherit for the others
  const int *keep_fds;                // further descriptors to keep open, same numbers; others are closed
  size_t keep_fd_count;
  bool new_session; // setsid, so that the whole group can be killed by -pid
  // SIGKILL when the spawning *thread* ends: spawn from one that lives as long as the child should.
  bool die_with_parent;
  bool set_umask; // to `umask`; else inherited
  unsigned umask;
  bool no_core_dumps;    // soft limit 0
  unsigned long persona; // for personality(2); 0 inherits
  int cgroup_fd;         // cgroup.procs of the control group that the child is to run in; -1: ours
  int cancel_fd; // process_run: once this is readable the child (with new_session: its group) is killed and the run is ERR_INTERRUPTED; -1: never
} ProcessSpec;

#define PROCESS_SPEC_INIT \
  { .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .cgroup_fd = -1, .cancel_fd = -1 }

typedef struct Process {
  pid_t pid;
  int pidfd; // readable when the child has ended; owned
} Process;

// The first executable file of that name in PATH, as execvp would choose; a name with '/' stays what it is, unlooked at. Replaces *ret.
MUST_CHECK bool process_find_program(const char *name, Buf *ret, Err *err);
// An exec failure is reported here, not by exit code 127. The child starts with no signal blocked and none handled.
MUST_CHECK bool process_spawn(const ProcessSpec *spec, Process *ret, Err *err);
// Blocks; *ret_status as from waitpid. Closes pidfd.
MUST_CHECK bool process_wait(Process *process, int *ret_status, Err *err);
void process_kill(const Process *process, int sig, bool whole_group);
// Runs to the end; captures standard output (and error, when ret_stderr is not NULL). Non-zero exit is not an error here.
MUST_CHECK bool process_run(const ProcessSpec *spec, Buf *ret_stdout, Buf *ret_stderr, int *ret_status, Err *err);
// Processors this process may use, at least 1.
unsigned process_cpu_count(void);
// The memory that this process has in use, also what is shared; 0 where that is not known.
size_t process_resident_bytes(void);
// "exited with code 3", "was killed by signal 9 (Killed)".
void process_format_status(int status, Buf *ret);
