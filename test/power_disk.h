// power_disk.h: disks that a power failure could have left, from a power_log.h.
//
// A disk is made for a moment in the log. What had been waited for by then is there; of the rest
//   data        each write is there, is missing, is there up to some sector, or has left zeros of its length
//   names       and modes, times, truncations: those up to some later moment (a journal, as ext4 and XFS have it), or, `reordered`, any of them
// are there, by the seed.
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct PowerDisk PowerDisk;

// Reads the log of what happened below `root`, which was empty before.
MUST_CHECK bool power_disk_open(const char *log_path, const char *root, PowerDisk **ret, Err *err);
void power_disk_free(PowerDisk *disk);
size_t power_disk_count(const PowerDisk *disk); // records: moments are 0..count
// What the programs wrote to standard output before the moment, appended.
void power_disk_said(const PowerDisk *disk, size_t moment, Buf *ret);
// Writes that disk below `root`, which is empty.
MUST_CHECK bool power_disk_make(const PowerDisk *disk, size_t moment, bool reordered, uint64_t seed, const char *root,
                                Err *err);
