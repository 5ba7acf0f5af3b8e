// drv_name.h: names of packages and the order of versions (builtins.parseDrvName, compareVersions, splitVersion).
// Source: libstore/names.cc of Nix.
#pragma once

#include "base/span.h"

// "foo-1.2" is "foo" and "1.2": the version begins after the first dash that is not followed by a letter.
void drv_name_parse(Span full, Span *ret_name, Span *ret_version);
Span drv_name_without_version(Span full);
// Takes the next component off *version: digits, or a run without digits, after skipping '.' and '-'. Empty at the end.
Span drv_name_next_component(Span *version);
// -1, 0 or 1. Numeric components compare as numbers (of any length up to int32, as in Nix), "pre" is before everything,
// letters are before numbers, an absent component is before a number.
int drv_name_compare_versions(Span a, Span b);
