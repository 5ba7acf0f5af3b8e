// output_register.c: see output_register.h.
#include "realise/output_register.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "castore/castore_nar.h"
#include "realise/output_checks.h"
#include "realise/output_diff.h"
#include "realise/output_place.h"
#include "store/store_add.h"

// One output on its way.
typedef struct Output {
  const DerivationOutput *drv_output;
  const char *tree; // where the builder left it
  StorePath path;   // where it goes
  CastoreImport import;
  PathInfo info;
  bool scanned;    // `import` is held
  bool wanted;     // is to be registered or compared
  bool placed;     // `path` is the final one
  bool mismatched; // its hash is not the declared one
} Output;

typedef struct Registrar {
  const OutputRegisterInput *input;
  Arena arena;
  Output *outputs;
  size_t count;
  RefscanNeedles *needles;
  const char *drv_text; // absolute path of the derivation
  Err delayed;          // of a fixed output: reported after registering
} Registrar;

static const char *path_text(Registrar *registrar, const StorePath *path) {
  Buf buf = BUF_INIT;
  store_format_path(registrar->input->store, path, &buf);
  const char *ret = arena_dup(&registrar->arena, buf_span(&buf)).data;
  buf_done(&buf);
  return ret;
}

// --- looking at one output

static bool check_flat(Registrar *registrar, const Output *output, Err *err) {
  struct stat st;
  if (output->drv_output->method == CA_NAR) return true;
  if (lstat(output->tree, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & S_IXUSR)) return true;
  return err_set(
      err, ERR_OTHER,
      "output path '%s' should be a non-executable regular file since recursive hashing is not enabled (one of "
      "outputHashMode={flat,text} is true)",
      path_text(registrar, &output->path));
}

// The builder's own permissions are looked at before anything is made canonical: who could write to the output could have interfered
// with it.
static bool check_builder_left_it(Registrar *registrar, Output *output, Err *err) {
  struct stat st;
  Span name = output->drv_output->name;
  if (lstat(output->tree, &st) != 0)
    return err_set(err, ERR_OTHER, "builder for '%s' failed to produce output path for output '%.*s' at '%s'",
                   registrar->drv_text, SPAN_ARG(name), path_text(registrar, &output->path));
  if (!S_ISLNK(st.st_mode) && (st.st_mode & (S_IWGRP | S_IWOTH)))
    return err_set(err, ERR_OTHER,
                   "suspicious ownership or permission on '%s' for output '%.*s'; rejecting this build output",
                   path_text(registrar, &output->path), SPAN_ARG(name));
  // Of a floating one that is asked when it gets its place, after cycles.
  return output->drv_output->kind != DERIVATION_FIXED || check_flat(registrar, output, err);
}

static void set_references(Registrar *registrar, Output *output) {
  const OutputRegisterInput *input = registrar->input;
  size_t needle_count = registrar->count + input->closure_count;
  StorePathList refs = STORE_PATH_LIST_INIT;
  if (!drv_options_discards_references(input->options, output->drv_output->name))
    for (size_t i = 0; i < needle_count; i++)
      if (output->import.found[i])
        store_path_list_add(&refs,
                            i < registrar->count ? &registrar->outputs[i].path : &input->closure[i - registrar->count]);
  store_path_list_sort(&refs);
  output->info.refs = ARENA_ARRAY(&registrar->arena, StorePath, refs.count);
  if (refs.count) memcpy(output->info.refs, refs.paths, refs.count * sizeof *refs.paths);
  output->info.ref_count = refs.count;
  store_path_list_done(&refs);
}

static void release_scan(Registrar *registrar, Output *output) {
  if (!output->scanned) return;
  store_add_scan_done(registrar->input->store, &output->import);
  output->import = (CastoreImport)CASTORE_IMPORT_INIT;
  output->scanned = false;
}

static bool scan_tree(Registrar *registrar, Output *output, Err *err) {
  release_scan(registrar, output);
  if (!store_add_scan(registrar->input->store, output->tree, registrar->needles, &output->import, err))
    return err_wrap(err, "output '%.*s' of '%s'", SPAN_ARG(output->drv_output->name), registrar->drv_text);
  output->scanned = true;
  output->info.root = output->import.root;
  output->info.nar_size_bytes = output->import.nar_size_bytes;
  memcpy(output->info.nar_sha256, output->import.nar_sha256, sizeof output->info.nar_sha256);
  return true;
}

