// directory_local.h: the directories of an ObjectStore as a DirectoryService.
#pragma once

#include "castore/directory_service.h"
#include "castore/object_store.h"

DirectoryService *directory_local_new(ObjectStore *store, bool owned);
