// eval_profile.c: see eval_profile.h.
#include "eval/eval_profile.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "eval/str.h"
#include "eval/vm_state.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

// What a frame of a sample is, before names are looked up: RawKind | pointer or number.
typedef enum RawKind {
  RAW_CODE,    // code pointer
  RAW_BUILTIN, // Builtin pointer
  RAW_NATIVE,  // NativeDef pointer
  RAW_PACKAGE, // number of a text
  RAW_CONTEXT, // number of a context
  RAW_FILE,    // number of a text
  RAW_CALL,    // instruction pointer behind the call of a leaf builtin
  RAW_COLLECT,
  RAW_DEEPER,
} RawKind;
#define RAW_KEY(kind, payload) ((uint64_t)(kind) << 56 | (uint64_t)(payload))
#define RAW_PAYLOAD(key) ((key)&0xffffffffffffffu)

// The tree while it grows: children are found by (parent, key).
typedef struct Tree {
  struct TreeNode {
    uint32_t parent;
    uint64_t key;
    uint64_t ns;
  } * nodes;
  uint32_t count, cap;
  uint32_t *index; // node number; 0: empty
  uint32_t index_cap;
} Tree;

typedef struct EvalProfileContext { // the text of an addErrorContext that was met
  HeapRoot text;                    // often a thunk
} EvalProfileContext;

// A frame of the last sample that was about a context: the same one is met again at the same place.
typedef struct LiveContext {
  size_t fp;
  uint32_t context;
} LiveContext;

struct EvalProfile {
  volatile sig_atomic_t due;
  const uint32_t *volatile leaf_ip; // a leaf builtin ran when the signal came: called here
  const uint32_t *volatile leaf_code;
  timer_t timer;
  Tree tree;
  EvalProfileSample *samples; // owned
  size_t sample_count, sample_cap;
  uint64_t last_ns; // thread's clock at the last sample
  uint64_t collect_ns, all_collect_ns, taken;
  uint64_t *walk; // keys of one stack, from the top; owned
  size_t walk_cap;
  Map texts; // text -> number + 1
  EvalProfileContext **contexts;
  uint32_t context_count, context_cap;
  uint32_t live_task;
  LiveContext *live, *next_live; // from the top of the stack
  size_t live_count, live_cap, next_live_count, next_live_cap;
};

// ---- the tree ----

static uint32_t tree_hash(uint32_t parent, uint64_t key) {
  uint64_t h = (key ^ (uint64_t)parent * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
  return (uint32_t)(h >> 32);
}

static void tree_grow_index(Tree *tree) {
  mem_free(tree->index);
  tree->index_cap = tree->index_cap ? 2 * tree->index_cap : 1024;
  tree->index = mem_alloc_zero(tree->index_cap * sizeof *tree->index);
  for (uint32_t i = 1; i < tree->count; i++) {
    uint32_t at = tree_hash(tree->nodes[i].parent, tree->nodes[i].key) & (tree->index_cap - 1);
    while (tree->index[at]) at = (at + 1) & (tree->index_cap - 1);
    tree->index[at] = i;
  }
}

static void tree_init(Tree *tree) {
  MEM_RESERVE(tree->nodes, tree->cap, 1024);
  tree->nodes[tree->count++] = (struct TreeNode){0}; // the root
}

static uint32_t tree_child(Tree *tree, uint32_t parent, uint64_t key) {
  if (2 * tree->count >= tree->index_cap) tree_grow_index(tree);
  uint32_t at = tree_hash(parent, key) & (tree->index_cap - 1);
  for (; tree->index[at]; at = (at + 1) & (tree->index_cap - 1)) {
    const struct TreeNode *node = &tree->nodes[tree->index[at]];
    if (node->parent == parent && node->key == key) return tree->index[at];
  }
  MEM_RESERVE(tree->nodes, tree->cap, tree->count + 1);
  tree->nodes[tree->count] = (struct TreeNode){.parent = parent, .key = key};
  return tree->index[at] = tree->count++;
}

static void tree_done(Tree *tree) {
  mem_free(tree->nodes);
  mem_free(tree->index);
}

// ---- the signal ----

uint64_t eval_profile_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// On the VM's thread. A safepoint that resets soft_end at the same moment only makes the sample later.
static void on_tick(int sig, siginfo_t *info, void *context) {
  (void)sig;
  (void)context;
  if (info->si_code != SI_TIMER) return;
  Vm *vm = info->si_value.sival_ptr;
  EvalProfile *profile = vm->profile;
  if (!profile) return;
  profile->leaf_ip = vm->state->call_ip;
  profile->leaf_code = vm->state->call_code;
  profile->due = 1;
  vm->heap.soft_end = vm->heap.nursery;
}

static void eval_profile_free(EvalProfile *profile) {
  mem_free(profile->contexts);
  mem_free(profile->live);
  mem_free(profile->next_live);
  mem_free(profile->samples);
  mem_free(profile->walk);
  map_done(&profile->texts);
  tree_done(&profile->tree);
  mem_free(profile);
}

bool eval_profile_start(Vm *vm, unsigned hz, Err *err) {
  if (hz == 0) hz = EVAL_PROFILE_DEFAULT_HZ;
  if (hz > EVAL_PROFILE_MAX_HZ) hz = EVAL_PROFILE_MAX_HZ;
  EvalProfile *profile = mem_alloc_zero(sizeof *profile);
  tree_init(&profile->tree);
  struct sigaction action = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART};
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF, .sigev_value.sival_ptr = vm};
  event.sigev_notify_thread_id = gettid();
  long interval_ns = (long)(1000000000u / hz);
  struct itimerspec every = {.it_interval = {interval_ns / 1000000000, interval_ns % 1000000000}};
  every.it_value = every.it_interval;
  sigaction(SIGPROF, &action, NULL);
  // A timer of the thread's own processor time would be looked at only once in a tick of the kernel.
  if (timer_create(CLOCK_MONOTONIC, &event, &profile->timer) != 0) {
    int failed = errno;
    eval_profile_free(profile);
    return err_set_errno(err, failed, "making the timer of the profiler");
  }
  vm->profile = profile;
  profile->last_ns = eval_profile_clock();
  if (timer_settime(profile->timer, 0, &every, NULL) != 0) {
    int failed = errno;
    timer_delete(profile->timer);
    vm->profile = NULL;
    eval_profile_free(profile);
    return err_set_errno(err, failed, "starting the timer of the profiler");
  }
  return true;
}

