// directory_local.c: directories of an object store.
#include "castore/directory_local.h"

typedef struct DirectoryLocal {
  DirectoryService service;
  ObjectStore *store;
  bool owned;
} DirectoryLocal;

static bool directory_local_get(DirectoryService *service, const CastoreDigest *digest, Buf *ret, bool *ret_found,
                                Err *err) {
  ObjectRef ref;
  if (!object_store_find(((DirectoryLocal *)service)->store, digest, PACK_DIRECTORY, &ref, err)) return false;
  *ret_found = ref.found;
  if (ref.found) buf_put_span(ret, ref.data);
  object_store_release(&ref);
  return true;
}

static bool directory_local_put(DirectoryService *service, const CastoreDigest *digest, Span encoded, Err *err) {
  return object_store_put(((DirectoryLocal *)service)->store, digest, PACK_DIRECTORY, encoded, err);
}

static bool directory_local_flush(DirectoryService *service, Err *err) {
  return object_store_flush(((DirectoryLocal *)service)->store, err);
}

static void directory_local_free(DirectoryService *service) {
  DirectoryLocal *local = (DirectoryLocal *)service;
  if (local->owned) object_store_free(local->store);
  mem_free(local);
}

static const DirectoryServiceOps directory_local_ops = {"local", directory_local_get, directory_local_put,
                                                        directory_local_flush, directory_local_free};

DirectoryService *directory_local_new(ObjectStore *store, bool owned) {
  DirectoryLocal *local = mem_alloc_zero(sizeof(*local));
  *local = (DirectoryLocal){{&directory_local_ops}, store, owned};
  return &local->service;
}
