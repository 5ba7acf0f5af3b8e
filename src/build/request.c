// request.c: see request.h.
#include "build/request.h"

#include <stdlib.h>

#include "formats/pb_wire.h"

// --- order

static int cmp_node(const void *a, const void *b) {
  return span_cmp(((const CastoreNode *)a)->name, ((const CastoreNode *)b)->name);
}
static int cmp_span(const void *a, const void *b) {
  return span_cmp(*(const Span *)a, *(const Span *)b);
}
static int cmp_env(const void *a, const void *b) {
  return span_cmp(((const BuildEnv *)a)->key, ((const BuildEnv *)b)->key);
}
static int cmp_file(const void *a, const void *b) {
  return span_cmp(((const BuildFile *)a)->path, ((const BuildFile *)b)->path);
}

// qsort is not to be given NULL, even for no elements.
static void sort(void *items, size_t count, size_t size, int (*cmp)(const void *, const void *)) {
  if (count > 1) qsort(items, count, size, cmp);
}

void request_sort(BuildRequest *request) {
  sort(request->inputs, request->input_count, sizeof *request->inputs, cmp_node);
  sort(request->scratch_paths, request->scratch_path_count, sizeof(Span), cmp_span);
  sort(request->outputs, request->output_count, sizeof(Span), cmp_span);
  sort(request->env, request->env_count, sizeof *request->env, cmp_env);
  sort(request->ro_paths, request->ro_path_count, sizeof(Span), cmp_span);
  sort(request->files, request->file_count, sizeof *request->files, cmp_file);
}

const BuildEnv *request_find_env(const BuildRequest *request, Span key) {
  if (!request->env_count) return NULL;
  BuildEnv wanted = {.key = key};
  return bsearch(&wanted, request->env, request->env_count, sizeof *request->env, cmp_env);
}

// --- rules

static bool is_clean(Span path, bool absolute) {
  if (memchr(path.data ? path.data : "", 0, path.len)) return false;
  if (absolute) {
    if (!path.len || path.data[0] != '/') return false;
    path = span_from(path, 1);
  }
  if (!path.len) return true;
  for (bool more = true; more;) {
    Span segment;
    more = span_split(&path, '/', &segment);
    if (!segment.len || span_eq_cstr(segment, ".") || span_eq_cstr(segment, "..")) return false;
  }
  return true;
}

static bool check_paths(const Span *paths, size_t count, bool absolute, const char *what, Err *err) {
  for (size_t i = 0; i < count; i++) {
    if (!is_clean(paths[i], absolute))
      return err_set(err, ERR_SYNTAX, "build request: %s '%.*s' is not a clean %s path", what, SPAN_ARG(paths[i]),
                     absolute ? "absolute" : "relative");
    if (i && span_cmp(paths[i - 1], paths[i]) >= 0)
      return err_set(err, ERR_SYNTAX, "build request: %s are not sorted, or '%.*s' is there twice", what,
                     SPAN_ARG(paths[i]));
  }
  return true;
}

static bool check_env(const BuildRequest *request, Err *err) {
  for (size_t i = 0; i < request->env_count; i++) {
    Span key = request->env[i].key, value = request->env[i].value;
    if (!key.len || memchr(key.data, '=', key.len) || memchr(key.data, 0, key.len))
      return err_set(err, ERR_SYNTAX, "build request: '%.*s' cannot be the name of an environment variable",
                     SPAN_ARG(key));
    if (value.len && memchr(value.data, 0, value.len))
      return err_set(err, ERR_SYNTAX, "build request: environment variable '%.*s' contains a NUL byte", SPAN_ARG(key));
    if (i && span_cmp(request->env[i - 1].key, key) >= 0)
      return err_set(err, ERR_SYNTAX, "build request: environment variables are not sorted, or '%.*s' is there twice",
                     SPAN_ARG(key));
  }
  return true;
}

static bool check_args(const BuildRequest *request, Err *err) {
  if (!request->arg_count || !request->args[0].len)
    return err_set(err, ERR_SYNTAX, "build request: there is no command");
  for (size_t i = 0; i < request->arg_count; i++)
    if (request->args[i].len && memchr(request->args[i].data, 0, request->args[i].len))
      return err_set(err, ERR_SYNTAX, "build request: argument %zu contains a NUL byte", i);
  return true;
}

