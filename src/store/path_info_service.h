// path_info_service.h: what is known about store paths, by hash part.
//
// An ops struct with backends selected by URL, like BlobService. Threading: all functions may be called from several threads.
//
//   url = "memory:" | "sqlite:" file | "local-nix://" root (a C++ Nix store's database, read-only) | "readonly:" url
//       | "cache:(" url ")(" url ")" | "first:(" url ")" ... | "keyfile-signing:" key file "(" url ")"   (signs what passes to `url`)
#pragma once

#include "formats/path_info.h"

// A path info with its memory. Owned by whoever got it; free with path_info_service_record_free.
typedef struct PathInfoRecord {
  PathInfo info;
  bool has_root;         // false: content is not in a castore (a C++ Nix store's path): info.root means nothing
  bool ultimate;         // built here, trusted without signatures
  int64_t registered_at; // seconds since the epoch; 0 not known
  Arena arena;           // holds what info points to
} PathInfoRecord;

PathInfoRecord *path_info_service_record_new(void);
PathInfoRecord *path_info_service_record_copy(const PathInfoRecord *record);
// Deep copy of a value.
PathInfoRecord *path_info_service_record_of(const PathInfo *info, bool has_root, bool ultimate, int64_t registered_at);
void path_info_service_record_free(PathInfoRecord *record);
void path_info_service_record_free_ptr(PathInfoRecord **record); // for CLEANUP

typedef struct PathInfoService PathInfoService;
// Returning false from `visit` stops with its error.
typedef bool (*PathInfoVisit)(void *ctx, const PathInfoRecord *record, Err *err);

typedef struct PathInfoServiceOps {
  const char *name;
  bool (*get)(PathInfoService *service, const uint8_t digest[20], PathInfoRecord **ret, Err *err); // absent: *ret NULL
  bool (*put)(PathInfoService *service, const PathInfoRecord *const *records, size_t count, Err *err);
  bool (*list)(PathInfoService *service, PathInfoVisit visit, void *ctx, Err *err);
  void (*free)(PathInfoService *service);
} PathInfoServiceOps;

struct PathInfoService {
  const PathInfoServiceOps *ops;
};

MUST_CHECK bool path_info_service_open_url(Span url, PathInfoService **ret, Err *err);
void path_info_service_free(PathInfoService *service);
// By the 20 bytes of the hash part; *ret NULL when absent.
MUST_CHECK bool path_info_service_get(PathInfoService *service, const uint8_t digest[20], PathInfoRecord **ret,
                                      Err *err);
// All or none; an existing path keeps its record, and gains signatures.
MUST_CHECK bool path_info_service_put(PathInfoService *service, const PathInfoRecord *const *records, size_t count,
                                      Err *err);
MUST_CHECK bool path_info_service_list(PathInfoService *service, PathInfoVisit visit, void *ctx, Err *err);
