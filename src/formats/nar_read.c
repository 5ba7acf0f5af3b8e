// nar_read.c: the archive reader: one layer cuts the input into strings, the other follows the grammar.
#include "formats/nar_read.h"

#include "formats/nar_names.h"

enum State {
  S_MAGIC,
  S_OPEN,        // "(" of a node
  S_TYPE,        // "type"
  S_KIND,        // "regular", "symlink" or "directory"
  S_FILE,        // "executable", "contents" or ")"
  S_EXECUTABLE,  // ""
  S_CONTENTS,    // "contents" or ")", after "executable"
  S_SIZE,        // length of the contents
  S_DATA,        // contents and padding
  S_FILE_CLOSE,  // ")"
  S_FILE_END,    // nothing: FILE_END has to be reported
  S_TARGET_TAG,  // "target"
  S_TARGET,      // link target
  S_LINK_CLOSE,  // ")"
  S_ENTRY,       // "entry" or ")"
  S_ENTRY_OPEN,  // "("
  S_NAME_TAG,    // "name"
  S_NAME,        // entry name
  S_NODE_TAG,    // "node"
  S_ENTRY_CLOSE, // ")"
  S_DONE,
};

enum Phase { P_LENGTH, P_BODY, P_PAD };

#define TAG_MAX 13 // "nix-archive-1"

void nar_read_init(NarRead *nar) {
  *nar = (NarRead){.state = S_MAGIC, .phase = P_LENGTH, .text = BUF_INIT, .names = BUF_INIT};
}

void nar_read_done(NarRead *nar) {
  buf_done(&nar->text);
  buf_done(&nar->names);
}

static bool bad(const NarRead *nar, ErrKind kind, Err *err, const char *what) {
  return err_set(err, kind, "bad archive: %s at byte %llu", what, (unsigned long long)nar->offset);
}

// Strings.

typedef enum TokenStatus { TOKEN_ERROR, TOKEN_MORE, TOKEN_READY } TokenStatus;

static void take(NarRead *nar, Span *input, size_t len) {
  *input = span_from(*input, len);
  nar->offset += len;
}

