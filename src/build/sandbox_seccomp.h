// sandbox_seccomp.h: the system call filter of builders, as a BPF program.
//
// Builders must not make set-uid or set-gid files (a file in the store would keep the bit until it
// is canonicalised, and anybody could run it meanwhile), and must not use extended attributes or
// ACLs, which the NAR format cannot hold: chmod, fchmod, fchmodat and fchmodat2 with such a mode
// fail with EPERM, reading and setting extended attributes with ENOTSUP. Also for the 32-bit system
// call tables that the architecture can run. The rules are those of C++ Nix 2.26 (setupSeccomp in
// local-derivation-goal).
//
// Test: test/build/sandbox_exec_test.c.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "formats/json_write.h"

// Appends an array of struct sock_filter. The same bytes for every build on a machine: make it
// once.
MUST_CHECK bool sandbox_seccomp_program(Buf *ret, Err *err);
// The same rules as the value of "linux.seccomp" in an OCI configuration.
void sandbox_seccomp_write_oci(JsonWrite *json);
