// castore_archive.h: tarballs (plain, gzip, bzip2, xz, lzma, zstd, compress) and zip files become trees of the castore, as they stream by.
//
// Nothing is written to the disk but objects, so a hostile archive has no path to escape to; what it could do is refused with the name of the entry:
//   names     absolute ones lose their leading slashes and "." components are dropped, as tar does; ".." is an error; so are names that are no
//             names of entries (castore_node_check_name), and an entry below what is a file or a link
//   links     hard links must name an entry that came before, and is a file; symbolic links are kept as they are, never followed
//   devices   block and character devices, pipes and sockets are errors
//   twice     the later entry replaces the earlier one, as tar does; a directory named again keeps its entries; a file or link never replaces a
//             directory that has entries
//   size      sums and counts above the limits are ERR_LIMIT, also when the archive is much smaller (bombs); sparse regions count as their zeros
//   cut off   ERR_SYNTAX; nothing of a damaged archive is returned
// Modes count only by the owner's x bit of files; owners, times, extended attributes and ACLs are dropped. Missing parents are made.
#pragma once

#include "castore/castore.h"

#define CASTORE_ARCHIVE_BYTES_MAX ((uint64_t)64 << 30) // of all files together
#define CASTORE_ARCHIVE_ENTRIES_MAX 10000000u
#define CASTORE_ARCHIVE_DEPTH_MAX 4096u

typedef struct CastoreArchiveOptions {
  uint64_t limit_bytes;   // 0: CASTORE_ARCHIVE_BYTES_MAX
  uint64_t limit_entries; // 0: CASTORE_ARCHIVE_ENTRIES_MAX
} CastoreArchiveOptions;

typedef struct CastoreArchive {
  CastoreNode root; // anonymous, always a directory: what the archive holds at its top
  CastoreNode top;  // the directory that stands alone at the top, where it is so, else the root: as fetchTarball has it
  uint64_t entry_count;    // of the tree
  uint64_t file_bytes;     // of all files, each hard link once
  int64_t last_modified_s; // the newest time in the archive; 0 when it has none
} CastoreArchive;

// Objects are put but not flushed. Bounded memory: one file's buffer and about 100 bytes an entry. `options` may be NULL.
MUST_CHECK bool castore_archive_read(const Castore *to, const ByteSource *source, const CastoreArchiveOptions *options,
                                     CastoreArchive *ret, Err *err);
