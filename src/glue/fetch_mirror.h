// fetch_mirror.h: where a repository from elsewhere is kept between fetches, and the lock of whoever works with it.
#pragma once

#include "glue/fetcher.h"

// Appends "<cache directory>/<kind>/<hash of location><suffix>" (NUL-terminated; its folder is made, itself not), and waits until nobody else, in this process or
// another, has "<that>.lock", which *ret_lock_fd holds until it is closed. ERR_INTERRUPTED when the fetch is cancelled meanwhile.
MUST_CHECK bool fetch_mirror_lock(const Fetcher *fetcher, const char *kind, Span location, const char *suffix,
                                  Buf *ret_dir, int *ret_lock_fd, Err *err);
