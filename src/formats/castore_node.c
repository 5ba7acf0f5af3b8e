// castore_node.c: directory entries and their canonical protobuf.
#include "formats/castore_node.h"

#include <stdlib.h>

#include "formats/base64.h"
#include "formats/pb_wire.h"

// Checking.

bool castore_node_check_name(Span name, Err *err) {
  if (name.len == 0) return err_set(err, ERR_SYNTAX, "the name of a directory entry is empty");
  if (name.len > CASTORE_NODE_NAME_MAX)
    return err_set(err, ERR_LIMIT, "the name '%.*s' is longer than %d bytes", SPAN_ARG(name), CASTORE_NODE_NAME_MAX);
  if (span_eq(name, SPAN(".")) || span_eq(name, SPAN("..")))
    return err_set(err, ERR_SYNTAX, "'%.*s' is not a name for a directory entry", SPAN_ARG(name));
  if (memchr(name.data, '/', name.len) || memchr(name.data, 0, name.len))
    return err_set(err, ERR_SYNTAX, "the name '%.*s' contains a slash or a NUL byte", SPAN_ARG(name));
  return true;
}

static bool check_target(const CastoreNode *node, Err *err) {
  Span target = node->target;
  if (target.len == 0) return err_set(err, ERR_SYNTAX, "the symbolic link '%.*s' has no target", SPAN_ARG(node->name));
  if (target.len > CASTORE_NODE_TARGET_MAX)
    return err_set(err, ERR_LIMIT, "the target of the symbolic link '%.*s' is longer than %d bytes",
                   SPAN_ARG(node->name), CASTORE_NODE_TARGET_MAX);
  if (memchr(target.data, 0, target.len))
    return err_set(err, ERR_SYNTAX, "the target of the symbolic link '%.*s' contains a NUL byte", SPAN_ARG(node->name));
  return true;
}

bool castore_node_check(const CastoreNode *node, bool anonymous, Err *err) {
  if (anonymous && node->name.len)
    return err_set(err, ERR_SYNTAX, "the name '%.*s' is not allowed here", SPAN_ARG(node->name));
  if (!anonymous && !castore_node_check_name(node->name, err)) return false;
  return node->kind != CASTORE_SYMLINK || check_target(node, err);
}

bool castore_node_check_directory(const CastoreDirectory *directory, Err *err) {
  uint64_t size;
  for (size_t i = 0; i < directory->count; i++) {
    const CastoreNode *node = &directory->entries[i];
    if (!castore_node_check(node, false, err)) return false;
    if (i == 0) continue;
    int order = span_cmp(directory->entries[i - 1].name, node->name);
    if (order == 0) return err_set(err, ERR_SYNTAX, "'%.*s' is twice in the directory", SPAN_ARG(node->name));
    if (order > 0) return err_set(err, ERR_SYNTAX, "'%.*s' is out of order in the directory", SPAN_ARG(node->name));
  }
  return castore_node_directory_size(directory, CASTORE_SIZE_ONCE, &size, err);
}

bool castore_node_directory_size(const CastoreDirectory *directory, CastoreSizeForm form, uint64_t *ret, Err *err) {
  uint64_t size;
  bool overflow = __builtin_mul_overflow((uint64_t)directory->count, (uint64_t)form, &size);
  for (size_t i = 0; i < directory->count; i++)
    if (directory->entries[i].kind == CASTORE_DIRECTORY)
      overflow |= __builtin_add_overflow(size, directory->entries[i].size, &size);
  if (overflow) return err_set(err, ERR_LIMIT, "the size of the directory does not fit 64 bits");
  *ret = size;
  return true;
}

static int compare_nodes(const void *a, const void *b) {
  return span_cmp(((const CastoreNode *)a)->name, ((const CastoreNode *)b)->name);
}

void castore_node_sort(CastoreDirectory *directory) {
  if (directory->count > 1) qsort(directory->entries, directory->count, sizeof(CastoreNode), compare_nodes);
}

const CastoreNode *castore_node_find(const CastoreDirectory *directory, Span name) {
  size_t lo = 0, hi = directory->count;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    int c = span_cmp(directory->entries[mid].name, name);
    if (c == 0) return &directory->entries[mid];
    if (c < 0) lo = mid + 1;
    else hi = mid;
  }
  return NULL;
}

