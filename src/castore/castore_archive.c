// castore_archive.c: libarchive reads, a tree in memory collects, directories are put from the leaves up at the end.
#include "castore/castore_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/map.h"

#define CASTORE_ARCHIVE_SMALL_BYTES ((size_t)64 << 10)
#define CASTORE_ARCHIVE_PEEK_BYTES 4u

// An entry of the tree. In an arena; names too.
typedef struct ArchiveNode {
  struct ArchiveNode *parent, *first_child, *next;
  size_t child_count;
  CastoreNode node;
} ArchiveNode;

typedef struct ArchiveReader {
  const Castore *to;
  const ByteSource *source;
  Err source_err; // of the source: libarchive only gets to know that there was one
  char peeked[CASTORE_ARCHIVE_PEEK_BYTES];
  size_t peeked_len;
  char *chunk;    // owned; what libarchive reads from
  char *data;     // owned; what it writes to
  int spooled_fd; // a zip file, which has its table of contents at the end; -1
  struct archive *archive;
  uint64_t limit_bytes, limit_entries;
  Arena arena;
  Map index; // parent and name -> ArchiveNode
  Buf key, small;
  ArchiveNode *root;
  CastoreArchive *result;
} ArchiveReader;

// ---- input

static la_ssize_t archive_reader_take(struct archive *archive, void *ctx, const void **ret) {
  ArchiveReader *reader = ctx;
  *ret = reader->chunk;
  if (reader->peeked_len > 0) {
    size_t n = reader->peeked_len;
    memcpy(reader->chunk, reader->peeked, n);
    reader->peeked_len = 0;
    return (la_ssize_t)n;
  }
  size_t n;
  if (byte_stream_take(reader->source, reader->chunk, BYTE_STREAM_CHUNK_BYTES, &n, &reader->source_err))
    return (la_ssize_t)n;
  archive_set_error(archive, EIO, "its source failed");
  return -1;
}

static bool archive_reader_peek(ArchiveReader *reader, Err *err) {
  while (reader->peeked_len < sizeof(reader->peeked)) {
    size_t n;
    if (!byte_stream_take(reader->source, reader->peeked + reader->peeked_len,
                          sizeof(reader->peeked) - reader->peeked_len, &n, err))
      return false;
    if (n == 0) break;
    reader->peeked_len += n;
  }
  return true;
}

// Modes and links of a zip file stand in its directory, behind everything else: only a file that can be rewound gives them.
static bool archive_reader_spool(ArchiveReader *reader, Err *err) {
  if (!fs_make_nameless("firn-zip", &reader->spooled_fd, err)) return false;
  uint64_t total = 0;
  for (;;) {
    const void *data;
    la_ssize_t n = archive_reader_take(reader->archive, reader, &data);
    if (n < 0) return err_move(err, &reader->source_err);
    if (n == 0) break;
    total += (uint64_t)n;
    if (total > reader->limit_bytes)
      return err_set(err, ERR_LIMIT, "it is larger than %llu bytes", (unsigned long long)reader->limit_bytes);
    if (!fs_write_all(reader->spooled_fd, span_make(data, (size_t)n), err)) return false;
  }
  return lseek(reader->spooled_fd, 0, SEEK_SET) == 0 || err_set_errno(err, errno, "rewinding a temporary file");
}

static bool archive_reader_fail(ArchiveReader *reader, Err *err) {
  if (err_is_set(&reader->source_err)) return err_move(err, &reader->source_err);
  const char *text = archive_error_string(reader->archive);
  return err_set(err, ERR_SYNTAX, "%s", text ? text : "it is damaged");
}

