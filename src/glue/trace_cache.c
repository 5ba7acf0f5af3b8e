// trace_cache.c: see trace_cache.h.
#include "glue/trace_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "formats/hash.h"
#include "glue/cache_files.h"

#define MAGIC "FIRNTRC2"
#define SUFFIX ".trace"

typedef struct Header {
  char magic[8];
  uint8_t digest[OBSERVED_DIGEST_BYTES]; // of everything behind it
  uint8_t question[32];
  uint32_t exit_code, answer_len, question_len, reserved;
} Header;

#define DIGEST_END (offsetof(Header, question))

// ---- answers

void trace_cache_answer_put(Buf *answer, TraceCacheKind kind, Span text) {
  uint32_t head[2] = {kind, (uint32_t)text.len};
  buf_put(answer, head, sizeof head);
  buf_put_span(answer, text);
}

bool trace_cache_answer_next(Span *answer, TraceCacheKind *ret_kind, Span *ret_text) {
  uint32_t head[2];
  if (answer->len < sizeof head) return false;
  memcpy(head, answer->data, sizeof head);
  *answer = span_from(*answer, sizeof head);
  if (head[0] > TRACE_CACHE_JOB || answer->len < head[1]) return false;
  *ret_kind = (TraceCacheKind)head[0];
  *ret_text = span_sub(*answer, 0, head[1]);
  *answer = span_from(*answer, head[1]);
  return true;
}

void trace_cache_found_done(TraceCacheFound *found) {
  buf_done(&found->file);
  observed_partial_done(&found->partial);
}

// ---- files

static void file_name(Span dir, const uint8_t question[32], Buf *ret) {
  buf_put_span(ret, dir);
  buf_put_char(ret, '/');
  for (size_t i = 0; i < 16; i++) buf_printf(ret, "%02x", question[i]);
  buf_put_cstr(ret, SUFFIX);
}

static bool read_record(const char *path, const uint8_t question[32], Buf *ret, Header *ret_header) {
  uint8_t digest[OBSERVED_DIGEST_BYTES];
  struct stat st;
  int fd CLEANUP(fs_close_fd) = -1;
  if (!fs_open(path, O_RDONLY | O_NOFOLLOW, 0, &fd, NULL) || fstat(fd, &st) != 0) return false;
  // A record says what the program prints: only its owner's are believed.
  if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (uint64_t)st.st_size > TRACE_CACHE_MAX_BYTES) return false;
  buf_reserve(ret, (size_t)st.st_size + 1);
  if (!fs_read_fd(fd, 0, ret, NULL) || ret->len < sizeof *ret_header) return false;
  memcpy(ret_header, ret->data, sizeof *ret_header);
  observed_digest(span_from(buf_span(ret), DIGEST_END), digest);
  if (cache_files_is_due(&st)) (void)futimens(fd, NULL);
  return memcmp(ret_header->magic, MAGIC, sizeof ret_header->magic) == 0 &&
         memcmp(ret_header->digest, digest, sizeof digest) == 0 && memcmp(ret_header->question, question, 32) == 0 &&
         ret_header->question_len <= ret->len - sizeof *ret_header &&
         ret_header->answer_len <= ret->len - sizeof *ret_header - ret_header->question_len;
}

bool trace_cache_find(Span dir, Span question, const ObservedCheck *check, bool partial, TraceCacheFound *ret,
                      Buf *ret_why) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  uint8_t digest[32];
  Header header;
  hash_blake3(question, digest);
  file_name(dir, digest, &path);
  if (!read_record(buf_cstr(&path), digest, &ret->file, &header))
    return buf_put_cstr(ret_why, "no earlier evaluation of this question is recorded"), false;
  Span rest = span_from(buf_span(&ret->file), sizeof header + header.question_len);
  ret->answer = span_sub(rest, 0, header.answer_len);
  ret->exit_code = (int)header.exit_code;
  return observed_check(span_from(rest, header.answer_len), check, partial ? &ret->partial : NULL, &ret->row_count,
                        ret_why);
}

// ---- all files of the folder

