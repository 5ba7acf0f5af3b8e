// substituters.c: see substituters.h.
//
// Each path is a node. It passes: new; asking (a job asks the caches); known (found or not). When somebody wants it here: waiting for its references, which are
// nodes too; fetching (a job); ended. The mutex guards everything but what a node's own job works on.
#include "store/substituters.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pool.h"
#include "store/store_lock.h"
#include "store/store_realisation.h"

enum { JOBS = 16 };

typedef enum NodeStage { NODE_NEW, NODE_ASKING, NODE_KNOWN, NODE_WAITING, NODE_FETCHING, NODE_ENDED } NodeStage;

typedef struct Node Node;

typedef struct NodeList {
  Node **nodes;
  size_t count, cap;
} NodeList;

typedef struct Waiter {
  SubstitutersFn done;
  void *ctx;
  struct Waiter *next;
} Waiter;

struct Node {
  Substituters *owner;
  StorePath path;
  NodeStage stage;
  bool wanted;   // is to be fetched, not only described
  bool valid;    // it was there when its job looked
  bool has_info; // a cache describes it
  NarInfo info;  // in `arena`
  Arena arena;
  BinaryCache *cache;
  size_t cache_index;
  Err ask_err;    // why it is not known
  size_t pending; // references that have not ended
  NodeList users; // nodes that wait for this one
  SubstitutersResult result;
  Err err;
  Waiter *waiters;
  uint64_t id;
};

struct Substituters {
  Store *store;
  SubstitutersConfig config;
  HttpClient *http;
  NarinfoCache *answers;
  Pool *pool;
  atomic_bool cancelled;
  pthread_mutex_t open_mutex; // while caches are opened
  bool opened;
  Err open_err;
  BinaryCache **caches; // sorted by priority
  bool *disabled;       // after a failure
  size_t cache_count;
  pthread_mutex_t mutex; // guards the nodes
  pthread_cond_t known_cond;
  Map nodes; // digest -> Node
  uint64_t next_id;
};

Substituters *substituters_new(Store *store, const SubstitutersConfig *config) {
  Substituters *self = mem_alloc_zero(sizeof *self);
  self->store = store;
  self->config = *config;
  self->http = http_client_new(&config->http);
  self->pool = pool_new(config->jobs ? config->jobs : JOBS);
  pthread_mutex_init(&self->open_mutex, NULL);
  pthread_mutex_init(&self->mutex, NULL);
  pthread_cond_init(&self->known_cond, NULL);
  return self;
}

static void free_node(Node *node) {
  err_done(&node->ask_err);
  err_done(&node->err);
  arena_done(&node->arena);
  mem_free(node->users.nodes);
  mem_free(node);
}

void substituters_free(Substituters *self) {
  if (!self) return;
  pool_free(self->pool);
  for (MapEntry *e = map_first(&self->nodes); e; e = map_next(&self->nodes, e)) free_node(e->value);
  map_done(&self->nodes);
  for (size_t i = 0; i < self->cache_count; i++) binary_cache_free(self->caches[i]);
  mem_free(self->caches);
  mem_free(self->disabled);
  err_done(&self->open_err);
  narinfo_cache_close(self->answers);
  http_client_free(self->http);
  pthread_mutex_destroy(&self->open_mutex);
  pthread_mutex_destroy(&self->mutex);
  pthread_cond_destroy(&self->known_cond);
  mem_free(self);
}

void substituters_cancel(Substituters *self) {
  atomic_store(&self->cancelled, true);
  http_client_cancel(self->http);
}

// --- caches

static int by_priority(const void *a, const void *b) {
  int left = binary_cache_priority(*(BinaryCache *const *)a), right = binary_cache_priority(*(BinaryCache *const *)b);
  return left < right ? -1 : left > right;
}

// Says why a cache is not asked (any more).
static void leave_out(Substituters *self, Err *failed) {
  Err ignored = ERR_INIT;
  log_warn("%s; the cache is not asked any more", err_message(failed));
  err_done(failed);
  const char *path = self->config.unreachable_path;
  if (path && !fs_write_file_atomic(path, SPAN(""), 0644, false, &ignored)) err_done(&ignored);
}

