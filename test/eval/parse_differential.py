#!/usr/bin/env python3
"""Compares firn's parser with C++ Nix: the printed trees of files, and the errors of broken inputs.

usage: parse_differential.py [--nix COMMAND] [--dump PROGRAM] [--mutations N] [--seed N] [--work DIR] PATH...

PATHs are .nix files or folders of them. Trees are compared as `COMMAND --parse` prints them (default: nix-instantiate). With
--mutations, N inputs are made from the smaller files by deleting, inserting and moving pieces, and from random tokens, and the first
line and the position of the error are compared as well. What older versions call tokens is translated.

Not differences of the parser, and left out: variables that are not defined (C++ Nix resolves names in the same command), and
what C++ Nix warns about. COMMAND may be a chroot, if PATHs and --work are the same inside and outside.
"""
import argparse
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile

TOKENS = """x y a or if then else assert with let in rec inherit 1 2.5 .5 1. " "s" '' ''t'' ${ $ } { ( ) [ ] ; : , . = == != < > <= >=
&& || -> // ++ + - * / ? ! @ ... ./a a/b ~/x <n> http://x.y / a/${ \\ ' % |> <| $${ \\n ''\\n ''$ ''' x:x __curPos 0 00.1
9999999999999999999""".split() + ["#c\n", "/*c*/", "\n", " "]


# What tokens are called in messages: before C++ Nix 2.34, and since.
OLD_NAMES = {
    "AND": "'&&'",
    "ASSERT": "'assert'",
    "CONCAT": "'++'",
    "DOLLAR_CURLY": "'${'",
    "ELLIPSIS": "'...'",
    "ELSE": "'else'",
    "EQ": "'=='",
    "FLOAT_LIT": "floating-point literal",
    "GEQ": "'>='",
    "HPATH": "'~/…' path",
    "ID": "identifier",
    "IF": "'if'",
    "IMPL": "'->'",
    "IND_STR": "indented string",
    "IND_STRING_CLOSE": "end of an indented string",
    "IND_STRING_OPEN": "start of an indented string",
    "INHERIT": "'inherit'",
    "INT_LIT": "integer",
    "IN_KW": "'in'",
    "LEQ": "'<='",
    "LET": "'let'",
    "NEQ": "'!='",
    "OR": "'||'",
    "OR_KW": "'or'",
    "PATH": "path",
    "PATH_END": "end of path",
    "PIPE_FROM": "'<|'",
    "PIPE_INTO": "'|>'",
    "REC": "'rec'",
    "SPATH": "'<…>' path",
    "STR": "string",
    "THEN": "'then'",
    "UPDATE": "'//'",
    "URI": "URI",
    "WITH": "'with'",
}


def new_names(message):
    """A message of an older C++ Nix in the newer wording."""
    if not message.startswith("syntax error"):
        return message
    return re.sub(r"(unexpected |expecting | or )([A-Z_]+)\b", lambda m: m.group(1) + OLD_NAMES.get(m.group(2), m.group(2)), message)


def run(command, files):
    result = subprocess.run(command + files, capture_output=True, env={**os.environ, "HOME": "/home/me"})
    decode = lambda data: data.decode("utf-8", "surrogateescape")
    return result.returncode, decode(result.stdout), decode(result.stderr)


def reference_error(text, path):
    """ "LINE:COLUMN message" of the error that Nix printed, or None for an undefined variable."""
    text = re.sub(r"warning: (?:[^\n]*nixbld[^\n]*\n|(?:.|\n)*?Give feedback at [^\n]*\n)", "", text)
    found = re.search(r"^error: ((?:.|\n)*?)\n\s+at [^\n]*?:(\d+:\d+):\s", text, re.M)
    if not found:
        return text
    if "undefined variable" in found.group(1):
        return None
    return "error: %s %s\n" % (found.group(2), new_names(found.group(1).replace(path + ":", "")))


class Comparison:
    def __init__(self, nix, dump):
        self.nix, self.dump = nix, dump
        self.trees = self.errors = self.unbound = 0
        self.differences = []

    def compare(self, files):
        """Compares as many files at once as agree."""
        code, want, complaint = run(self.nix, files)
        _, got, _ = run(self.dump, files)
        if code == 0 and want == got:
            self.trees += len(files)
        elif len(files) > 1:
            half = len(files) // 2
            self.compare(files[:half])
            self.compare(files[half:])
        elif code == 0:
            self.differences.append((files[0], want, got))
        else:
            want = reference_error(complaint, files[0])
            if want is None:
                self.unbound += 1
            elif want == got:
                self.errors += 1
            else:
                self.differences.append((files[0], want, got))


def mutate(rng, text):
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.randint(1, 30))
        kind = rng.randrange(5)
        if kind == 0:
            text = text[:at] + text[at + rng.randint(1, 4):]
        elif kind == 1:
            text = text[:at] + rng.choice(TOKENS) + text[at:]
        elif kind == 2:
            text = text[:at] + " " + rng.choice(TOKENS) + " " + text[at:]
        elif kind == 3:
            text = text[:at] + text[end:]
        else:
            to = rng.randrange(len(text) + 1)
            text = text[:to] + text[at:end] + text[to:]
    return text


def make_inputs(rng, count, files, folder):
    small = [f for f in files if os.path.getsize(f) < 1500]
    paths = []
    for number in range(count):
        if small and rng.random() < 0.6:
            with open(rng.choice(small), encoding="utf-8", errors="surrogateescape", newline="") as file:
                text = mutate(rng, file.read())
        else:
            text = rng.choice([" ", ""]).join(rng.choice(TOKENS) for _ in range(rng.randint(1, 12)))
        paths.append(os.path.join(folder, "%06d.nix" % number))
        with open(paths[-1], "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
    return paths


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nix", default="nix-instantiate")
    parser.add_argument("--dump", default="build/test/eval/parse_dump")
    parser.add_argument("--mutations", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--work", help="folder for the mutated inputs")
    parser.add_argument("paths", nargs="+")
    args = parser.parse_args()
    files = []
    for path in map(os.path.abspath, args.paths):
        if os.path.isdir(path):
            files += [os.path.join(d, n) for d, _, names in os.walk(path) for n in names if n.endswith(".nix")]
        else:
            files.append(path)
    files.sort()
    options = ["--option", "experimental-features", "pipe-operators", "--parse"]
    comparison = Comparison(shlex.split(args.nix) + options, [args.dump, "--pipes"])
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        if args.mutations:
            print("seed", args.seed)
            for path in make_inputs(random.Random(args.seed), args.mutations, files, folder):
                comparison.compare([path])
        else:
            for start in range(0, len(files), 400):
                comparison.compare(files[start:start + 400])
        for path, want, got in comparison.differences:
            print("%s\n  want %s\n  got  %s" % (path, want[:500].rstrip(), got[:500].rstrip()))
            if args.mutations:
                print("  in   %r" % open(path, errors="surrogateescape").read()[:500])
    print("%d trees and %d errors agree, %d with unbound variables, %d differ" %
          (comparison.trees, comparison.errors, comparison.unbound, len(comparison.differences)))
    sys.exit(1 if comparison.differences else 0)


main()
