// drv_name.c: package names and version order.
#include "formats/drv_name.h"

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

void drv_name_parse(Span full, Span *ret_name, Span *ret_version) {
  for (size_t i = 0; i + 1 < full.len; i++)
    if (full.data[i] == '-' && !is_alpha(full.data[i + 1])) {
      *ret_name = span_sub(full, 0, i);
      *ret_version = span_from(full, i + 1);
      return;
    }
  *ret_name = full;
  *ret_version = span_from(full, full.len);
}

Span drv_name_without_version(Span full) {
  Span name, version;
  drv_name_parse(full, &name, &version);
  return name;
}

static bool is_separator(char c) {
  return c == '.' || c == '-';
}

Span drv_name_next_component(Span *version) {
  size_t start = 0;
  while (start < version->len && is_separator(version->data[start])) start++;
  size_t end = start;
  if (end < version->len) {
    bool digits = is_digit(version->data[end]);
    while (end < version->len && !is_separator(version->data[end]) && is_digit(version->data[end]) == digits) end++;
  }
  Span component = span_sub(*version, start, end - start);
  *version = span_from(*version, end);
  return component;
}

// A component that is a number for Nix: digits that fit an int32. (Longer runs of digits compare as text.)
static bool as_number(Span component, int64_t *ret) {
  int64_t value = 0;
  if (component.len == 0) return false;
  for (size_t i = 0; i < component.len; i++) {
    if (!is_digit(component.data[i])) return false;
    value = value * 10 + (component.data[i] - '0');
    if (value > INT32_MAX) return false;
  }
  *ret = value;
  return true;
}

static bool component_less(Span a, Span b) {
  int64_t na = 0, nb = 0;
  bool a_is_number = as_number(a, &na), b_is_number = as_number(b, &nb);
  if (a_is_number && b_is_number) return na < nb;
  if (a.len == 0 && b_is_number) return true;
  bool a_is_pre = span_eq(a, SPAN("pre")), b_is_pre = span_eq(b, SPAN("pre"));
  if (a_is_pre && !b_is_pre) return true;
  if (b_is_pre) return false;
  if (b_is_number) return true; // 2.3a is before 2.3.1
  if (a_is_number) return false;
  return span_cmp(a, b) < 0;
}

int drv_name_compare_versions(Span a, Span b) {
  while (a.len || b.len) {
    Span ca = drv_name_next_component(&a), cb = drv_name_next_component(&b);
    if (component_less(ca, cb)) return -1;
    if (component_less(cb, ca)) return 1;
  }
  return 0;
}
