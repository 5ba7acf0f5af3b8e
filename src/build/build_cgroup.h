// build_cgroup.h: a control group (cgroup v2) for each build: what the build has used is counted for all its processes together, limits hold for all
// of them, and all can be killed at once.
//
// Groups are made in the group that firn itself runs in, which must have been given to its user (root's always is; `systemd-run --user --scope -p
// Delegate=yes` gives one). For limits and peak memory, that group must pass the controllers on; where it does not yet and holds no
// process but firn, firn moves itself into a group "firn-<pid>" in it, because only a group without processes may pass controllers on.
//
// Sources: Linux Documentation/admin-guide/cgroup-v2.rst. Test: test/build/build_cgroup_test.c.
#pragma once

#include "base/arena.h"
#include "base/err.h"

// 0: no limit.
typedef struct BuildCgroupLimits {
  uint64_t memory_bytes; // beyond it everything in the build is killed
  uint64_t cpu_percent;  // of one processor, over each tenth of a second
  uint64_t pid_count;    // processes and threads
} BuildCgroupLimits;

typedef struct BuildUsage {
  uint64_t user_us, system_us; // processor time of all processes; 0 where it is not known
  uint64_t peak_memory_bytes;  // 0 where it is not known
  bool is_whole_group;         // else the peak is that of the largest process
} BuildUsage;

typedef struct BuildCgroups BuildCgroups;

// A group of one build. procs_fd: a process that writes "0" there enters it.
typedef struct BuildCgroup {
  const char *path; // NULL: there is none
  int procs_fd;     // owned
} BuildCgroup;

// How a group ended. Counts of the kernel's events.
typedef struct BuildCgroupEnd {
  BuildUsage usage;
  bool out_of_memory, out_of_pids;
} BuildCgroupEnd;

// Fails where groups cannot be made, and where a limit is wanted whose controller is not there; says why and what helps.
MUST_CHECK bool build_cgroup_open(const BuildCgroupLimits *limits, BuildCgroups **ret, Err *err);
// Undoes what open did. All groups must have been removed. NULL is allowed.
void build_cgroup_close(BuildCgroups *cgroups);
MUST_CHECK bool build_cgroup_make(BuildCgroups *cgroups, Arena *arena, BuildCgroup *ret, Err *err);
// Kills everything in the group and waits until it is gone (a moment), reads what it has used, and removes it. `ret_end` may be NULL.
void build_cgroup_remove(BuildCgroup *cgroup, BuildCgroupEnd *ret_end);
