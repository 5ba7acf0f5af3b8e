// measure.c: runs a program and writes what it used to a file, as `wall_ns cpu_ns peak_kib status`. A small process of its own, because
// the peak that the kernel reports for a child includes the memory of whoever forked it.
//
// usage: measure FILE PROGRAM ARGUMENT...
#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t timeval_ns(struct timeval time) {
  return (int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_usec * 1000;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: measure FILE PROGRAM ARGUMENT...\n");
    return 2;
  }
  // C++ Nix recurses on the C stack; what a user would do before a deep evaluation is `ulimit -s unlimited`.
  struct rlimit stack;
  if (getrlimit(RLIMIT_STACK, &stack) == 0) {
    stack.rlim_cur = stack.rlim_max;
    setrlimit(RLIMIT_STACK, &stack);
  }
  int64_t start_ns = now_ns();
  pid_t pid;
  int failure = posix_spawnp(&pid, argv[2], NULL, NULL, argv + 2, environ);
  if (failure) {
    fprintf(stderr, "measure: %s: %s\n", argv[2], strerror(failure));
    return 127;
  }
  int status;
  struct rusage usage;
  while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) continue;
  int64_t wall_ns = now_ns() - start_ns, cpu_ns = timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
  FILE *file = fopen(argv[1], "w");
  if (!file) {
    perror(argv[1]);
    return 1;
  }
  fprintf(file, "%lld %lld %ld %d\n", (long long)wall_ns, (long long)cpu_ns, usage.ru_maxrss, status);
  return fclose(file) == 0 ? 0 : 1;
}
