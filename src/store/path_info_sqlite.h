// path_info_sqlite.h: path_db.h as a PathInfoService.
#pragma once

#include "store/path_info_service.h"

MUST_CHECK bool path_info_sqlite_open(const char *path, PathInfoService **ret, Err *err);
