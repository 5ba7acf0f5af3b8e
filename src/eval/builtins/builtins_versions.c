// builtins_versions.c: names and versions of packages.
#include "eval/builtins/builtins_util.h"
#include "eval/builtins/registry.h"
#include "formats/drv_name.h"

static Value parse_drv_name_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG1 "parseDrvName")) return VALUE_ERROR;
  Span name, version;
  drv_name_parse(str_span(args[0]), &name, &version);
  AttrsBuilder builder = ATTRS_BUILDER_INIT;
  attrs_builder_add(&builder, SYM_name, str_plain(vm, name), 0);
  attrs_builder_add(&builder, SYM_version, str_plain(vm, version), 0);
  Value set = attrs_builder_finish(vm, &builder, false);
  attrs_builder_done(&builder);
  return set;
}

static Value compare_versions_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG1 "compareVersions")) return VALUE_ERROR;
  if (!expect_text(vm, args[1], ARG2 "compareVersions")) return VALUE_ERROR;
  return value_int(drv_name_compare_versions(str_span(args[0]), str_span(args[1])));
}

static Value split_version_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG1 "splitVersion")) return VALUE_ERROR;
  Span rest = str_span(args[0]);
  ListBuilder list = LIST_BUILDER_INIT;
  for (;;) {
    Span component = drv_name_next_component(&rest);
    if (!component.len) return list_builder_finish(vm, &list);
    list_builder_add(&list, str_plain(vm, component));
  }
}

static const Builtin rows[] = {
    {"parseDrvName",
     1,
     1,
     0,
     parse_drv_name_fn,
     NULL,
     "s",
     "Split the string *s* into a package name and a version, which begins after the first dash that no letter "
     "follows.\n\n"
     "```nix\nbuiltins.parseDrvName \"nix-0.12pre12876\"\n```\n\nis `{ name = \"nix\"; version = \"0.12pre12876\"; }`.",
     "s",
     {ARG1 "parseDrvName"}},
    {"compareVersions",
     2,
     3,
     0,
     compare_versions_fn,
     NULL,
     "s1 s2",
     "Return `-1` when version *s1* is older than *s2*, `1` when it is newer, else `0`: the order that `nix-env "
     "--upgrade` uses.",
     "ss",
     {ARG1 "compareVersions", ARG2 "compareVersions"}},
    {"splitVersion",
     1,
     1,
     0,
     split_version_fn,
     NULL,
     "s",
     "Split a version into the components that `compareVersions` compares.\n\n"
     "```nix\nbuiltins.splitVersion \"1.2pre3\"\n```\n\nis `[ \"1\" \"2\" \"pre\" \"3\" ]`.",
     "s",
     {ARG1 "splitVersion"}},
};

const BuiltinTable builtins_versions_table = {rows, ARRAY_LEN(rows)};