bool eval_profile_is_due(const EvalProfile *profile) {
  return profile->due;
}

void eval_profile_collected(EvalProfile *profile, uint64_t ns) {
  profile->collect_ns += ns;
}

// ---- one sample ----

static uint32_t text_number(EvalProfile *profile, Span text) {
  uintptr_t found = (uintptr_t)map_get(&profile->texts, text);
  if (found) return (uint32_t)found - 1;
  uint32_t number = (uint32_t)profile->texts.live_count;
  map_set(&profile->texts, text, (void *)(uintptr_t)(number + 1));
  return number;
}

// The frame of addErrorContext at `fp` with this text: one number for as long as it runs.
static uint32_t context_number(Vm *vm, EvalProfile *profile, size_t fp, Value text) {
  text = value_follow(text);
  uint32_t number = UINT32_MAX;
  for (size_t i = 0; i < profile->live_count && profile->live[i].fp >= fp; i++)
    if (profile->live[i].fp == fp && value_follow(profile->contexts[profile->live[i].context]->text.value) == text)
      number = profile->live[i].context;
  if (number == UINT32_MAX) {
    EvalProfileContext *context = mem_alloc_zero(sizeof *context);
    heap_add_root(&vm->heap, &context->text, text);
    MEM_RESERVE(profile->contexts, profile->context_cap, profile->context_count + 1);
    number = profile->context_count++;
    profile->contexts[number] = context;
  }
  MEM_RESERVE(profile->next_live, profile->next_live_cap, profile->next_live_count + 1);
  profile->next_live[profile->next_live_count++] = (LiveContext){fp, number};
  return number;
}

static uint64_t native_key(Vm *vm, EvalProfile *profile, const Value *fp, size_t at) {
  const NativeDef *def = value_get_raw_ptr(fp[0]);
  if (def == &native_strict_call) return RAW_KEY(RAW_BUILTIN, (uintptr_t)vm->builtins[value_get_raw(fp[2])]);
  if (def == &native_leaf_result) return RAW_KEY(RAW_BUILTIN, (uintptr_t)vm->builtins[value_get_raw(fp[3])]);
  Value subject = def->subject == NATIVE_SUBJECT_NONE ? VALUE_NULL : fp[2 + def->subject_slot];
  if (def->subject == NATIVE_SUBJECT_PACKAGE && value_is_string(subject))
    return RAW_KEY(RAW_PACKAGE, text_number(profile, str_span(subject)));
  if (def->subject == NATIVE_SUBJECT_FILE && value_is_path(subject))
    return RAW_KEY(RAW_FILE, text_number(profile, str_span(subject)));
  if (def->subject == NATIVE_SUBJECT_CONTEXT) return RAW_KEY(RAW_CONTEXT, context_number(vm, profile, at, subject));
  return RAW_KEY(RAW_NATIVE, (uintptr_t)def);
}

