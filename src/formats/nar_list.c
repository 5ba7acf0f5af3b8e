// nar_list.c: archive listings.
#include "formats/nar_list.h"

void nar_list_init(NarList *list, Buf *out, unsigned indent) {
  json_write_init(&list->json, out, indent);
  list->depth = 0;
  json_write_object_begin(&list->json);
}

void nar_list_end(NarList *list) {
  Err err = ERR_INIT;
  bool ok = json_write_key(&list->json, SPAN("version"), &err); // a literal: cannot fail
  (void)ok;
  json_write_int(&list->json, 1);
  json_write_object_end(&list->json);
}

static bool put_type(JsonWrite *json, Span type, Err *err) {
  if (!json_write_key(json, SPAN("type"), err) || !json_write_str(json, type, err)) return false;
  json_write_object_end(json);
  return true;
}

static bool put_file(JsonWrite *json, const NarReadEvent *event, Err *err) {
  if (event->executable) {
    if (!json_write_key(json, SPAN("executable"), err)) return false;
    json_write_bool(json, true);
  }
  if (event->content_offset) {
    if (!json_write_key(json, SPAN("narOffset"), err)) return false;
    json_write_uint(json, event->content_offset);
  }
  if (!json_write_key(json, SPAN("size"), err)) return false;
  json_write_uint(json, event->size_bytes);
  return put_type(json, SPAN("regular"), err);
}

bool nar_list_event(NarList *list, const NarReadEvent *event, Err *err) {
  JsonWrite *json = &list->json;
  if (event->kind == NAR_READ_FILE_DATA || event->kind == NAR_READ_FILE_END) return true;
  if (event->kind == NAR_READ_DIR_END) {
    list->depth--;
    json_write_object_end(json);
    return put_type(json, SPAN("directory"), err);
  }
  if (!json_write_key(json, list->depth ? event->name : SPAN("root"), err)) return false;
  json_write_object_begin(json);
  if (event->kind == NAR_READ_FILE_BEGIN) return put_file(json, event, err);
  if (event->kind == NAR_READ_SYMLINK)
    return json_write_key(json, SPAN("target"), err) && json_write_str(json, event->data, err) &&
           put_type(json, SPAN("symlink"), err);
  list->depth++;
  if (!json_write_key(json, SPAN("entries"), err)) return false;
  json_write_object_begin(json);
  return true;
}