// Under open_mutex. qsort is not stable, but few caches share a priority and C++ Nix promises no order among those.
static bool open_caches(Substituters *self, Err *err) {
  size_t count = 0;
  if (self->opened) return true;
  while (self->config.urls[count]) count++;
  self->caches = mem_alloc_array(count, sizeof *self->caches);
  self->disabled = mem_alloc_array(count, sizeof *self->disabled);
  if (self->config.answers_path)
    self->answers =
        narinfo_cache_open(self->config.answers_path, self->config.positive_ttl_s, self->config.negative_ttl_s);
  for (size_t i = 0; i < count; i++) {
    Err failed = ERR_INIT;
    self->disabled[i] = false;
    if (binary_cache_open_url(span_cstr(self->config.urls[i]), self->http, self->answers,
                              self->store ? store_dir(self->store) : STORE_PATH_DIR, &self->caches[self->cache_count],
                              &failed)) {
      self->cache_count++;
      continue;
    }
    if (failed.kind == ERR_INTERRUPTED || failed.kind == ERR_USAGE) return err_move(err, &failed);
    leave_out(self, &failed);
  }
  if (count > 1) qsort(self->caches, self->cache_count, sizeof *self->caches, by_priority);
  return self->opened = true;
}

static bool get_caches(Substituters *self, Err *err) {
  pthread_mutex_lock(&self->open_mutex);
  if (!self->opened && !err_is_set(&self->open_err) && !open_caches(self, &self->open_err))
    assert(err_is_set(&self->open_err));
  bool ok = self->opened || err_set(err, self->open_err.kind, "%s", err_message(&self->open_err));
  pthread_mutex_unlock(&self->open_mutex);
  return ok;
}

static void put_path(const Substituters *self, const StorePath *path, Buf *ret) {
  store_path_format(path, self->store ? store_dir(self->store) : STORE_PATH_DIR, ret);
}

// --- asking

static bool is_usable(Substituters *self, Node *node, BinaryCache *cache, const NarInfo *info) {
  if (!store_path_eq(&info->path, &node->path)) return false; // another name behind the same hash part
  if (!self->config.require_sigs || binary_cache_is_trusted(cache, info, self->config.keys, self->config.key_count))
    return true;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  put_path(self, &node->path, &path);
  log_warn("ignoring substitute for '%s' from '%s', as it's not signed by any of the keys in 'trusted-public-keys'",
           buf_cstr(&path), binary_cache_url(cache));
  return false;
}

static bool ask_cache(Substituters *self, Node *node, size_t i, NarInfo *ret, bool *ret_found, Err *err) {
  Err failed = ERR_INIT;
  if (binary_cache_find(self->caches[i], node->path.digest, &node->arena, ret, ret_found, &failed)) return true;
  *ret_found = false;
  if (failed.kind == ERR_INTERRUPTED || !(self->config.fallback || self->config.unreachable_path))
    return err_move(err, &failed);
  leave_out(self, &failed);
  pthread_mutex_lock(&self->open_mutex);
  self->disabled[i] = true;
  pthread_mutex_unlock(&self->open_mutex);
  return true;
}

static bool is_disabled(Substituters *self, size_t i) {
  pthread_mutex_lock(&self->open_mutex);
  bool ret = self->disabled[i];
  pthread_mutex_unlock(&self->open_mutex);
  return ret;
}

// From the cache `first` on.
static bool ask_caches(Substituters *self, Node *node, size_t first, NarInfo *ret, size_t *ret_cache, bool *ret_found,
                       Err *err) {
  *ret_found = false;
  for (size_t i = first; i < self->cache_count && !*ret_found; i++) {
    if (is_disabled(self, i)) continue;
    if (!ask_cache(self, node, i, ret, ret_found, err)) return false;
    *ret_found = *ret_found && is_usable(self, node, self->caches[i], ret);
    *ret_cache = i;
  }
  return true;
}

static bool ask(Substituters *self, Node *node, Err *err) {
  if (atomic_load(&self->cancelled)) return err_set(err, ERR_INTERRUPTED, "interrupted by the user");
  if (self->store && !store_pin(self->store, &node->path, &node->valid, err)) return false;
  if (node->valid) return true;
  if (!get_caches(self, err) || !ask_caches(self, node, 0, &node->info, &node->cache_index, &node->has_info, err))
    return false;
  if (node->has_info) node->cache = self->caches[node->cache_index];
  return true;
}

static void step(Node *node);

static void ask_job(void *ctx) {
  Node *node = ctx;
  Substituters *self = node->owner;
  (void)!ask(self, node, &node->ask_err);
  pthread_mutex_lock(&self->mutex);
  node->stage = NODE_KNOWN;
  pthread_cond_broadcast(&self->known_cond);
  pthread_mutex_unlock(&self->mutex);
  step(node);
}

