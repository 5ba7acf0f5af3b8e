// placeholder.c: stand-ins for output paths.
#include "formats/placeholder.h"

#include "formats/nixbase32.h"

void placeholder_put(const Placeholder *placeholder, Buf *ret) {
  buf_put_char(ret, '/');
  nixbase32_put(ret, placeholder->sha256, 32);
}

void placeholder_own(Span output, Buf *ret) {
  Placeholder own;
  HashSha256 ctx;
  hash_sha256_init(&ctx);
  hash_sha256_update_span(&ctx, SPAN("nix-output:"));
  hash_sha256_update_span(&ctx, output);
  hash_sha256_final(&ctx, own.sha256);
  placeholder_put(&own, ret);
}

void placeholder_upstream(const StorePath *drv, Span output, Placeholder *ret) {
  char hash_part[STORE_PATH_HASH_CHARS];
  store_path_format_hash(drv, hash_part);
  Span name = store_path_name(drv);
  if (name.len > 4) name.len -= 4; // ".drv"
  HashSha256 ctx;
  hash_sha256_init(&ctx);
  hash_sha256_update_span(&ctx, SPAN("nix-upstream-output:"));
  hash_sha256_update(&ctx, hash_part, sizeof(hash_part));
  hash_sha256_update_span(&ctx, SPAN(":"));
  hash_sha256_update_span(&ctx, name);
  if (!span_eq(output, SPAN("out"))) {
    hash_sha256_update_span(&ctx, SPAN("-"));
    hash_sha256_update_span(&ctx, output);
  }
  hash_sha256_final(&ctx, ret->sha256);
}

void placeholder_computed(const Placeholder *drv, Span output, Placeholder *ret) {
  uint8_t folded[STORE_PATH_DIGEST_BYTES];
  char text[STORE_PATH_HASH_CHARS];
  hash_compress(drv->sha256, 32, folded, sizeof(folded));
  nixbase32_encode(folded, sizeof(folded), text);
  HashSha256 ctx;
  hash_sha256_init(&ctx);
  hash_sha256_update_span(&ctx, SPAN("nix-computed-output:"));
  hash_sha256_update(&ctx, text, sizeof(text));
  hash_sha256_update_span(&ctx, SPAN(":"));
  hash_sha256_update_span(&ctx, output);
  hash_sha256_final(&ctx, ret->sha256);
}
