// package_selector.h: names of packages as nix-env's users write them: "hello", "hello-2.10", "*", or a regular expression for the name, "py.*".
#pragma once

#include "base/err.h"
#include "base/span.h"

typedef struct PackageSelector PackageSelector;
// ERR_USAGE for a bad regular expression. Owned by the caller.
MUST_CHECK bool package_selector_new(const char *text, PackageSelector **ret, Err *err);
void package_selector_free(PackageSelector *selector);
bool package_selector_matches(const PackageSelector *selector, Span package_name);
