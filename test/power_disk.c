// power_disk.c: see power_disk.h. Inodes get small numbers; then chosen parts of the log are followed in memory, and the outcome is written.
#include "power_disk.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/map.h"
#include "harness.h"
#include "power_log.h"

#define POWER_DISK_SECTOR 512u

typedef struct PowerEvent {
  PowerRecord record; // ino and dirs are our numbers; 0: not below the root
  size_t at;          // in the log
  Span name, name2, data;
} PowerEvent;

struct PowerDisk {
  Buf log;
  PowerEvent *events;
  size_t count, cap;
  uint32_t node_count; // numbers are 1..node_count; 1 is the root
};

// One inode of a disk in the making.
typedef struct PowerNode {
  bool exists;
  mode_t mode;
  int64_t time_s;
  Buf data;    // content, or target of a link
  Map entries; // name -> number
} PowerNode;

static void power_node_done(PowerNode *node) {
  buf_done(&node->data);
  map_done(&node->entries);
  *node = (PowerNode){.exists = false};
}

static uint32_t power_node_find(PowerNode *nodes, uint64_t dir, Span name) {
  return dir == 0 ? 0 : (uint32_t)(uintptr_t)map_get(&nodes[dir].entries, name);
}

static void power_node_enter(PowerNode *nodes, uint64_t dir, Span name, uint64_t number) {
  if (dir == 0 || !nodes[dir].exists) return;
  map_set(&nodes[dir].entries, name, (void *)(uintptr_t)number);
}

static void power_node_leave(PowerNode *nodes, uint64_t dir, Span name) {
  if (dir > 0) map_remove(&nodes[dir].entries, name);
}

static void power_node_write(PowerNode *node, uint64_t offset, Span data, bool zeros) {
  if (!data.len) return; // a write may be cut off before its first byte
  size_t end = (size_t)offset + data.len;
  if (node->data.len < end) buf_put_repeat(&node->data, 0, end - node->data.len);
  if (zeros) memset(node->data.data + offset, 0, data.len);
  else memcpy(node->data.data + offset, data.data, data.len);
}

static void power_node_make(PowerNode *node, const PowerEvent *event) {
  *node = (PowerNode){.exists = true, .mode = event->record.mode, .time_s = (int64_t)event->record.offset};
  if (event->record.op == POWER_SEEN || event->record.op == POWER_SYMLINK) buf_put_span(&node->data, event->data);
}

// An effect whose prerequisite did not reach the disk has none itself.
static void power_node_apply(PowerNode *nodes, const PowerEvent *event) {
  const PowerRecord *record = &event->record;
  PowerNode *node = &nodes[record->ino];
  uint32_t number;
  switch ((PowerOp)record->op) {
  case POWER_SEEN:
    if (record->ino == 0) break;
    if (!node->exists) power_node_make(node, event);
    if (power_node_find(nodes, record->dir, event->name) == 0)
      power_node_enter(nodes, record->dir, event->name, record->ino);
    break;
  case POWER_CREATE:
  case POWER_MKDIR:
  case POWER_SYMLINK:
    if (record->ino == 0) break;
    power_node_done(node);
    power_node_make(node, event);
    node->time_s = 0;
    power_node_enter(nodes, record->dir, event->name, record->ino);
    break;
  case POWER_WRITE:
    if (record->ino > 0 && node->exists) power_node_write(node, record->offset, event->data, false);
    break;
  case POWER_TRUNCATE:
    if (record->ino == 0 || !node->exists) break;
    if (record->offset < node->data.len) node->data.len = (size_t)record->offset;
    else buf_put_repeat(&node->data, 0, (size_t)record->offset - node->data.len);
    break;
  case POWER_MODE: node->mode = record->mode; break;
  case POWER_TIME: node->time_s = (int64_t)record->offset; break;
  case POWER_LINK:
    if (record->ino > 0 && node->exists) power_node_enter(nodes, record->dir, event->name, record->ino);
    break;
  case POWER_RENAME:
    // A new name that is certain does not depend on whether the old one has ever been there.
    number = record->ino && nodes[record->ino].exists ? (uint32_t)record->ino
                                                      : power_node_find(nodes, record->dir, event->name);
    // Two names of one file stay as they are.
    if (number == 0 || power_node_find(nodes, record->dir2, event->name2) == number) break;
    if (record->dir2 > 0 && !nodes[record->dir2].exists) break;
    if (power_node_find(nodes, record->dir, event->name) == number) power_node_leave(nodes, record->dir, event->name);
    if (record->dir2 > 0) power_node_enter(nodes, record->dir2, event->name2, number);
    break;
  case POWER_UNLINK: power_node_leave(nodes, record->dir, event->name); break;
  case POWER_SYNC:
  case POWER_SAID: break;
  }
}

