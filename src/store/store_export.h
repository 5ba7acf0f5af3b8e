// store_export.h: the stream of nix-store --export and --import, and the text of --dump-db, --load-db and --register-validity.
//
//   export = ( u64le(1) nar u64le(0x4558494e) str(path) strings(references) str(deriver or "") u64le(0) )* u64le(0)
#pragma once

#include "store/store.h"

// In the given order (callers pass a topological closure).
MUST_CHECK bool store_export_write(Store *store, const StorePath *paths, size_t count, const ByteSink *sink, Err *err);
// Imports each path as it arrives and lists them in *ret (order of arrival). Signatures are not part of the format.
MUST_CHECK bool store_export_read(Store *store, const ByteSource *source, StorePathList *ret, Err *err);

// Lines: path, [hash (hex sha256), NAR size,] deriver or empty, number of references, references.
MUST_CHECK bool store_export_dump_db(Store *store, const StorePath *paths, size_t count, bool with_hash,
                                     const ByteSink *sink, Err *err);
// Registers paths whose trees are already in place. Without hashes in the text they are computed, else compared. What is said about paths that are valid
// already replaces what was known with `replace`, else it is passed over. *ret: those that were registered.
MUST_CHECK bool store_export_load_db(Store *store, const ByteSource *source, bool with_hash, bool replace,
                                     StorePathList *ret, Err *err);
