// nar_list.h: the listing of an archive (".ls" files of binary caches), as JSON of Nix 2.26:
//   {"root":{"entries":{"a":{"narOffset":8,"size":1,"type":"regular"}},"type":"directory"},"version":1}
// Made from the events of nar_read.h, in one pass and without a tree.
#pragma once

#include "formats/json_write.h"
#include "formats/nar_read.h"

typedef struct NarList {
  JsonWrite json;
  uint32_t depth;
} NarList;

void nar_list_init(NarList *list, Buf *out, unsigned indent);
MUST_CHECK bool nar_list_event(NarList *list, const NarReadEvent *event, Err *err);
void nar_list_end(NarList *list);
