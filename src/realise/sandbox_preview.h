// sandbox_preview.h: what the sandbox of a build would be, without building: --dry-sandbox.
//
// Test: test/realise/scheduler_test.c.
#pragma once

#include "realise/scheduler.h"

// Appends the plan as sandbox_format prints it. The inputs must be valid (ERR_NOT_FOUND names the first that is not). Blocks; any thread.
MUST_CHECK bool sandbox_preview_format(Scheduler *scheduler, const StorePath *drv_path, Buf *ret, Err *err);
