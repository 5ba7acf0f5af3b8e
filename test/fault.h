// fault.h: makes system calls fail, one after the other. A test program that uses it gets its own versions of the calls
// listed in fault.c, which replace the C library's for firn and for the libraries it uses (SQLite).
//
//   static bool attempt(void *ctx) {                 // the operation under test, on a fresh state
//     Err err = ERR_INIT;
//     bool ok = fs_write_file_atomic(path, text, 0644, true, &err);
//     fault_pause();                                 // what follows is the test itself
//     CHECK(ok || err_is_set(&err));
//     ... the law: either all of it happened or nothing ...
//     err_done(&err);
//     return ok;
//   }
//   TEST(every_call_may_fail) {
//     CHECK(fault_each(ENOSPC, attempt, NULL) > 5);
//   }
#pragma once

#include "base/macros.h"

// Runs `attempt` again and again. In run n (from 0) the nth of the listed calls fails with `sys_errno` (where that is a possible
// error of it is not asked). Ends after the first run that made no n+1 calls, which must have succeeded; returns n, the number of
// faults tried. A fault that the operation survives is fine. `attempt` runs in the test's own process and thread.
size_t fault_each(int sys_errno, bool (*attempt)(void *ctx), void *ctx);
// Inside `attempt`: no more faults in this run.
void fault_pause(void);
// Inside `attempt`: the call that was made to fail, as "fsync", or NULL.
const char *fault_name(void);
