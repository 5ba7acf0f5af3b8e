// fetch_io.h: fetches that evaluation asks for. They run on threads of the scheduler; the task that asked waits, others go on. The same
// question is fetched once in a session.
#pragma once

#include "glue/fetcher.h"
#include "glue/store_io.h"

// Asks again after a wait, as with EvalIo. OK: the store path is appended, and may be read. A file:// URL that is no tarball is answered at once.
EvalIoStatus fetch_io_file(StoreIo *io, const FetcherFile *file, Buf *ret_store_path, EvalIoWait *ret_wait, Err *err);
// The tree is borrowed from the StoreIo.
EvalIoStatus fetch_io_git(StoreIo *io, const FetcherGit *git, const FetcherGitTree **ret, EvalIoWait *ret_wait,
                          Err *err);
EvalIoStatus fetch_io_hg(StoreIo *io, const FetcherHg *hg, const FetcherHgTree **ret, EvalIoWait *ret_wait, Err *err);

// For store_io.c: all fetches of one StoreIo. Those that are running when it is freed end by themselves.
typedef struct FetchIo FetchIo;
// The text of the settings is borrowed; it must outlive the scheduler.
FetchIo *fetch_io_new(const FetcherSettings *settings);
void fetch_io_free(FetchIo *fetches);
// The scheduler has been freed: what did not succeed is asked for anew.
void fetch_io_forget(FetchIo *fetches);
