#include "realise/build_trace.h"

#include "base/fs.h"
#include "formats/json_read.h"
#include "harness.h"
#include "realise_fixture.h"

static StorePath drv(char letter) {
  StorePath path;
  Err err = ERR_INIT;
  char text[] = "/nix/store/00000000000000000000000000000000-x.drv";
  memset(text + sizeof "/nix/store/" - 1, letter, 32);
  CHECK_OK(store_path_parse(span_cstr(text), STORE_PATH_DIR, &path, &err), &err);
  return path;
}

static void event(BuildTrace *trace, SchedulerEventKind kind, uint64_t id, char letter, const char *text, uint64_t ms,
                  const char *inputs) {
  StorePath path = drv(letter), input_paths[4];
  size_t count = 0;
  for (; inputs && *inputs; inputs++) input_paths[count++] = drv(*inputs);
  SchedulerEvent e = {.kind = kind,
                      .build_id = id,
                      .time_ns = ms * 1000000,
                      .drv_path = &path,
                      .text = span_cstr(text),
                      .inputs = input_paths,
                      .input_count = count};
  build_trace_event(trace, &e);
}

// a (0..100) and b (0..300) feed c (300..400); d (50..350) is alone, and fails.
static BuildTrace *make_trace(void) {
  BuildTrace *trace = build_trace_new();
  build_trace_span(trace, SPAN("evaluation"), SPAN("default.nix"), 0, 20000000);
  event(trace, SCHEDULER_EVENT_BUILD_START, 1, 'a', "a", 0, "");
  event(trace, SCHEDULER_EVENT_BUILD_START, 2, 'b', "b<&>", 0, "");
  event(trace, SCHEDULER_EVENT_BUILD_START, 4, 'd', "d", 50, "");
  event(trace, SCHEDULER_EVENT_BUILD_STOP, 1, 'a', "", 100, "");
  event(trace, SCHEDULER_EVENT_BUILD_PHASE, 2, 'b', "buildPhase", 150, "");
  event(trace, SCHEDULER_EVENT_BUILD_STOP, 2, 'b', "", 300, "");
  event(trace, SCHEDULER_EVENT_BUILD_START, 3, 'c', "c", 300, "abz");
  event(trace, SCHEDULER_EVENT_BUILD_STOP, 4, 'd', "it failed", 350, "");
  StorePath path = drv('c');
  BuildUsage usage = {.user_us = 70000, .system_us = 20000, .peak_memory_bytes = 3 << 20, .is_whole_group = true};
  SchedulerEvent stop = {
      .kind = SCHEDULER_EVENT_BUILD_STOP, .build_id = 3, .time_ns = 400000000, .drv_path = &path, .usage = &usage};
  build_trace_event(trace, &stop);
  return trace;
}

TEST(chrome_trace) {
  BuildTrace *trace = make_trace();
  Buf text = BUF_INIT;
  build_trace_format_json(trace, &text);
  CHECK_CONTAINS(buf_span(&text),
                 "{\"name\":\"a\",\"cat\":\"build\",\"ph\":\"X\",\"ts\":0.0,\"dur\":100000.0,\"pid\":1.0,\"tid\":1.0}");
  CHECK_CONTAINS(
      buf_span(&text),
      "{\"name\":\"b<&>\",\"cat\":\"critical\",\"ph\":\"X\",\"ts\":0.0,\"dur\":300000.0,\"pid\":1.0,\"tid\":2.0}");
  CHECK_CONTAINS(buf_span(&text), "{\"name\":\"buildPhase\",\"cat\":\"phase\",\"ph\":\"X\",\"ts\":150000.0,\"dur\":"
                                  "150000.0,\"pid\":1.0,\"tid\":2.0}");
  CHECK_CONTAINS(buf_span(&text), "{\"name\":\"c\",\"cat\":\"critical\",\"ph\":\"X\",\"ts\":300000.0,\"dur\":100000.0,"
                                  "\"pid\":1.0,\"tid\":1.0,\"args\":{"
                                  "\"user_ms\":70.0,\"system_ms\":20.0,\"peak_memory_mib\":3.0}}");
  CHECK_CONTAINS(buf_span(&text), "{\"name\":\"d\",\"cat\":\"failed\"");
  CHECK_CONTAINS(
      buf_span(&text),
      "{\"name\":\"default.nix\",\"cat\":\"span\",\"ph\":\"X\",\"ts\":0.0,\"dur\":20000.0,\"pid\":1.0,\"tid\":4.0}");
  // And it is JSON.
  JsonRead json;
  Err err = ERR_INIT;
  json_read_init(&json, buf_span(&text));
  CHECK_OK(json_read_skip(&json, json_read_next(&json, &err), &err), &err);
  CHECK_EQ_INT(json_read_next(&json, &err), JSON_END);
  json_read_done(&json);
  buf_done(&text);
  build_trace_free(trace);
}