// One of the VM's own pieces of code, which apply functions: it has no image.
static bool is_snippet(const uint32_t *code) {
  return code_head(code)->offset == sizeof(CodeHead) / 4;
}

// Delayed values without a name say nothing in the middle of a stack.
static bool is_dull(const uint32_t *code) {
  return is_snippet(code) || code_head(code)->kind_name == CODE_THUNK;
}

// Fills profile->walk from the top of the stack; returns the number of frames.
static size_t walk_stack(Vm *vm, EvalProfile *profile, const Task *task) {
  size_t count = 0, at = task->fp;
  profile->next_live_count = 0;
  if (profile->live_task != task->number) profile->live_count = 0;
  profile->live_task = task->number;
  for (bool more = true; more;) {
    const Value *fp = task->stack + at;
    const uint32_t *code = value_get_raw_ptr(fp[-2]);
    uint64_t meta = value_get_raw(fp[-1]);
    MEM_RESERVE(profile->walk, profile->walk_cap, count + 2);
    if (count == EVAL_PROFILE_MAX_DEPTH) {
      profile->walk[count++] = RAW_KEY(RAW_DEEPER, 0);
      break;
    }
    if (!code) profile->walk[count++] = native_key(vm, profile, fp, at);
    else if (count == 0 ? !is_snippet(code) : !is_dull(code))
      profile->walk[count++] = RAW_KEY(RAW_CODE, (uintptr_t)code);
    // What is above the call of the leaf builtin that ran when the signal came began later.
    if (code && code == profile->leaf_code && profile->leaf_ip) {
      count = 0;
      if (!is_snippet(code)) {
        profile->walk[count++] = RAW_KEY(RAW_CALL, (uintptr_t)profile->leaf_ip);
        profile->walk[count++] = RAW_KEY(RAW_CODE, (uintptr_t)code);
      }
      profile->leaf_ip = NULL;
    }
    more = (meta & 15) != FRAME_BASE;
    at = meta >> 4;
  }
  LiveContext *live = profile->live;
  size_t cap = profile->live_cap;
  profile->live = profile->next_live;
  profile->live_cap = profile->next_live_cap;
  profile->live_count = profile->next_live_count;
  profile->next_live = live;
  profile->next_live_cap = cap;
  return count;
}

static void add_time(EvalProfile *profile, uint32_t node, uint64_t ns) {
  if (ns == 0) return;
  profile->tree.nodes[node].ns += ns;
  if (profile->sample_count && profile->samples[profile->sample_count - 1].node == node) {
    profile->samples[profile->sample_count - 1].ns += ns;
    return;
  }
  MEM_RESERVE(profile->samples, profile->sample_cap, profile->sample_count + 1);
  profile->samples[profile->sample_count++] = (EvalProfileSample){node, ns};
}

void eval_profile_sample(Vm *vm, const Task *task) {
  EvalProfile *profile = vm->profile;
  uint64_t now = eval_profile_clock(), spent = now - profile->last_ns;
  uint32_t node = 0;
  profile->due = 0;
  for (size_t count = walk_stack(vm, profile, task); count-- > 0;)
    node = tree_child(&profile->tree, node, profile->walk[count]);
  uint64_t collect_ns = profile->collect_ns < spent ? profile->collect_ns : spent;
  add_time(profile, node, spent - collect_ns);
  if (collect_ns) add_time(profile, tree_child(&profile->tree, node, RAW_KEY(RAW_COLLECT, 0)), collect_ns);
  profile->all_collect_ns += collect_ns;
  profile->collect_ns = 0;
  profile->leaf_ip = NULL;
  profile->taken++;
  profile->last_ns = eval_profile_clock(); // without what the sample itself took
}

// ---- the result ----

typedef struct Resolve {
  Vm *vm;
  EvalProfile *profile;
  Arena *arena;
  Map frames; // its text -> number + 1
  EvalProfileFrame *items;
  uint32_t count, cap;
} Resolve;

