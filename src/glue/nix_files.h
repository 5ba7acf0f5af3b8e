// nix_files.h: the files behind <nix/...>, which come with the evaluator.
#pragma once

#include "base/span.h"

// "fetchurl.nix". False when there is no such file.
bool nix_files_find(Span name, Span *ret_text);
