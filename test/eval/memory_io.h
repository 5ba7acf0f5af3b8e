// memory_io.h: an EvalIo over a table of files in memory, some of which are "built" first: questions about them are answered
// EVAL_IO_PENDING until poll has completed the wait that the first question started.
#pragma once

#include "base/map.h"
#include "eval/eval_io.h"

typedef struct MemoryFile {
  const char *path;   // absolute; directories are implied
  const char *text;   // NULL: building fails
  bool built;         // must be waited for
  const char *target; // a symbolic link instead of a file
} MemoryFile;

typedef struct MemoryIo {
  EvalIo io;
  const MemoryFile *files;
  size_t file_count;
  uint64_t wait_of[64]; // by file; 0: not asked for yet
  bool complete[64];
  uint64_t pending[64]; // in the order of asking
  size_t pending_count;
  uint64_t next_wait;
  size_t largest_pending_count; // waits that were open at once when somebody blocked
  size_t block_count;           // how often evaluation had nothing else to do
} MemoryIo;

void memory_io_init(MemoryIo *io, const MemoryFile *files, size_t file_count);
