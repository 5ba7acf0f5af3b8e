// path_info.c: the PathInfo message.
#include "formats/path_info.h"

#include "formats/pb_wire.h"

// The enum of content addresses: method and algorithm at the index that is its number.
static const struct {
  CaMethod method;
  HashAlgo algo;
} ca_types[] = {{CA_NAR, HASH_SHA256}, {CA_NAR, HASH_SHA1},    {CA_NAR, HASH_SHA512},
                {CA_NAR, HASH_MD5},    {CA_TEXT, HASH_SHA256}, {CA_FLAT, HASH_SHA1},
                {CA_FLAT, HASH_MD5},   {CA_FLAT, HASH_SHA256}, {CA_FLAT, HASH_SHA512}};

// Encoding.

static bool encode_ca(const ContentAddress *ca, Buf *ret, Err *err) {
  for (size_t i = 0; i < ARRAY_LEN(ca_types); i++)
    if (ca_types[i].method == ca->method && ca_types[i].algo == ca->hash.algo) {
      size_t mark = pb_wire_message_begin(ret, 6);
      pb_wire_put_uint(ret, 1, i);
      pb_wire_put_bytes(ret, 2, hash_bytes(&ca->hash));
      pb_wire_message_end(ret, mark);
      return true;
    }
  Buf text CLEANUP(buf_done) = BUF_INIT;
  content_address_format(ca, &text);
  return err_set(err, ERR_OTHER, "the PathInfo message cannot express the content address '%s'", buf_cstr(&text));
}

static bool encode_narinfo(const PathInfo *info, Buf *ret, Err *err) {
  size_t mark = pb_wire_message_begin(ret, 3), inner;
  pb_wire_put_uint(ret, 1, info->nar_size_bytes);
  pb_wire_put_bytes(ret, 2, span_make(info->nar_sha256, sizeof(info->nar_sha256)));
  for (size_t i = 0; i < info->sig_count; i++) {
    inner = pb_wire_message_begin(ret, 3);
    pb_wire_put_bytes(ret, 1, info->sigs[i].key_name);
    pb_wire_put_bytes(ret, 2, span_make(info->sigs[i].bytes, SIGNATURE_BYTES));
    pb_wire_message_end(ret, inner);
  }
  for (size_t i = 0; i < info->ref_count; i++) {
    inner = pb_wire_message_begin(ret, 4);
    store_path_format_base(&info->refs[i], ret);
    pb_wire_message_end(ret, inner);
  }
  if (info->has_deriver) {
    Span name = store_path_name(&info->deriver);
    if (!span_has_suffix(name, SPAN(".drv")))
      return err_set(err, ERR_OTHER, "the deriver '%.*s' is not a derivation", SPAN_ARG(name));
    inner = pb_wire_message_begin(ret, 5);
    pb_wire_put_bytes(ret, 1, span_sub(name, 0, name.len - 4));
    pb_wire_put_bytes(ret, 2, span_make(info->deriver.digest, STORE_PATH_DIGEST_BYTES));
    pb_wire_message_end(ret, inner);
  }
  if (info->has_ca && !encode_ca(&info->ca, ret, err)) return false;
  pb_wire_message_end(ret, mark);
  return true;
}

bool path_info_encode(const PathInfo *info, Buf *ret, Err *err) {
  Buf name CLEANUP(buf_done) = BUF_INIT;
  CastoreNode root = info->root;
  size_t start_len = ret->len;
  store_path_format_base(&info->path, &name);
  root.name = buf_span(&name);
  size_t mark = pb_wire_message_begin(ret, 1);
  castore_node_encode(&root, ret);
  pb_wire_message_end(ret, mark);
  for (size_t i = 0; i < info->ref_count; i++)
    pb_wire_put_bytes(ret, 2, span_make(info->refs[i].digest, STORE_PATH_DIGEST_BYTES));
  if (encode_narinfo(info, ret, err)) return true;
  ret->len = start_len;
  return false;
}

// Decoding. Repeated fields go to lists on the heap first.

typedef struct Lists {
  Span *refs, *ref_names;
  Signature *sigs;
  size_t ref_count, ref_cap, ref_name_count, ref_name_cap, sig_count, sig_cap;
} Lists;

static void lists_done(Lists *lists) {
  mem_free(lists->refs);
  mem_free(lists->ref_names);
  mem_free(lists->sigs);
}

static bool expect_len(const PbWireField *field, const char *name, size_t len, Err *err) {
  if (!pb_wire_expect(field, PB_WIRE_LEN, name, err)) return false;
  if (field->bytes.len == len) return true;
  return err_set(err, ERR_SYNTAX, "%s has %zu bytes instead of %zu", name, field->bytes.len, len);
}

