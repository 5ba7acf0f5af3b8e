# --timings and --trace: reports on when what was built.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

test_reports_are_written() {
  cli_setup
  cat > x.nix <<END
let $sh_nix a = sh "first" "echo > \$out"; in sh "second" "cat \${a} > \$out"
END
  run firn build -f x.nix --no-out-link --timings page.html --trace trace.json
  expect_status 0
  grep -q '<td>second</td>' page.html || fail "the page lacks a build: $(cat page.html)"
  grep -q 'Critical path' page.html || fail "the page lacks the critical path"
  grep -q '"name":"first","cat":"critical"' trace.json || fail "the trace lacks a build: $(cat trace.json)"
}

test_a_report_that_cannot_be_written() {
  cli_setup
  cat > x.nix <<END
let $sh_nix in sh "one" "echo > \$out"
END
  run firn build -f x.nix --no-out-link --trace /does/not/exist/trace.json
  expect_err_has "cannot write '/does/not/exist/trace.json'"
}

# The page as a browser shows it.
test_the_page_in_a_browser() {
  cli_setup
  command -v chromium > /dev/null || skip "chromium is not installed"
  mkdir tools
  cp "$(command -v busybox)" tools/busybox
  cat > x.nix <<END
let
  busybox = "\${builtins.path { path = ./tools; name = "tools"; }}/busybox";
  sh = name: inputs: derivation { inherit name inputs; system = builtins.currentSystem; builder = "/bin/sh";
    args = [ "-c" "\${busybox} sleep 0.4; case \$name in bad*) exit 1 ;; esac; echo \$name > \$out" ]; };
  a = sh "first-1" [ ]; b = sh "second-2" [ ]; c = sh "third-3" [ a b ]; bad = sh "bad-4" [ ];
in { read = builtins.readFile c; inherit c bad; }
END
  run firn build -j2 -k -f x.nix -A c -A bad --no-out-link --timings page.html
  expect_status 100
  python3 "$FIRN_TEST_SOURCE_DIR/cli/browser.py" page.html '(() => {
    const chart = document.querySelector("#timeline").getBoundingClientRect();
    const bars = [...document.querySelectorAll("#timeline g.item")].map(item => {
      const box = item.querySelector("rect").getBoundingClientRect();
      return { title: item.querySelector("title").textContent, kind: item.querySelector("rect").getAttribute("class"),
        left: box.left - chart.left, right: box.right - chart.left, top: box.top - chart.top, width: box.width, height: box.height };
    });
    return { bars, width: chart.width, height: chart.height, scroll: document.documentElement.scrollWidth, window: window.innerWidth,
      tables: [...document.querySelectorAll("table")].map(table => [...table.rows].slice(1).map(row => row.cells[0].textContent)),
      fill: getComputedStyle(document.querySelector("rect.critical")).fill,
      covered: [...document.querySelectorAll("svg text.in")].every(text => text.getBoundingClientRect().right <= chart.right + 1) };
  })()' > shown.json || fail "the browser failed"
  python3 - <<'END' || fail "$(cat shown.json)"
import json
shown = json.load(open('shown.json'))
assert not shown['errors'] and not shown['requests'] and not shown['exception'], shown
value = shown['value']
bars = {bar['title'].split(':')[0]: bar for bar in value['bars']}
assert {'evaluation', 'first-1', 'second-2', 'third-3', 'bad-4'} <= set(bars), bars.keys()
for bar in value['bars']:  # visible, and inside the picture
    assert bar['width'] >= 1 and bar['height'] > 10 and bar['left'] >= 0 and bar['right'] <= value['width'] + 1 and bar['top'] >= 0
assert bars['bad-4']['kind'] == 'failed' and bars['third-3']['kind'] == 'critical'
# Time runs to the right, and what ran at once is not on one row.
first, second, third = bars['first-1'], bars['second-2'], bars['third-3']
assert third['left'] >= max(first['right'], second['right']) - 1
assert first['top'] != second['top'] or first['right'] <= second['left'] + 1 or second['right'] <= first['left'] + 1
assert value['scroll'] <= value['window'], 'the page scrolls sideways'
path, everything = value['tables']
assert path[-1] == 'third-3' and len(path) == 2 and sorted(everything)[0].startswith('bad-4'), value['tables']
assert value['fill'] not in ('', 'none', 'rgb(0, 0, 0)') and value['covered']
END
}

test_waiting_is_shown() {
  cli_setup
  cat > x.nix <<END
let $sh_nix in builtins.readFile (sh "made" "echo > \$out")
END
  run firn eval -f x.nix --timings page.html --trace trace.json
  expect_status 0
  grep -q 'evaluation waits for made' page.html || fail "the page lacks what was waited for"
  python3 - <<'END' || fail "$(cat trace.json)"
import json
events = [event for event in json.load(open('trace.json'))['traceEvents'] if event['ph'] == 'X']
spans = {event['name']: event for event in events if event['cat'] == 'span'}
build, = [event for event in events if event['cat'] == 'critical']
wait, evaluation = spans['made'], spans['evaluation']
assert evaluation['ts'] <= wait['ts'] <= build['ts'] and build['ts'] + build['dur'] <= wait['ts'] + wait['dur'] + 1000
assert wait['ts'] + wait['dur'] <= evaluation['ts'] + evaluation['dur']
END
}

run_tests
