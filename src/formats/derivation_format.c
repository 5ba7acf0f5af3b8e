// derivation_format.c: the ATerm writer. Each part reserves the most it can need, and then writes without looking at the room again.
// Strings that may need escapes are copied eight bytes at a time; everything else (paths, hashes, output names) is copied as it is.
#include "formats/derivation_format.h"

#include "formats/base16.h"
#include "formats/byte_scan.h"

// Writing at a cursor: each returns where it stopped.

static inline char *put(char *out, Span s) {
  if (s.len) memcpy(out, s.data, s.len);
  return out + s.len;
}

static inline char *put_quoted(char *out, Span s) {
  *out++ = '"';
  out = put(out, s);
  *out++ = '"';
  return out;
}

// Escaping.

static inline char *put_byte_escaped(char *out, char c) {
  switch (c) {
  case '"':
  case '\\': *out++ = '\\'; break;
  case '\n':
    *out++ = '\\';
    c = 'n';
    break;
  case '\r':
    *out++ = '\\';
    c = 'r';
    break;
  case '\t':
    *out++ = '\\';
    c = 't';
    break;
  default: break;
  }
  *out++ = c;
  return out;
}

// Needs room for 2 * s.len + 8 bytes: each byte becomes at most two, and whole words are stored before it is known how much of them
// counts.
static char *put_escaped(char *out, Span s) {
  const char *in = s.data, *end = s.data + s.len;
  while (end - in >= 8) {
    uint64_t word = byte_scan_load(in);
    memcpy(out, in, 8);
    uint64_t special = byte_scan_below(word, 0x20) | byte_scan_equal(word, '"') | byte_scan_equal(word, '\\');
    if (LIKELY(!special)) {
      in += 8;
      out += 8;
      continue;
    }
    size_t plain = byte_scan_first(special);
    in += plain;
    out = put_byte_escaped(out + plain, *in++);
  }
  while (in < end) out = put_byte_escaped(out, *in++);
  return out;
}

static inline char *put_escaped_quoted(char *out, Span s) {
  *out++ = '"';
  out = put_escaped(out, s);
  *out++ = '"';
  return out;
}

// Room for an escaped string with quotes and what separates it from its neighbours.
static inline size_t escaped_room(Span s) {
  return 2 * s.len + 16;
}

static char *begin(Buf *buf, size_t room) {
  buf_reserve(buf, room);
  return buf->data + buf->len;
}

static void end(Buf *buf, const char *out) {
  buf->len = (size_t)(out - buf->data);
}

void derivation_format_escaped(Span s, Buf *ret) {
  end(ret, put_escaped(begin(ret, escaped_room(s)), s));
}

void derivation_format_string(Span s, Buf *ret) {
  end(ret, put_escaped_quoted(begin(ret, escaped_room(s)), s));
}

// Lists of plain strings.

static size_t list_room(const Span *items, size_t count) {
  size_t room = 2;
  for (size_t i = 0; i < count; i++) room += items[i].len + 3;
  return room;
}

static char *put_list(char *out, const Span *items, size_t count) {
  *out++ = '[';
  for (size_t i = 0; i < count; i++) {
    if (i) *out++ = ',';
    out = put_quoted(out, items[i]);
  }
  *out++ = ']';
  return out;
}

// Outputs.

static char *put_method_algo(char *out, const DerivationOutput *output) {
  *out++ = '"';
  out = put(out, content_address_method_prefix(output->method));
  out = put(out, hash_algo_name(output->hash.algo));
  *out++ = '"';
  return out;
}

static char *put_output(char *out, const DerivationOutput *output, bool mask) {
  *out++ = '(';
  out = put_quoted(out, output->name);
  *out++ = ',';
  out = put_quoted(out, mask ? SPAN("") : output->path);
  *out++ = ',';
  switch (output->kind) {
  case DERIVATION_INPUT_ADDRESSED:
  case DERIVATION_DEFERRED: out = put(out, SPAN("\"\",\"\"")); break;
  case DERIVATION_FIXED: {
    size_t hash_size = hash_len(output->hash.algo);
    out = put(put_method_algo(out, output), SPAN(",\""));
    base16_encode(output->hash.bytes, hash_size, out);
    out += 2 * hash_size;
    *out++ = '"';
    break;
  }
  case DERIVATION_FLOATING: out = put(put_method_algo(out, output), SPAN(",\"\"")); break;
  case DERIVATION_IMPURE: out = put(put_method_algo(out, output), SPAN(",\"impure\"")); break;
  }
  *out++ = ')';
  return out;
}

static bool has_dynamic_input(const Derivation *drv) {
  for (size_t i = 0; i < drv->input_drv_count; i++)
    if (drv->input_drvs[i].dynamic_count) return true;
  return false;
}

void derivation_format_outputs(const Derivation *drv, bool mask_outputs, Buf *ret) {
  size_t room = 64;
  for (size_t i = 0; i < drv->output_count; i++)
    room += drv->outputs[i].name.len + drv->outputs[i].path.len + 2 * HASH_MAX_BYTES + 64;
  char *out = begin(ret, room);
  out = put(out, has_dynamic_input(drv) ? SPAN("DrvWithVersion(\"xp-dyn-drv\",[") : SPAN("Derive(["));
  for (size_t i = 0; i < drv->output_count; i++) {
    if (i) *out++ = ',';
    out = put_output(out, &drv->outputs[i], mask_outputs);
  }
  end(ret, put(out, SPAN("],[")));
}