static bool scan_output(Registrar *registrar, Output *output, Err *err) {
  if (!check_builder_left_it(registrar, output, err)) return false;
  output->info = (PathInfo){.path = output->path, .has_deriver = true, .deriver = *registrar->input->drv_path};
  if (!scan_tree(registrar, output, err)) return false;
  set_references(registrar, output);
  return true;
}

// --- fixed outputs

static bool hash_put(void *ctx, Span data, Err *err UNUSED) {
  hash_update(ctx, data.data, data.len);
  return true;
}

static bool hash_nar(Registrar *registrar, const Output *output, HashAlgo algo, Hash *ret, Err *err) {
  if (algo == HASH_SHA256) {
    ret->algo = algo;
    memcpy(ret->bytes, output->info.nar_sha256, sizeof output->info.nar_sha256);
    return true;
  }
  HashCtx ctx;
  hash_init(&ctx, algo);
  ByteSink sink = {hash_put, &ctx};
  if (!castore_nar_write(store_castore(registrar->input->store), &output->info.root, &sink, err)) return false;
  hash_final(&ctx, ret);
  return true;
}

static bool hash_file(const char *path, HashAlgo algo, Hash *ret, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  if (!fs_open(path, O_RDONLY | O_NOFOLLOW, 0, &fd, err)) return false;
  HashCtx ctx;
  hash_init(&ctx, algo);
  ByteSource source = byte_stream_from_fd(&fd);
  ByteSink sink = {hash_put, &ctx};
  if (!byte_stream_copy(&source, &sink, err)) return err_wrap(err, "hashing '%s'", path);
  hash_final(&ctx, ret);
  return true;
}

static void set_mismatch(Registrar *registrar, const Hash *wanted, const Hash *got) {
  Buf text = BUF_INIT;
  buf_printf(&text, "hash mismatch in fixed-output derivation '%s':\n  specified: ", registrar->drv_text);
  hash_format(wanted, HASH_FORMAT_SRI, true, &text);
  buf_put_cstr(&text, "\n     got:    ");
  hash_format(got, HASH_FORMAT_SRI, true, &text);
  if (!err_is_set(&registrar->delayed)) err_set(&registrar->delayed, ERR_HASH_MISMATCH, "%s", buf_cstr(&text));
  buf_done(&text);
}

static bool refuse_git(const Registrar *registrar, Err *err) {
  return err_set(err, ERR_OTHER, "'%s': outputHashMode 'git' needs the experimental feature 'git-hashing'",
                 registrar->drv_text);
}

// Gives the output the path of the content that it has. C++ Nix registers it under that path even when it is not the declared one, so
// that correcting the hash needs no second download.
static bool check_fixed(Registrar *registrar, Output *output, Err *err) {
  const DerivationOutput *declared = output->drv_output;
  ContentAddress got = {.method = declared->method};
  if (declared->method == CA_GIT) return refuse_git(registrar, err);
  bool ok = declared->method == CA_NAR ? hash_nar(registrar, output, declared->hash.algo, &got.hash, err)
                                       : hash_file(output->tree, declared->hash.algo, &got.hash, err);
  if (!ok) return false;
  output->info.has_ca = true;
  output->info.ca = got;
  if (output->info.ref_count && !(got.method == CA_NAR && got.hash.algo == HASH_SHA256)) {
    // No such path exists, whatever the hash: C++ Nix stops here.
    Span ref = span_cstr(path_text(registrar, &output->info.refs[0]));
    return store_path_make_fixed(store_path_name(&output->path), &got, &(StorePathRefs){&ref, 1, false},
                                 store_dir(registrar->input->store), &output->info.path, err);
  }
  if (!hash_eq(&declared->hash, &got.hash)) {
    output->mismatched = true;
    set_mismatch(registrar, &declared->hash, &got.hash);
    if (!store_path_make_fixed(store_path_name(&output->path), &got, NULL, store_dir(registrar->input->store),
                               &output->info.path, err))
      return false;
  }
  if (output->info.ref_count) {
    size_t count = output->info.ref_count;
    err_done(&registrar->delayed);
    err_set(&registrar->delayed, ERR_OTHER,
            "fixed-output derivations must not reference store paths: '%s' references %zu distinct paths, e.g. '%s'",
            registrar->drv_text, count, path_text(registrar, &output->info.refs[0]));
    output->wanted = false; // a content address cannot carry them
  }
  return true;
}