static bool check_inputs(const BuildRequest *request, Err *err) {
  for (size_t i = 0; i < request->input_count; i++) {
    const CastoreNode *node = &request->inputs[i];
    if (!castore_node_check(node, false, err)) return err_wrap(err, "build request: input %zu", i);
    if (i && span_cmp(request->inputs[i - 1].name, node->name) >= 0)
      return err_set(err, ERR_SYNTAX, "build request: inputs are not sorted, or '%.*s' is there twice",
                     SPAN_ARG(node->name));
  }
  return true;
}

static bool check_files(const BuildRequest *request, Err *err) {
  for (size_t i = 0; i < request->file_count; i++) {
    Span path = request->files[i].path;
    if (!path.len || !is_clean(path, false))
      return err_set(err, ERR_SYNTAX, "build request: file '%.*s' is not a clean relative path", SPAN_ARG(path));
    if (i && span_cmp(request->files[i - 1].path, path) >= 0)
      return err_set(err, ERR_SYNTAX, "build request: files are not sorted, or '%.*s' is there twice", SPAN_ARG(path));
  }
  return true;
}

bool request_check(const BuildRequest *request, Err *err) {
  if (!request->system.len) return err_set(err, ERR_SYNTAX, "build request: no system is named");
  return check_args(request, err) && check_inputs(request, err) && check_env(request, err) &&
         check_files(request, err) && check_paths(&request->working_dir, 1, false, "working directory", err) &&
         check_paths(&request->inputs_dir, 1, false, "directory of inputs", err) &&
         check_paths(request->scratch_paths, request->scratch_path_count, false, "scratch paths", err) &&
         check_paths(request->outputs, request->output_count, false, "outputs", err) &&
         check_paths(request->ro_paths, request->ro_path_count, true, "read-only paths", err);
}

// --- encoding

static void put_spans(Buf *buf, uint32_t field, const Span *spans, size_t count) {
  for (size_t i = 0; i < count; i++) pb_wire_put_bytes_always(buf, field, spans[i]);
}

static void put_pair(Buf *buf, uint32_t field, Span first, Span second) {
  size_t mark = pb_wire_message_begin(buf, field);
  pb_wire_put_bytes(buf, 1, first);
  pb_wire_put_bytes(buf, 2, second);
  pb_wire_message_end(buf, mark);
}

void request_encode(const BuildRequest *request, Buf *ret) {
  for (size_t i = 0; i < request->input_count; i++) {
    size_t mark = pb_wire_message_begin(ret, 1);
    castore_node_encode(&request->inputs[i], ret);
    pb_wire_message_end(ret, mark);
  }
  put_spans(ret, 2, request->args, request->arg_count);
  pb_wire_put_bytes(ret, 3, request->working_dir);
  put_spans(ret, 4, request->scratch_paths, request->scratch_path_count);
  pb_wire_put_bytes(ret, 5, request->inputs_dir);
  put_spans(ret, 6, request->outputs, request->output_count);
  for (size_t i = 0; i < request->env_count; i++) put_pair(ret, 7, request->env[i].key, request->env[i].value);
  size_t mark = pb_wire_message_begin(ret, 8);
  pb_wire_put_bytes(ret, 1, request->system);
  pb_wire_put_uint(ret, 2, request->min_memory_bytes);
  put_spans(ret, 3, request->ro_paths, request->ro_path_count);
  pb_wire_put_bool(ret, 4, request->network_access);
  pb_wire_put_bool(ret, 5, request->provide_bin_sh);
  pb_wire_message_end(ret, mark);
  for (size_t i = 0; i < request->file_count; i++) put_pair(ret, 9, request->files[i].path, request->files[i].content);
  put_spans(ret, 10, request->needles, request->needle_count);
}

void request_digest(const BuildRequest *request, CastoreDigest *ret) {
  Buf buf = BUF_INIT;
  request_encode(request, &buf);
  hash_blake3(buf_span(&buf), ret->bytes);
  buf_done(&buf);
}

// --- decoding: arrays grow as their elements come; the old halves stay in the arena until it is
// freed