// Under the mutex.
static Node *get_node(Substituters *self, const StorePath *path) {
  Span key = span_make((const char *)path->digest, sizeof path->digest);
  Node *node = map_get(&self->nodes, key);
  if (!node) {
    node = mem_alloc_zero(sizeof *node);
    node->owner = self;
    node->path = *path;
    node->id = ++self->next_id;
    map_set(&self->nodes, key, node);
  }
  if (node->stage == NODE_NEW) {
    node->stage = NODE_ASKING;
    pool_submit(self->pool, ask_job, node);
  }
  return node;
}

// --- realisations

// Other outputs that this one was built from must be here what they were there, as far as they are known.
static bool fits(Substituters *self, BinaryCache *cache, const Realisation *realisation, bool *ret, Err *err) {
  *ret = true;
  for (size_t i = 0; *ret && i < realisation->dep_count; i++) {
    const RealisationDep *dep = &realisation->deps[i];
    uint8_t hash[32];
    Span output;
    StorePath known, theirs;
    bool found;
    if (span_eq(dep->id, realisation->id)) continue;
    if (!realisation_parse_id(dep->id, hash, &output) || !store_path_parse_base(dep->path, &theirs, err)) return false;
    if (!store_realisation_find(self->store, hash, output, &known, &found, err)) return false;
    *ret = !found || store_path_eq(&known, &theirs);
  }
  if (!*ret)
    log_warn("'%s' has another realisation of a dependency of '%.*s' than there is here; ignoring it",
             binary_cache_url(cache), SPAN_ARG(realisation->id));
  return true;
}

// Another cache may do: a failure is only told of, unless nobody wants to know any more.
static bool pass_over(Err *failed, Err *err) {
  if (failed->kind == ERR_INTERRUPTED) return err_move(err, failed);
  log_warn("%s", err_message(failed));
  err_done(failed);
  return true;
}

static bool ask_realisation(Substituters *self, size_t i, Span id, Arena *arena, StorePath *ret, bool *ret_found,
                            Err *err) {
  BinaryCache *cache = self->caches[i];
  Realisation realisation;
  if (!binary_cache_find_realisation(cache, id, arena, &realisation, ret_found, err)) return false;
  if (!*ret_found) return true;
  *ret = realisation.path;
  if (self->config.require_sigs && !realisation_is_signed(&realisation, self->config.keys, self->config.key_count)) {
    log_warn("ignoring the realisation of '%.*s' from '%s', as it's not signed by any of the keys in "
             "'trusted-public-keys'",
             SPAN_ARG(id), binary_cache_url(cache));
    *ret_found = false;
    return true;
  }
  return fits(self, cache, &realisation, ret_found, err);
}

bool substituters_find_realisation(Substituters *self, const uint8_t drv_hash[32], Span output, StorePath *ret,
                                   bool *ret_found, Err *err) {
  *ret_found = false;
  if (atomic_load(&self->cancelled)) return err_set(err, ERR_INTERRUPTED, "interrupted by the user");
  if (!get_caches(self, err)) return false;
  Arena arena = ARENA_INIT;
  Buf id = BUF_INIT;
  bool ok = true;
  realisation_format_id(drv_hash, output, &id);
  for (size_t i = 0; ok && i < self->cache_count && !*ret_found; i++) {
    Err failed = ERR_INIT;
    if (is_disabled(self, i) || ask_realisation(self, i, buf_span(&id), &arena, ret, ret_found, &failed)) continue;
    *ret_found = false;
    ok = pass_over(&failed, err); // nothing is lost but the chance not to build
  }
  buf_done(&id);
  arena_done(&arena);
  return ok;
}

// --- fetching

static void emit(Node *node, SubstitutersEventKind kind, bool failed) {
  const SubstitutersConfig *config = &node->owner->config;
  if (!config->event) return;
  SubstitutersEvent event = {.kind = kind,
                             .id = node->id,
                             .path = &node->path,
                             .url = binary_cache_url(node->cache),
                             .download_bytes = node->info.file_size_bytes,
                             .nar_bytes = node->info.nar_size_bytes,
                             .failed = failed};
  config->event(config->event_ctx, &event);
}