// --- relations between outputs

static size_t find_output(const Registrar *registrar, const StorePath *path) {
  for (size_t i = 0; i < registrar->count; i++)
    if (store_path_eq(&registrar->outputs[i].path, path)) return i;
  return SIZE_MAX;
}

// Depth-first over references between outputs. `state`: 0 not seen, 1 on the way, 2 done. `parents` remembers the way.
static bool visit_output(Registrar *registrar, size_t at, size_t *parents, char *state, Err *err) {
  state[at] = 1;
  const PathInfo *info = &registrar->outputs[at].info;
  for (size_t i = 0; registrar->outputs[at].wanted && i < info->ref_count; i++) {
    size_t next = find_output(registrar, &info->refs[i]);
    if (next == SIZE_MAX || next == at || state[next] == 2) continue;
    parents[next] = at;
    if (state[next] == 0) {
      if (!visit_output(registrar, next, parents, state, err)) return false;
      continue;
    }
    // The cycle, drawn as a tree: each output stands below the one that refers to it.
    Buf text = BUF_INIT;
    Output *outputs = registrar->outputs;
    buf_printf(&text, "cycle detected in build of '%s' in the references of output '%.*s' from output '%.*s'",
               registrar->drv_text, SPAN_ARG(outputs[next].drv_output->name), SPAN_ARG(outputs[at].drv_output->name));
    size_t chain[64], length = 0;
    for (size_t step = at; length < ARRAY_LEN(chain); step = parents[step]) {
      chain[length++] = step;
      if (step == next) break;
    }
    for (size_t depth = 0; depth <= length; depth++) {
      size_t output = depth < length ? chain[length - 1 - depth] : next;
      buf_put_cstr(&text, "\n  ");
      buf_put_repeat(&text, ' ', depth * 4);
      buf_printf(&text, "%s%s", depth ? "└───" : "", path_text(registrar, &outputs[output].path));
    }
    err_set(err, ERR_OTHER, "%s", buf_cstr(&text));
    buf_done(&text);
    return false;
  }
  state[at] = 2;
  return true;
}

static bool check_cycles(Registrar *registrar, Err *err) {
  size_t *parents = ARENA_ARRAY(&registrar->arena, size_t, registrar->count);
  char *state = arena_alloc(&registrar->arena, registrar->count + 1);
  memset(state, 0, registrar->count);
  for (size_t i = 0; i < registrar->count; i++)
    if (state[i] == 0 && !visit_output(registrar, i, parents, state, err)) return false;
  return true;
}

// --- outputs that get their path now: those first that no other one waits for

static bool waits_for_others(const Registrar *registrar, const Output *output) {
  for (size_t i = 0; i < output->info.ref_count; i++) {
    size_t other = find_output(registrar, &output->info.refs[i]);
    if (other != SIZE_MAX && &registrar->outputs[other] != output && !registrar->outputs[other].placed) return true;
  }
  return false;
}

static StreamRewriteRule rename_rule(Registrar *registrar, const StorePath *from, const StorePath *to) {
  char *texts = ARENA_ARRAY(&registrar->arena, char, 2 * STORE_PATH_HASH_CHARS);
  store_path_format_hash(from, texts);
  store_path_format_hash(to, texts + STORE_PATH_HASH_CHARS);
  return (StreamRewriteRule){span_make(texts, STORE_PATH_HASH_CHARS),
                             span_make(texts + STORE_PATH_HASH_CHARS, STORE_PATH_HASH_CHARS)};
}