static uint32_t add_frame(Resolve *r, EvalProfileFrame frame) {
  Buf key CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&key, frame.name);
  buf_printf(&key, "|%d|%u|%u|", (int)frame.kind, frame.line, frame.column);
  buf_put_span(&key, frame.file);
  uintptr_t found = (uintptr_t)map_get(&r->frames, buf_span(&key));
  if (found) return (uint32_t)found - 1;
  frame.name = arena_dup(r->arena, frame.name);
  frame.file = arena_dup(r->arena, frame.file);
  MEM_RESERVE(r->items, r->cap, r->count + 1);
  r->items[r->count++] = frame;
  map_set(&r->frames, buf_span(&key), (void *)(uintptr_t)r->count);
  return r->count - 1;
}

static void place_frame(Vm *vm, PosId id, EvalProfileFrame *frame, Pos *ret_pos) {
  (void)pos_resolve(vm->positions, id, ret_pos);
  if (ret_pos->source) frame->file = span_cstr(ret_pos->source->origin);
  frame->line = ret_pos->line;
  frame->column = ret_pos->column;
}

static EvalProfileFrame code_frame(Vm *vm, const uint32_t *code) {
  const CodeHead *head = code_head(code);
  const Unit *unit = unit_of(code_image(code));
  uint32_t name = head->kind_name >> 8;
  CodeKind kind = (CodeKind)(head->kind_name & 0xff);
  EvalProfileFrame frame = {.kind = kind == CODE_ROOT     ? EVAL_PROFILE_FILE
                                    : kind == CODE_LAMBDA ? EVAL_PROFILE_FUNCTION
                                                          : EVAL_PROFILE_VALUE};
  Pos pos;
  if (name) frame.name = symbol_text(vm->symbols, unit->names[name - 1]);
  place_frame(vm, unit_pos(unit, head->pos), &frame, &pos);
  if (kind == CODE_ROOT) {
    frame.file = frame.name = span_cstr(unit->source->origin);
    frame.line = frame.column = 1;
  }
  return frame;
}

static bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '\'' || c == '.';
}

// The call of a leaf builtin is named by what the source says at that place.
static EvalProfileFrame call_frame(Vm *vm, const uint32_t *ip, const uint32_t *code) {
  const Unit *unit = unit_of(code_image(code));
  EvalProfileFrame frame = {.kind = EVAL_PROFILE_CALL};
  Pos pos = {0};
  place_frame(vm, unit_position(unit, ip), &frame, &pos);
  Span line = pos.line ? pos_line(vm->positions, pos.source, pos.line) : SPAN("");
  size_t end = pos.column ? pos.column - 1 : 0;
  while (end < line.len && is_name_char(line.data[end])) end++;
  if (pos.column && end >= pos.column) frame.name = span_sub(line, pos.column - 1, end - (pos.column - 1));
  return frame;
}

// "while evaluating the option `services.nginx.enable':" names an option.
static EvalProfileFrame context_frame(Vm *vm, EvalProfileContext *context) {
  static const char *const starts[] = {"while evaluating the option `", "while evaluating the option '"};
  EvalProfileFrame frame = {.kind = EVAL_PROFILE_CONTEXT};
  if (!vm_force_root(vm, &context->text)) eval_error_clear(vm);
  else if (value_is_string(value_follow(context->text.value))) frame.name = str_span(value_follow(context->text.value));
  for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
    if (!span_has_prefix(frame.name, span_cstr(starts[i]))) continue;
    Span rest = span_from(frame.name, strlen(starts[i]));
    size_t end = span_rfind_char(rest, '\'');
    if (end != SIZE_MAX) rest = span_sub(rest, 0, end);
    return (EvalProfileFrame){.kind = EVAL_PROFILE_OPTION, .name = rest};
  }
  return frame;
}

static Span text_of(const EvalProfile *profile, uint64_t number) {
  const MapEntry *e = &profile->texts.entries[number]; // nothing is ever removed
  return span_make(e->key, e->key_len);
}