// ---- reading

static bool power_disk_parse(PowerDisk *disk, Err *err) {
  for (size_t at = 0; at < disk->log.len;) {
    PowerEvent event = {.at = at};
    if (disk->log.len - at < sizeof(event.record)) break; // the last one was being written
    memcpy(&event.record, disk->log.data + at, sizeof(event.record));
    const PowerRecord *record = &event.record;
    if (record->size_bytes !=
        sizeof(*record) + (uint64_t)record->name_len + (uint64_t)record->name2_len + (uint64_t)record->data_len)
      return err_set(err, ERR_CORRUPT, "the log is damaged at %zu", at);
    if (disk->log.len - at < record->size_bytes) break;
    const char *text = disk->log.data + at + sizeof(*record);
    event.name = span_make(text, record->name_len);
    event.name2 = span_make(text + record->name_len, record->name2_len);
    event.data = span_make(text + record->name_len + record->name2_len, record->data_len);
    MEM_RESERVE(disk->events, disk->cap, disk->count + 1);
    disk->events[disk->count++] = event;
    at += record->size_bytes;
  }
  return true;
}

static Span power_disk_key(const uint64_t *ino) {
  return span_make(ino, sizeof(*ino));
}

static uint32_t power_disk_number(const Map *numbers, uint64_t ino) {
  return (uint32_t)(uintptr_t)map_get(numbers, power_disk_key(&ino));
}

// Replaces inode numbers.
static void power_disk_renumber(PowerDisk *disk, uint64_t root_ino) {
  Map numbers = MAP_INIT;
  map_set(&numbers, power_disk_key(&root_ino), (void *)(uintptr_t)1);
  disk->node_count = 1;
  for (size_t i = 0; i < disk->count; i++) {
    PowerRecord *record = &disk->events[i].record;
    bool makes = record->op == POWER_CREATE || record->op == POWER_MKDIR || record->op == POWER_SYMLINK;
    record->dir = power_disk_number(&numbers, record->dir);
    record->dir2 = power_disk_number(&numbers, record->dir2);
    uint32_t number = power_disk_number(&numbers, record->ino);
    // What is seen in a folder that is not known, the builder's, is linked from there in a moment.
    if ((makes && record->dir > 0) || (record->op == POWER_SEEN && number == 0)) {
      number = ++disk->node_count;
      map_set(&numbers, power_disk_key(&record->ino), (void *)(uintptr_t)number);
    }
    record->ino = number;
  }
  map_done(&numbers);
}

bool power_disk_open(const char *log_path, const char *root, PowerDisk **ret, Err *err) {
  PowerDisk *disk = mem_alloc_zero(sizeof(*disk));
  struct stat st;
  bool ok = fs_read_file(log_path, 0, &disk->log, err) && power_disk_parse(disk, err) &&
            (power_log_stat(AT_FDCWD, root, 0, &st) == 0 || err_set_errno(err, errno, "reading '%s'", root));
  if (!ok) {
    power_disk_free(disk);
    return false;
  }
  power_disk_renumber(disk, st.st_ino);
  *ret = disk;
  return true;
}

void power_disk_free(PowerDisk *disk) {
  buf_done(&disk->log);
  mem_free(disk->events);
  mem_free(disk);
}

size_t power_disk_count(const PowerDisk *disk) {
  return disk->count;
}

void power_disk_said(const PowerDisk *disk, size_t moment, Buf *ret) {
  for (size_t i = 0; i < moment; i++)
    if (disk->events[i].record.op == POWER_SAID) buf_put_span(ret, disk->events[i].data);
}

// ---- choosing

// What is certain at a moment: everything before `all`, and of each inode what came before `upto[number]`. Positions are those in the log.
typedef struct PowerCertain {
  size_t all;
  size_t *upto;
} PowerCertain;

static void power_disk_certain(const PowerDisk *disk, size_t moment, PowerCertain *ret) {
  ret->all = 0;
  ret->upto = mem_alloc_zero((disk->node_count + 1) * sizeof(*ret->upto));
  for (size_t i = 0; i < moment; i++) {
    const PowerRecord *record = &disk->events[i].record;
    if (record->op != POWER_SYNC) continue;
    size_t *at = record->mode ? &ret->upto[record->ino] : &ret->all;
    if (record->offset > *at) *at = (size_t)record->offset;
  }
}

static bool power_disk_is_data(const PowerEvent *event) {
  return event->record.op == POWER_WRITE;
}

