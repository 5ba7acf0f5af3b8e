#include "build/sandbox.h"

#include "build/sandbox_bwrap.h"
#include "build/sandbox_oci.h"
#include "formats/json_read.h"
#include "harness.h"

static const char *const command[] = {"sh", "-c", "say \"hi\"\n", NULL};
static const char *const env[] = {"A=1", "B=x\ty", NULL};

static SandboxSpec base_spec(void) {
  return (SandboxSpec){.store_dir = "/nix/store",
                       .output_dir = "/scratch/store",
                       .build_dir = "/build",
                       .build_dir_source = "/scratch/build",
                       .tmp_dir_source = "/scratch/tmp",
                       .shell_source = "/usr/bin/busybox",
                       .filter_syscalls = true,
                       .uid = 1000,
                       .gid = 100,
                       .program = "/bin/sh",
                       .argv = command,
                       .env = env};
}

static void check_plan(const SandboxSpec *spec, const char *want) {
  Arena arena = ARENA_INIT;
  Buf text = BUF_INIT;
  SandboxPlan plan = sandbox_plan(spec, &arena);
  sandbox_format(&plan, &text);
  CHECK_STR(buf_span(&text), want);
  buf_done(&text);
  arena_done(&arena);
}

#define ACCOUNTS                                                                                                      \
  "dir /etc mode=0755\n"                                                                                              \
  "file /etc/passwd mode=0444 \"root:x:0:0:Nix build user:/build:/noshell\\nnixbld:x:1000:100:Nix build user:/build:" \
  "/noshell\\nnobody:x:65534:65534:Nobody:/:/noshell\\n\"\n"                                                          \
  "file /etc/group mode=0444 \"root:x:0:\\nnixbld:!:100:\\nnogroup:x:65534:\\n\"\n"
#define DEVICES "dev /dev\ntmpfs /dev/shm mode=1777\n"
#define PLACES                          \
  "proc /proc\n"                        \
  "bind /tmp <- /scratch/tmp\n"         \
  "bind /build <- /scratch/build\n"     \
  "dir /nix mode=0755\n"                \
  "bind /nix/store <- /scratch/store\n" \
  "dir /bin mode=0755\n"                \
  "bind-ro /bin/sh <- /usr/bin/busybox\n"
#define COMMAND                                       \
  "seccomp no set-uid bits, no extended attributes\n" \
  "cwd /build\n"                                      \
  "env \"A=1\"\n"                                     \
  "env \"B=x\\x09y\"\n"                               \
  "exec /bin/sh as \"sh\" \"-c\" \"say \\\"hi\\\"\\n\"\n"

TEST(plan_without_inputs) {
  SandboxSpec spec = base_spec();
  check_plan(&spec, "namespaces user mount pid ipc uts cgroup net\n"
                    "identity uid=1000 gid=100 hostname=localhost\n"
                    "tmpfs / mode=0755\n" ACCOUNTS
                    "file /etc/hosts mode=0444 \"127.0.0.1 localhost\\n::1 localhost\\n\"\n" DEVICES PLACES
                    "read-only /\n" COMMAND);
}

TEST(network_brings_name_resolution) {
  SandboxSpec spec = base_spec();
  spec.network = true;
  spec.resolv_conf_source = "/run/resolv.conf";
  spec.ca_certs_source = "/etc/ssl/certs/ca-certificates.crt";
  check_plan(&spec, "namespaces user mount pid ipc uts cgroup\n"
                    "identity uid=1000 gid=100 hostname=localhost\n"
                    "tmpfs / mode=0755\n" ACCOUNTS
                    "file /etc/nsswitch.conf mode=0444 \"hosts: files dns\\nservices: files\\n\"\n"
                    "bind-ro /etc/resolv.conf <- /run/resolv.conf\n"
                    "dir /etc/ssl mode=0755\ndir /etc/ssl/certs mode=0755\n"
                    "bind-ro /etc/ssl/certs/ca-certificates.crt <- /etc/ssl/certs/ca-certificates.crt\n" DEVICES PLACES
                    "read-only /\n" COMMAND);
}

TEST(inputs_links_and_repeated_places) {
  SandboxSpec spec = base_spec();
  SandboxBind binds[] = {{.path = "/opt/x", .source = "/first", .is_dir = true},
                         {.path = "/nix/store/aaa-dir", .source = "/s/aaa-dir", .is_dir = true},
                         {.path = "/nix/store/bbb-link", .link_target = "/nix/store/aaa-dir"},
                         {.path = "/opt/x", .source = "/second", .is_dir = true, .writable = true}};
  spec.binds = binds;
  spec.bind_count = ARRAY_LEN(binds);
  spec.kvm = spec.uname_32bit = true;
  spec.shm_size_bytes = 4096;
  check_plan(&spec,
             "namespaces user mount pid ipc uts cgroup net\n"
             "identity uid=1000 gid=100 hostname=localhost uname=32bit\n"
             "tmpfs / mode=0755\n" ACCOUNTS "file /etc/hosts mode=0444 \"127.0.0.1 localhost\\n::1 localhost\\n\"\n"
             "dev /dev\ntmpfs /dev/shm mode=1777 size=4096\nbind-dev /dev/kvm <- /dev/kvm\n" PLACES
             "bind-ro /nix/store/aaa-dir <- /s/aaa-dir\n"
             "symlink /nix/store/bbb-link -> /nix/store/aaa-dir\n"
             "dir /opt mode=0755\n"
             "bind /opt/x <- /second\n"
             "read-only /\n" COMMAND);
}