// After a failure: another cache that has it. What it refers to must be here already, which registering checks.
static bool take_next_cache(Substituters *self, Node *node) {
  NarInfo info;
  size_t cache;
  bool found;
  Err ignored = ERR_INIT;
  if (!ask_caches(self, node, node->cache_index + 1, &info, &cache, &found, &ignored)) found = false;
  err_done(&ignored);
  if (!found) return false;
  pthread_mutex_lock(&self->mutex);
  node->info = info;
  node->cache = self->caches[cache];
  node->cache_index = cache;
  pthread_mutex_unlock(&self->mutex);
  return true;
}

static bool fetch_from_any(Substituters *self, Node *node, Err *err) {
  for (;;) {
    Err failed = ERR_INIT;
    emit(node, SUBSTITUTERS_EVENT_START, false);
    bool ok = binary_cache_fetch_found(node->cache, self->store, &node->info, false, &failed);
    emit(node, SUBSTITUTERS_EVENT_STOP, !ok);
    if (ok) return true;
    if (failed.kind == ERR_INTERRUPTED || !take_next_cache(self, node)) return err_move(err, &failed);
    log_warn("%s; asking the next cache", err_message(&failed));
    err_done(&failed);
  }
}

static bool fetch(Substituters *self, Node *node, Err *err) {
  StoreLock *lock;
  bool valid;
  if (atomic_load(&self->cancelled)) return err_set(err, ERR_INTERRUPTED, "interrupted by the user");
  if (!store_lock_take(self->store, &node->path, 1, true, &lock, err)) return false;
  bool ok = store_is_valid(self->store, &node->path, &valid, err) && (valid || fetch_from_any(self, node, err));
  store_lock_release(lock);
  return ok;
}

static void end(Node *node, SubstitutersResult result);

static void fetch_job(void *ctx) {
  Node *node = ctx;
  end(node, fetch(node->owner, node, &node->err) ? SUBSTITUTERS_DONE : SUBSTITUTERS_FAILED);
}

// Under the mutex. One node has ended; *ret_waiters are to be told, and users that have nothing left to wait for, or that fail with it, are appended to *ret_next.
static void end_one(Node *node, Waiter **ret_waiters, NodeList *ret_next) {
  node->stage = NODE_ENDED;
  for (size_t i = 0; i < node->users.count; i++) {
    Node *user = node->users.nodes[i];
    if (user->stage != NODE_WAITING) continue;
    if (node->result == SUBSTITUTERS_FAILED && !err_is_set(&user->err))
      err_set(&user->err, node->err.kind, "%s", err_message(&node->err));
    bool fails = node->result != SUBSTITUTERS_DONE;
    if (fails) user->result = node->result;
    if (--user->pending && !fails) continue;
    user->stage = fails ? NODE_ENDED : NODE_FETCHING;
    MEM_RESERVE(ret_next->nodes, ret_next->cap, ret_next->count + 1);
    ret_next->nodes[ret_next->count++] = user;
  }
  *ret_waiters = STEAL(node->waiters);
}

// Ends along chains of any length, without recursion.
static void end(Node *node, SubstitutersResult result) {
  Substituters *self = node->owner;
  NodeList next = {0};
  node->result = result;
  for (size_t at = 0; node; node = at < next.count ? next.nodes[at++] : NULL) {
    Waiter *waiters = NULL;
    pthread_mutex_lock(&self->mutex);
    bool is_ready = node->stage == NODE_FETCHING && at > 0;
    if (is_ready) pool_submit(self->pool, fetch_job, node);
    else end_one(node, &waiters, &next);
    pthread_mutex_unlock(&self->mutex);
    while (waiters) {
      Waiter *waiter = waiters;
      waiters = waiter->next;
      waiter->done(waiter->ctx, node->result, &node->err);
      mem_free(waiter);
    }
  }
  mem_free(next.nodes);
}

// Under the mutex: wants the references. False when one has ended without success already.
static bool want_references(Substituters *self, Node *node, NodeList *ret_started) {
  node->pending = 1; // so that nothing starts before all have been looked at
  for (size_t i = 0; i < node->info.ref_count; i++) {
    if (store_path_eq(&node->info.refs[i], &node->path)) continue;
    Node *ref = get_node(self, &node->info.refs[i]);
    if (!ref->wanted) {
      ref->wanted = true;
      MEM_RESERVE(ret_started->nodes, ret_started->cap, ret_started->count + 1);
      ret_started->nodes[ret_started->count++] = ref;
    }
    if (ref->stage == NODE_ENDED) {
      if (ref->result == SUBSTITUTERS_DONE) continue;
      if (ref->result == SUBSTITUTERS_FAILED) err_set(&node->err, ref->err.kind, "%s", err_message(&ref->err));
      node->result = ref->result;
      return false;
    }
    MEM_RESERVE(ref->users.nodes, ref->users.cap, ref->users.count + 1);
    ref->users.nodes[ref->users.count++] = node;
    node->pending++;
  }
  return true;
}