// The data of a write, or what has become of it.
static void power_disk_uncertain_write(PowerNode *nodes, const PowerEvent *event, uint64_t *rng) {
  PowerNode *node = &nodes[event->record.ino];
  if (event->record.ino == 0 || !node->exists) return;
  PowerEvent part = *event;
  switch (test_random_below(rng, 8)) {
  case 0:
  case 1:
  case 2: return;
  case 3: power_node_write(node, event->record.offset, event->data, true); return;
  case 4: part.data.len = (size_t)test_random_below(rng, event->data.len / POWER_DISK_SECTOR + 1) * POWER_DISK_SECTOR;
  }
  power_node_apply(nodes, &part);
}

static PowerNode *power_disk_replay(const PowerDisk *disk, size_t moment, bool reordered, uint64_t *rng) {
  PowerNode *nodes = mem_alloc_zero((disk->node_count + 1) * sizeof(*nodes));
  PowerCertain certain;
  power_disk_certain(disk, moment, &certain);
  size_t journal = certain.all;
  if (!reordered) {
    // With a journal, syncing any file brings all names that came before.
    for (uint32_t i = 1; i <= disk->node_count; i++)
      if (certain.upto[i] > journal) journal = certain.upto[i];
    size_t end = moment < disk->count ? disk->events[moment].at : disk->log.len;
    journal += (size_t)test_random_below(rng, end - journal + 1);
  }
  nodes[1] = (PowerNode){.exists = true, .mode = S_IFDIR | 0755};
  for (size_t i = 0; i < moment; i++) {
    const PowerEvent *event = &disk->events[i];
    uint64_t ino = event->record.ino, dir = event->record.dir, dir2 = event->record.dir2;
    // Waiting for a file tells nothing about its later names; waiting for the folder does.
    bool of_ino = ino && event->record.op != POWER_RENAME && event->at < certain.upto[ino];
    bool sure = event->at < certain.all || of_ino || (dir && event->at < certain.upto[dir]) ||
                (dir2 && event->at < certain.upto[dir2]);
    if (sure) power_node_apply(nodes, event);
    else if (power_disk_is_data(event)) power_disk_uncertain_write(nodes, event, rng);
    else if (reordered ? test_random_below(rng, 2) == 0 : event->at < journal) power_node_apply(nodes, event);
  }
  mem_free(certain.upto);
  return nodes;
}

// ---- writing

static bool power_disk_write(PowerNode *nodes, uint32_t number, char **places, Buf *path, Err *err) {
  PowerNode *node = &nodes[number];
  const char *name = buf_cstr(path);
  if (S_ISLNK(node->mode))
    return symlink(buf_cstr(&node->data), name) == 0 || err_set_errno(err, errno, "creating '%s'", name);
  if (S_ISDIR(node->mode)) {
    if (number != 1 && mkdir(name, 0700) != 0) return err_set_errno(err, errno, "creating '%s'", name);
    size_t len = path->len;
    for (MapEntry *entry = map_first(&node->entries); entry; entry = map_next(&node->entries, entry)) {
      uint32_t child = (uint32_t)(uintptr_t)entry->value;
      // The index of SQLite's log lives in memory.
      if (!nodes[child].exists || span_has_suffix(span_make(entry->key, entry->key_len), SPAN("-shm"))) continue;
      path->len = len;
      buf_printf(path, "/%.*s", (int)entry->key_len, entry->key);
      if (!power_disk_write(nodes, child, places, path, err)) return false;
    }
    path->len = len;
  } else if (places[number]) {
    return link(places[number], name) == 0 || err_set_errno(err, errno, "linking '%s'", name);
  } else if (!fs_write_file_atomic(name, buf_span(&node->data), 0600, false, err)) {
    return false;
  }
  name = buf_cstr(path);
  if (!places[number]) places[number] = span_dup(buf_span(path));
  struct timespec times[2] = {{node->time_s, 0}, {node->time_s, 0}};
  return (number == 1 || chmod(name, node->mode & 07777) == 0) && utimensat(AT_FDCWD, name, times, 0) == 0
             ? true
             : err_set_errno(err, errno, "setting mode and time of '%s'", name);
}

bool power_disk_make(const PowerDisk *disk, size_t moment, bool reordered, uint64_t seed, const char *root, Err *err) {
  uint64_t rng = seed;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  PowerNode *nodes = power_disk_replay(disk, moment, reordered, &rng);
  char **places = mem_alloc_zero((disk->node_count + 1) * sizeof(*places));
  buf_put_cstr(&path, root);
  bool ok = power_disk_write(nodes, 1, places, &path, err);
  for (uint32_t i = 0; i <= disk->node_count; i++) {
    power_node_done(&nodes[i]);
    mem_free(places[i]);
  }
  mem_free(nodes);
  mem_free(places);
  return ok;
}