static uint64_t all_bytes(const CacheFiles *files) {
  uint64_t sum = 0;
  for (size_t i = 0; i < files->count; i++) sum += files->items[i].disk_bytes;
  return sum;
}

// Down to three quarters, so that not every write deletes.
static void shrink(Span dir, uint64_t max_bytes) {
  CacheFiles files CLEANUP(cache_files_done) = {0};
  cache_files_read(dir, &files);
  uint64_t bytes = all_bytes(&files);
  if (bytes <= max_bytes) return;
  cache_files_sort(&files);
  for (size_t i = 0; i < files.count && bytes > max_bytes / 4 * 3; i++) {
    (void)unlink(files.items[i].path);
    bytes -= files.items[i].disk_bytes;
  }
}

bool trace_cache_put(Span dir, Span question, Observed *observed, size_t row_count, Span answer, int exit_code,
                     uint64_t max_bytes, Buf *ret_why) {
  Buf path CLEANUP(buf_done) = BUF_INIT, data CLEANUP(buf_done) = BUF_INIT;
  char *dir_path CLEANUP(mem_free_ptr) = span_dup(dir);
  Header header = {
      .exit_code = (uint32_t)exit_code, .answer_len = (uint32_t)answer.len, .question_len = (uint32_t)question.len};
  Err err = ERR_INIT;
  memcpy(header.magic, MAGIC, sizeof header.magic);
  hash_blake3(question, header.question);
  buf_put(&data, &header, sizeof header);
  buf_put_span(&data, question);
  buf_put_span(&data, answer);
  if (answer.len > UINT32_MAX / 2 || question.len > UINT32_MAX / 2 || !observed_encode(observed, row_count, &data)) {
    buf_put_cstr(ret_why, observed_spoiled(observed) ? observed_spoiled(observed) : "the answer is too long");
    return false;
  }
  observed_digest(span_from(buf_span(&data), DIGEST_END), header.digest);
  memcpy(data.data, &header, sizeof header);
  file_name(dir, header.question, &path);
  bool ok = data.len <= max_bytes && fs_mkdir_all(dir_path, 0700, &err) &&
            fs_write_file_atomic(buf_cstr(&path), buf_span(&data), 0600, false, &err);
  if (!ok) buf_put_cstr(ret_why, err_is_set(&err) ? err_message(&err) : "the record is too long");
  err_done(&err);
  if (ok) shrink(dir, max_bytes);
  return ok;
}

#define QUESTION_MAX_BYTES ((size_t)64 << 10) // of those that are listed

void trace_cache_each_question(Span dir, void (*visit)(void *ctx, Span question), void *ctx) {
  CacheFiles files CLEANUP(cache_files_done) = {0};
  char *start CLEANUP(mem_free_ptr) = mem_alloc(sizeof(Header) + QUESTION_MAX_BYTES);
  cache_files_read(dir, &files);
  for (size_t i = 0; i < files.count; i++) {
    Header header;
    int fd CLEANUP(fs_close_fd) = -1;
    if (!fs_open(files.items[i].path, O_RDONLY | O_NOFOLLOW, 0, &fd, NULL)) continue;
    ssize_t len = pread(fd, start, sizeof(Header) + QUESTION_MAX_BYTES, 0);
    if (len < (ssize_t)sizeof header) continue;
    memcpy(&header, start, sizeof header);
    if (memcmp(header.magic, MAGIC, sizeof header.magic) == 0 && header.question_len <= (size_t)len - sizeof header)
      visit(ctx, span_make(start + sizeof header, header.question_len));
  }
}

void trace_cache_info(Span dir, TraceCacheInfo *ret) {
  CacheFiles files CLEANUP(cache_files_done) = {0};
  cache_files_read(dir, &files);
  *ret = (TraceCacheInfo){.file_count = files.count, .bytes = all_bytes(&files)};
}

bool trace_cache_clear(Span dir, Err *err) {
  CacheFiles files CLEANUP(cache_files_done) = {0};
  cache_files_read(dir, &files);
  for (size_t i = 0; i < files.count; i++)
    if (!cache_files_remove(&files.items[i], err)) return false;
  return true;
}
