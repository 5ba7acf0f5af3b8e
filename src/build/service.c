// service.c: see service.h.
#include "build/service.h"

bool service_start(BuildService *service, const BuildRequest *request, const BuildOptions *options,
                   const BuildCallbacks *callbacks, BuildHandle **ret, Err *err) {
  if (!request_check(request, err)) return false;
  return service->ops->start(service, request, options, callbacks, ret, err);
}

void service_cancel(BuildHandle *handle) {
  handle->service->ops->cancel(handle);
}

const char *service_keep(BuildHandle *handle) {
  return handle ? handle->service->ops->keep(handle) : NULL;
}

void service_release(BuildHandle *handle) {
  if (handle) handle->service->ops->release(handle);
}

void service_free(BuildService *service) {
  if (service) service->ops->free(service);
}
