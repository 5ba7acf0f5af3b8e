#!/usr/bin/env python3
"""Whole outputs of failing expressions, as C++ Nix 2.26.3 prints them with --show-trace: test/cli/traces.txt.

usage: traces.py check traces.txt NIX-INSTANTIATE       prints what differs; exit status 1 when something does
       traces.py record traces.txt NIX-INSTANTIATE...   writes the outputs of that (C++) program into the file

The text behind places in files of the program itself (<nix/...>) is not compared: it is not Nix's, only its places are.

A case in the file is a line "> expression", then the output, indented by two spaces. Lines that begin with # are comments.
"""
import difflib
import os
import re
import subprocess
import sys

EXCERPT = re.compile(r"^ *\d* *\|")
NOISE = re.compile(r"^(warning: the group '.*' specified in)")


def parse(path):
    cases, comments = [], []
    with open(path, errors="surrogateescape") as source:
        for line in source:
            line = line.rstrip("\n")
            if line.startswith("> "):
                cases.append((comments, line[2:], []))
                comments = []
            elif line.startswith("#") or (not line and not (cases and not comments)):
                comments.append(line)
            elif line.startswith("  ") or not line:
                cases[-1][2].append(line[2:])
    return cases


def without_own_excerpts(lines):
    kept, own = [], False
    for line in lines:
        if own and EXCERPT.match(line):
            continue
        own = line.lstrip().startswith("at <nix/")
        kept.append(line)
    return kept


def run(program, expression):
    env = dict(os.environ, NO_COLOR="1", TERM="dumb")
    done = subprocess.run(program + ["--eval", "--strict", "--show-trace", "-E", expression], env=env, capture_output=True, text=True,
                          errors="surrogateescape", timeout=60)
    lines = (done.stdout + done.stderr).rstrip("\n").split("\n")
    return "\n".join(without_own_excerpts(line for line in lines if not NOISE.match(line)))


def record(path, program):
    out = []
    for comments, expression, _ in parse(path):
        out += comments + ["> " + expression]
        out += [("  " + line).rstrip() for line in run(program, expression).split("\n")] + [""]
    with open(path, "w", errors="surrogateescape") as target:
        target.write("\n".join(out).rstrip("\n") + "\n")


def check(path, program):
    cases = parse(path)
    failed = 0
    for _, expression, lines in cases:
        want, got = "\n".join(lines).rstrip("\n"), run(program, expression)
        if want == got:
            continue
        failed += 1
        print("> " + expression)
        print("\n".join(difflib.unified_diff(want.split("\n"), got.split("\n"), "expected", "got", n=2, lineterm="")))
    print("%d traces, %d differ" % (len(cases), failed))
    return 1 if failed or len(cases) < 20 else 0


def main():
    if len(sys.argv) < 4 or sys.argv[1] not in ("check", "record"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    return record(sys.argv[2], sys.argv[3:]) if sys.argv[1] == "record" else check(sys.argv[2], sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
