// fuzz.h: the interface of a fuzz target, as libFuzzer defines it. A target returns 0, and reports a broken law by FUZZ_CHECK.
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define FUZZ_CHECK(cond)                                                     \
  do {                                                                       \
    if (!(cond)) {                                                           \
      fprintf(stderr, "%s:%d: broken law: %s\n", __FILE__, __LINE__, #cond); \
      abort();                                                               \
    }                                                                        \
  } while (0)