static bool decode_signature(Span data, Signature *ret, Err *err) {
  PbWireReader reader = {data};
  PbWireField field;
  bool end, has_data = false;
  memset(ret, 0, sizeof(*ret));
  while (true) {
    if (!pb_wire_next(&reader, &field, &end, err)) return false;
    if (end) break;
    if (field.number == 1) {
      if (!pb_wire_expect(&field, PB_WIRE_LEN, "signature name", err)) return false;
      ret->key_name = field.bytes;
    } else if (field.number == 2) {
      if (!expect_len(&field, "signature", SIGNATURE_BYTES, err)) return false;
      memcpy(ret->bytes, field.bytes.data, SIGNATURE_BYTES);
      has_data = true;
    }
  }
  return has_data || err_set(err, ERR_SYNTAX, "signature has 0 bytes instead of %d", SIGNATURE_BYTES);
}

static bool decode_deriver(Span data, StorePath *ret, Err *err) {
  PbWireReader reader = {data};
  PbWireField field;
  bool end, has_digest = false;
  Span name = SPAN("");
  Buf full CLEANUP(buf_done) = BUF_INIT;
  while (true) {
    if (!pb_wire_next(&reader, &field, &end, err)) return false;
    if (end) break;
    if (field.number == 1) {
      if (!pb_wire_expect(&field, PB_WIRE_LEN, "deriver name", err)) return false;
      name = field.bytes;
    } else if (field.number == 2) {
      if (!expect_len(&field, "deriver digest", STORE_PATH_DIGEST_BYTES, err)) return false;
      memcpy(ret->digest, field.bytes.data, STORE_PATH_DIGEST_BYTES);
      has_digest = true;
    }
  }
  if (!has_digest) return err_set(err, ERR_SYNTAX, "the deriver has no digest");
  buf_put_span(&full, name);
  buf_put_cstr(&full, ".drv");
  if (!store_path_check_name(name, err) || !store_path_check_name(buf_span(&full), err))
    return err_wrap(err, "deriver");
  ret->name_len = (uint8_t)full.len;
  memcpy(ret->name, buf_cstr(&full), full.len + 1);
  return true;
}

static bool decode_ca(Span data, ContentAddress *ret, Err *err) {
  PbWireReader reader = {data};
  PbWireField field;
  bool end;
  uint64_t type = 0;
  Span digest = SPAN("");
  while (true) {
    if (!pb_wire_next(&reader, &field, &end, err)) return false;
    if (end) break;
    if (field.number == 1) {
      if (!pb_wire_expect(&field, PB_WIRE_VARINT, "content address type", err)) return false;
      type = field.value;
    } else if (field.number == 2) {
      if (!pb_wire_expect(&field, PB_WIRE_LEN, "content address digest", err)) return false;
      digest = field.bytes;
    }
  }
  if (type >= ARRAY_LEN(ca_types))
    return err_set(err, ERR_SYNTAX, "unknown type %llu of content address", (unsigned long long)type);
  memset(ret, 0, sizeof(*ret));
  ret->method = ca_types[type].method;
  ret->hash.algo = ca_types[type].algo;
  if (digest.len != hash_len(ret->hash.algo))
    return err_set(err, ERR_SYNTAX, "the digest of the content address has %zu bytes instead of %zu", digest.len,
                   hash_len(ret->hash.algo));
  memcpy(ret->hash.bytes, digest.data, digest.len);
  return true;
}

static bool decode_narinfo_field(const PbWireField *field, PathInfo *info, Lists *lists, bool *has_nar_hash, Err *err) {
  switch (field->number) {
  case 1: info->nar_size_bytes = field->value; return pb_wire_expect(field, PB_WIRE_VARINT, "nar_size", err);
  case 2:
    if (!expect_len(field, "nar_sha256", sizeof(info->nar_sha256), err)) return false;
    memcpy(info->nar_sha256, field->bytes.data, sizeof(info->nar_sha256));
    *has_nar_hash = true;
    return true;
  case 3:
    MEM_RESERVE(lists->sigs, lists->sig_cap, lists->sig_count + 1);
    return pb_wire_expect(field, PB_WIRE_LEN, "signatures", err) &&
           decode_signature(field->bytes, &lists->sigs[lists->sig_count++], err);
  case 4:
    MEM_RESERVE(lists->ref_names, lists->ref_name_cap, lists->ref_name_count + 1);
    lists->ref_names[lists->ref_name_count++] = field->bytes;
    return pb_wire_expect(field, PB_WIRE_LEN, "reference_names", err);
  case 5:
    info->has_deriver = true;
    return pb_wire_expect(field, PB_WIRE_LEN, "deriver", err) && decode_deriver(field->bytes, &info->deriver, err);
  case 6:
    info->has_ca = true;
    return pb_wire_expect(field, PB_WIRE_LEN, "ca", err) && decode_ca(field->bytes, &info->ca, err);
  default: return true; // newer peers may say more
  }
}