static bool archive_reader_open(ArchiveReader *reader, Err *err) {
  struct archive *archive = reader->archive = archive_read_new();
  if (!archive) mem_die(0);
  archive_read_support_filter_gzip(archive);
  archive_read_support_filter_bzip2(archive);
  archive_read_support_filter_xz(archive);
  archive_read_support_filter_lzma(archive);
  archive_read_support_filter_lzip(archive);
  archive_read_support_filter_zstd(archive);
  archive_read_support_filter_compress(archive);
  archive_read_support_format_tar(archive);
  archive_read_support_format_zip(archive);
  archive_read_set_option(archive, NULL, "mac-ext", NULL); // "._x" are files like others
  if (!archive_reader_peek(reader, err)) return false;
  if (reader->peeked_len == 0) return err_set(err, ERR_SYNTAX, "it is empty");
  bool is_zip =
      reader->peeked_len == 4 && (memcmp(reader->peeked, "PK\3\4", 4) == 0 || memcmp(reader->peeked, "PK\5\6", 4) == 0);
  if (is_zip) {
    if (!archive_reader_spool(reader, err)) return false;
    if (archive_read_open_fd(archive, reader->spooled_fd, BYTE_STREAM_CHUNK_BYTES) < ARCHIVE_WARN)
      return archive_reader_fail(reader, err);
    return true;
  }
  return archive_read_open(archive, reader, NULL, archive_reader_take, NULL) >= ARCHIVE_WARN ||
         archive_reader_fail(reader, err);
}

// ---- the tree

static Span archive_reader_key(ArchiveReader *reader, const ArchiveNode *parent, Span name) {
  buf_clear(&reader->key);
  buf_put(&reader->key, &parent, sizeof(parent));
  buf_put_span(&reader->key, name);
  return buf_span(&reader->key);
}

static bool archive_reader_add(ArchiveReader *reader, ArchiveNode *parent, Span name, ArchiveNode **ret, Err *err) {
  if (!castore_node_check_name(name, err)) return false;
  if (++reader->result->entry_count > reader->limit_entries)
    return err_set(err, ERR_LIMIT, "it has more than %llu entries", (unsigned long long)reader->limit_entries);
  ArchiveNode *node = ARENA_NEW(&reader->arena, ArchiveNode);
  *node = (ArchiveNode){.parent = parent,
                        .next = parent->first_child,
                        .node = {.kind = CASTORE_DIRECTORY, .name = arena_dup(&reader->arena, name)}};
  parent->first_child = node;
  parent->child_count++;
  map_set(&reader->index, archive_reader_key(reader, parent, name), node);
  *ret = node;
  return true;
}

// Finds the entry of that name, or makes it, with its parents: *ret_new tells. Nothing is made with `existing`: then *ret may be NULL.
static bool archive_reader_descend(ArchiveReader *reader, Span path, bool existing, ArchiveNode **ret, bool *ret_new,
                                   Err *err) {
  ArchiveNode *at = reader->root;
  unsigned depth = 0;
  *ret_new = false;
  while (path.len > 0) {
    Span name;
    (void)span_split(&path, '/', &name);
    if (name.len == 0 || span_eq_cstr(name, ".")) continue;
    if (span_eq_cstr(name, "..")) return err_set(err, ERR_SYNTAX, "its name leads out of the archive ('..')");
    if (++depth > CASTORE_ARCHIVE_DEPTH_MAX)
      return err_set(err, ERR_LIMIT, "directories are nested more than %u deep", CASTORE_ARCHIVE_DEPTH_MAX);
    if (at->node.kind != CASTORE_DIRECTORY)
      return err_set(err, ERR_SYNTAX, "it lies below '%.*s', which is no directory", SPAN_ARG(at->node.name));
    ArchiveNode *next = map_get(&reader->index, archive_reader_key(reader, at, name));
    *ret_new = !next;
    if (!next && existing) {
      *ret = NULL;
      return true;
    }
    if (!next && !archive_reader_add(reader, at, name, &next, err)) return false;
    at = next;
  }
  *ret = at;
  return true;
}

// Gives `node` what the archive says now. The last word counts, but a directory that holds something is not lost to a file.
static bool archive_reader_replace(ArchiveNode *node, const CastoreNode *by, Err *err) {
  if (by->kind == CASTORE_DIRECTORY && node->node.kind == CASTORE_DIRECTORY) return true;
  if (node->child_count > 0 || !node->parent)
    return err_set(err, ERR_SYNTAX, "it stands for a directory with entries and for something else");
  Span name = node->node.name;
  node->node = *by;
  node->node.name = name;
  return true;
}

// ---- entries

static bool archive_reader_small(ArchiveReader *reader, CastoreNode *ret, Err *err) {
  ret->size = reader->small.len;
  return blob_service_put(reader->to->blobs, buf_span(&reader->small), NULL, &ret->digest, err);
}

