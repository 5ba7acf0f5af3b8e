#!/usr/bin/env python3
"""Compares firn's TOML parser with Python's tomllib on files and on mutated and random documents.

usage: toml_differential.py [--dump PROGRAM] [--mutations N] [--seed N] [FILE...]

Needs Python 3.11. Where the two differ by design, documents are left out: integers beyond 64 bits, the year 0, fractions of a second
beyond six digits (Python cuts them off), and CR LF inside strings (Python reads files in text mode).
"""
import argparse
import datetime
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import tomllib

FRAGMENTS = """a b a.b a."b c" 'x' "y" = 1 -2 +3 0 1_000 0x1F 0o7 0b1 1.5 1e3 -0.0 inf nan true false "s" 'lit' \"\"\"m\"\"\" '''n'''
"\\n" "\\u00e9" "\\q" [ ] [[ ]] { } , . # 1979-05-27 07:32:00 1979-05-27T07:32:00Z 1979-05-27T00:32:00.123-07:00""".split() + ["\n", " "]
KEYS = ["a", "b", "a.b", "a.b.c", "b.a", "c", "a.'b c'", "b . \"c\"", "''"]
VALUES = ["1", "-2_0", "0xfF", "1.5e-3", "true", "\"s\\t\\u00e9\"", "'lit'", "[]", "[1, 'x', [2,],]", "{}", "{ b = 1 }", "{b.c = 1, b.d = 2}",
          "[{a = 1}, {b = 2}]", "1979-05-27", "07:32:00.5", "1979-05-27 07:32:00-01:30", "\"\"\"\n x\\\n  y\"\"\"\"", "inf", "[ # c\n 1\n]"]


def line(rng):
    kind = rng.randrange(10)
    key = rng.choice(KEYS)
    if kind < 5:
        return "%s = %s" % (key, rng.choice(VALUES))
    if kind < 7:
        return "[%s]" % key
    if kind < 9:
        return "[[%s]]" % key
    return "# comment"


def time_text(value):
    fraction = ""
    micro = getattr(value, "microsecond", 0)
    if micro:
        fraction = ".%03d" % (micro // 1000) if micro % 1000 == 0 else ".%06d" % micro
    if isinstance(value, datetime.datetime):
        text = value.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + fraction
        if value.tzinfo is not None:
            minutes = int(value.utcoffset().total_seconds()) // 60
            text += "Z" if minutes == 0 else "%s%02d:%02d" % ("+-"[minutes < 0], abs(minutes) // 60, abs(minutes) % 60)
        return text
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value.strftime("%H:%M:%S") + fraction


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return {"float": ("%.17g" % value).replace("-nan", "nan")}
    if isinstance(value, (datetime.date, datetime.time)):
        return {"time": time_text(value)}
    return value


def big(value):
    if isinstance(value, dict):
        return any(map(big, value.values()))
    if isinstance(value, list):
        return any(map(big, value))
    return isinstance(value, int) and not -2**63 <= value < 2**63


def check(dump, paths):
    """(agreeing valid, agreeing invalid, differences)"""
    result = subprocess.run([dump] + paths, capture_output=True, text=True, check=True)
    valid = invalid = 0
    differences = []
    for path, line in zip(paths, result.stdout.split("\n")):
        with open(path, "rb") as file:
            text = file.read()
        if re.search(rb"\.\d{7}", text):
            continue
        try:
            want = tomllib.loads(text.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            want = error
        except (ValueError, RecursionError):
            continue
        if line.startswith("error:"):
            if isinstance(want, Exception) or big(want):
                invalid += 1
            else:
                differences.append((text, plain(want), line))
        else:
            got = json.loads(line.replace('"-nan"', '"nan"'))
            if isinstance(want, Exception) or plain(want) != got:
                differences.append((text, str(want), line))
            else:
                valid += 1
    return valid, invalid, differences


def make(rng, documents, folder, count):
    paths = []
    for number in range(count):
        if documents and rng.random() < 0.4:
            text = rng.choice(documents)
            start = rng.randrange(len(text) + 1)
            text = text[start:start + rng.randint(1, 300)]
            for _ in range(rng.randint(0, 3)):
                at = rng.randrange(len(text) + 1)
                text = text[:at] + rng.choice(["", rng.choice(FRAGMENTS)]) + text[at + rng.randint(0, 2):]
        elif rng.random() < 0.7:
            text = "\n".join(line(rng) for _ in range(rng.randint(1, 6)))
        else:
            text = rng.choice(["", " "]).join(rng.choice(FRAGMENTS) for _ in range(rng.randint(1, 14)))
        paths.append(os.path.join(folder, str(number)))
        with open(paths[-1], "w", newline="") as file:
            file.write(text.replace("\r", ""))
    return paths


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dump", default="build/test/formats/toml_dump")
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    documents = [open(f).read() for f in args.files]
    print("seed", args.seed)
    with tempfile.TemporaryDirectory() as folder:
        paths = args.files + make(random.Random(args.seed), documents, folder, args.mutations)
        valid = invalid = 0
        differences = []
        for start in range(0, len(paths), 200):
            more = check(args.dump, paths[start:start + 200])
            valid, invalid, differences = valid + more[0], invalid + more[1], differences + more[2]
    for text, want, got in differences[:20]:
        print("%r\n  want %s\n  got  %s" % (text, want, got))
    print("%d valid and %d invalid documents agree, %d differ" % (valid, invalid, len(differences)))
    sys.exit(1 if differences else 0)


main()