TEST(bubblewrap_gets_the_same_plan) {
  Arena arena = ARENA_INIT;
  Buf text = BUF_INIT;
  SandboxSpec spec = base_spec();
  SandboxPlan plan = sandbox_plan(&spec, &arena);
  sandbox_bwrap_format(&plan, &text);
  for (size_t i = 0; i < text.len; i++)
    if (!text.data[i]) text.data[i] = ' ';
  CHECK_CONTAINS(
      buf_span(&text),
      "--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup --unshare-net --uid 1000 --gid 100 "
      "--hostname localhost --die-with-parent");
  CHECK_CONTAINS(buf_span(&text), "--clearenv --setenv A 1 --setenv B x\ty --chdir /build ");
  CHECK_CONTAINS(buf_span(&text), "--bind /scratch/store /nix/store ");
  CHECK_CONTAINS(buf_span(&text), "--ro-bind /usr/bin/busybox /bin/sh --remount-ro / ");
  buf_done(&text);
  arena_done(&arena);
}
static SandboxRun oci_run(const SandboxPlan *plan) {
  return (SandboxRun){.plan = plan, .root_dir = "/scratch/root", .host_uid = 7, .host_gid = 8};
}

TEST(oci_bundle) {
  static const SandboxBind binds[] = {{.path = "/nix/store/x-tree", .source = "/store/x-tree", .is_dir = true}};
  SandboxSpec spec = base_spec();
  Arena arena = ARENA_INIT;
  Buf text = BUF_INIT;
  Err err = ERR_INIT;
  JsonRead json;
  spec.binds = binds;
  spec.bind_count = 1;
  SandboxPlan plan = sandbox_plan(&spec, &arena);
  SandboxRun run = oci_run(&plan);
  CHECK_OK(sandbox_oci_format(&run, &text, &err), &err);
  // It is JSON, and says what the plan says.
  json_read_init(&json, buf_span(&text));
  JsonEvent event;
  while ((event = json_read_next(&json, &err)) != JSON_END && event != JSON_ERROR) continue;
  CHECK_OK(event == JSON_END, &err);
  json_read_done(&json);
  for (size_t i = 0; i < text.len; i++)
    if (text.data[i] == '\n') text.data[i] = ' ';
  Span whole = buf_span(&text);
  CHECK_CONTAINS(whole, "\"terminal\": false,");
  CHECK_CONTAINS(whole, "\"/bin/sh\",    \"-c\",    \"say \\\"hi\\\"\\n\"");
  CHECK_CONTAINS(whole, "\"A=1\",    \"B=x\\ty\"");
  CHECK_CONTAINS(whole, "\"noNewPrivileges\": true");
  CHECK_CONTAINS(whole, "\"path\": \"/scratch/root\",   \"readonly\": true");
  CHECK_CONTAINS(whole,
                 "\"destination\": \"/nix/store/x-tree\",    \"type\": \"bind\",    \"source\": \"/store/x-tree\",    "
                 "\"options\": [     \"rbind\",     \"rprivate\",     \"ro\",");
  CHECK_CONTAINS(whole, "\"containerID\": 1000,     \"hostID\": 7,     \"size\": 1");
  CHECK_CONTAINS(whole, "\"containerID\": 100,     \"hostID\": 8,     \"size\": 1");
  CHECK_CONTAINS(whole, "\"type\": \"network\"");
  CHECK_CONTAINS(whole, "\"fchmodat2\"");
  // With the network of the host.
  buf_clear(&text);
  spec.network = true;
  plan = sandbox_plan(&spec, &arena);
  CHECK_OK(sandbox_oci_format(&run, &text, &err), &err);
  CHECK(span_find(buf_span(&text), SPAN("\"network\"")) == SIZE_MAX);
  buf_done(&text);
  arena_done(&arena);
}

TEST(oci_bundles_hold_only_utf8) {
  static const char *const bad_env[] = {"A=\xff", NULL};
  SandboxSpec spec = base_spec();
  Arena arena = ARENA_INIT;
  Buf text = BUF_INIT;
  Err err = ERR_INIT;
  spec.env = bad_env;
  SandboxPlan plan = sandbox_plan(&spec, &arena);
  SandboxRun run = oci_run(&plan);
  CHECK(!sandbox_oci_format(&run, &text, &err));
  CHECK_CONTAINS(span_cstr(err_message(&err)), "a container's arguments and environment must be UTF-8");
  err_done(&err);
  buf_done(&text);
  arena_done(&arena);
}
TEST_MAIN()
