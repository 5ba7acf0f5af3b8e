// hash_command.c: nix-hash and `nix hash`: hashes of files and trees, and conversions. Behaviour: Nix 2.26, hash.cc.
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "castore/castore_nar.h"
#include "cli/command_list.h"
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

static bool read_form(Session *session, HashAlgo algo, HashFormat format, HashForm *ret, Err *err) {
  const OptionList *list = &session->options;
  *ret = (HashForm){algo, format, option_has(list, OPT_truncate)};
  if (option_has(list, OPT_base16)) ret->format = HASH_FORMAT_BASE16;
  if (option_has(list, OPT_base32)) ret->format = HASH_FORMAT_NIX32;
  if (option_has(list, OPT_base64)) ret->format = HASH_FORMAT_BASE64;
  if (option_has(list, OPT_sri)) ret->format = HASH_FORMAT_SRI;
  const char *type = option_get(list, OPT_hash_type);
  if (!type) return true;
  // BLAKE3 is ours: Nix has it behind an experimental feature.
  return hash_algo_find(span_cstr(type), &ret->algo) || hash_algo_parse(span_cstr(type), &ret->algo, err);
}

static int hash_files(Session *session, bool flat, HashAlgo algo, HashFormat format) {
  Err err = ERR_INIT;
  HashForm form;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (!read_form(session, algo, format, &form, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < session->options.operand_count; i++)
    if (!put_file_hash(session->options.operands[i], flat, &form, &out, &err)) return session_fail(session, &err);
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
