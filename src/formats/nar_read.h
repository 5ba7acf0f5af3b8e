// nar_read.h: reads a Nix archive as a stream of events. A pull state machine: it is fed pieces of any size and keeps
// only names and link targets, never file contents.
//
//   nar    = str("nix-archive-1") node
//   node   = str("(") str("type") ( regular | symlink | directory ) str(")")
//   regular   = str("regular") [ str("executable") str("") ] [ str("contents") str(bytes) ]
//   symlink   = str("symlink") str("target") str(bytes)
//   directory = str("directory") ( str("entry") str("(") str("name") str(bytes) str("node") node str(")") )*
//   str(s) = u64le(len) s zero-padding to a multiple of 8
//
// Strict: tags must be spelled exactly, padding zero, names valid and strictly increasing (bytewise), so that one tree has one
// archive and its hash means something. (An archive without "contents" stands for an empty file, as in Nix.)
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define NAR_READ_NAME_MAX 255    // bytes; NAME_MAX of Linux
#define NAR_READ_TARGET_MAX 4095 // bytes; PATH_MAX of Linux, without the NUL
#define NAR_READ_DEPTH_MAX 4096  // nested directories

typedef enum NarReadStatus {
  NAR_READ_ERROR, // *err is set; the reader cannot go on
  NAR_READ_MORE,  // the input is used up
  NAR_READ_EVENT,
  NAR_READ_DONE, // the archive is complete; *input is what follows it
} NarReadStatus;

typedef enum NarReadKind {
  NAR_READ_DIR_BEGIN,
  NAR_READ_DIR_END,
  NAR_READ_FILE_BEGIN,
  NAR_READ_FILE_DATA, // not for empty files
  NAR_READ_FILE_END,
  NAR_READ_SYMLINK,
} NarReadKind;

typedef struct NarReadEvent {
  NarReadKind kind;
  Span name;               // *_BEGIN and SYMLINK; empty for the root. Valid until the next call
  Span data;               // FILE_DATA: a part of the input; SYMLINK: the target, valid until the next call
  bool executable;         // FILE_BEGIN
  uint64_t size_bytes;     // FILE_BEGIN: length of the contents
  uint64_t content_offset; // FILE_BEGIN: position of the contents in the archive
} NarReadEvent;

typedef struct NarRead {
  uint8_t state;      // what the grammar expects next
  uint8_t phase;      // where inside of a string the input stopped
  uint8_t length_len; // bytes gathered in `length`
  uint8_t pad;        // padding bytes still to come
  bool executable;
  uint32_t depth;  // open directories
  uint64_t offset; // bytes consumed
  uint64_t left;   // bytes of the current string still to come
  uint8_t length[8];
  Buf text;  // owned: a tag, name or target that came in pieces
  Buf names; // owned: last entry name of each open directory, each followed by its length (uint16_t)
} NarRead;

void nar_read_init(NarRead *nar);
void nar_read_done(NarRead *nar);
// Takes from *input, which is advanced.
NarReadStatus nar_read_next(NarRead *nar, Span *input, NarReadEvent *ret, Err *err);
// At the end of the input: false unless the archive is complete.
MUST_CHECK bool nar_read_finish(const NarRead *nar, Err *err);

// A name that may stand in an archive: 1..NAR_READ_NAME_MAX bytes, not "." or "..", no '/' or NUL.
MUST_CHECK bool nar_read_check_name(Span name, Err *err);
