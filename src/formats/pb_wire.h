// pb_wire.h: the protobuf wire format, as far as the messages of castore, store and build need it: varint and
// length-delimited fields. Writing is canonical when the caller writes fields in ascending order and leaves out defaults,
// which the put functions do.
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef enum PbWireType { PB_WIRE_VARINT = 0, PB_WIRE_I64 = 1, PB_WIRE_LEN = 2, PB_WIRE_I32 = 5 } PbWireType;

void pb_wire_put_varint(Buf *buf, uint64_t value);
void pb_wire_put_uint(Buf *buf, uint32_t field, uint64_t value); // nothing for 0
void pb_wire_put_bool(Buf *buf, uint32_t field, bool value);     // nothing for false
void pb_wire_put_bytes(Buf *buf, uint32_t field, Span value);    // nothing for empty
// For repeated fields, oneof members and messages, where an empty value counts.
void pb_wire_put_bytes_always(Buf *buf, uint32_t field, Span value);
size_t pb_wire_varint_len(uint64_t value);
// Embedded message without knowing its length first: begin returns a mark, end inserts the length. Nests.
size_t pb_wire_message_begin(Buf *buf, uint32_t field);
void pb_wire_message_end(Buf *buf, size_t mark);

typedef struct PbWireReader {
  Span rest;
} PbWireReader;

typedef struct PbWireField {
  uint32_t number;
  PbWireType type;
  uint64_t value; // VARINT, I64, I32
  Span bytes;     // LEN; points into the input
} PbWireField;

// *ret_end at the end. Errors: truncated, varint over 64 bits, field number 0, group wire types.
MUST_CHECK bool pb_wire_next(PbWireReader *reader, PbWireField *ret, bool *ret_end, Err *err);
// Demands the wire type; the message names the field.
MUST_CHECK bool pb_wire_expect(const PbWireField *field, PbWireType type, const char *name, Err *err);
