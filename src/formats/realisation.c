// realisation.c: see realisation.h.
#include "formats/realisation.h"

#include <stdlib.h>

#include "formats/base16.h"
#include "formats/json_read.h"
#include "formats/json_write.h"

static const char id_prefix[] = "sha256:";

void realisation_format_id(const uint8_t drv_sha256[32], Span output, Buf *ret) {
  buf_put_cstr(ret, id_prefix);
  base16_put(ret, drv_sha256, 32);
  buf_printf(ret, "!%.*s", SPAN_ARG(output));
}

bool realisation_parse_id(Span id, uint8_t ret_drv_sha256[32], Span *ret_output) {
  Span digits;
  if (!span_has_prefix(id, span_cstr(id_prefix))) return false;
  *ret_output = span_from(id, strlen(id_prefix));
  return span_split(ret_output, '!', &digits) && digits.len == 64 && ret_output->len > 0 &&
         base16_decode(digits, ret_drv_sha256, 32);
}

static int compare_deps(const void *a, const void *b) {
  return span_cmp(((const RealisationDep *)a)->id, ((const RealisationDep *)b)->id);
}

// The members of an object whose values are all text, behind its beginning.
static bool parse_deps(JsonRead *json, Arena *arena, Realisation *ret, Err *err) {
  RealisationDep *deps = NULL;
  size_t count = 0, cap = 0;
  JsonEvent event;
  bool ok = true;
  while (ok && (event = json_read_next(json, err)) == JSON_KEY) {
    Span id = arena_dup(arena, json->string);
    ok = json_read_expect(json, JSON_STRING, "a dependent realisation", err);
    if (!ok) break;
    MEM_RESERVE(deps, cap, count + 1);
    deps[count++] = (RealisationDep){id, arena_dup(arena, json->string)};
  }
  ok = ok && (event == JSON_OBJECT_END || (event != JSON_ERROR && err_set(err, ERR_SYNTAX, "an object was expected")));
  ret->deps = ARENA_ARRAY(arena, RealisationDep, count);
  ret->dep_count = count;
  if (count) {
    memcpy(ret->deps, deps, count * sizeof *deps);
    qsort(ret->deps, count, sizeof *deps, compare_deps);
  }
  mem_free(deps);
  return ok;
}

static bool parse_sigs(JsonRead *json, Arena *arena, Realisation *ret, Err *err) {
  Signature *sigs = NULL;
  size_t count = 0, cap = 0;
  JsonEvent event;
  bool ok = true;
  while (ok && (event = json_read_next(json, err)) == JSON_STRING) {
    MEM_RESERVE(sigs, cap, count + 1);
    ok = signature_parse(arena_dup(arena, json->string), &sigs[count], err);
    count += ok;
  }
  ok = ok &&
       (event == JSON_ARRAY_END || (event != JSON_ERROR && err_set(err, ERR_SYNTAX, "a list of text was expected")));
  ret->sigs = ARENA_ARRAY(arena, Signature, count);
  ret->sig_count = count;
  if (count) memcpy(ret->sigs, sigs, count * sizeof *sigs);
  mem_free(sigs);
  return ok;
}

static bool parse_field(JsonRead *json, Span key, Arena *arena, Realisation *ret, bool *has_path, Err *err) {
  JsonEvent event = json_read_next(json, err);
  if (event == JSON_ERROR) return false;
  if (event == JSON_STRING && span_eq(key, SPAN("id"))) {
    ret->id = arena_dup(arena, json->string);
    return true;
  }
  if (event == JSON_STRING && span_eq(key, SPAN("outPath")))
    return *has_path = store_path_parse_base(json->string, &ret->path, err);
  if (event == JSON_OBJECT_BEGIN && span_eq(key, SPAN("dependentRealisations")))
    return parse_deps(json, arena, ret, err);
  if (event == JSON_ARRAY_BEGIN && span_eq(key, SPAN("signatures"))) return parse_sigs(json, arena, ret, err);
  return json_read_skip(json, event, err);
}

bool realisation_parse(Span text, Arena *arena, Realisation *ret, Err *err) {
  JsonRead json;
  bool has_path = false;
  *ret = (Realisation){.dep_count = 0};
  json_read_init(&json, text);
  bool ok = json_read_expect(&json, JSON_OBJECT_BEGIN, "a realisation", err);
  JsonEvent event = JSON_END;
  while (ok && (event = json_read_next(&json, err)) == JSON_KEY) {
    Span key = arena_dup(arena, json.string);
    ok = parse_field(&json, key, arena, ret, &has_path, err) || err_wrap(err, "field '%.*s'", SPAN_ARG(key));
  }
  ok = ok && event == JSON_OBJECT_END && json_read_expect(&json, JSON_END, "the end", err);
  json_read_done(&json);
  if (ok && (!ret->id.len || !has_path)) ok = err_set(err, ERR_SYNTAX, "'id' or 'outPath' is missing");
  return ok || err_wrap(err, "reading a realisation");
}

static void put_json(const Realisation *realisation, bool with_sigs, Buf *ret) {
  JsonWrite json;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  json_write_init(&json, ret, 0);
  json_write_object_begin(&json);
  json_write_text_key(&json, SPAN("dependentRealisations"));
  json_write_object_begin(&json);
  for (size_t i = 0; i < realisation->dep_count; i++) {
    json_write_text_key(&json, realisation->deps[i].id);
    json_write_text(&json, realisation->deps[i].path);
  }
  json_write_object_end(&json);
  json_write_text_key(&json, SPAN("id"));
  json_write_text(&json, realisation->id);
  json_write_text_key(&json, SPAN("outPath"));
  store_path_format_base(&realisation->path, &text);
  json_write_text(&json, buf_span(&text));
  if (with_sigs) {
    json_write_text_key(&json, SPAN("signatures"));
    json_write_array_begin(&json);
    for (size_t i = 0; i < realisation->sig_count; i++) {
      buf_clear(&text);
      signature_format(&realisation->sigs[i], &text);
      json_write_text(&json, buf_span(&text));
    }
    json_write_array_end(&json);
  }
  json_write_object_end(&json);
}

void realisation_format(const Realisation *realisation, Buf *ret) {
  put_json(realisation, true, ret);
}

void realisation_fingerprint(const Realisation *realisation, Buf *ret) {
  put_json(realisation, false, ret);
}

bool realisation_is_signed(const Realisation *realisation, const SignaturePublicKey *keys, size_t key_count) {
  Buf text = BUF_INIT;
  bool found = false;
  realisation_fingerprint(realisation, &text);
  for (size_t i = 0; i < realisation->sig_count; i++)
    for (size_t k = 0; k < key_count; k++) found |= signature_verify(&keys[k], buf_span(&text), &realisation->sigs[i]);
  buf_done(&text);
  return found;
}
