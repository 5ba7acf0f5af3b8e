// path_info_memory.h: path infos in this process's memory.
#pragma once

#include "store/path_info_service.h"

PathInfoService *path_info_memory_new(void);
