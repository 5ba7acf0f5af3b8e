# What is shown while builds run: a tree on a terminal, blocks elsewhere.
. "$FIRN_TEST_SOURCE_DIR/harness.sh"
. "$FIRN_TEST_SOURCE_DIR/cli/cli_setup.sh"

progress_setup() {
  cli_setup
  export TERM=xterm-256color
  mkdir tools
  cp "$(command -v busybox)" tools/busybox
  cat > default.nix <<'END'
let
  busybox = "${builtins.path { path = ./tools; name = "tools"; }}/busybox";
  sh = name: seconds: inputs: derivation {
    inherit name inputs;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" ''
      echo "first of ${name}"
      echo '@nix { "action": "setPhase", "phase": "buildPhase" }' >&$NIX_LOG_FD
      ${busybox} sleep ${seconds}
      echo "last of ${name}"
      case ${name} in bad*) exit 1 ;; esac
      echo > $out
    '' ];
  };
  left = sh "left-1" "1.2" [ ];
  right = sh "right-2" "1.6" [ ];
  middle = sh "middle-3" "0.3" [ left right ];
in {
  top = sh "top-4" "0.3" [ middle ];
  failing = sh "failing-5" "0" [ (sh "bad-6" "0.1" [ ]) middle ];
}
END
}

# In a terminal; the pictures are in `pictures`.
in_terminal() { # COLUMNS ROWS COMMAND...
  /usr/bin/python3 -c 'import pyte' 2>/dev/null || skip "python3-pyte is not installed"
  /usr/bin/python3 "$FIRN_TEST_SOURCE_DIR/cli/terminal.py" "$@" > pictures
}

check_pictures() { # PYTHON: with `pictures` (lists of lines), `texts`, `end`, `colours`
  /usr/bin/python3 - "$1" <<'END' || fail "$(cat pictures)"
import json, sys
items = [json.loads(line) for line in open('pictures')]
end, items = items[-1], items[:-1]
pictures = [item['lines'] for item in items]
texts = ['\n'.join(lines) for lines in pictures]
colours = [item['colour'] for item in items]
exec(sys.argv[1])
END
}

test_a_tree() {
  progress_setup
  in_terminal 80 24 firn build -j2 -A top --no-out-link
  check_pictures '
assert end["status"] == 0
assert any("├─ ● left-1  build" in text and "└─ ● right-2  build" in text and "waits for" in text for text in texts), texts
assert any("of 4 built" in text for text in texts)
assert any(colours)
# Each picture replaces the one before: nothing is left over.
assert all(text.count("built") <= 1 for text in texts)
assert pictures[-1][0].startswith("/nix/store/") and len(pictures[-1]) == 1, pictures[-1]
# Ten times a second at most, and only when something changes.
assert end["writes"] <= 12 * end["seconds"] + 10, end
'
}

test_means_of_earlier_builds() {
  progress_setup
  firn build -A top --no-out-link > /dev/null
  firn store gc > /dev/null
  in_terminal 80 24 firn build -j2 -A top --no-out-link
  check_pictures 'assert any("(mean 1 s)" in text for text in texts)'
}

test_failures() {
  progress_setup
  in_terminal 80 24 firn build -j3 -k -A failing --no-out-link
  check_pictures '
assert end["status"] == 100
assert any("✗ bad-6 failed" in text and "● left-1" in text and "1 failed" in text for text in texts), texts
assert "error:" in texts[-1] and "running" not in texts[-1]
'
}

test_narrow_and_resized() {
  progress_setup
  in_terminal 20 6 firn build -j2 -A top --no-out-link
  check_pictures 'assert any("left-1" in text for text in texts) and all(text.count("built") <= 1 for text in texts)'
  firn store gc > /dev/null
  NEW_COLUMNS=25 in_terminal 80 24 firn build -L -j2 -A top --no-out-link
  check_pictures '
assert end["status"] == 0
assert all(len(line) <= 25 for line in pictures[-1])
assert "running" not in texts[-1]
'
}

test_without_colour_and_without_abilities() {
  progress_setup
  NO_COLOR=1 in_terminal 80 24 firn build -j2 -A top --no-out-link
  check_pictures 'assert not any(colours) and any("● left-1" in text for text in texts)'
  firn store gc > /dev/null
  LC_ALL=C in_terminal 80 24 firn build -j2 -A top --no-out-link
  check_pictures 'assert any("* left-1" in text for text in texts) and not any("●" in text for text in texts)'
  firn store gc > /dev/null
  TERM=dumb in_terminal 80 24 firn build -j2 -A top --no-out-link
  check_pictures 'assert not any("running" in text or "built" in text for text in texts)'
}

test_blocks_without_a_terminal() {
  progress_setup
  run firn build -L -j3 -k -A failing -A top --no-out-link
  # The lines of one build stand together although three ran at once.
  printf '%s\n' "$err" | sed -n 's/^\([a-z]*-[0-9]\)> .*/\1/p' > names
  expect_equal "$(uniq names | sort | uniq -d)" ''
  expect_equal "$(sort -u names | wc -l)" 5
  run nix build -L -j3 -f default.nix top --no-link --rebuild
  expect_status 0
}

# What matters stays: phase and time of a build with a long name, on a narrow terminal the time.
test_long_names_are_cut() {
  progress_setup
  sed -i 's/"left-1"/"left-of-everything-else-in-this-file-by-far-1.2.3"/' default.nix
  in_terminal 50 24 firn build -A top -j4 --no-out-link
  grep -Eq 'left-of-everything[a-z-]*(…|\\u2026)  build  [0-9] s' pictures || fail "$(head -c 2000 pictures)"
  chmod -R u+w "$HOME/store" && rm -rf "$HOME/store"
  in_terminal 24 24 firn build -A top -j4 --no-out-link
  grep -q 'left-of[a-z-]*\(…\|\\u2026\)  [0-9] s' pictures || fail "$(head -c 2000 pictures)"
}

run_tests
