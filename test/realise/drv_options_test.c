#include "realise/drv_options.h"

#include "harness.h"

static DrvOptions read_env(DerivationEnv *env, size_t count, Arena *arena) {
  Derivation drv = {.env = env, .env_count = count};
  DrvOptions options;
  Err err = ERR_INIT;
  CHECK_OK(drv_options_read(&drv, SPAN("/nix/store/x.drv"), arena, &options, &err), &err);
  return options;
}

static void check_refused(const char *json, const char *part) {
  DerivationEnv env[] = {{SPAN("__json"), span_cstr(json)}};
  Derivation drv = {.env = env, .env_count = 1};
  Arena arena = ARENA_INIT;
  DrvOptions options;
  Err err = ERR_INIT;
  bool ok = drv_options_read(&drv, SPAN("/nix/store/x.drv"), &arena, &options, &err);
  CHECK(!ok);
  CHECK_CONTAINS(span_cstr(err_message(&err)), part);
  err_done(&err);
  arena_done(&arena);
}

TEST(plain_attributes) {
  Arena arena = ARENA_INIT;
  DerivationEnv env[] = {{SPAN("__noChroot"), SPAN("1")},
                         {SPAN("allowSubstitutes"), SPAN("")},
                         {SPAN("allowedReferences"), SPAN(" out\tdev\n")},
                         {SPAN("passAsFile"), SPAN("a b")},
                         {SPAN("preferLocalBuild"), SPAN("0")},
                         {SPAN("requiredSystemFeatures"), SPAN("kvm  big-parallel")}};
  DrvOptions options = read_env(env, ARRAY_LEN(env), &arena);
  CHECK(!options.structured && options.no_chroot && !options.allow_substitutes && !options.prefer_local_build);
  CHECK(drv_options_has_feature(&options, SPAN("kvm")) && drv_options_has_feature(&options, SPAN("big-parallel")));
  CHECK(!drv_options_has_feature(&options, SPAN("big")));
  CHECK_EQ_INT(options.pass_as_file.count, 2);
  const DrvOutputChecks *checks = drv_options_find_checks(&options, SPAN("any"));
  CHECK(checks->allowed_references.is_set && checks->ignore_self_refs && !checks->allowed_requisites.is_set);
  CHECK_EQ_INT(checks->allowed_references.count, 2);
  CHECK_STR(checks->allowed_references.items[1], "dev");
  arena_done(&arena);
}

TEST(nothing_said) {
  Arena arena = ARENA_INIT;
  DrvOptions options = read_env(NULL, 0, &arena);
  CHECK(options.allow_substitutes && !options.no_chroot);
  CHECK(!drv_options_find_checks(&options, SPAN("out"))->allowed_references.is_set);
  arena_done(&arena);
}

TEST(structured_attributes) {
  Arena arena = ARENA_INIT;
  DerivationEnv env[] = {
      {SPAN("__json"),
       SPAN("{\"allowSubstitutes\":false,\"allowedReferences\":[\"ignored\"],\"outputChecks\":{\"out\":{"
            "\"maxSize\":100,\"disallowedReferences\":[\"dev\"]}},\"requiredSystemFeatures\":[\"kvm\"],"
            "\"unsafeDiscardReferences\":{\"dev\":false,\"out\":true}}")}};
  DrvOptions options = read_env(env, 1, &arena);
  CHECK(options.structured && !options.allow_substitutes);
  CHECK(drv_options_has_feature(&options, SPAN("kvm")));
  const DrvOutputChecks *checks = drv_options_find_checks(&options, SPAN("out"));
  CHECK(checks->has_max_size && checks->max_size_bytes == 100 && !checks->ignore_self_refs &&
        !checks->allowed_references.is_set);
  CHECK_STR(checks->disallowed_references.items[0], "dev");
  CHECK(!drv_options_find_checks(&options, SPAN("dev")));
  CHECK(drv_options_discards_references(&options, SPAN("out")) &&
        !drv_options_discards_references(&options, SPAN("dev")));
  arena_done(&arena);
}

TEST(wrong_types_are_named) {
  check_refused("{", "cannot process __json attribute of '/nix/store/x.drv'");
  check_refused("{\"allowSubstitutes\":1}",
                "attribute 'allowSubstitutes' of derivation '/nix/store/x.drv' must be a Boolean");
  check_refused("{\"requiredSystemFeatures\":[1]}",
                "'requiredSystemFeatures' of derivation '/nix/store/x.drv' must be a list of strings");
  check_refused("{\"outputChecks\":{\"out\":{\"allowedReferences\":\"x\"}}}", "must be a list of strings");
  check_refused("{\"outputChecks\":{\"out\":{\"maxSize\":-1}}}", "attribute 'maxSize'");
  check_refused("{\"unsafeDiscardReferences\":{\"out\":1}}", "attribute 'unsafeDiscardReferences.\"out\"'");
}
TEST_MAIN()
