// path_info_combine.h: path info services made of others. Each owns its parts.
#pragma once

#include "store/path_info_service.h"

PathInfoService *path_info_combine_read_only(PathInfoService *inner);
// Reads ask near, then far, and keep what was found in near; writes go to both.
PathInfoService *path_info_combine_cache(PathInfoService *near, PathInfoService *far);
// Reads ask one after the other; writes go to the first.
PathInfoService *path_info_combine_first(PathInfoService *const *services, size_t count);
// Signs everything that is written to `inner` with the secret key in `key_file`.
MUST_CHECK bool path_info_combine_signing(const char *key_file, Span store_dir, PathInfoService *inner,
                                          PathInfoService **ret, Err *err);
