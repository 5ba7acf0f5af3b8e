// spill.h: an arena for text that is seldom read again. What it holds beyond SPILL_MEMORY_BYTES lies in a file without a name, mapped into memory,
// whose pages the kernel may take whenever it needs them; the process lets go of each part as soon as it is full.
//
// The text stays where it is, as in any arena, and reading it needs no call. Where no such file can be made (or only in memory), and
// when the disk is full, it is an ordinary arena. Not thread-safe for writing.
#pragma once

#include "base/arena.h"

#define SPILL_MEMORY_BYTES ((size_t)8 << 20)
#define SPILL_MAX_BYTES ((size_t)64 << 30) // of the file; beyond it, memory again

typedef struct Spill {
  Arena arena;
  size_t arena_bytes;
  const char *dir; // borrowed; NULL: $TMPDIR, or /var/tmp
  size_t limit_bytes;
  bool is_tried; // to make the file
  char *map;     // of SPILL_MAX_BYTES; NULL: none
  int fd;
  size_t used, ready; // bytes of the file that hold text; that exist
  size_t released;    // bytes that the process has let go of
} Spill;

// `limit_bytes`: what is kept in memory; SPILL_MEMORY_BYTES but in tests.
void spill_init(Spill *spill, const char *dir, size_t limit_bytes);
void spill_done(Spill *spill);
Span spill_dup(Spill *spill, Span text); // a copy, with a NUL behind it
// Lets go of everything in the file again, which the kernel brings back when it is read.
void spill_release(Spill *spill);
bool spill_has_file(const Spill *spill);
