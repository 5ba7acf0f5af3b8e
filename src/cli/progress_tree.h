// progress_tree.h: what a terminal shows while builds run: a tree of what is wanted, as far as it runs, failed, or waits for that; and a line of sums.
//
//   system-1.0 waits
//   ├─ ● gcc-10.2.0  build  2 min 10 s (mean 14 min 02 s)
//   └─ hello-2.10 waits
//      ├─ ● zlib-1.2.11  unpack  3 s
//      └─ ✗ perl-5.32
//   2 running, 14 of 37 built, 1 failed, 3 fetched, 1 min 12 s
//
// Only formats: progress.c writes. Not thread-safe. Test: test/cli/progress_test.sh (through a pseudo-terminal).
#pragma once

#include "base/buf.h"
#include "base/map.h"

#define PROGRESS_TREE_NODES_MAX 100000u

typedef struct ProgressTree ProgressTree;

ProgressTree *progress_tree_new(void);
void progress_tree_free(ProgressTree *tree); // NULL is fine
// A derivation that is going to be built, after the inputs of it that are, too. `drv_path` is absolute, `name` is "hello-2.10".
void progress_tree_add(ProgressTree *tree, Span drv_path, Span name, const Span *input_paths, size_t input_count);
// A build starts (it is added when it is unknown), changes its phase, ends.
void progress_tree_start(ProgressTree *tree, Span drv_path, Span name, uint64_t now_ns, uint64_t mean_ms);
void progress_tree_phase(ProgressTree *tree, Span drv_path, Span phase);
void progress_tree_stop(ProgressTree *tree, Span drv_path, bool failed);
size_t progress_tree_running(const ProgressTree *tree);

typedef struct ProgressTreeView {
  size_t columns, rows; // of the terminal
  bool colour, utf8;
  uint64_t now_ns;
} ProgressTreeView;

// The tree, each line shorter than the terminal is wide and ended by a newline, at most half as many as it has rows. Appends.
void progress_tree_format(const ProgressTree *tree, const ProgressTreeView *view, Buf *ret);
// "2 min 10 s", "3 s", "1 h 05 min". Appends.
void progress_tree_format_duration(uint64_t ms, Buf *ret);
// How many columns `text` takes without its escape sequences, and the longest part of it that takes at most `columns`.
size_t progress_tree_width(Span text);
Span progress_tree_cut(Span text, size_t columns);