// Sorts what the output refers to: itself, other outputs (with the rule that renames them), and the rest. Provisional paths of placed outputs
// are in the input's output_paths.
static void sort_references(Registrar *registrar, const Output *output, OutputPlaceInput *place) {
  const StorePath *scratch = registrar->input->output_paths;
  StorePath *refs = ARENA_ARRAY(&registrar->arena, StorePath, output->info.ref_count);
  StreamRewriteRule *rules = ARENA_ARRAY(&registrar->arena, StreamRewriteRule, registrar->count);
  for (size_t i = 0; i < output->info.ref_count; i++) {
    const StorePath *ref = &output->info.refs[i];
    size_t other = 0;
    while (other < registrar->count && !store_path_eq(&scratch[other], ref)) other++;
    if (other == registrar->count) {
      refs[place->ref_count++] = *ref;
    } else if (&registrar->outputs[other] == output) {
      place->self = true;
    } else {
      const StorePath *now = &registrar->outputs[other].path;
      refs[place->ref_count++] = *now;
      if (store_path_eq(ref, now)) continue;
      rules[place->rule_count++] = rename_rule(registrar, ref, now);
    }
  }
  // What was not looked for may be there: others that have their places by now, in the order of names as in C++ Nix.
  for (size_t other = 0; place->hidden_self && other < registrar->count; other++) {
    const Output *placed = &registrar->outputs[other];
    if (placed == output || !placed->placed || store_path_eq(&scratch[other], &placed->path)) continue;
    rules[place->rule_count++] = rename_rule(registrar, &scratch[other], &placed->path);
  }
  place->refs = refs;
  place->rules = rules;
}

static void take_place(Registrar *registrar, Output *output, const OutputPlaceInput *place,
                       const OutputPlaced *placed) {
  StorePathList refs = STORE_PATH_LIST_INIT;
  for (size_t i = 0; i < place->ref_count; i++) store_path_list_add(&refs, &place->refs[i]);
  if (place->self) store_path_list_add(&refs, &placed->path);
  store_path_list_sort(&refs);
  output->info.refs = ARENA_ARRAY(&registrar->arena, StorePath, refs.count);
  if (refs.count) memcpy(output->info.refs, refs.paths, refs.count * sizeof *refs.paths);
  output->info.ref_count = refs.count;
  store_path_list_done(&refs);
  output->path = output->info.path = placed->path;
  output->info.has_ca = true;
  output->info.ca = placed->ca;
  output->placed = true;
}

// An output that was built elsewhere than at its own path, because that was taken, or that refers to such a one.
static bool rename_output(Registrar *registrar, Output *output, Err *err) {
  StorePath own;
  OutputPlaceInput place = {
      .store = registrar->input->store, .tree = output->tree, .root = &output->info.root, .scratch = &output->path};
  if (!store_parse_path(registrar->input->store, output->drv_output->path, &own, err)) return false;
  sort_references(registrar, output, &place);
  bool moved = !store_path_eq(&own, &output->path);
  if (!output->mismatched && (moved || place.rule_count)) {
    if (output->wanted && !output_place_rewrite(&place, &own, err)) return false;
    OutputPlaced placed = {.path = own, .ca = output->info.ca};
    bool has_ca = output->info.has_ca;
    take_place(registrar, output, &place, &placed);
    output->info.has_ca = has_ca;
    if (output->wanted && !scan_tree(registrar, output, err)) return false;
  }
  output->placed = true;
  return true;
}

static bool place_output(Registrar *registrar, Output *output, Err *err) {
  Buf name CLEANUP(buf_done) = BUF_INIT;
  OutputPlaced placed;
  if (output->drv_output->method == CA_GIT) return refuse_git(registrar, err);
  if (!check_flat(registrar, output, err)) return false;
  store_path_put_output_name(registrar->input->drv->name, output->drv_output->name, &name);
  OutputPlaceInput place = {.store = registrar->input->store,
                            .name = buf_span(&name),
                            .method = output->drv_output->method,
                            .algo = output->drv_output->hash.algo,
                            .tree = output->tree,
                            .root = &output->info.root,
                            .nar_sha256 = output->info.nar_sha256,
                            .hidden_self =
                                drv_options_discards_references(registrar->input->options, output->drv_output->name),
                            .scratch = &output->path};
  sort_references(registrar, output, &place);
  if (!output_place_run(&place, &placed, err)) return false;
  take_place(registrar, output, &place, &placed);
  return !placed.changed || scan_tree(registrar, output, err);
}