// What to do with a node whose description is known and that is wanted; once.
static void step_one(Node *node, NodeList *ret_started) {
  Substituters *self = node->owner;
  bool ended = false, ready = false;
  SubstitutersResult result = SUBSTITUTERS_MISSING;
  pthread_mutex_lock(&self->mutex);
  if (node->stage == NODE_KNOWN && node->wanted) {
    ended = err_is_set(&node->ask_err) || node->valid || !node->has_info;
    node->stage = NODE_WAITING;
    if (err_is_set(&node->ask_err)) {
      err_set(&node->err, node->ask_err.kind, "%s", err_message(&node->ask_err));
      result = SUBSTITUTERS_FAILED;
    } else if (node->valid) {
      result = SUBSTITUTERS_DONE;
    } else if (node->has_info) {
      ended = !want_references(self, node, ret_started);
      if (ended) result = node->result;
      else if (--node->pending == 0) ready = true;
      if (ready) node->stage = NODE_FETCHING;
    }
    if (ended) {
      node->stage = NODE_ENDED;
      node->result = result;
    }
  }
  pthread_mutex_unlock(&self->mutex);
  if (ended) end(node, result);
  else if (ready) pool_submit(self->pool, fetch_job, node);
}

static void step(Node *node) {
  NodeList started = {0};
  step_one(node, &started);
  while (started.count) step_one(started.nodes[--started.count], &started);
  mem_free(started.nodes);
}

void substituters_start(Substituters *self, const StorePath *path, SubstitutersFn done, void *ctx) {
  pthread_mutex_lock(&self->mutex);
  Node *node = get_node(self, path);
  bool ended = node->stage == NODE_ENDED;
  node->wanted = true;
  if (!ended) {
    Waiter *waiter = mem_alloc(sizeof *waiter);
    *waiter = (Waiter){done, ctx, node->waiters};
    node->waiters = waiter;
  }
  pthread_mutex_unlock(&self->mutex);
  if (ended) done(ctx, node->result, &node->err);
  else step(node);
}

// --- questions

void substituters_prefetch(Substituters *self, const StorePath *paths, size_t count) {
  pthread_mutex_lock(&self->mutex);
  for (size_t i = 0; i < count; i++) get_node(self, &paths[i]);
  pthread_mutex_unlock(&self->mutex);
}

bool substituters_query(Substituters *self, const StorePath *path, SubstitutersInfo *ret, Err *err) {
  pthread_mutex_lock(&self->mutex);
  Node *node = get_node(self, path);
  while (node->stage == NODE_ASKING) pthread_cond_wait(&self->known_cond, &self->mutex);
  bool ok = !err_is_set(&node->ask_err) || err_set(err, node->ask_err.kind, "%s", err_message(&node->ask_err));
  *ret = (SubstitutersInfo){.found = ok && node->has_info};
  if (ret->found)
    *ret = (SubstitutersInfo){true, node->info.file_size_bytes, node->info.nar_size_bytes, node->info.refs,
                              node->info.ref_count};
  pthread_mutex_unlock(&self->mutex);
  return ok;
}

// --- repair

static bool refill_from(Substituters *self, size_t i, Node *node, bool *ret_done, Err *err) {
  NarInfo info;
  bool found;
  *ret_done = false;
  if (!binary_cache_find(self->caches[i], node->path.digest, &node->arena, &info, &found, err)) return false;
  if (!found || !is_usable(self, node, self->caches[i], &info)) return true;
  return *ret_done = binary_cache_refill(self->caches[i], self->store, &info, err);
}

bool substituters_refill(Substituters *self, const StorePath *path, bool *ret_done, Err *err) {
  Node node = {.owner = self, .path = *path, .arena = ARENA_INIT};
  *ret_done = false;
  if (!get_caches(self, err)) return false;
  bool ok = true;
  for (size_t i = 0; ok && i < self->cache_count && !*ret_done; i++) {
    Err failed = ERR_INIT;
    if (is_disabled(self, i) || refill_from(self, i, &node, ret_done, &failed)) continue;
    ok = pass_over(&failed, err);
  }
  arena_done(&node.arena);
  return ok;
}