static bool decode_narinfo(Span data, PathInfo *info, Lists *lists, Err *err) {
  PbWireReader reader = {data};
  PbWireField field;
  bool end, has_nar_hash = false;
  while (true) {
    if (!pb_wire_next(&reader, &field, &end, err)) return false;
    if (end) break;
    if (!decode_narinfo_field(&field, info, lists, &has_nar_hash, err)) return false;
  }
  return has_nar_hash || err_set(err, ERR_SYNTAX, "it has no nar_sha256");
}

static bool decode_fields(Span data, PathInfo *info, Lists *lists, Err *err) {
  PbWireReader reader = {data};
  PbWireField field;
  bool end, has_root = false, has_narinfo = false;
  while (true) {
    if (!pb_wire_next(&reader, &field, &end, err)) return false;
    if (end) break;
    if (field.number == 1) {
      has_root = true;
      if (!pb_wire_expect(&field, PB_WIRE_LEN, "node", err) || !castore_node_decode(field.bytes, &info->root, err))
        return false;
    } else if (field.number == 2) {
      MEM_RESERVE(lists->refs, lists->ref_cap, lists->ref_count + 1);
      if (!expect_len(&field, "a reference", STORE_PATH_DIGEST_BYTES, err)) return false;
      lists->refs[lists->ref_count++] = field.bytes;
    } else if (field.number == 3) {
      has_narinfo = true;
      if (!pb_wire_expect(&field, PB_WIRE_LEN, "narinfo", err) || !decode_narinfo(field.bytes, info, lists, err))
        return false;
    }
  }
  if (!has_root) return err_set(err, ERR_SYNTAX, "it has no root node");
  return has_narinfo || err_set(err, ERR_SYNTAX, "it has no narinfo");
}

static bool keep_references(const Lists *lists, Arena *arena, PathInfo *info, Err *err) {
  if (lists->ref_count != lists->ref_name_count)
    return err_set(err, ERR_SYNTAX, "it has %zu references but %zu reference_names", lists->ref_count,
                   lists->ref_name_count);
  info->refs = ARENA_ARRAY(arena, StorePath, lists->ref_count);
  info->ref_count = lists->ref_count;
  for (size_t i = 0; i < lists->ref_count; i++) {
    if (!store_path_parse_base(lists->ref_names[i], &info->refs[i], err)) return false;
    if (memcmp(info->refs[i].digest, lists->refs[i].data, STORE_PATH_DIGEST_BYTES) != 0)
      return err_set(err, ERR_SYNTAX, "reference %zu is not that of its name '%.*s'", i, SPAN_ARG(lists->ref_names[i]));
  }
  return store_path_sort(info->refs, info->ref_count) == info->ref_count ||
         err_set(err, ERR_SYNTAX, "a reference is repeated");
}

bool path_info_decode(Span data, Arena *arena, PathInfo *ret, Err *err) {
  Lists lists CLEANUP(lists_done) = {0};
  memset(ret, 0, sizeof(*ret));
  if (data.len > PATH_INFO_BYTES_MAX)
    return err_set(err, ERR_LIMIT, "a PathInfo of %zu bytes is longer than %zu", data.len, PATH_INFO_BYTES_MAX);
  if (!decode_fields(data, ret, &lists, err) || !store_path_parse_base(ret->root.name, &ret->path, err) ||
      !keep_references(&lists, arena, ret, err))
    return err_wrap(err, "decoding a PathInfo");
  ret->root.name = SPAN("");
  ret->sigs = ARENA_ARRAY(arena, Signature, lists.sig_count);
  ret->sig_count = lists.sig_count;
  if (lists.sig_count) memcpy(ret->sigs, lists.sigs, lists.sig_count * sizeof(Signature));
  return true;
}

bool path_info_fingerprint(const PathInfo *info, Span store_dir, Buf *ret, Err *err) {
  Hash nar_hash = {.algo = HASH_SHA256};
  memcpy(nar_hash.bytes, info->nar_sha256, sizeof(info->nar_sha256));
  return signature_fingerprint(&info->path, &nar_hash, info->nar_size_bytes, info->refs, info->ref_count, store_dir,
                               ret, err);
}
