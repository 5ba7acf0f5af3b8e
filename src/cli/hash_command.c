// hash_command.c: nix-hash and `nix hash`: hashes of files and trees, and conversions. Behaviour: Nix 2.26, hash.cc.
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "castore/castore_nar.h"
#include "cli/command_list.h"
#include "formats/content_address.h"
#include "formats/hash.h"

static bool feed(void *ctx, Span data, Err *err) {
  hash_update(ctx, data.data, data.len);
  return true;
}

static bool hash_flat(const char *path, HashCtx *ctx, Err *err) {
  enum { CHUNK_BYTES = 64 << 10 };
  int fd CLEANUP(fs_close_fd) = -1;
  Buf chunk CLEANUP(buf_done) = BUF_INIT;
  if (!fs_open(path, O_RDONLY, 0, &fd, err)) return false;
  buf_reserve(&chunk, CHUNK_BYTES);
  for (size_t got = CHUNK_BYTES; got == CHUNK_BYTES;) {
    if (!fs_read_full(fd, chunk.data, CHUNK_BYTES, &got, err)) return err_wrap(err, "'%s'", path);
    hash_update(ctx, chunk.data, got);
  }
  return true;
}

typedef struct HashForm {
  HashAlgo algo;
  HashFormat format;
  bool truncate;
} HashForm;

static bool put_file_hash(const char *path, bool flat, const HashForm *form, Buf *out, Err *err) {
  HashCtx ctx;
  hash_init(&ctx, form->algo);
  ByteSink sink = {feed, &ctx};
  if (!(flat ? hash_flat(path, &ctx, err) : castore_nar_dump_path(path, &sink, err))) return false;
  Hash hash;
  hash_final(&ctx, &hash);
  if (form->truncate && hash_len(hash.algo) > 20) {
    Hash folded = {.algo = HASH_SHA1}; // a hash of 20 bytes; only its digits are printed
    hash_compress(hash.bytes, hash_len(hash.algo), folded.bytes, 20);
    hash = folded;
  }
  hash_format(&hash, form->format, form->format == HASH_FORMAT_SRI, out);
  buf_put_char(out, '\n');
  return true;
}

// BLAKE3 is ours: Nix has it behind an experimental feature.
static bool read_algo(const char *text, HashAlgo *ret, Err *err) {
  return hash_algo_find(span_cstr(text), ret) || hash_algo_parse(span_cstr(text), ret, err);
}

static bool read_format(const char *text, HashFormat *ret, Err *err) {
  if (!hash_format_parse(span_cstr(text), ret, err)) return false;
  if (strcmp(text, "base32") == 0) log_warn("\"base32\" is a deprecated alias for hash format \"nix32\".");
  return true;
}

// The last of several options counts.
static bool read_form(Session *session, HashAlgo algo, HashFormat format, HashForm *ret, Err *err) {
  const OptionList *list = &session->options;
  *ret = (HashForm){algo, format, option_has(list, OPT_truncate)};
  for (size_t i = 0; i < list->use_count; i++) {
    const OptionUse *use = &list->uses[i];
    switch ((int)use->id) {
    case OPT_base16: ret->format = HASH_FORMAT_BASE16; break;
    case OPT_base32: ret->format = HASH_FORMAT_NIX32; break;
    case OPT_base64: ret->format = HASH_FORMAT_BASE64; break;
    case OPT_sri: ret->format = HASH_FORMAT_SRI; break;
    case OPT_hash_path_format:
      if (!read_format(use->args[0], &ret->format, err)) return false;
      break;
    case OPT_hash_type:
    case OPT_hash_path_algo:
      if (!read_algo(use->args[0], &ret->algo, err)) return false;
      break;
    default: break;
    }
  }
  return true;
}

static bool read_mode(Session *session, bool *flat, Err *err) {
  const char *mode = option_get(&session->options, OPT_hash_path_mode);
  CaMethod method;
  if (!mode) return true;
  if (!content_address_method_parse(span_cstr(mode), false, &method, err)) return false;
  if (method != CA_FLAT && method != CA_NAR)
    return err_set(err, ERR_USAGE, "hashing with mode '%s' is not supported: use 'nar' or 'flat'", mode);
  *flat = method == CA_FLAT;
  return true;
}

static int hash_files(Session *session, bool flat, HashAlgo algo, HashFormat format) {
  Err err = ERR_INIT;
  HashForm form;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (!read_form(session, algo, format, &form, &err) || !read_mode(session, &flat, &err))
    return session_fail(session, &err);
  for (size_t i = 0; i < session->options.operand_count; i++)
    if (!put_file_hash(session->options.operands[i], flat, &form, &out, &err)) {
      session_print(session, buf_span(&out)); // what stood before
      return session_fail(session, &err);
    }
  session_print(session, buf_span(&out));
  return 0;
}

