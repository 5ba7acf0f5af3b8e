// service_url.h: the grammar of service URLs, shared by blobs, directories and path infos:
//
//   url = scheme ":" rest        combinators have a rest of the form "(" url ")" ...
#pragma once

#include "base/err.h"
#include "base/span.h"

// "local:/x" -> scheme "local", rest "/x". A text without ':' is an error.
MUST_CHECK bool service_url_split(Span url, Span *ret_scheme, Span *ret_rest, Err *err);
// Takes one balanced "(...)" from the front of *rest; false when there is none or it is not closed.
MUST_CHECK bool service_url_take(Span *rest, Span *ret_inner, Err *err);