// Inputs.

static size_t inputs_room(const DerivationInput *inputs, size_t count) {
  size_t room = 0;
  for (size_t i = 0; i < count; i++) {
    room += inputs[i].key.len + list_room(inputs[i].outputs, inputs[i].output_count) + 16;
    if (UNLIKELY(inputs[i].dynamic_count)) room += inputs_room(inputs[i].dynamic, inputs[i].dynamic_count);
  }
  return room;
}

static char *put_inputs(char *out, const DerivationInput *inputs, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const DerivationInput *input = &inputs[i];
    if (i) *out++ = ',';
    *out++ = '(';
    out = put_quoted(out, input->key);
    *out++ = ',';
    if (UNLIKELY(input->dynamic_count)) {
      *out++ = '(';
      out = put(put_list(out, input->outputs, input->output_count), SPAN(",["));
      out = put(put_inputs(out, input->dynamic, input->dynamic_count), SPAN("])"));
    } else {
      out = put_list(out, input->outputs, input->output_count);
    }
    *out++ = ')';
  }
  return out;
}

void derivation_format_inputs(const Derivation *drv, Buf *ret) {
  char *out = begin(ret, inputs_room(drv->input_drvs, drv->input_drv_count));
  end(ret, put_inputs(out, drv->input_drvs, drv->input_drv_count));
}

void derivation_format_modulo_inputs(const DerivationFormatInput *inputs, size_t count, Buf *ret) {
  size_t room = 0;
  for (size_t i = 0; i < count; i++)
    room += sizeof(inputs[i].hex) + list_room(inputs[i].outputs, inputs[i].output_count) + 8;
  char *out = begin(ret, room);
  for (size_t i = 0; i < count; i++) {
    if (i) *out++ = ',';
    *out++ = '(';
    out = put_quoted(out, span_make(inputs[i].hex, sizeof(inputs[i].hex)));
    *out++ = ',';
    out = put_list(out, inputs[i].outputs, inputs[i].output_count);
    *out++ = ')';
  }
  end(ret, out);
}

// The rest.

static size_t rest_room(const Derivation *drv) {
  size_t room = 64 + list_room(drv->input_srcs, drv->input_src_count) + drv->platform.len + escaped_room(drv->builder);
  for (size_t i = 0; i < drv->arg_count; i++) room += escaped_room(drv->args[i]);
  for (size_t i = 0; i < drv->env_count; i++) room += escaped_room(drv->env[i].name) + escaped_room(drv->env[i].value);
  return room;
}

static char *put_before_env(char *out, const Derivation *drv) {
  out = put_list(put(out, SPAN("],")), drv->input_srcs, drv->input_src_count);
  *out++ = ',';
  out = put_quoted(out, drv->platform);
  *out++ = ',';
  out = put_escaped_quoted(out, drv->builder);
  out = put(out, SPAN(",["));
  for (size_t i = 0; i < drv->arg_count; i++) {
    if (i) *out++ = ',';
    out = put_escaped_quoted(out, drv->args[i]);
  }
  return put(out, SPAN("],["));
}

// Slots count from `base`.
static char *put_env(char *out, const Derivation *drv, bool mask_outputs, size_t *ret_slots, const char *base) {
  size_t next_output = 0; // both lists are sorted
  for (size_t i = 0; i < drv->env_count; i++) {
    const DerivationEnv *env = &drv->env[i];
    int order = 1;
    while (next_output < drv->output_count && (order = span_cmp(drv->outputs[next_output].name, env->name)) < 0)
      next_output++;
    bool is_output = next_output < drv->output_count && order == 0;
    if (i) *out++ = ',';
    *out++ = '(';
    out = put(put_escaped_quoted(out, env->name), SPAN(",\""));
    if (is_output && ret_slots) ret_slots[next_output] = (size_t)(out - base);
    if (!is_output || !mask_outputs) out = put_escaped(out, env->value);
    out = put(out, SPAN("\")"));
  }
  return put(out, SPAN("])"));
}

void derivation_format_rest(const Derivation *drv, bool mask_outputs, size_t *ret_slots, Buf *ret) {
  for (size_t i = 0; ret_slots && i < drv->output_count; i++) ret_slots[i] = SIZE_MAX;
  char *out = put_before_env(begin(ret, rest_room(drv)), drv);
  end(ret, put_env(out, drv, mask_outputs, ret_slots, ret->data));
}

void derivation_format(const Derivation *drv, const DerivationFormatOptions *options, Buf *ret) {
  static const DerivationFormatOptions plain = {false, NULL, 0};
  if (!options) options = &plain;
  derivation_format_outputs(drv, options->mask_outputs, ret);
  if (options->inputs) derivation_format_modulo_inputs(options->inputs, options->input_count, ret);
  else derivation_format_inputs(drv, ret);
  derivation_format_rest(drv, options->mask_outputs, NULL, ret);
}
