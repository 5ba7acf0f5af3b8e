#include "build/sandbox.h"

#include "build/sandbox_bwrap.h"
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
TEST_MAIN()