static bool archive_reader_pump(ArchiveReader *reader, BlobWriter **writer, CastoreNode *ret, Err *err) {
  buf_clear(&reader->small);
  for (;;) {
    la_ssize_t n = archive_read_data(reader->archive, reader->data, BYTE_STREAM_CHUNK_BYTES);
    if (n < 0) return archive_reader_fail(reader, err);
    if (n == 0) break;
    reader->result->file_bytes += (uint64_t)n;
    if (reader->result->file_bytes > reader->limit_bytes)
      return err_set(err, ERR_LIMIT, "its files have more than %llu bytes together",
                     (unsigned long long)reader->limit_bytes);
    Span data = span_make(reader->data, (size_t)n);
    if (!*writer && reader->small.len + data.len <= CASTORE_ARCHIVE_SMALL_BYTES) {
      buf_put_span(&reader->small, data);
      continue;
    }
    if (!*writer && !(blob_service_write(reader->to->blobs, writer, err) &&
                      blob_service_write_put(*writer, buf_span(&reader->small), err)))
      return false;
    if (!blob_service_write_put(*writer, data, err)) return false;
  }
  return *writer ? blob_service_write_finish(*writer, &ret->digest, &ret->size, err)
                 : archive_reader_small(reader, ret, err);
}

static bool archive_reader_file(ArchiveReader *reader, struct archive_entry *entry, CastoreNode *ret, Err *err) {
  ret->kind = CASTORE_FILE;
  ret->executable = (archive_entry_mode(entry) & S_IXUSR) != 0;
  if (archive_entry_size_is_set(entry) &&
      (archive_entry_size(entry) < 0 ||
       (uint64_t)archive_entry_size(entry) > reader->limit_bytes - reader->result->file_bytes))
    return err_set(err, ERR_LIMIT, "it has %lld bytes, and all files together may have %llu",
                   (long long)archive_entry_size(entry), (unsigned long long)reader->limit_bytes);
  BlobWriter *writer = NULL;
  bool ok = archive_reader_pump(reader, &writer, ret, err);
  blob_service_write_free(writer);
  return ok;
}

static bool archive_reader_hard_link(ArchiveReader *reader, const char *target, CastoreNode *ret, Err *err) {
  ArchiveNode *node;
  bool is_new;
  if (!archive_reader_descend(reader, span_cstr(target), true, &node, &is_new, err))
    return err_wrap(err, "its hard link to '%s'", target);
  if (!node || node->node.kind != CASTORE_FILE)
    return err_set(err, ERR_SYNTAX, "it is a hard link to '%s', which is no file before it", target);
  *ret = node->node;
  return true;
}

static bool archive_reader_content(ArchiveReader *reader, struct archive_entry *entry, CastoreNode *ret, Err *err) {
  const char *target = archive_entry_hardlink(entry);
  if (target) return archive_reader_hard_link(reader, target, ret, err);
  switch (archive_entry_filetype(entry)) {
  case AE_IFREG: return archive_reader_file(reader, entry, ret, err);
  case AE_IFDIR: ret->kind = CASTORE_DIRECTORY; return true;
  case AE_IFLNK:
    target = archive_entry_symlink(entry);
    if (!target) return err_set(err, ERR_SYNTAX, "its target cannot be read");
    ret->kind = CASTORE_SYMLINK;
    ret->target = arena_dup(&reader->arena, span_cstr(target));
    return castore_node_check(ret, true, err);
  case AE_IFBLK:
  case AE_IFCHR: return err_set(err, ERR_SYNTAX, "it is a device");
  case AE_IFIFO: return err_set(err, ERR_SYNTAX, "it is a pipe");
  case AE_IFSOCK: return err_set(err, ERR_SYNTAX, "it is a socket");
  default: return err_set(err, ERR_SYNTAX, "it is of an unknown kind");
  }
}

static bool archive_reader_entry(ArchiveReader *reader, struct archive_entry *entry, Err *err) {
  const char *name = archive_entry_pathname(entry);
  if (!name) return err_set(err, ERR_SYNTAX, "an entry has no name that can be read");
  CastoreNode content = {.kind = CASTORE_DIRECTORY};
  ArchiveNode *node;
  bool is_new;
  // Content first: it may be a link to the very entry that it replaces.
  bool ok = archive_reader_content(reader, entry, &content, err) &&
            archive_reader_descend(reader, span_cstr(name), false, &node, &is_new, err) &&
            archive_reader_replace(node, &content, err);
  int64_t modified = archive_entry_mtime_is_set(entry) ? archive_entry_mtime(entry) : 0;
  if (modified > reader->result->last_modified_s) reader->result->last_modified_s = modified;
  return ok || err_wrap(err, "entry '%s'", name);
}