// Encoding. A node is field 1, 2 or 3 by its kind, in a Directory and in an Entry alike.

static void put_node(const CastoreNode *node, Buf *ret) {
  static const uint32_t fields[] = {[CASTORE_DIRECTORY] = 1, [CASTORE_FILE] = 2, [CASTORE_SYMLINK] = 3};
  size_t mark = pb_wire_message_begin(ret, fields[node->kind]);
  pb_wire_put_bytes(ret, 1, node->name);
  if (node->kind == CASTORE_SYMLINK) {
    pb_wire_put_bytes(ret, 2, node->target);
  } else {
    pb_wire_put_bytes(ret, 2, span_make(node->digest.bytes, sizeof(node->digest.bytes)));
    pb_wire_put_uint(ret, 3, node->size);
    if (node->kind == CASTORE_FILE) pb_wire_put_bool(ret, 4, node->executable);
  }
  pb_wire_message_end(ret, mark);
}

void castore_node_encode(const CastoreNode *node, Buf *ret) {
  put_node(node, ret);
}

void castore_node_encode_directory(const CastoreDirectory *directory, Buf *ret) {
  static const CastoreKind order[] = {CASTORE_DIRECTORY, CASTORE_FILE, CASTORE_SYMLINK};
  for (size_t k = 0; k < ARRAY_LEN(order); k++)
    for (size_t i = 0; i < directory->count; i++)
      if (directory->entries[i].kind == order[k]) put_node(&directory->entries[i], ret);
}

void castore_node_directory_digest(const CastoreDirectory *directory, Buf *scratch, CastoreDigest *ret) {
  buf_clear(scratch);
  castore_node_encode_directory(directory, scratch);
  hash_blake3(buf_span(scratch), ret->bytes);
}

// Decoding.

static bool decode_digest(const PbWireField *field, CastoreDigest *ret, Err *err) {
  if (!pb_wire_expect(field, PB_WIRE_LEN, "digest", err)) return false;
  if (field->bytes.len != sizeof(ret->bytes))
    return err_set(err, ERR_SYNTAX, "a digest has %zu bytes instead of %zu", field->bytes.len, sizeof(ret->bytes));
  memcpy(ret->bytes, field->bytes.data, sizeof(ret->bytes));
  return true;
}

static bool decode_node_field(const PbWireField *field, CastoreNode *node, bool *has_digest, Err *err) {
  bool is_link = node->kind == CASTORE_SYMLINK;
  switch (field->number) {
  case 1: node->name = field->bytes; return pb_wire_expect(field, PB_WIRE_LEN, "name", err);
  case 2:
    node->target = field->bytes;
    if (is_link) return pb_wire_expect(field, PB_WIRE_LEN, "target", err);
    *has_digest = true;
    return decode_digest(field, &node->digest, err);
  case 3:
    if (is_link) break;
    node->size = field->value;
    return pb_wire_expect(field, PB_WIRE_VARINT, "size", err);
  case 4:
    if (node->kind != CASTORE_FILE) break;
    node->executable = field->value != 0;
    return pb_wire_expect(field, PB_WIRE_VARINT, "executable", err);
  default: break;
  }
  return err_set(err, ERR_SYNTAX, "unknown field %u in a directory entry", field->number);
}

static bool decode_node(CastoreKind kind, Span data, CastoreNode *ret, Err *err) {
  PbWireReader reader = {data};
  PbWireField field;
  bool end, has_digest = false;
  *ret = (CastoreNode){.kind = kind};
  while (true) {
    if (!pb_wire_next(&reader, &field, &end, err)) return false;
    if (end) break;
    if (!decode_node_field(&field, ret, &has_digest, err)) return false;
  }
  if (kind == CASTORE_SYMLINK) return check_target(ret, err);
  ret->target = (Span){NULL, 0};
  return has_digest || err_set(err, ERR_SYNTAX, "the entry '%.*s' has no digest", SPAN_ARG(ret->name));
}

// Field number to kind; false for another field.
static bool kind_of_field(const PbWireField *field, CastoreKind *ret, Err *err) {
  if (field->number < 1 || field->number > 3) return err_set(err, ERR_SYNTAX, "unknown field %u", field->number);
  static const CastoreKind kinds[] = {CASTORE_DIRECTORY, CASTORE_FILE, CASTORE_SYMLINK};
  *ret = kinds[field->number - 1];
  return pb_wire_expect(field, PB_WIRE_LEN, "entry", err);
}

