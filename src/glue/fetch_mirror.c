// fetch_mirror.c: see fetch_mirror.h.
#include "glue/fetch_mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include "base/fs.h"

enum { LOOK_AGAIN_MS = 50 };

bool fetch_mirror_lock(const Fetcher *fetcher, const char *kind, Span location, const char *suffix, Buf *ret_dir,
                       int *ret_lock_fd, Err *err) {
  Hash hash;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  if (!fetcher->settings->cache_dir)
    return err_set(err, ERR_OTHER, "cannot tell the cache directory: neither XDG_CACHE_HOME nor HOME is set");
  buf_printf(&path, "%s/%s", fetcher->settings->cache_dir, kind);
  if (!fs_mkdir_all(buf_cstr(&path), 0777, err)) return false;
  hash_of(HASH_SHA256, location, &hash);
  buf_printf(ret_dir, "%s/", buf_cstr(&path));
  hash_format(&hash, HASH_FORMAT_NIX32, false, ret_dir);
  buf_put_cstr(ret_dir, suffix);
  buf_clear(&path);
  buf_printf(&path, "%s.lock", buf_cstr(ret_dir));
  if (!fs_open(buf_cstr(&path), O_RDWR | O_CREAT, 0666, ret_lock_fd, err)) return false;
  while (flock(*ret_lock_fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return err_set_errno(err, errno, "locking '%s'", buf_cstr(&path));
    struct pollfd cancel = {.fd = fetcher->cancel_fd, .events = POLLIN};
    if (poll(&cancel, 1, LOOK_AGAIN_MS) > 0) return err_set(err, ERR_INTERRUPTED, "interrupted by the user");
  }
  return true;
}