static uint64_t load_u64le(const void *bytes) {
  uint64_t value;
  memcpy(&value, bytes, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  value = __builtin_bswap64(value);
#endif
  return value;
}

static TokenStatus read_length(NarRead *nar, Span *input) {
  size_t need = 8u - nar->length_len, len = input->len < need ? input->len : need;
  if (len) memcpy(nar->length + nar->length_len, input->data, len);
  take(nar, input, len);
  nar->length_len = (uint8_t)(nar->length_len + len);
  if (nar->length_len < 8) return TOKEN_MORE;
  nar->length_len = 0;
  nar->left = load_u64le(nar->length);
  nar->pad = (uint8_t)(-nar->left & 7);
  return TOKEN_READY;
}

static TokenStatus read_padding(NarRead *nar, Span *input, Err *err) {
  size_t len = input->len < nar->pad ? input->len : nar->pad;
  for (size_t i = 0; i < len; i++)
    if (input->data[i]) return bad(nar, ERR_SYNTAX, err, "non-zero padding"), TOKEN_ERROR;
  take(nar, input, len);
  nar->pad = (uint8_t)(nar->pad - len);
  return nar->pad ? TOKEN_MORE : TOKEN_READY;
}

// One string of at most `max` bytes that may come in pieces.
static TokenStatus read_string_slowly(NarRead *nar, Span *input, size_t max, Span *ret, Err *err) {
  TokenStatus status;
  if (nar->phase == P_LENGTH) {
    status = read_length(nar, input);
    if (status != TOKEN_READY) return status;
    if (nar->left > max && nar->state == S_MAGIC)
      return err_set(err, ERR_SYNTAX, "input doesn't look like a Nix archive"), TOKEN_ERROR;
    if (nar->left > max) return bad(nar, ERR_LIMIT, err, "string is too long"), TOKEN_ERROR;
    buf_clear(&nar->text);
    nar->phase = P_BODY;
  }
  if (nar->phase == P_BODY) {
    size_t len = input->len < nar->left ? input->len : (size_t)nar->left;
    buf_put(&nar->text, input->data, len);
    take(nar, input, len);
    nar->left -= len;
    if (nar->left) return TOKEN_MORE;
    nar->phase = P_PAD;
  }
  status = read_padding(nar, input, err);
  if (status != TOKEN_READY) return status;
  nar->phase = P_LENGTH;
  *ret = buf_span(&nar->text);
  return TOKEN_READY;
}

static TokenStatus read_string(NarRead *nar, Span *input, size_t max, Span *ret, Err *err) {
  if (LIKELY(nar->phase == P_LENGTH && nar->length_len == 0 && input->len >= 8)) {
    uint64_t len = load_u64le(input->data);
    if (LIKELY(len <= max && input->len >= 8 + ((len + 7) & ~(uint64_t)7))) {
      *ret = span_sub(*input, 8, (size_t)len);
      take(nar, input, 8 + (size_t)len);
      nar->pad = (uint8_t)(-len & 7);
      return read_padding(nar, input, err);
    }
  }
  return read_string_slowly(nar, input, max, ret, err);
}

// Names.

bool nar_read_check_name(Span name, Err *err) {
  if (name.len > NAR_READ_NAME_MAX)
    return err_set(err, ERR_LIMIT, "archive entry name of %zu bytes is longer than %d", name.len, NAR_READ_NAME_MAX);
  if (name.len && !span_eq(name, SPAN(".")) && !span_eq(name, SPAN("..")) && !memchr(name.data, '/', name.len) &&
      !memchr(name.data, 0, name.len))
    return true;
  return err_set(err, ERR_SYNTAX, "NAR contains invalid file name '%.*s'", SPAN_ARG(name));
}

// The name of the node being read; empty for the root.
static Span current_name(const NarRead *nar) {
  return nar_names_last(&nar->names);
}

static bool take_name(NarRead *nar, Span name, Err *err) {
  if (!nar_read_check_name(name, err)) return err_wrap(err, "bad archive");
  if (span_cmp(current_name(nar), name) >= 0) return bad(nar, ERR_SYNTAX, err, "NAR directory is not sorted");
  nar_names_pop(&nar->names);
  nar_names_push(&nar->names, name);
  return true;
}

static bool check_target(const NarRead *nar, Span target, Err *err) {
  if (target.len && !memchr(target.data, 0, target.len)) return true;
  return bad(nar, ERR_SYNTAX, err, "symbolic link target is empty or contains a NUL byte");
}

// Grammar.

static bool unexpected(const NarRead *nar, const char *expected, Span got, Err *err) {
  return err_set(err, ERR_SYNTAX, "bad archive: expected tag %s, got '%.*s' at byte %llu", expected, SPAN_ARG(got),
                 (unsigned long long)nar->offset);
}

static bool expect(NarRead *nar, Span got, Span tag, enum State next, Err *err) {
  nar->state = (uint8_t)next;
  if (LIKELY(span_eq(got, tag))) return true;
  if (span_eq(tag, SPAN("nix-archive-1"))) return err_set(err, ERR_SYNTAX, "input doesn't look like a Nix archive");
  char quoted[TAG_MAX + 3];
  size_t len = 0;
  quoted[len++] = '\'';
  memcpy(quoted + len, tag.data, tag.len);
  len += tag.len;
  quoted[len++] = '\'';
  quoted[len] = 0;
  return unexpected(nar, quoted, got, err);
}

static void node_ended(NarRead *nar) {
  nar->state = nar->depth ? S_ENTRY_CLOSE : S_DONE;
}

static void set_event(NarRead *nar, NarReadEvent *event, NarReadKind kind) {
  *event = (NarReadEvent){.kind = kind, .name = current_name(nar)};
}

// The first event of a file; `next` is what follows.
static NarReadStatus begin_file(NarRead *nar, uint64_t size_bytes, uint64_t offset, enum State next,
                                NarReadEvent *ret) {
  set_event(nar, ret, NAR_READ_FILE_BEGIN);
  ret->executable = nar->executable;
  ret->size_bytes = size_bytes;
  ret->content_offset = offset;
  nar->state = (uint8_t)next;
  return NAR_READ_EVENT;
}

static NarReadStatus begin_dir(NarRead *nar, NarReadEvent *ret, Err *err) {
  if (nar->depth == NAR_READ_DEPTH_MAX)
    return bad(nar, ERR_LIMIT, err, "directories are nested too deeply"), NAR_READ_ERROR;
  Span name = current_name(nar);
  size_t start = nar->depth ? (size_t)(name.data - nar->names.data) : 0;
  nar->depth++;
  nar_names_push(&nar->names, SPAN(""));
  // The buffer may have moved.
  *ret = (NarReadEvent){.kind = NAR_READ_DIR_BEGIN, .name = span_make(nar->names.data + start, name.len)};
  nar->state = S_ENTRY;
  return NAR_READ_EVENT;
}

static NarReadStatus end_dir(NarRead *nar, NarReadEvent *ret) {
  nar_names_pop(&nar->names);
  nar->depth--;
  *ret = (NarReadEvent){.kind = NAR_READ_DIR_END, .name = SPAN("")};
  node_ended(nar);
  return NAR_READ_EVENT;
}

// The states that may report an event on their string. NAR_READ_MORE: go on with the next string.
static NarReadStatus take_kind(NarRead *nar, Span got, NarReadEvent *ret, Err *err) {
  nar->executable = false;
  if (span_eq(got, SPAN("regular"))) nar->state = S_FILE;
  else if (span_eq(got, SPAN("symlink"))) nar->state = S_TARGET_TAG;
  else if (span_eq(got, SPAN("directory"))) return begin_dir(nar, ret, err);
  else
    return err_set(err, ERR_SYNTAX, "bad archive: unknown file type '%.*s' at byte %llu", SPAN_ARG(got),
                   (unsigned long long)nar->offset),
           NAR_READ_ERROR;
  return NAR_READ_MORE;
}

static NarReadStatus take_file_tag(NarRead *nar, Span got, NarReadEvent *ret, Err *err) {
  if (span_eq(got, SPAN("contents"))) nar->state = S_SIZE;
  else if (span_eq(got, SPAN(")"))) return begin_file(nar, 0, 0, S_FILE_END, ret);
  else if (nar->state == S_FILE && span_eq(got, SPAN("executable"))) nar->state = S_EXECUTABLE;
  else return unexpected(nar, "'contents' or ')'", got, err), NAR_READ_ERROR;
  return NAR_READ_MORE;
}

static NarReadStatus take_entry_tag(NarRead *nar, Span got, NarReadEvent *ret, Err *err) {
  if (span_eq(got, SPAN(")"))) return end_dir(nar, ret);
  nar->state = S_ENTRY_OPEN;
  if (!span_eq(got, SPAN("entry"))) return unexpected(nar, "'entry' or ')'", got, err), NAR_READ_ERROR;
  return NAR_READ_MORE;
}

static NarReadStatus take_target(NarRead *nar, Span got, NarReadEvent *ret, Err *err) {
  if (!check_target(nar, got, err)) return NAR_READ_ERROR;
  set_event(nar, ret, NAR_READ_SYMLINK);
  ret->data = got;
  nar->state = S_LINK_CLOSE;
  return NAR_READ_EVENT;
}

static NarReadStatus from_bool(bool ok) {
  return ok ? NAR_READ_MORE : NAR_READ_ERROR;
}

static NarReadStatus take_string(NarRead *nar, Span got, NarReadEvent *ret, Err *err) {
  switch ((enum State)nar->state) {
  case S_MAGIC: return from_bool(expect(nar, got, SPAN("nix-archive-1"), S_OPEN, err));
  case S_OPEN: return from_bool(expect(nar, got, SPAN("("), S_TYPE, err));
  case S_TYPE: return from_bool(expect(nar, got, SPAN("type"), S_KIND, err));
  case S_KIND: return take_kind(nar, got, ret, err);
  case S_FILE:
  case S_CONTENTS: return take_file_tag(nar, got, ret, err);
  case S_EXECUTABLE:
    if (got.len) return bad(nar, ERR_SYNTAX, err, "executable marker has non-empty value"), NAR_READ_ERROR;
    nar->executable = true;
    nar->state = S_CONTENTS;
    return NAR_READ_MORE;
  case S_FILE_CLOSE: return from_bool(expect(nar, got, SPAN(")"), S_FILE_END, err));
  case S_TARGET_TAG: return from_bool(expect(nar, got, SPAN("target"), S_TARGET, err));
  case S_TARGET: return take_target(nar, got, ret, err);
  case S_LINK_CLOSE:
    if (!expect(nar, got, SPAN(")"), S_DONE, err)) return NAR_READ_ERROR;
    node_ended(nar);
    return NAR_READ_MORE;
  case S_ENTRY: return take_entry_tag(nar, got, ret, err);
  case S_ENTRY_OPEN: return from_bool(expect(nar, got, SPAN("("), S_NAME_TAG, err));
  case S_NAME_TAG: return from_bool(expect(nar, got, SPAN("name"), S_NAME, err));
  case S_NAME: nar->state = S_NODE_TAG; return from_bool(take_name(nar, got, err));
  case S_NODE_TAG: return from_bool(expect(nar, got, SPAN("node"), S_OPEN, err));
  case S_ENTRY_CLOSE: return from_bool(expect(nar, got, SPAN(")"), S_ENTRY, err));
  case S_SIZE:
  case S_DATA:
  case S_FILE_END:
  case S_DONE: break;
  }
  __builtin_unreachable();
}

static NarReadStatus take_size(NarRead *nar, Span *input, NarReadEvent *ret, Err *err) {
  if (read_length(nar, input) != TOKEN_READY) return NAR_READ_MORE;
  if (nar->left > INT64_MAX) return bad(nar, ERR_LIMIT, err, "file is too large"), NAR_READ_ERROR;
  return begin_file(nar, nar->left, nar->offset, S_DATA, ret);
}

// NAR_READ_MORE with nothing left to read of the contents: go on with the next string.
static NarReadStatus take_data(NarRead *nar, Span *input, NarReadEvent *ret, Err *err) {
  if (nar->left) {
    if (input->len == 0) return NAR_READ_MORE;
    size_t len = input->len < nar->left ? input->len : (size_t)nar->left;
    *ret = (NarReadEvent){.kind = NAR_READ_FILE_DATA, .data = span_sub(*input, 0, len)};
    take(nar, input, len);
    nar->left -= len;
    return NAR_READ_EVENT;
  }
  TokenStatus status = read_padding(nar, input, err);
  if (status == TOKEN_READY) nar->state = S_FILE_CLOSE;
  return status == TOKEN_ERROR ? NAR_READ_ERROR : NAR_READ_MORE;
}

static size_t longest_string(const NarRead *nar) {
  return nar->state == S_NAME ? NAR_READ_NAME_MAX : nar->state == S_TARGET ? NAR_READ_TARGET_MAX : TAG_MAX;
}

NarReadStatus nar_read_next(NarRead *nar, Span *input, NarReadEvent *ret, Err *err) {
  while (true) {
    NarReadStatus status;
    uint8_t state = nar->state;
    if (state == S_DONE) return NAR_READ_DONE;
    if (state == S_FILE_END) {
      *ret = (NarReadEvent){.kind = NAR_READ_FILE_END, .name = SPAN("")};
      node_ended(nar);
      return NAR_READ_EVENT;
    }
    if (state == S_SIZE || state == S_DATA) {
      status = state == S_SIZE ? take_size(nar, input, ret, err) : take_data(nar, input, ret, err);
      if (status != NAR_READ_MORE || nar->state == state) return status;
      continue;
    }
    Span got;
    TokenStatus token = read_string(nar, input, longest_string(nar), &got, err);
    if (token != TOKEN_READY) return token == TOKEN_MORE ? NAR_READ_MORE : NAR_READ_ERROR;
    status = take_string(nar, got, ret, err);
    if (status != NAR_READ_MORE) return status;
  }
}

bool nar_read_finish(const NarRead *nar, Err *err) {
  if (nar->state == S_DONE) return true;
  if (nar->offset == 0) return err_set(err, ERR_SYNTAX, "input doesn't look like a Nix archive");
  return bad(nar, ERR_SYNTAX, err, "unexpected end");
}