bool castore_node_decode(Span data, CastoreNode *ret, Err *err) {
  PbWireReader reader = {data};
  PbWireField field;
  bool end, found = false;
  CastoreKind kind = CASTORE_FILE;
  while (true) {
    if (!pb_wire_next(&reader, &field, &end, err)) return err_wrap(err, "decoding a node");
    if (end) break;
    if (!kind_of_field(&field, &kind, err) || !decode_node(kind, field.bytes, ret, err))
      return err_wrap(err, "decoding a node");
    found = true; // of several, the last counts: a rule of oneof
  }
  if (!found) return err_set(err, ERR_SYNTAX, "decoding a node: it is neither directory, file nor symbolic link");
  if (ret->name.len && !castore_node_check_name(ret->name, err)) return err_wrap(err, "decoding a node");
  return true;
}

// The bytes must be those that encoding gives: otherwise one directory had two digests. This also finds lists that are not
// sorted, since entries were sorted by then.
static bool check_canonical(const CastoreDirectory *directory, Span data, Err *err) {
  Buf again CLEANUP(buf_done) = BUF_INIT;
  castore_node_encode_directory(directory, &again);
  if (span_eq(buf_span(&again), data)) return true;
  return err_set(err, ERR_SYNTAX, "its encoding is not canonical (entries sorted, fields in order, defaults left out)");
}

static bool decode_entries(Span data, CastoreNode **list, size_t *cap, size_t *count, Err *err) {
  PbWireReader reader = {data};
  PbWireField field;
  CastoreKind kind = CASTORE_FILE;
  while (true) {
    bool end;
    if (!pb_wire_next(&reader, &field, &end, err)) return false;
    if (end) return true;
    MEM_RESERVE(*list, *cap, *count + 1);
    if (!kind_of_field(&field, &kind, err) || !decode_node(kind, field.bytes, &(*list)[*count], err)) return false;
    ++*count;
  }
}

bool castore_node_decode_directory(Span data, Arena *arena, CastoreDirectory *ret, Err *err) {
  CastoreNode *list CLEANUP(mem_free_ptr) = NULL;
  size_t cap = 0, count = 0;
  if (data.len > CASTORE_NODE_DIRECTORY_BYTES_MAX)
    return err_set(err, ERR_LIMIT, "an encoded directory of %zu bytes is longer than %zu", data.len,
                   CASTORE_NODE_DIRECTORY_BYTES_MAX);
  if (!decode_entries(data, &list, &cap, &count, err)) return err_wrap(err, "decoding a directory");
  ret->entries = ARENA_ARRAY(arena, CastoreNode, count);
  ret->count = count;
  if (count) memcpy(ret->entries, list, count * sizeof(CastoreNode));
  castore_node_sort(ret);
  if (!castore_node_check_directory(ret, err) || !check_canonical(ret, data, err))
    return err_wrap(err, "decoding a directory");
  return true;
}

// Digest text.

void castore_node_format_digest(const CastoreDigest *digest, Buf *ret) {
  buf_put_cstr(ret, "blake3-");
  base64_put(ret, digest->bytes, sizeof(digest->bytes));
}

bool castore_node_parse_digest(Span text, CastoreDigest *ret, Err *err) {
  Buf bytes CLEANUP(buf_done) = BUF_INIT;
  size_t prefix_len = span_has_prefix(text, SPAN("blake3-")) ? 7 : span_has_prefix(text, SPAN("b3:")) ? 3 : 0;
  if (prefix_len == 0)
    return err_set(err, ERR_SYNTAX, "digest '%.*s' does not begin with 'blake3-' or 'b3:'", SPAN_ARG(text));
  if (text.len - prefix_len != base64_len(sizeof(ret->bytes)) ||
      !base64_decode(span_from(text, prefix_len), &bytes, NULL) || bytes.len != sizeof(ret->bytes))
    return err_set(err, ERR_SYNTAX, "digest '%.*s' is not base64 of 32 bytes", SPAN_ARG(text));
  memcpy(ret->bytes, bytes.data, sizeof(ret->bytes));
  return true;
}
