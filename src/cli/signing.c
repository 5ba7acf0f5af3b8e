// signing.c: see signing.h.
#include "cli/signing.h"

#include "base/fs.h"
#include "base/mem.h"

#define KEY_BYTES_MAX ((size_t)4096)

void signing_keys_done(SigningKeys *keys) {
  mem_free(keys->keys);
}

bool signing_trusted_keys(Session *session, SigningKeys *ret, Err *err) {
  Span rest = span_cstr(setting_text(session->settings, SETTING_ID_trusted_public_keys)), word;
  while (setting_next_word(&rest, &word)) {
    MEM_RESERVE(ret->keys, ret->cap, ret->count + 1);
    if (!signature_parse_public_key(word, &ret->keys[ret->count++], err)) return false;
  }
  return true;
}

bool signing_read_key(const char *path, Buf *text, SignatureSecretKey *ret, Err *err) {
  int fd CLEANUP(fs_close_fd) = -1;
  if (!fs_open(path, O_RDONLY, 0, &fd, err)) return false;
  return (fs_read_fd(fd, KEY_BYTES_MAX, text, err) &&
          signature_parse_secret_key(span_trim(buf_span(text)), ret, err)) ||
         err_wrap(err, "reading the key '%s'", path);
}

bool signing_secret_keys(Session *session, const SignatureSecretKey **ret, size_t *ret_count, Err *err) {
  Span rest = span_cstr(setting_text(session->settings, SETTING_ID_secret_key_files)), word;
  size_t count = 0;
  while (setting_next_word(&rest, &word)) count++;
  SignatureSecretKey *keys = ARENA_ARRAY(&session->arena, SignatureSecretKey, count + 1);
  rest = span_cstr(setting_text(session->settings, SETTING_ID_secret_key_files));
  *ret = keys;
  *ret_count = 0;
  while (setting_next_word(&rest, &word)) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    SignatureSecretKey *key = &keys[(*ret_count)++];
    if (!signing_read_key(arena_dup(&session->arena, word).data, &text, key, err)) return false;
    key->name = arena_dup(&session->arena, key->name);
  }
  return true;
}

bool signing_has(const PathInfo *info, const Signature *signature) {
  for (size_t i = 0; i < info->sig_count; i++)
    if (span_eq(info->sigs[i].key_name, signature->key_name) &&
        memcmp(info->sigs[i].bytes, signature->bytes, sizeof(signature->bytes)) == 0)
      return true;
  return false;
}

void signing_seen_done(SigningSeen *seen) {
  map_done(&seen->texts);
}

bool signing_count(const PathInfo *info, Span store_dir, const SigningKeys *keys, SigningSeen *seen, Err *err) {
  Buf message CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  if (!path_info_fingerprint(info, store_dir, &message, err)) return false;
  for (size_t i = 0; i < info->sig_count; i++) {
    buf_clear(&text);
    signature_format(&info->sigs[i], &text);
    if (map_has(&seen->texts, buf_span(&text))) continue;
    map_set(&seen->texts, buf_span(&text), NULL);
    for (size_t k = 0; k < keys->count; k++)
      if (signature_verify(&keys->keys[k], buf_span(&message), &info->sigs[i])) {
        seen->valid_count++;
        break;
      }
  }
  return true;
}