static EvalProfileFrame resolve_key(Resolve *r, uint32_t node) {
  Vm *vm = r->vm;
  const struct TreeNode *raw = &r->profile->tree.nodes[node];
  uint64_t payload = RAW_PAYLOAD(raw->key);
  void *pointer = (void *)(uintptr_t)payload;
  switch ((RawKind)(raw->key >> 56)) {
  case RAW_CODE: return code_frame(vm, pointer);
  case RAW_BUILTIN:
    return (EvalProfileFrame){.kind = EVAL_PROFILE_BUILTIN, .name = span_cstr(((const Builtin *)pointer)->name)};
  case RAW_NATIVE: {
    const NativeDef *def = pointer;
    for (uint32_t i = 0; i < vm->builtin_count; i++)
      if (vm->builtins[i]->native == def)
        return (EvalProfileFrame){.kind = EVAL_PROFILE_BUILTIN, .name = span_cstr(vm->builtins[i]->name)};
    return (EvalProfileFrame){.kind = EVAL_PROFILE_INNER, .name = span_cstr(def->name)};
  }
  case RAW_PACKAGE: return (EvalProfileFrame){.kind = EVAL_PROFILE_PACKAGE, .name = text_of(r->profile, payload)};
  case RAW_FILE: {
    Span path = text_of(r->profile, payload);
    return (EvalProfileFrame){.kind = EVAL_PROFILE_FILE, .name = path, .file = path, .line = 1, .column = 1};
  }
  case RAW_CONTEXT: return context_frame(vm, r->profile->contexts[payload]);
  case RAW_CALL:
    return call_frame(vm, pointer, (void *)(uintptr_t)RAW_PAYLOAD(r->profile->tree.nodes[raw->parent].key));
  case RAW_COLLECT: return (EvalProfileFrame){.kind = EVAL_PROFILE_INNER, .name = SPAN("garbage collection")};
  case RAW_DEEPER: break;
  }
  return (EvalProfileFrame){.kind = EVAL_PROFILE_INNER, .name = SPAN("deeper frames")};
}

// The same tree with frames that have names: stacks that look alike become one.
static void resolve_tree(Resolve *r, EvalProfileResult *ret) {
  EvalProfile *profile = r->profile;
  Tree *raw = &profile->tree, named = {0};
  tree_init(&named);
  uint32_t *number = mem_alloc_zero((raw->count + 1) * sizeof *number);
  Map seen CLEANUP(map_done) = MAP_INIT; // raw key -> frame + 1
  for (uint32_t i = 1; i < raw->count; i++) {
    Span key = span_make(&raw->nodes[i].key, sizeof raw->nodes[i].key);
    uintptr_t frame = (uintptr_t)map_get(&seen, key);
    if (!frame) {
      frame = add_frame(r, resolve_key(r, i)) + 1;
      map_set(&seen, key, (void *)frame);
    }
    // Loading a file and its expression are one frame.
    uint32_t parent = number[raw->nodes[i].parent];
    number[i] = parent && named.nodes[parent].key == frame - 1 && r->items[frame - 1].kind == EVAL_PROFILE_FILE
                    ? parent
                    : tree_child(&named, parent, frame - 1);
    named.nodes[number[i]].ns += raw->nodes[i].ns;
  }
  ret->nodes = ARENA_ARRAY(&ret->arena, EvalProfileNode, named.count);
  ret->node_count = named.count;
  for (uint32_t i = 0; i < named.count; i++)
    ret->nodes[i] = (EvalProfileNode){named.nodes[i].parent, (uint32_t)named.nodes[i].key, named.nodes[i].ns};
  ret->samples = ARENA_ARRAY(&ret->arena, EvalProfileSample, profile->sample_count + 1);
  for (size_t i = 0; i < profile->sample_count; i++) {
    EvalProfileSample sample = {number[profile->samples[i].node], profile->samples[i].ns};
    ret->total_ns += sample.ns;
    if (ret->sample_count && ret->samples[ret->sample_count - 1].node == sample.node)
      ret->samples[ret->sample_count - 1].ns += sample.ns;
    else ret->samples[ret->sample_count++] = sample;
  }
  mem_free(number);
  tree_done(&named);
}

void eval_profile_finish(Vm *vm, EvalProfileResult *ret) {
  EvalProfile *profile = vm->profile;
  *ret = (EvalProfileResult){.arena = ARENA_INIT};
  timer_delete(profile->timer);
  vm->profile = NULL;
  // A signal that is under way finds no profile.
  Resolve r = {.vm = vm, .profile = profile, .arena = &ret->arena, .frames = MAP_INIT};
  resolve_tree(&r, ret);
  ret->frames = ARENA_ARRAY(&ret->arena, EvalProfileFrame, r.count + 1);
  if (r.count) memcpy(ret->frames, r.items, r.count * sizeof(EvalProfileFrame));
  ret->frame_count = r.count;
  ret->collect_ns = profile->all_collect_ns;
  ret->taken = profile->taken;
  map_done(&r.frames);
  mem_free(r.items);
  for (uint32_t i = 0; i < profile->context_count; i++) {
    heap_remove_root(&vm->heap, &profile->contexts[i]->text);
    mem_free(profile->contexts[i]);
  }
  eval_profile_free(profile);
}

void eval_profile_result_done(EvalProfileResult *result) {
  arena_done(&result->arena);
}
