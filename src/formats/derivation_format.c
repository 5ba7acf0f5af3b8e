// derivation_format.c: the ATerm writer. Strings that may need escapes are copied eight bytes at a time; everything
// else (paths, hashes, output names) is copied as it is.
#include "formats/derivation_format.h"

#include "formats/base16.h"

// Escaping.

#define ONES 0x0101010101010101u
#define HIGHS 0x8080808080808080u

// The high bit of each byte that is a control character, '"' or '\\'. Exact up to and including the lowest such byte,
// which is the one asked for.
static inline uint64_t find_special(uint64_t word) {
  uint64_t quote = word ^ (ONES * '"'), backslash = word ^ (ONES * '\\');
  return (((word - ONES * 0x20) & ~word) | ((quote - ONES) & ~quote) | ((backslash - ONES) & ~backslash)) & HIGHS;
}

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

void derivation_format_escaped(Span s, Buf *ret) {
  // Each byte becomes at most two; whole words are stored before it is known how much of them counts.
  buf_reserve(ret, 2 * s.len + 8);
  char *out = ret->data + ret->len;
  const char *in = s.data, *end = s.data + s.len;
  while (end - in >= 8) {
    uint64_t word;
    memcpy(&word, in, 8);
    memcpy(out, &word, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    uint64_t special = find_special(word);
    if (LIKELY(!special)) {
      in += 8;
      out += 8;
      continue;
    }
    int plain = __builtin_ctzll(special) >> 3;
    in += plain;
    out = put_byte_escaped(out + plain, *in++);
  }
  while (in < end) out = put_byte_escaped(out, *in++);
  ret->len = (size_t)(out - ret->data);
}

void derivation_format_string(Span s, Buf *ret) {
  buf_put_char(ret, '"');
  derivation_format_escaped(s, ret);
  buf_put_char(ret, '"');
}

static void put_unquoted(Span s, Buf *ret) {
  buf_reserve(ret, s.len + 2);
  char *out = ret->data + ret->len;
  *out++ = '"';
  if (s.len) memcpy(out, s.data, s.len);
  out[s.len] = '"';
  ret->len += s.len + 2;
}

static void put_unquoted_list(const Span *items, size_t count, Buf *ret) {
  buf_put_char(ret, '[');
  for (size_t i = 0; i < count; i++) {
    if (i) buf_put_char(ret, ',');
    put_unquoted(items[i], ret);
  }
  buf_put_char(ret, ']');
}

// Outputs.

static void put_method_algo(const DerivationOutput *output, Buf *ret) {
  buf_put_char(ret, '"');
  buf_put_span(ret, content_address_method_prefix(output->method));
  buf_put_span(ret, hash_algo_name(output->hash.algo));
  buf_put_char(ret, '"');
}

static void put_output(const DerivationOutput *output, bool mask, Buf *ret) {
  buf_put_char(ret, '(');
  put_unquoted(output->name, ret);
  buf_put_char(ret, ',');
  put_unquoted(mask ? (Span){NULL, 0} : output->path, ret);
  buf_put_char(ret, ',');
  switch (output->kind) {
  case DERIVATION_INPUT_ADDRESSED:
  case DERIVATION_DEFERRED: buf_put_span(ret, SPAN("\"\",\"\"")); break;
  case DERIVATION_FIXED:
    put_method_algo(output, ret);
    buf_put_span(ret, SPAN(",\""));
    base16_put(ret, output->hash.bytes, hash_len(output->hash.algo));
    buf_put_char(ret, '"');
    break;
  case DERIVATION_FLOATING:
    put_method_algo(output, ret);
    buf_put_span(ret, SPAN(",\"\""));
    break;
  case DERIVATION_IMPURE:
    put_method_algo(output, ret);
    buf_put_span(ret, SPAN(",\"impure\""));
    break;
  }
  buf_put_char(ret, ')');
}

static bool has_dynamic_input(const Derivation *drv) {
  for (size_t i = 0; i < drv->input_drv_count; i++)
    if (drv->input_drvs[i].dynamic_count) return true;
  return false;
}

void derivation_format_outputs(const Derivation *drv, bool mask_outputs, Buf *ret) {
  buf_put_span(ret, has_dynamic_input(drv) ? SPAN("DrvWithVersion(\"xp-dyn-drv\",[") : SPAN("Derive(["));
  for (size_t i = 0; i < drv->output_count; i++) {
    if (i) buf_put_char(ret, ',');
    put_output(&drv->outputs[i], mask_outputs, ret);
  }
  buf_put_span(ret, SPAN("],["));
}

// Inputs.

static void put_inputs(const DerivationInput *inputs, size_t count, Buf *ret) {
  for (size_t i = 0; i < count; i++) {
    const DerivationInput *input = &inputs[i];
    buf_put_span(ret, i ? SPAN(",(") : SPAN("("));
    put_unquoted(input->key, ret);
    buf_put_char(ret, ',');
    if (input->dynamic_count) {
      buf_put_char(ret, '(');
      put_unquoted_list(input->outputs, input->output_count, ret);
      buf_put_span(ret, SPAN(",["));
      put_inputs(input->dynamic, input->dynamic_count, ret);
      buf_put_span(ret, SPAN("])"));
    } else {
      put_unquoted_list(input->outputs, input->output_count, ret);
    }
    buf_put_char(ret, ')');
  }
}

void derivation_format_inputs(const Derivation *drv, Buf *ret) {
  put_inputs(drv->input_drvs, drv->input_drv_count, ret);
}

void derivation_format_modulo_inputs(const DerivationFormatInput *inputs, size_t count, Buf *ret) {
  for (size_t i = 0; i < count; i++) {
    buf_put_span(ret, i ? SPAN(",(") : SPAN("("));
    put_unquoted(span_make(inputs[i].hex, sizeof(inputs[i].hex)), ret);
    buf_put_char(ret, ',');
    put_unquoted_list(inputs[i].outputs, inputs[i].output_count, ret);
    buf_put_char(ret, ')');
  }
}

// The rest.

static void put_before_env(const Derivation *drv, Buf *ret) {
  buf_put_span(ret, SPAN("],"));
  put_unquoted_list(drv->input_srcs, drv->input_src_count, ret);
  buf_put_char(ret, ',');
  put_unquoted(drv->platform, ret);
  buf_put_char(ret, ',');
  derivation_format_string(drv->builder, ret);
  buf_put_span(ret, SPAN(",["));
  for (size_t i = 0; i < drv->arg_count; i++) {
    if (i) buf_put_char(ret, ',');
    derivation_format_string(drv->args[i], ret);
  }
  buf_put_span(ret, SPAN("],["));
}

// Variables named like an output are left empty when `masked`, and their position goes to ret_slots when that is not NULL.
static void put_env(const Derivation *drv, bool masked, size_t *ret_slots, Buf *ret) {
  size_t next_output = 0; // both lists are sorted
  for (size_t i = 0; i < drv->env_count; i++) {
    const DerivationEnv *env = &drv->env[i];
    while (next_output < drv->output_count && span_cmp(drv->outputs[next_output].name, env->name) < 0) next_output++;
    bool is_output = next_output < drv->output_count && span_eq(drv->outputs[next_output].name, env->name);
    buf_put_span(ret, i ? SPAN(",(") : SPAN("("));
    derivation_format_string(env->name, ret);
    buf_put_span(ret, SPAN(",\""));
    if (is_output && ret_slots) ret_slots[next_output] = ret->len;
    if (!is_output || !masked) derivation_format_escaped(env->value, ret);
    buf_put_span(ret, SPAN("\")"));
  }
  buf_put_span(ret, SPAN("])"));
}

void derivation_format_rest(const Derivation *drv, bool mask_outputs, size_t *ret_slots, Buf *ret) {
  for (size_t i = 0; ret_slots && i < drv->output_count; i++) ret_slots[i] = SIZE_MAX;
  put_before_env(drv, ret);
  put_env(drv, mask_outputs, ret_slots, ret);
}

void derivation_format(const Derivation *drv, const DerivationFormatOptions *options, Buf *ret) {
  static const DerivationFormatOptions plain = {false, NULL, 0};
  if (!options) options = &plain;
  derivation_format_outputs(drv, options->mask_outputs, ret);
  if (options->inputs) derivation_format_modulo_inputs(options->inputs, options->input_count, ret);
  else derivation_format_inputs(drv, ret);
  derivation_format_rest(drv, options->mask_outputs, NULL, ret);
}
