// package_selector.c: see package_selector.h.
#include "cli/package_selector.h"

#include <regex.h>

#include "base/buf.h"
#include "base/mem.h"
#include "formats/drv_name.h"

struct PackageSelector {
  char *name, *version; // owned; version "": any
  bool matches_all;
  regex_t regex;
};

bool package_selector_new(const char *text, PackageSelector **ret, Err *err) {
  Span name, version;
  Buf pattern CLEANUP(buf_done) = BUF_INIT;
  PackageSelector *selector = mem_alloc_zero(sizeof(*selector));
  drv_name_parse(span_cstr(text), &name, &version);
  selector->name = span_dup(name);
  selector->version = span_dup(version);
  selector->matches_all = span_eq_cstr(name, "*");
  buf_printf(&pattern, "^(%s)$", selector->name);
  if (regcomp(&selector->regex, selector->matches_all ? "." : buf_cstr(&pattern), REG_EXTENDED | REG_NOSUB) != 0) {
    mem_free(selector->name);
    mem_free(selector->version);
    mem_free(selector);
    return err_set(err, ERR_USAGE, "'%s' is not a valid name or regular expression", text);
  }
  *ret = selector;
  return true;
}

void package_selector_free(PackageSelector *selector) {
  if (!selector) return;
  regfree(&selector->regex);
  mem_free(selector->name);
  mem_free(selector->version);
  mem_free(selector);
}

bool package_selector_matches(const PackageSelector *selector, Span package_name) {
  Span name, version;
  drv_name_parse(package_name, &name, &version);
  if (*selector->version && !span_eq_cstr(version, selector->version)) return false;
  if (selector->matches_all) return true;
  char *text = span_dup(name);
  bool matches = regexec(&selector->regex, text, 0, NULL, 0) == 0;
  mem_free(text);
  return matches;
}
