// directory_combine.h: directory services made of others; the same three as in blob_combine.h. Each owns its parts.
#pragma once

#include "castore/directory_service.h"

DirectoryService *directory_combine_read_only(DirectoryService *inner);
DirectoryService *directory_combine_cache(DirectoryService *near, DirectoryService *far);
DirectoryService *directory_combine_first(DirectoryService *const *services, size_t count);
