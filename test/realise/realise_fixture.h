// realise_fixture.h: a store in the test's temporary directory, a scheduler on it, and a short way to derivations.
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "formats/derivation_modulo.h"
#include "realise/scheduler.h"
#include "store/store.h"

typedef struct RealiseFixture {
  Store *store;
  Scheduler *scheduler; // made by the first wish, or realise_fixture_start
  SchedulerConfig config;
  Arena arena;
  Map drvs; // path of the .drv -> FixtureDrv
  DerivationModuloScratch scratch;
  // From events, guarded by the lock.
  pthread_mutex_t lock;
  Buf log;                               // "start NAME\n", "stop NAME\n", "line NAME: …\n"
  size_t running, most_running, started; // builds
} RealiseFixture;

typedef struct FixtureDrv {
  StorePath drv_path, out;
  Span out_text, drv_text;
  DerivationModulo modulo;
} FixtureDrv;

// What a derivation is made of. Its builder is "/bin/sh -c script" unless said otherwise.
typedef struct FixtureSpec {
  const char *name, *script;
  const FixtureDrv *inputs[8]; // their output "out"
  const char *env[16];         // "NAME=value"
  const char *outputs[4];      // default: out
  const char *fixed;           // "sha256:<hex>" or "r:sha256:<hex>": outputs "out" with this hash
  const char *builder, *system;
  StorePath sources[4];
  size_t source_count;
} FixtureSpec;

void realise_fixture_init(RealiseFixture *fixture); // config may be changed before the first wish
void realise_fixture_done(RealiseFixture *fixture);
void realise_fixture_start(RealiseFixture *fixture);
// Writes the .drv into the store. The result lives as long as the fixture.
const FixtureDrv *realise_fixture_drv(RealiseFixture *fixture, const FixtureSpec *spec);
SchedulerTicket realise_fixture_want(RealiseFixture *fixture, const FixtureDrv *drv);
// Waits for it; false with the error when it failed.
bool realise_fixture_wait(RealiseFixture *fixture, SchedulerTicket ticket, Err *err);
void realise_fixture_build(RealiseFixture *fixture, const FixtureDrv *drv);
void realise_fixture_fails(RealiseFixture *fixture, const FixtureDrv *drv, ErrKind kind, const char *part);
// Content of a file in a valid path ("" for the path itself).
Span realise_fixture_read(RealiseFixture *fixture, Span path_text, const char *rest);
PathInfoRecord *realise_fixture_info(RealiseFixture *fixture, const StorePath *path); // freed by the caller
bool realise_fixture_is_valid(RealiseFixture *fixture, const StorePath *path);