static int convert(Session *session, HashFormat format) {
  Err err = ERR_INIT;
  HashForm form;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool typed = option_get(&session->options, OPT_hash_type) != NULL;
  if (!read_form(session, HASH_SHA256, format, &form, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < session->options.operand_count; i++) {
    Hash hash;
    if (!hash_parse(span_cstr(session->options.operands[i]), typed ? &form.algo : NULL, &hash, &err))
      return session_fail(session, &err);
    hash_format(&hash, format, format == HASH_FORMAT_SRI, &out);
    buf_put_char(&out, '\n');
  }
  session_print(session, buf_span(&out));
  return 0;
}

// ---- nix hash convert

typedef struct Conversion {
  bool has_from, has_algo;
  HashFormat from, to;
  HashAlgo algo;
} Conversion;

// Is `text` written in the form that --from says?
static bool check_form(const Conversion *conversion, const Hash *hash, Span text, Err *err) {
  Buf written CLEANUP(buf_done) = BUF_INIT, lower CLEANUP(buf_done) = BUF_INIT;
  hash_format(hash, conversion->from, false, &written);
  buf_put_span(&lower, text);
  for (size_t i = 0; conversion->from == HASH_FORMAT_BASE16 && i < lower.len; i++)
    if (lower.data[i] >= 'A' && lower.data[i] <= 'Z') lower.data[i] = (char)(lower.data[i] + 32);
  return span_eq(buf_span(&written), buf_span(&lower)) ||
         err_set(err, ERR_USAGE, "input hash '%.*s' does not have the expected format for '--from %.*s'",
                 SPAN_ARG(text), SPAN_ARG(hash_format_name(conversion->from)));
}

static bool convert_one(const Conversion *conversion, const char *operand, Buf *out, Err *err) {
  Hash hash;
  Span text = span_cstr(operand);
  bool is_sri = conversion->has_from && conversion->from == HASH_FORMAT_SRI;
  if (is_sri ? !hash_parse_sri(text, &hash, err)
             : !hash_parse(text, conversion->has_algo ? &conversion->algo : NULL, &hash, err))
    return false;
  if (conversion->has_from && !is_sri && !check_form(conversion, &hash, text, err)) return false;
  hash_format(&hash, conversion->to, conversion->to == HASH_FORMAT_SRI, out);
  buf_put_char(out, '\n');
  return true;
}

int hash_command_convert_any(Session *session) {
  Err err = ERR_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  const OptionList *list = &session->options;
  Conversion conversion = {.to = HASH_FORMAT_SRI};
  const char *from = option_get(list, OPT_convert_from), *to = option_get(list, OPT_convert_to),
             *algo = option_get(list, OPT_convert_algo);
  conversion.has_from = from != NULL;
  conversion.has_algo = algo != NULL;
  bool ok = (!from || read_format(from, &conversion.from, &err)) && (!to || read_format(to, &conversion.to, &err)) &&
            (!algo || read_algo(algo, &conversion.algo, &err));
  for (size_t i = 0; ok && i < list->operand_count; i++) ok = convert_one(&conversion, list->operands[i], &out, &err);
  session_print(session, buf_span(&out));
  return ok ? 0 : session_fail(session, &err);
}

int hash_command_file(Session *session) {
  return hash_files(session, true, HASH_SHA256, HASH_FORMAT_SRI);
}

int hash_command_path(Session *session) {
  return hash_files(session, false, HASH_SHA256, HASH_FORMAT_SRI);
}

// The verb says what to convert to.
int hash_command_convert(Session *session) {
  const char *to = session->command->verb + strlen("hash to-");
  HashFormat format = strcmp(to, "base16") == 0   ? HASH_FORMAT_BASE16
                      : strcmp(to, "base32") == 0 ? HASH_FORMAT_NIX32
                      : strcmp(to, "base64") == 0 ? HASH_FORMAT_BASE64
                                                  : HASH_FORMAT_SRI;
  log_warn("The old format conversion subcommands of `nix hash` were deprecated in favor of `nix hash convert`.");
  return convert(session, format);
}

int hash_command_run(Session *session) {
  const OptionList *list = &session->options;
  if (option_has(list, OPT_to_base16)) return convert(session, HASH_FORMAT_BASE16);
  if (option_has(list, OPT_to_base32)) return convert(session, HASH_FORMAT_NIX32);
  if (option_has(list, OPT_to_base64)) return convert(session, HASH_FORMAT_BASE64);
  if (option_has(list, OPT_to_sri)) return convert(session, HASH_FORMAT_SRI);
  return hash_files(session, option_has(list, OPT_flat), HASH_MD5, HASH_FORMAT_BASE16);
}
