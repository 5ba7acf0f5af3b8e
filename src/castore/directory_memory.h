// directory_memory.h: directories in this process's memory.
#pragma once

#include "castore/directory_service.h"

DirectoryService *directory_memory_new(void);