#define DECODE_PUSH(arena, array, count, value)                                                     \
  do {                                                                                              \
    if (((count) & ((count)-1)) == 0) {                                                             \
      __typeof__(array) grown_ = ARENA_ARRAY(arena, __typeof__(*(array)), (count) ? (count)*2 : 1); \
      if (count) memcpy(grown_, (array), (count) * sizeof *(array));                                \
      (array) = grown_;                                                                             \
    }                                                                                               \
    (array)[(count)++] = (value);                                                                   \
  } while (0)

static bool decode_pair(Span data, Span *ret_first, Span *ret_second, Err *err) {
  PbWireReader reader = {data};
  PbWireField field;
  bool end;
  *ret_first = *ret_second = (Span){"", 0};
  for (;;) {
    if (!pb_wire_next(&reader, &field, &end, err)) return false;
    if (end) return true;
    if (field.number > 2) continue;
    if (!pb_wire_expect(&field, PB_WIRE_LEN, field.number == 1 ? "name" : "value", err)) return false;
    *(field.number == 1 ? ret_first : ret_second) = field.bytes;
  }
}

static bool decode_constraints(Span data, Arena *arena, BuildRequest *ret, Err *err) {
  PbWireReader reader = {data};
  PbWireField field;
  bool end;
  for (;;) {
    if (!pb_wire_next(&reader, &field, &end, err)) return false;
    if (end) return true;
    if (field.number > 5) continue;
    bool is_text = field.number == 1 || field.number == 3;
    if (!pb_wire_expect(&field, is_text ? PB_WIRE_LEN : PB_WIRE_VARINT, "of the build constraints", err)) return false;
    switch (field.number) {
    case 1: ret->system = field.bytes; break;
    case 2: ret->min_memory_bytes = field.value; break;
    case 3: DECODE_PUSH(arena, ret->ro_paths, ret->ro_path_count, field.bytes); break;
    case 4: ret->network_access = field.value != 0; break;
    case 5: ret->provide_bin_sh = field.value != 0; break;
    }
  }
}

static bool decode_field(const PbWireField *field, Arena *arena, BuildRequest *ret, Err *err) {
  CastoreNode node;
  BuildEnv env;
  BuildFile file;
  switch (field->number) {
  case 1:
    if (!castore_node_decode(field->bytes, &node, err)) return false;
    DECODE_PUSH(arena, ret->inputs, ret->input_count, node);
    return true;
  case 2: DECODE_PUSH(arena, ret->args, ret->arg_count, field->bytes); return true;
  case 3: ret->working_dir = field->bytes; return true;
  case 4: DECODE_PUSH(arena, ret->scratch_paths, ret->scratch_path_count, field->bytes); return true;
  case 5: ret->inputs_dir = field->bytes; return true;
  case 6: DECODE_PUSH(arena, ret->outputs, ret->output_count, field->bytes); return true;
  case 7:
    if (!decode_pair(field->bytes, &env.key, &env.value, err)) return false;
    DECODE_PUSH(arena, ret->env, ret->env_count, env);
    return true;
  case 8: return decode_constraints(field->bytes, arena, ret, err);
  case 9:
    if (!decode_pair(field->bytes, &file.path, &file.content, err)) return false;
    DECODE_PUSH(arena, ret->files, ret->file_count, file);
    return true;
  case 10: DECODE_PUSH(arena, ret->needles, ret->needle_count, field->bytes); return true;
  default: return true; // a later version's field
  }
}

bool request_decode(Span data, Arena *arena, BuildRequest *ret, Err *err) {
  if (data.len > BUILD_REQUEST_BYTES_MAX)
    return err_set(err, ERR_LIMIT, "build request: %zu bytes are more than the limit of %zu", data.len,
                   BUILD_REQUEST_BYTES_MAX);
  *ret = (BuildRequest){0};
  PbWireReader reader = {data};
  for (;;) {
    PbWireField field;
    bool end;
    size_t offset = data.len - reader.rest.len;
    if (!pb_wire_next(&reader, &field, &end, err)) return err_wrap(err, "build request");
    if (end) return request_check(ret, err);
    if (field.number <= 10 && !pb_wire_expect(&field, PB_WIRE_LEN, "of the request", err))
      return err_wrap(err, "build request");
    if (!decode_field(&field, arena, ret, err)) return err_wrap(err, "build request: at byte %zu", offset);
  }
}