// There is no cycle (check_cycles), so each round places at least one.
static bool place_outputs(Registrar *registrar, Err *err) {
  DerivationOutputKind kind = registrar->input->drv->outputs[0].kind;
  bool floating = kind == DERIVATION_FLOATING || kind == DERIVATION_IMPURE;
  for (size_t left = registrar->count; left;) {
    for (size_t i = 0; i < registrar->count; i++) {
      Output *output = &registrar->outputs[i];
      if (output->placed || waits_for_others(registrar, output)) continue;
      if (!(floating ? place_output : rename_output)(registrar, output, err)) return false;
      left--;
    }
  }
  return true;
}

// --- demands

static bool check_demands(Registrar *registrar, Err *err) {
  OutputChecksItem *items = ARENA_ARRAY(&registrar->arena, OutputChecksItem, registrar->count);
  size_t count = 0;
  for (size_t i = 0; i < registrar->count; i++)
    if (registrar->outputs[i].wanted)
      items[count++] = (OutputChecksItem){registrar->outputs[i].drv_output->name, &registrar->outputs[i].info};
  return output_checks_run(registrar->input->store, registrar->input->options, items, count, err);
}

// --- registering, or comparing

static bool sign(Registrar *registrar, Output *output, Err *err) {
  const OutputRegisterInput *input = registrar->input;
  PathInfo *info = &output->info;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (!input->sign_key_count) return true;
  info->sigs = ARENA_ARRAY(&registrar->arena, Signature, input->sign_key_count);
  if (!path_info_fingerprint(info, store_dir(input->store), &text, err)) return false;
  for (size_t i = 0; i < input->sign_key_count; i++)
    if (!signature_sign(&input->sign_keys[i], buf_span(&text), &info->sigs[info->sig_count++], err))
      return err_wrap(err, "signing '%s'", path_text(registrar, &info->path));
  return true;
}

static bool register_all(Registrar *registrar, Err *err) {
  StoreRegistration *items = ARENA_ARRAY(&registrar->arena, StoreRegistration, registrar->count);
  size_t count = 0;
  for (size_t i = 0; i < registrar->count; i++) {
    Output *output = &registrar->outputs[i];
    if (!output->wanted) continue;
    if (!sign(registrar, output, err)) return false;
    items[count++] = (StoreRegistration){.info = &output->info, .tree = output->tree, .ultimate = true};
  }
  return !count || store_register(registrar->input->store, items, count, err);
}

// Moves a differing output beside the valid one, for the user to look at. NULL when that cannot be done.
static const char *keep_differing(Registrar *registrar, const Output *output) {
  Buf place = BUF_INIT;
  store_format_physical(registrar->input->store, &output->path, &place);
  buf_put_cstr(&place, ".check");
  const char *ret = arena_dup(&registrar->arena, buf_span(&place)).data;
  buf_done(&place);
  Err err = ERR_INIT;
  bool ok = fs_remove_tree(ret, &err);
  if (ok && rename(output->tree, ret) != 0) ok = err_set_errno(&err, errno, "renaming '%s'", output->tree);
  if (!ok) log_warn("cannot keep the differing output: %s", err_message(&err));
  err_done(&err);
  return ok ? ret : NULL;
}

// Where the difference cannot be told, the verdict stands without it.
static void put_diff(Registrar *registrar, const Output *output, Buf *text) {
  Err err = ERR_INIT;
  CastoreNode before;
  Store *store = registrar->input->store;
  size_t len = text->len;
  if (!store_root_node(store, &output->path, &registrar->arena, &before, &err) ||
      !output_diff_trees(store_castore(store), &before, &output->info.root, text, &err)) {
    text->len = len;
    log_warn("cannot compare the outputs: %s", err_message(&err));
  }
  err_done(&err);
}

