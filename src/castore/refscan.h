// refscan.h: finds store path hash parts (32 nixbase32 characters) in a stream of bytes, many needles in one pass.
//
// The needles are immutable and shared between threads; each stream (a file, a link target) has its own RefScan, which carries
// the last 31 bytes over chunk boundaries. Only contents are scanned, never names: that is what C++ Nix does
// (libstore/references.cc), and what decides the references of a path.
//
// Speed: a window is looked at from its back; one byte that is not in the alphabet rules out 32 positions at once. Ordinary
// text and machine code pass at several gigabytes a second, and the needle count does not matter until 32 alphabet
// characters stand in a row.
#pragma once

#include "base/span.h"

#define REFSCAN_LEN 32

typedef struct RefscanNeedles RefscanNeedles;

// `needles[i]` are exactly REFSCAN_LEN bytes; they are copied. Duplicates are allowed: each index is reported. Owned by the caller.
RefscanNeedles *refscan_needles_new(const Span *needles, size_t count);
void refscan_needles_free(RefscanNeedles *needles);
size_t refscan_needles_count(const RefscanNeedles *needles); // of NULL: 0

// One stream. `tail` holds up to 31 bytes that may begin a needle.
typedef struct Refscan {
  const RefscanNeedles *needles; // borrowed; NULL: nothing is searched
  unsigned char *found; // borrowed; one byte per needle, set to 1 when it is seen; several threads may share it
  char tail[REFSCAN_LEN];
  size_t tail_len;
} Refscan;

// `found` has refscan_needles_count(needles) bytes and is not cleared.
void refscan_init(Refscan *scan, const RefscanNeedles *needles, unsigned char *found);
// Feeds the next bytes of the stream, in chunks of any size. The result does not depend on how the stream is cut
// (refscan_test: every split point).
void refscan_feed(Refscan *scan, Span data);
// Forgets the tail: the next bytes begin another stream.
void refscan_reset(Refscan *scan);
