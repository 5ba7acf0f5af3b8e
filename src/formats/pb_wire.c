// pb_wire.c: protobuf varints, tags and embedded messages.
#include "formats/pb_wire.h"

#include "base/err.h"

size_t pb_wire_varint_len(uint64_t value) {
  size_t len = 1;
  for (; value > 0x7f; value >>= 7) len++;
  return len;
}

void pb_wire_put_varint(Buf *buf, uint64_t value) {
  buf_reserve(buf, 10);
  char *out = buf->data + buf->len;
  for (; value > 0x7f; value >>= 7) *out++ = (char)(value | 0x80);
  *out++ = (char)value;
  buf->len = (size_t)(out - buf->data);
}

static void put_tag(Buf *buf, uint32_t field, PbWireType type) {
  pb_wire_put_varint(buf, (uint64_t)field << 3 | type);
}

void pb_wire_put_uint(Buf *buf, uint32_t field, uint64_t value) {
  if (value == 0) return;
  put_tag(buf, field, PB_WIRE_VARINT);
  pb_wire_put_varint(buf, value);
}

void pb_wire_put_bool(Buf *buf, uint32_t field, bool value) {
  pb_wire_put_uint(buf, field, value);
}

void pb_wire_put_bytes_always(Buf *buf, uint32_t field, Span value) {
  put_tag(buf, field, PB_WIRE_LEN);
  pb_wire_put_varint(buf, value.len);
  buf_put_span(buf, value);
}

void pb_wire_put_bytes(Buf *buf, uint32_t field, Span value) {
  if (value.len) pb_wire_put_bytes_always(buf, field, value);
}

// The length is written in one byte first; a message over 127 bytes is moved when it ends.
size_t pb_wire_message_begin(Buf *buf, uint32_t field) {
  put_tag(buf, field, PB_WIRE_LEN);
  buf_put_char(buf, 0);
  return buf->len;
}

void pb_wire_message_end(Buf *buf, size_t mark) {
  size_t len = buf->len - mark, extra = pb_wire_varint_len(len) - 1;
  if (extra) {
    buf_reserve(buf, extra);
    memmove(buf->data + mark + extra, buf->data + mark, len);
  }
  buf->len = mark - 1;
  pb_wire_put_varint(buf, len);
  buf->len += len;
}

// Reading.

static bool read_varint(PbWireReader *reader, uint64_t *ret, Err *err) {
  uint64_t value = 0;
  for (unsigned i = 0; i < 10; i++) {
    if (i >= reader->rest.len) return err_set(err, ERR_SYNTAX, "protobuf message ends inside a varint");
    uint8_t byte = (uint8_t)reader->rest.data[i];
    if (i == 9 && byte > 1) break;
    value |= (uint64_t)(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      reader->rest = span_from(reader->rest, i + 1);
      *ret = value;
      return true;
    }
  }
  return err_set(err, ERR_SYNTAX, "protobuf varint is longer than 64 bits");
}

static bool read_fixed(PbWireReader *reader, size_t len, uint64_t *ret, Err *err) {
  if (reader->rest.len < len) return err_set(err, ERR_SYNTAX, "protobuf message ends inside a fixed-size field");
  uint64_t value = 0;
  for (size_t i = 0; i < len; i++) value |= (uint64_t)(uint8_t)reader->rest.data[i] << (8 * i);
  reader->rest = span_from(reader->rest, len);
  *ret = value;
  return true;
}

static bool read_bytes(PbWireReader *reader, Span *ret, Err *err) {
  uint64_t len;
  if (!read_varint(reader, &len, err)) return false;
  if (len > reader->rest.len)
    return err_set(err, ERR_SYNTAX, "protobuf field of %llu bytes is longer than the message", (unsigned long long)len);
  *ret = span_sub(reader->rest, 0, (size_t)len);
  reader->rest = span_from(reader->rest, (size_t)len);
  return true;
}

bool pb_wire_next(PbWireReader *reader, PbWireField *ret, bool *ret_end, Err *err) {
  uint64_t tag;
  *ret_end = reader->rest.len == 0;
  if (*ret_end) return true;
  if (!read_varint(reader, &tag, err)) return false;
  memset(ret, 0, sizeof(*ret));
  if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return err_set(err, ERR_SYNTAX, "protobuf field number out of range");
  ret->number = (uint32_t)(tag >> 3);
  ret->type = (PbWireType)(tag & 7);
  switch (tag & 7) {
  case PB_WIRE_VARINT: return read_varint(reader, &ret->value, err);
  case PB_WIRE_I64: return read_fixed(reader, 8, &ret->value, err);
  case PB_WIRE_LEN: return read_bytes(reader, &ret->bytes, err);
  case PB_WIRE_I32: return read_fixed(reader, 4, &ret->value, err);
  default:
    return err_set(err, ERR_SYNTAX, "protobuf field %u has wire type %d, which is not supported", ret->number,
                   (int)(tag & 7));
  }
}

bool pb_wire_expect(const PbWireField *field, PbWireType type, const char *name, Err *err) {
  if (field->type == type) return true;
  return err_set(err, ERR_SYNTAX, "protobuf field %u (%s) has wire type %d instead of %d", field->number, name,
                 (int)field->type, (int)type);
}