// Appends what is wrong with an output that differs; nothing when it is the same, or was not valid before.
static bool compare_one(Registrar *registrar, const Output *output, Buf *text, Err *err) {
  PathInfoRecord *record = NULL;
  if (!store_find(registrar->input->store, &output->info.path, &record, err)) return false;
  if (!record && !output->drv_output->path.len) {
    buf_printf(text, "%sderivation '%s' may not be deterministic: output '%.*s' is now '%s'", text->len ? "\n" : "",
               registrar->drv_text, SPAN_ARG(output->drv_output->name), path_text(registrar, &output->path));
    return true;
  }
  bool same = !record || memcmp(record->info.nar_sha256, output->info.nar_sha256, sizeof output->info.nar_sha256) == 0;
  path_info_service_record_free(record);
  if (same) return true;
  if (text->len) buf_put_char(text, '\n');
  buf_printf(text, "derivation '%s' may not be deterministic: output '%s' differs", registrar->drv_text,
             path_text(registrar, &output->path));
  Buf diff = BUF_INIT;
  put_diff(registrar, output, &diff); // before the tree is moved
  const char *kept = registrar->input->keep_failed ? keep_differing(registrar, output) : NULL;
  if (kept) buf_printf(text, " from '%s'", kept);
  buf_put_span(text, buf_span(&diff));
  buf_done(&diff);
  return true;
}

// All outputs that differ are named, not only the first.
static bool compare_all(Registrar *registrar, Err *err) {
  Buf text = BUF_INIT;
  bool ok = true;
  for (size_t i = 0; ok && i < registrar->count; i++)
    if (registrar->outputs[i].wanted) ok = compare_one(registrar, &registrar->outputs[i], &text, err);
  if (ok && text.len) ok = err_set(err, ERR_NOT_DETERMINISTIC, "%s", buf_cstr(&text));
  buf_done(&text);
  return ok;
}

// --- all of it

static bool set_wanted(Registrar *registrar, Err *err) {
  const OutputRegisterInput *input = registrar->input;
  for (size_t i = 0; i < registrar->count; i++) {
    bool valid = false;
    StorePath own = input->output_paths[i];
    Span known = registrar->outputs[i].drv_output->path;
    if (known.len && !store_parse_path(input->store, known, &own, err)) return false;
    if (!input->check && !store_is_valid(input->store, &own, &valid, err)) return false;
    registrar->outputs[i].wanted = !valid;
  }
  return true;
}

static bool process_outputs(Registrar *registrar, Err *err) {
  for (size_t i = 0; i < registrar->count; i++) {
    Output *output = &registrar->outputs[i];
    if (!output->wanted) continue;
    if (!scan_output(registrar, output, err)) return false;
    if (output->drv_output->kind == DERIVATION_FIXED && !check_fixed(registrar, output, err)) return false;
  }
  return check_cycles(registrar, err) && place_outputs(registrar, err);
}

static bool run(Registrar *registrar, Err *err) {
  if (!set_wanted(registrar, err) || !process_outputs(registrar, err)) return false;
  if (registrar->input->check) {
    if (err_is_set(&registrar->delayed)) return err_move(err, &registrar->delayed);
    return compare_all(registrar, err);
  }
  if (!check_demands(registrar, err) || !register_all(registrar, err)) return false;
  return !err_is_set(&registrar->delayed) || err_move(err, &registrar->delayed);
}

bool output_register_run(const OutputRegisterInput *input, StorePath *ret_paths, Err *err) {
  Registrar registrar = {.input = input, .arena = ARENA_INIT, .count = input->drv->output_count};
  registrar.drv_text = path_text(&registrar, input->drv_path);
  registrar.outputs = ARENA_ARRAY(&registrar.arena, Output, registrar.count);
  registrar.needles = refscan_needles_new(input->request->needles, input->request->needle_count);
  for (size_t i = 0; i < registrar.count; i++)
    registrar.outputs[i] = (Output){.drv_output = &input->drv->outputs[i],
                                    .tree = input->built[input->output_order[i]].host_path,
                                    .path = input->output_paths[i],
                                    .import = CASTORE_IMPORT_INIT};
  bool ok = run(&registrar, err);
  for (size_t i = 0; i < registrar.count; i++) {
    ret_paths[i] = registrar.outputs[i].mismatched ? registrar.outputs[i].info.path : registrar.outputs[i].path;
    release_scan(&registrar, &registrar.outputs[i]);
  }
  refscan_needles_free(registrar.needles);
  err_done(&registrar.delayed);
  arena_done(&registrar.arena);
  return ok;
}
