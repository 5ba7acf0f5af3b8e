// unit_prefetch.h: files that the last evaluation of the same question loaded, read and compiled by a second thread while the first evaluates.
// A unit store in front of another one, or of none.
//
// The list of files is kept in a folder, one file for each question: paths, each with a newline, in the order in which they were loaded; first
// the large ones, then an empty line, then the others. So the thread begins with what takes longest, and the evaluator, which comes to most of the small ones before
// it, compiles more of them while it waits for a large one. The list only says where it is worth looking: a file that it names wrongly costs time, never the answer. What the thread compiles is used when the
// evaluator asks for a file of exactly that identity; files that changed less than UNIT_CACHE_RACY_NS ago are left to the evaluator.
//
// It gains where compiled files are not there, or not any more: the first run of a new version, after a change of many files, with the code
// cache switched off. Files that are in the cache are passed over.
#pragma once

#include "eval/vm.h"
#include "glue/unit_cache.h"

typedef struct UnitPrefetch UnitPrefetch;

// The thread begins with the first file that is not in the cache. `cache` may be NULL. `question`: any text that stands for what is evaluated. The thread calls vm_compile, beside the running VM.
UnitPrefetch *unit_prefetch_start(Vm *vm, UnitCache *cache, Span dir, Span question);
UnitStore *unit_prefetch_store(UnitPrefetch *prefetch);
// Stops the thread and writes the list, if it is another one. No file is asked for any more; compiled files stay until it is freed.
void unit_prefetch_finish(UnitPrefetch *prefetch);
// After the VM has been freed. NULL is fine.
void unit_prefetch_free(UnitPrefetch *prefetch);