static bool archive_reader_entries(ArchiveReader *reader, Err *err) {
  for (;;) {
    struct archive_entry *entry;
    int status = archive_read_next_header(reader->archive, &entry);
    if (status == ARCHIVE_EOF) return true;
    if (status < ARCHIVE_WARN) return archive_reader_fail(reader, err);
    if (!archive_reader_entry(reader, entry, err)) return false;
  }
}

// ---- directories

static bool archive_reader_put(ArchiveReader *reader, ArchiveNode *node, Err *err) {
  CLEANUP(mem_free_ptr) CastoreNode *entries = mem_alloc_array(node->child_count + 1, sizeof(*entries));
  CastoreDirectory directory = {entries, 0};
  for (const ArchiveNode *child = node->first_child; child; child = child->next)
    entries[directory.count++] = child->node;
  castore_node_sort(&directory);
  return castore_node_directory_size(&directory, CASTORE_SIZE_ONCE, &node->node.size, err) &&
         directory_service_put(reader->to->directories, &directory, &node->node.digest, err);
}

// Children before parents, without a C stack as deep as the tree.
static bool archive_reader_put_all(ArchiveReader *reader, Err *err) {
  ArchiveNode *at = reader->root;
  CLEANUP(buf_done) Buf stack = BUF_INIT; // the next child to visit, for each directory on the way
  const ArchiveNode *next = at->first_child;
  for (;;) {
    while (next && next->node.kind != CASTORE_DIRECTORY) next = next->next;
    if (next) {
      const ArchiveNode *after = next->next;
      buf_put(&stack, &after, sizeof(after));
      at = (ArchiveNode *)(uintptr_t)next;
      next = at->first_child;
      continue;
    }
    if (!archive_reader_put(reader, at, err)) return false;
    if (!at->parent) return true;
    at = at->parent;
    stack.len -= sizeof(next);
    memcpy(&next, stack.data + stack.len, sizeof(next));
  }
}

static void archive_reader_finish(ArchiveReader *reader) {
  CastoreArchive *result = reader->result;
  result->root = result->top = reader->root->node;
  const ArchiveNode *first = reader->root->first_child;
  if (reader->root->child_count == 1 && first->node.kind == CASTORE_DIRECTORY) result->top = first->node;
  result->top.name = SPAN("");
}

bool castore_archive_read(const Castore *to, const ByteSource *source, const CastoreArchiveOptions *options,
                          CastoreArchive *ret, Err *err) {
  ArchiveReader reader = {.to = to, .source = source, .spooled_fd = -1, .result = ret};
  reader.limit_bytes = options && options->limit_bytes ? options->limit_bytes : CASTORE_ARCHIVE_BYTES_MAX;
  reader.limit_entries = options && options->limit_entries ? options->limit_entries : CASTORE_ARCHIVE_ENTRIES_MAX;
  reader.chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  reader.data = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  reader.root = ARENA_NEW(&reader.arena, ArchiveNode);
  *reader.root = (ArchiveNode){.node = {.kind = CASTORE_DIRECTORY}};
  *ret = (CastoreArchive){.entry_count = 0};
  // Names in pax headers and zip files are UTF-8, which libarchive turns into what the thread's locale has: it must have all of them.
  locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  locale_t former = utf8 ? uselocale(utf8) : (locale_t)0;
  bool ok =
      archive_reader_open(&reader, err) && archive_reader_entries(&reader, err) && archive_reader_put_all(&reader, err);
  if (ok) archive_reader_finish(&reader);
  archive_read_free(reader.archive);
  if (utf8) {
    uselocale(former);
    freelocale(utf8);
  }
  err_done(&reader.source_err);
  fs_close_fd(&reader.spooled_fd);
  map_done(&reader.index);
  arena_done(&reader.arena);
  buf_done(&reader.key);
  buf_done(&reader.small);
  mem_free(reader.chunk);
  mem_free(reader.data);
  return ok || err_wrap(err, "unpacking an archive");
}