TEST(names_of_any_bytes) {
  BuildTrace *trace = build_trace_new();
  Buf text = BUF_INIT;
  build_trace_span(trace, SPAN("evaluation"), SPAN("a\xff.nix"), 0, 20000000);
  build_trace_format_json(trace, &text);
  CHECK_CONTAINS(buf_span(&text), "{\"name\":\"a?.nix\",\"cat\":\"span\"");
  buf_done(&text);
  build_trace_free(trace);
}

TEST(page) {
  BuildTrace *trace = make_trace();
  Buf text = BUF_INIT;
  build_trace_format_html(trace, 4, &text);
  Span page = buf_span(&text);
  CHECK_CONTAINS(page, "<b>4</b><span>builds, <span class=bad>1 failed</span>");
  CHECK_CONTAINS(page, "<b>0.40 s</b><span>critical path, 2 builds</span>");
  CHECK_CONTAINS(page, "<b>0.02 s</b><span>evaluation</span>");
  CHECK_CONTAINS(page, "<b>0.09 s</b><span>processor time of builders</span>");
  CHECK_CONTAINS(page, "<td class=n>0.30 s</td><td class=n>0.09 s</td><td class=n>3.0 MiB</td>");
  CHECK_CONTAINS(page, "<tr><td>b&lt;&amp;&gt;</td><td class=n>0.30 s</td><td class=n>0.00 s</td>");
  CHECK_CONTAINS(page,
                 "The longest build on it is <b>b&lt;&amp;&gt;</b> with 0.30 s, most of it in buildPhase (0.15 s)");
  CHECK_CONTAINS(page, "more jobs would not help");
  CHECK_CONTAINS(page, "rect class=failed");
  CHECK(span_find(page, SPAN("b<&>")) == SIZE_MAX);
  CHECK(span_find(page, SPAN("http")) == SIZE_MAX); // nothing comes from elsewhere
  buf_done(&text);
  build_trace_free(trace);
}

TEST(nothing_happened) {
  BuildTrace *trace = build_trace_new();
  Buf text = BUF_INIT;
  build_trace_format_html(trace, 1, &text);
  CHECK_CONTAINS(buf_span(&text), "Nothing was built.");
  buf_clear(&text);
  build_trace_format_json(trace, &text);
  CHECK_STR(buf_span(&text), "{\"traceEvents\":[]}\n");
  buf_done(&text);
  build_trace_free(trace);
}

static void on_event(void *ctx, const SchedulerEvent *e) {
  build_trace_event(ctx, e);
}

TEST(the_scheduler_names_inputs) {
  RealiseFixture fixture;
  BuildTrace *trace = build_trace_new();
  realise_fixture_init(&fixture);
  fixture.config.event = on_event;
  fixture.config.event_ctx = trace;
  const FixtureDrv *slow =
      realise_fixture_drv(&fixture, &(FixtureSpec){.name = "slow", .script = "sleep 0.2; echo > $out"});
  const FixtureDrv *fast = realise_fixture_drv(&fixture, &(FixtureSpec){.name = "fast", .script = "echo > $out"});
  const FixtureDrv *top =
      realise_fixture_drv(&fixture, &(FixtureSpec){.name = "top", .inputs = {slow, fast}, .script = "echo > $out"});
  realise_fixture_build(&fixture, top);
  Buf text = BUF_INIT;
  build_trace_format_json(trace, &text);
  CHECK_CONTAINS(buf_span(&text), "{\"name\":\"slow\",\"cat\":\"critical\"");
  CHECK_CONTAINS(buf_span(&text), "{\"name\":\"fast\",\"cat\":\"build\"");
  CHECK_CONTAINS(buf_span(&text), "{\"name\":\"top\",\"cat\":\"critical\"");
  buf_done(&text);
  realise_fixture_done(&fixture);
  build_trace_free(trace);
}
TEST_MAIN()
