"""Expressions that look into the corners of the language, for test/fuzz/expressions.py: a grammar of them.

A rule is a list of alternatives; `<name>` in one stands for a text of that rule, `<name*>` for none to three of them in a row, `<@` for `<`.
They are not made after types: many of them fail, each at another place, and what is compared is how.
"""
import re

PART = re.compile(r"<([A-Za-z0-9]+)(\*?)>")
MAX_DEPTH = 6

GRAMMAR = {}


def rule(name, *alternatives):
    GRAMMAR[name] = [split(text) for text in alternatives]


def split(text):
    """Texts and (rule, repeated) in turns."""
    parts, at = [], 0
    for found in PART.finditer(text):
        parts.append(text[at:found.start()].replace("<@", "<"))
        parts.append((found.group(1), found.group(2) == "*"))
        at = found.end()
    parts.append(text[at:].replace("<@", "<"))
    return parts


def expand(chooser, name, depth=0):
    """Nested lists of texts."""
    alternatives = GRAMMAR[name]
    if depth > MAX_DEPTH:  # the first alternative of a rule leads to an end
        alternatives = alternatives[:1]
    out = []
    for part in alternatives[int(chooser.random() * len(alternatives))]:
        if isinstance(part, str):
            out.append(part)
        else:
            inner, repeated = part
            for _ in range(int(chooser.random() * 4) if repeated else 1):
                out.append(expand(chooser, inner, depth + 1))
    return out


# ---- small things ----
rule("n", "a", "b", "c", "x", "y", "foo", "bar", "fooo", "z")
rule("int", "1", "0", "2", "3", "(-1)", "(-2)", "10", "9223372036854775807", "(-9223372036854775807 - 1)", "4611686018427388004", "63", "64", "100")
rule("small", "0", "1", "3", "10", "(-1)", "(-2)")
rule("float", "1.5", "0.0", "1.0", "(-0.5)", "1.0e10", "1.0e308", "(1.0e308 * 10)", "(0.0 * (1.0e308 * 10))", "0.1", "123456.7", "9223372036854775807.0", ".5", "1.0e-310")
rule("num", "<int>", "<int>", "<float>")
rule("str", "\"a\"", "\"\"", "\"b\"", "\"abc\"", "\"a b\"", "\"é\"", "\"/a\"", "\"a/b\"", "\"1\"", "''x\n  y''", "\"${<str>}a\"", "(<str> + <str>)", "\"𝄞\"", "\"\\n\"", "\"x\\${y}\"",
     "\"foo\"", "\"-\"")
rule("ctx", "\"${<drv>}\"", "<drv>.outPath", "<drv>.drvPath", "(toString <drv>)", "\"${./data/a}\"", "(builtins.toFile \"t\" <str>)", "(builtins.unsafeDiscardOutputDependency <drv>.drvPath)",
     "(builtins.unsafeDiscardStringContext \"${<drv>}\")", "\"${<drv>}${./data/a}\"", "<drv>.dev", "(<ctx> + <str>)", "(<ctx> + <ctx>)")
rule("drv", "(derivation { name = \"n\"; system = \"s\"; builder = \"b\"; })", "(derivation { name = \"m\"; system = \"s\"; builder = \"b\"; outputs = [ \"out\" \"dev\" ]; })")
rule("path", "./data/a", "/a/b", "/nonexistent/x", "./data/sub/.", "./data/sub", "./data/none", "../x", "(/a + \"b\")", "(/a + \"/../a/c\")", "./data/link", "./data", "/a/b/c", "(./data + \"/sub\")")
rule("list", "[ ]", "[ 1 ]", "[ 1 2 3 ]", "[ <val> ]", "[ <val> <val> ]", "[ \"a\" \"b\" ]", "[ [ 1 ] [ ] ]", "[ { a = 1; } { a = 2; b = 3; } ]", "(builtins.genList (x: x) 5)", "[ 3 1 2 ]")
rule("set", "{ }", "{ a = 1; }", "{ a = 1; b = 2; }", "{ a = <val>; }", "{ <n> = <val>; }", "{ a.b.c = <val>; }", "{ \"a b\" = 1; x = [ 1 ]; }", "(<set> // <set>)", "rec { a = 1; b = a; }",
     "{ foo = 1; bar = 2; baz = 3; }", "{ outPath = <str>; }", "{ __toString = s: <str>; }", "{ __functor = s: x: x; a = 1; }", "{ type = \"derivation\"; outPath = <str>; }", "{ inherit (<set>) a; }",
     "{ name = \"a\"; value = 1; }", "(builtins.listToAttrs [ { name = \"a\"; value = <val>; } ])")
rule("fun", "(x: x)", "(x: y: x)", "({ a }: a)", "({ a, b ? 2 }: b)", "({ a ? 1, ... }@b: b)", "builtins.add", "(builtins.add 1)", "{ __functor = s: x: x; }", "(x: throw \"f\")", "(x: [ x ])", "(x: { a = x; })",
     "(x: \"a\")", "(x: true)", "(x: y: true)", "(x: y: x < y)", "toString", "(x: null)", "(x: x + 1)", "(x: x.a)", "map", "throw", "(a: b: a == b)")
rule("val", "1", "<int>", "<num>", "<str>", "<path>", "<list>", "<set>", "<fun>", "null", "true", "false", "<ctx>", "(throw \"t\")", "<drv>", "(abort \"q\")", "(1 + \"a\")")
rule("bool", "true", "false", "<cmp>")
rule("cmp", "1 < 2", "(<val> == <val>)", "(<num> < <num>)", "(<num> <= <num>)", "(<val> < <val>)", "(<list> < <list>)", "(<set> == <set>)", "(<str> >= <str>)", "(<set> ? <n>)", "(<val> != <val>)", "(<path> < <path>)",
     "(<fun> == <fun>)", "(<ctx> == <str>)", "(<num> == <num>)")

# ---- functions and patterns ----
rule("formal", "<n>", "<n>", "<n> ? <n>", "<n> ? <val>", "<n> ? throw \"d\"")
rule("formals", "<formal>", "<formal>, <formal>", "<formal>, <formal>, <formal>", "<formal>, ...", "...", "", "<formal>, <formal>, ...")
rule("pattern", "{ <formals> }", "{ <formals> }", "<n>@{ <formals> }", "{ <formals> }@<n>", "<n>")
rule("use", "<n>", "[ <n> <n> ]", "{ inherit <n> <n>; }", "<n> + <n>", "<n>.<n> or 7", "<n> == <n>", "builtins.functionArgs (<pattern>: 1)", "<pattern>: <n>", "(<pattern>: <use>) <arg>")
rule("binding", "<n> = <val>; ", "<n> = <n>; ", "inherit <n>; ", "<n>.<n> = <val>; ", "inherit (<set>) <n>; ", "<n> = { <binding> }; ", "\"<n>\" = 1; ", "${<str>} = <val>; ", "<n>.${<str>}.<n> = 1; ",
     "<n>.<n>.<n> = <val>; ", "<n> = { <binding><binding> }; ", "<n> = rec { <binding> }; ", "${\"<n>\"} = 2; ", "<n>.${\"<n>\"} = 3; ", "inherit \"<n>\"; ", "inherit ${\"<n>\"}; ", "${null} = 1; ", "<n>.<n> = { <binding> }; ",
     "inherit (<set>) <n> <n>; ")
rule("arg", "{ <binding*>}", "{ a = 1; }", "{ a = 1; b = 2; }", "{ }", "1", "<set>", "{ a = 1; b = 2; c = 3; }", "{ fooo = 1; foo = 2; }", "null")
rule("call", "(<pattern>: <use>) <arg>", "(<pattern>: <pattern>: <use>) <arg> <arg>", "let f = <pattern>: <use>; in f <arg>", "(<pattern>: <use>) <arg> <arg>", "(let f = { <formals> }: <n>; in { g = f; }).g <arg>",
     "map (<pattern>: <use>) [ <arg> <arg> ]", "builtins.functionArgs (<pattern>: 1)", "<fun> <val>", "<fun> <val> <val>", "builtins.mapAttrs (n: <pattern>: <n>) { q = <arg>; }",
     "{ __functor = self: <pattern>: <use>; a = 5; } <arg>", "{ __functor = <val>; } <val>", "{ __functor = self: self.f; f = <fun>; } <val>", "builtins.foldl' (<n>: <pattern>: <n>) <val> [ <arg> ]",
     "builtins.zipAttrsWith (n: <pattern>: <n>) [ <arg> ]", "(<pattern>: with <n>; <use>) <arg>", "builtins.addErrorContext <str> ((<pattern>: <use>) <arg>)")

# ---- scopes and sets ----
rule("scope", "let <binding><binding>in <use>", "let <binding*>in <use>", "rec { <binding><binding*>}", "{ <binding><binding><binding*>}", "with { <binding>}; <use>", "let { <binding>body = <use>; }", "with <set>; <use>",
     "rec { <binding>__overrides = <set>; }", "rec { <binding>__overrides = { <binding>}; <binding>}", "(rec { <binding><binding*>}).<n>", "{ <binding><binding*>}.<n>.<n> or <val>", "{ <binding>} // { <binding>}",
     "let <n> = { <binding>}; in { inherit (<n>) <n> <n>; }", "with <set>; with <set>; [ <n> <n> ]", "(x: with x; <use>) <set>", "let a = a; in a", "rec { a = b; b = a; }.a", "let x = { a = x.b; b = x.a; }; in x",
     "with { a = 1; }; let b = a; in with { a = 2; }; [ a b ]", "<set>.<n>.<n>", "<set>.${<str>}", "<set>.${<val>}", "<set>.\"<n>\" or <val>", "<val>.<n> or <val>", "<set> ? <n>.<n>", "<set> ? ${<val>}", "<set> ? ${<str>}.<n>",
     "<val> ? <n>", "<set>.${<str>}.${<str>} or <val>", "(let x = <val>; in { ${x} = 1; })", "{ ${<val>} = 1; }", "{ a.${<val>} = 1; }", "{ ${<str>} = 1; ${<str>} = 2; }", "rec { ${<str>} = 1; b = <use>; }",
     "<n>", "[ <n> ]", "let <n> = 1; in <n> <n>", "let inherit (<set>) <n>; in <n>", "let inherit (<val>) a; in a", "{ inherit (<val>) a; }.a", "let inherit (rec { <binding>}) <n> <n>; in <use>")
rule("shadow", "let __sub = a: b: [ \"sub\" a b ]; in <num> - <num>", "let __sub = a: b: [ \"sub\" a b ]; in -<num>", "let __lessThan = a: b: [ a b ]; in [ (1 < 2) ]", "let __lessThan = a: b: true; in [ (<num> < 2) (2 <= <num>) (<num> > 1) (1 >= 2) ]",
     "let __mul = a: b: { inherit a b; }; in <num> * <num>", "let __div = a: b: b; in <num> / <num>", "let __add = a: b: 7; in <num> + <num>", "let __findFile = p: n: { inherit p n; }; __nixPath = [ 1 ]; in <@<n>>",
     "let __nixPath = <list>; in <@<n>>", "let __nixPath = [ { path = ./data; prefix = \"d\"; } ]; in <@d/<n>>", "let __nixPath = [ { path = ./data; } ]; in <@<n>>", "let true = false; null = 1; in [ true null false ]",
     "let builtins = { add = a: b: 0; }; in builtins.add 1 2", "let toString = x: 1; map = 2; in [ toString map ]", "with { map = 1; true = 2; foo = 3; }; [ true foo (map == 1) ]", "let __sub = <fun>; in 1 - 2",
     "let import = 1; derivation = x: x; in [ import (derivation 2) ]", "with builtins; let add = sub; in add 3 1", "let or = 1; in or", "let or = x: x; f = x: x; in f or 1", "let or = 1; in [ or (x: x) or ]", "(x: x) or", "[ (x: x) or ]",
     "let __lessThan = <fun>; in [ (<val> < <val>) ]")
rule("search", "<@<n>>", "<@nix>", "builtins.findFile <list> <str>", "builtins.findFile [ { path = ./data; prefix = \"\"; } ] \"<file>\"", "builtins.findFile [ { path = ./data; prefix = \"p\"; } { path = ./data/sub; } ] \"p/<file>\"",
     "builtins.findFile [ { path = <val>; prefix = <val>; } ] <str>", "builtins.findFile [ { prefix = \"x\"; } ] \"x\"", "builtins.findFile [ { path = ./data/none; prefix = \"\"; } { path = \"<dir>\"; } ] \"<file>\"",
     "builtins.findFile [ <val> ] <val>", "builtins.findFile <val> \"a\"", "builtins.findFile [ { path = ./data/sub; prefix = \"sub\"; } ] \"sub\"", "builtins.findFile [ { path = ./data; prefix = \"da\"; } ] \"data\"",
     "builtins.findFile [ { path = toString ./data; prefix = \"\"; } ] \"sub/<file>\"", "builtins.nixPath", "builtins.findFile [ { path = ./data/a; prefix = \"\"; } ] <val>")
rule("file", "a", "sub", "none", "sub/x", "link", "", ".", "sub/../a", "broken", "e.nix")
rule("dir", "/nonexistent", "data", "./data", "")

# ---- builtins by name, one group each ----
rule("lists", "builtins.head <list>", "builtins.tail <list>", "builtins.elemAt <list> <int>", "builtins.length <val>", "builtins.filter <fun> <list>", "map <fun> <list>", "builtins.concatMap <fun> <list>", "builtins.concatLists <list>",
     "builtins.all <fun> <list>", "builtins.any <fun> <list>", "builtins.foldl' <fun> <val> <list>", "builtins.genList <fun> <small>", "builtins.sort <fun> <list>", "builtins.partition <fun> <list>", "builtins.groupBy <fun> <list>",
     "builtins.elem <val> <list>", "<list> ++ <val>", "<val> ++ <list>", "builtins.concatStringsSep <val> <list>", "builtins.sort (a: b: a < b) [ <val> <val> <val> ]", "builtins.sort (a: b: <val>) [ 3 1 2 ]",
     "builtins.sort (a: b: a.k < b.k) [ { k = <num>; i = 0; } { k = <num>; i = 1; } { k = <num>; i = 2; } ]", "builtins.sort builtins.lessThan [ <num> <num> <num> <num> ]", "builtins.groupBy toString <list>",
     "builtins.sort (a: b: false) [ <int> <int> <int> <int> ]", "builtins.sort (a: b: true) [ <int> <int> <int> <int> ]", "builtins.concatMap (x: <val>) <list>", "builtins.map <val> <val>", "builtins.genList <val> <val>",
     "builtins.sort (a: b: builtins.trace [ a b ] (a > b)) [ <int> <int> <int> <int> <int> ]", "builtins.foldl' (a: b: throw \"z\") 1 <list>", "builtins.deepSeq <val> <val>", "builtins.seq <val> <val>", "builtins.elem (throw \"e\") <list>",
     "builtins.head <val>", "builtins.tail <val>", "builtins.elemAt <val> <val>", "builtins.filter (x: x) <list>", "builtins.all (x: <val>) <list>", "builtins.partition (x: x) <list>", "builtins.concatLists [ <val> <list> ]")
rule("sets", "builtins.attrNames <set>", "builtins.attrValues <set>", "builtins.getAttr <str> <set>", "builtins.hasAttr <val> <val>", "builtins.removeAttrs <set> <list>", "builtins.intersectAttrs <set> <set>", "builtins.listToAttrs <list>",
     "builtins.listToAttrs [ { name = <val>; value = <val>; } { name = <str>; value = 2; } ]", "builtins.listToAttrs [ <set> ]", "builtins.catAttrs <str> <list>", "builtins.catAttrs <val> [ <val> ]", "builtins.mapAttrs <fun> <set>",
     "builtins.zipAttrsWith <fun> [ <set> <set> ]", "builtins.zipAttrsWith (n: vs: [ n vs ]) [ <set> <set> <set> ]", "builtins.zipAttrsWith (n: vs: <val>) [ <set> <val> ]", "builtins.functionArgs <val>", "builtins.unsafeGetAttrPos <str> <set>",
     "builtins.unsafeGetAttrPos \"<n>\" { <binding><binding*>}", "builtins.unsafeGetAttrPos \"a\" (<set> // <set>)", "builtins.unsafeGetAttrPos <val> <val>", "<set> // <val>", "<val> // <set>", "__curPos", "{ p = __curPos;\n  q = [ __curPos ]; }",
     "builtins.mapAttrs (n: v: n + toString v) <set>", "builtins.attrNames (builtins.mapAttrs <fun> <set>)", "builtins.removeAttrs <set> [ <str> <val> ]", "builtins.getAttr <val> <val>",
     "builtins.genericClosure { startSet = [ <set> { key = <val>; } ]; operator = <fun>; }", "builtins.genericClosure { startSet = [ { key = 1; } { key = <val>; } ]; operator = x: [ ]; }", "builtins.genericClosure { startSet = <val>; operator = <val>; }",
     "builtins.genericClosure { startSet = [ { key = <int>; } ]; operator = x: <val>; }", "builtins.genericClosure { startSet = [ { key = 0; } ]; operator = x: if x.key < 4 then [ { key = x.key + 1; } { key = <val>; } ] else [ ]; }",
     "builtins.genericClosure <set>", "builtins.genericClosure { startSet = [ ]; }", "builtins.genericClosure { startSet = [ ]; operator = <val>; }",
     "builtins.genericClosure { startSet = [ { key = { a = 1; }; } ]; operator = x: [ ]; }", "builtins.genericClosure { startSet = [ { key = <num>; } { key = <num>; } { key = <num>; } ]; operator = x: [ ]; }",
     "builtins.attrNames (builtins.groupBy (x: \"k${toString (x / 3)}\") [ 1 2 3 4 5 6 7 ])", "(<set> // { a = <val>; }).a", "builtins.attrValues (<set> // <set> // <set>)")
rule("big", "(builtins.listToAttrs (builtins.genList (i: { name = \"k${toString i}\"; value = i; }) 40))")
rule("bigs", "(<big> // { k7 = <val>; }).k7", "builtins.attrNames (<big> // { q = 1; } // { k3 = 2; })", "(<big> // { a = 1; }) == (<big> // { a = <val>; })", "builtins.mapAttrs (n: v: v + 1) (<big> // { k1 = 5; })",
     "builtins.length (builtins.attrNames (<big> // <set> // <set>))", "({ k1, k2 ? 5, ... }: k1 + k2) (<big> // { k1 = 3; })", "({ k1, zz, ... }: k1) (<big> // { k1 = 3; })", "({ k1 }: k1) (<big> // { a = 3; })", "(<big> // { a = 1; }).<n>",
     "builtins.removeAttrs (<big> // { a = 1; }) [ \"k1\" \"a\" <str> ]", "builtins.intersectAttrs (<big> // { a = 1; }) { a = 2; k2 = 4; zz = 1; }", "with (<big> // { a = 1; }); [ k1 a <n> ]", "(<big> // { a = 1; }) ? <n>", "{ } // <big> // <val>",
     "builtins.foldl' (a: b: a // { \"${toString b}\" = b; }) <big> [ 1 2 3 4 5 6 7 8 9 ]", "(<big> // (<big> // { a = 1; }) // { b = 2; }) // { a = <val>; }", "toString ((<big> // { __toString = s: toString s.k3; }) // { k3 = <num>; })",
     "builtins.unsafeGetAttrPos \"a\" (<big> // { a = 1; })", "builtins.zipAttrsWith (n: v: builtins.length v) [ <big> (<big> // { a = 1; }) ]", "builtins.toJSON (<big> // { a = <val>; })", "builtins.catAttrs \"k1\" [ <big> (<big> // { k1 = 0; }) ]",
     "assert (<big> // { a = 1; }) == (<big> // { a = 2; }); 1", "builtins.hashString \"md5\" (builtins.toXML (<big> // { a = 1; }))")
rule("strings", "builtins.substring <int> <int> <str>", "builtins.substring <int> <int> <ctx>", "builtins.substring <val> <val> <val>", "builtins.stringLength <val>", "builtins.replaceStrings [ <str> <str> ] [ <str> <ctx> ] <str>",
     "builtins.replaceStrings <list> <list> <val>", "builtins.replaceStrings [ \"\" ] [ <str> ] <str>", "builtins.replaceStrings [ \"a\" \"\" ] [ <str> \"-\" ] <str>", "builtins.concatStringsSep <str> [ <str> <val> ]", "toString <val>", "toString [ <val> <val> [ <val> ] ]",
     "\"${<val>}\"", "\"a${<val>}b\"", "''${<val>} a''", "<str> + <val>", "<val> + <str>", "<val> + <val>", "<path> + <val>", "builtins.split <re> <subject>", "builtins.match <re> <subject>", "builtins.match <val> <val>", "builtins.split <val> <val>",
     "builtins.hashString <algo> <str>", "builtins.hashString <val> <val>", "builtins.baseNameOf <val>", "builtins.dirOf <val>", "builtins.typeOf <val>", "builtins.stringLength <ctx>", "builtins.compareVersions <val> <val>", "builtins.splitVersion <val>",
     "builtins.parseDrvName <val>", "builtins.toJSON <val>", "builtins.toXML <val>", "builtins.fromJSON <json>", "builtins.fromTOML <tomldoc>", "builtins.fromJSON <val>", "builtins.fromTOML <val>", "baseNameOf <str>", "dirOf <str>", "baseNameOf \"<p><p><p>\"", "dirOf \"<p><p><p>\"",
     "builtins.toJSON [ <num> <num> ]", "[ <num> <num> <num> ]", "toString <num>", "builtins.toJSON { a = <val>; b = <set>; }", "builtins.toXML { a = <val>; b = [ <val> <fun> ]; }", "builtins.toXML <drv>", "builtins.toJSON <drv>", "builtins.placeholder <val>",
     "builtins.convertHash { hash = <hash>; toHashFormat = <fmt>; }", "builtins.convertHash { hash = <hash>; hashAlgo = <algo>; toHashFormat = <fmt>; }", "builtins.convertHash <set>", "builtins.convertHash { hash = <val>; hashAlgo = <val>; toHashFormat = <val>; }",
     "builtins.toFile <str> <str>", "builtins.toFile <val> <val>", "builtins.toFile \"a\" <ctx>", "''<ind><ind><ind><ind>''", "''\n<ind><ind>\n<ind><ind>''", "\"<esc><esc><esc>\"", "''<ind><ind>${<str>}<ind><ind>''", "''\n<ind>${<str>}\n<ind>''")
rule("p", "/", "a", ".", "..", "//", "é", "b.c")
rule("ind", "\n", "  ", " ", "a", "\t", "''$", "''${x}", "'''", "''\\n", "''\\t", "$", "$$", "$$${\"q\"}", "\\n", "\"", "' ", "é", "\n  b", "\n    c", "\r\n", "''\\r", "''\\q", "\n \n", "#", "/*", "''\\${")
rule("esc", "\\n", "\\t", "\\\\", "\\\"", "\\${a}", "$", "$$", "$${a}", "a", "é", "\n", "\\q", "''", "'", "\\r", "\t", "\r\n", "%s", "<@a>", "&", "\\'", "\r", "\x1b[31m", "\\$")
rule("algo", "\"md5\"", "\"sha1\"", "\"sha256\"", "\"sha512\"", "\"sha3\"", "\"\"", "\"SHA1\"")
rule("fmt", "\"base16\"", "\"nix32\"", "\"base32\"", "\"base64\"", "\"sri\"", "\"hex\"")
rule("hash", "\"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"", "\"d41d8cd98f00b204e9800998ecf8427e\"", "\"md5:d41d8cd98f00b204e9800998ecf8427e\"", "\"sha1:0000000000000000000000000000000000000000\"", "\"\"", "\"sha256-\"", "\"sha256:zz\"", "\"x-47\"",
     "\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"", "\"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\"", "\"md5-1B2M2Y8AsgTpgAmY7PhCfg==\"", "\"3y8bwfr609h3lh9ch0izcqq7fl\"", "\"1B2M2Y8AsgTpgAmY7PhCfg==\"", "\"sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=?x\"")
rule("re", "\"a\"", "\"<rx><rx><rx>\"", "\"(<rx>)<rx>\"", "\"<rx>|<rx>\"", "\"(<rx>|<rx>)<rx>(<rx>)\"", "\"^<rx>$\"", "\"(<rx>(<rx>)?)*\"", "\"((<rx>)|<rx>)+\"", "\"(^|<rx>)<rx>\"", "\"<rx>($|<rx>)\"")
rule("rx", "a", "b*", "[a-c]", "[^b]", ".", ".*", "a+", "b?", "x{2}", "[[:alpha:]]", "[[:digit:]]+", "\\\\.", "(a)", "a{1,2}", "[]x]", "[[:space:]]", "[a-]", "é", "[é]", "(a|b)*", "^", "$", "[[:upper:]]", "a{0}", "b{2,}", "\\\\n", "[[.a.]]", "[[=a=]]", "[[:foo:]]", "[z-a]",
     "(", ")", "*", "\\\\1", "[^[:space:]]", "()", "(a*)*", "(.*)*", "\\\\(", "[.]", "[*]", "[\\\\n]")
rule("subject", "\"abc\"", "\"\"", "\"aab\"", "\"ab ab\"", "\"xx1\"", "\"foo.bar\"", "\"a\\nb\"", "\"é\"", "\"ABC\"", "\"aaaa\"", "\"a.b.c\"", "\" x \"", "<ctx>")
rule("json", "\"<js>\"", "\"[<js>,<js>]\"", "\"{<jk>:<js>,<jk>:<js>}\"", "\" <js> <js>\"", "\"[<js><js>]\"", "\"{<jk> <js>}\"", "\"[<js>,]\"", "\"{<js>:1}\"", "\"{\\\"a\\\":{<jk>:<js>}}\"", "\"[[<js>],[<js>\"", "\"\"")
rule("jk", "\\\"a\\\"", "\\\"b\\\"", "\\\"\\\"", "\\\"a b\\\"", "\\\"é\\\"")
rule("js", "1", "-1", "1.5", "1e3", "1E+2", "null", "true", "false", "\\\"a\\\"", "\\\"\\\\n\\\"", "\\\"\\\\u00e9\\\"", "\\\"\\\\ud834\\\\udd1e\\\"", "\\\"\\\\ud834\\\"", "\\\"\\\\x\\\"", "\\\"a", "[]", "{}", "[1,2]", "nul", "01", "-", "1.", "1e", "9223372036854775808",
     "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "1e999", "\n1", "tru", "\\\"\\\\u12\\\"", "+1", ".5", "NaN", "\\\"\t\\\"", "\\\"\\\\/\\\"", "0.1", "-0", "-0.0", "/*1*/", "'a'", "\\\"\\\\u0000\\\"", "1.0", "1e-400", "\\u00e9", "é",
     "\\\"\\\\f\\\\r\\\\b\\\"", "\\\"\\\\u20AC\\\"", "\\\"\\\\uD800x\\\"", "\\\"\x7f\\\"", "{\\\"a\\\":1}", "[1", "]", "}", ",", ":")
rule("tomldoc", "''\n<tl>\n<tl>\n''", "''<tl>''", "''\n<tl>\n[<tk>]\n<tl>\n<tl>''", "''\n[[<tk>]]\n<tl>\n[[<tk>]]\n<tl>\n[<tk>.<tk>]\n<tl>''", "''<tl>\n<tl>\n<tl>\n<tl>''", "''[<tk>.<tk>]\n<tl>\n[<tk>]\n<tl>''")
rule("tl", "<tk> = <tv>", "<tk> = <tv>", "<tk>.<tk> = <tv>", "<tk> = [ <tv>, <tv> ]", "<tk> = { <tk> = <tv>, <tk> = <tv> }", "# c", "", "<tk> = [\n <tv>, # c\n]", "<tk> = <tv> # c", "<tk>.<tk>.<tk> = <tv>", "  <tk>   =   <tv>  ")
rule("tk", "a", "b", "c", "a-b", "\"x y\"", "'q'", "1", "d_e", "A", "\"é\"", "\"\\t\"")
rule("tv", "1", "\"a\"", "'a'", "1.5", "true", "false", "-1", "+5", "1_000", "0xff", "0xFF_0", "0o17", "0b11", "1e3", "1.5e-3", "inf", "-inf", "nan", "+inf", "\"\\u00e9\"", "\"\\U0001d11e\"", "\"\\n\\t\\\\\\\"\"", "\"\"\"\n a\n b\"\"\"", "9223372036854775807", "-9223372036854775808", "[]", "{}",
     "[ 1, 2 ]", "[ \"a\", [ 1 ] ]", "{ a = 1 }", "6.626e-34", "0", "-0", "0.0", "1_0.0_1", "''''x''''", "\"\"\"a\\\n   b\"\"\"", "1e06", "\"\\b\\f\\r\"", "5e+22")

# ---- contexts, derivations, files ----
rule("contexts", "builtins.getContext <ctx>", "builtins.hasContext <val>", "builtins.getContext <val>", "builtins.appendContext <str> (builtins.getContext <ctx>)", "builtins.appendContext <val> <val>", "builtins.appendContext \"a\" { <ckey> = <cval>; }",
     "builtins.getContext (builtins.appendContext \"a\" { <ckey> = <cval>; <ckey> = <cval>; })", "builtins.unsafeDiscardStringContext <val>", "builtins.unsafeDiscardOutputDependency <ctx>", "builtins.unsafeDiscardOutputDependency <val>", "builtins.addDrvOutputDependencies <ctx>",
     "builtins.addDrvOutputDependencies <val>", "builtins.getContext (builtins.addDrvOutputDependencies <ctx>)", "builtins.getContext (builtins.substring 0 <int> <ctx>)", "builtins.getContext (builtins.replaceStrings [ <str> ] [ <ctx> ] <ctx>)",
     "builtins.getContext (builtins.concatStringsSep <ctx> [ <ctx> <str> ])", "builtins.getContext (toString [ <ctx> <ctx> ])", "builtins.getContext (builtins.toJSON { a = <ctx>; b = [ <ctx> ]; })", "builtins.getContext (builtins.toXML <ctx>)", "builtins.getContext (baseNameOf <ctx>)",
     "builtins.getContext (dirOf <ctx>)", "builtins.hasContext (builtins.head (builtins.split \"/\" <ctx>))", "builtins.hasContext (builtins.head (builtins.match \"(.*)\" <ctx>))", "builtins.attrNames (builtins.getContext (<ctx> + <ctx>))", "builtins.getContext \"${<path>}\"",
     "<set>.${<ctx>} or 1", "{ ${<ctx>} = 1; }", "builtins.listToAttrs [ { name = <ctx>; value = 1; } ]", "builtins.getAttr <ctx> { }", "builtins.hashString \"md5\" <ctx>", "builtins.stringLength <ctx>", "<ctx> == <ctx>", "[ <ctx> ]", "builtins.storePath <val>", "builtins.storePath <ctx>",
     "builtins.pathExists <ctx>", "builtins.toFile \"x\" <ctx>", "builtins.hasAttr <ctx> { }", "builtins.catAttrs <ctx> [ ]", "builtins.compareVersions <ctx> \"1\"", "builtins.fromJSON <ctx>", "builtins.parseDrvName <ctx>", "throw <ctx>", "builtins.trace <ctx> 1", "/a + <ctx>", "./data + <ctx>",
     "builtins.getEnv <ctx>", "builtins.groupBy (x: <ctx>) [ 1 ]", "builtins.hashString <ctx> \"a\"", "builtins.placeholder <ctx>", "builtins.isString <ctx>", "import <ctx>", "builtins.readFile <ctx>")
rule("ckey", "${<str>}", "${<ctx>}", "\"/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x\"", "\"/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x.drv\"", "\"/nix/store/x\"", "\"/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x/y\"", "\"${builtins.unsafeDiscardStringContext <drv>.drvPath}\"")
rule("cval", "{ path = true; }", "{ path = <val>; }", "{ allOutputs = true; }", "{ outputs = [ \"out\" ]; }", "{ outputs = <val>; }", "{ outputs = [ \"out\" \"dev\" \"out\" ]; }", "{ }", "<val>", "{ path = true; allOutputs = true; outputs = [ \"a\" ]; }", "{ allOutputs = <val>; }", "{ foo = 1; }", "{ outputs = [ <val> ]; }")
rule("dattr", "name = <val>; ", "name = \"n\"; ", "system = <val>; ", "builder = <val>; ", "args = <list>; ", "args = [ <val> <ctx> ]; ", "outputs = <list>; ", "outputs = [ \"out\" \"dev\" ]; ", "outputs = [ <str> ]; ", "__structuredAttrs = true; ", "__structuredAttrs = <val>; ", "__ignoreNulls = true; ",
     "__ignoreNulls = <val>; ", "outputHash = <hash>; ", "outputHashAlgo = <algo>; ", "outputHashMode = \"recursive\"; ", "outputHashMode = <val>; ", "a = <val>; ", "b = <ctx>; ", "c = <list>; ", "d = null; ", "e = <set>; ", "__contentAddressed = <val>; ", "__impure = <val>; ", "f = <num>; ", "g = <path>; ", "outPath = <str>; ",
     "outputHashMode = \"flat\"; ", "outputHash = <val>; ", "passAsFile = [ \"a\" ]; ", "allowedReferences = <list>; ", "__json = <val>; ", "h = <drv>; ", "i = builtins.toFile \"q\" <ctx>; ", "name = <str>; ", "outputs = [ \"dev\" \"out\" \"dev\" ]; ", "outputs = [ \"drv\" ]; ", "exportReferencesGraph = <list>; ", "type = <val>; ")
rule("derivations", "(derivation { name = \"n\"; system = \"s\"; builder = \"b\"; <dattr>}).drvPath", "(derivation { <dattr><dattr><dattr>}).drvPath", "(derivation { name = \"n\"; system = \"s\"; builder = \"b\"; <dattr><dattr*>}).outPath", "derivation <val>",
     "(builtins.derivationStrict { name = \"n\"; system = \"s\"; builder = \"b\"; <dattr><dattr*>})", "builtins.derivationStrict <val>", "toString (derivation { system = \"s\"; builder = \"b\"; <dattr*>})", "builtins.attrNames (derivation { <dattr><dattr*>})",
     "(derivation { name = \"n\"; system = \"s\"; builder = \"b\"; __structuredAttrs = true; <dattr><dattr*>}).drvPath", "\"${derivation { name = \"n\"; system = \"s\"; builder = \"b\"; outputHash = <hash>; outputHashAlgo = <algo>; <dattr*>}}\"",
     "(derivation { name = \"n\"; system = \"s\"; builder = \"b\"; <dattr>}).dev or 1", "<drv> == <drv>", "<drv>.<n>", "import <drv>", "import <drv>.drvPath", "(import \"${<drv>.drvPath}\").outPath", "builtins.attrNames <drv>", "<drv>.all == <drv>", "(<drv> // { a = 1; }) == <drv>",
     "(builtins.derivationStrict { name = \"n\"; system = \"s\"; builder = \"b\"; outputHash = <hash>; outputHashMode = <val>; }).out", "builtins.toJSON (derivation { name = \"n\"; system = \"s\"; builder = \"b\"; <dattr>})")
rule("pathattr", "path = <val>; ", "path = ./data; ", "path = ./data/a; ", "name = <val>; ", "name = <str>; ", "filter = <fun>; ", "filter = p: t: true; ", "filter = p: t: <val>; ", "recursive = <val>; ", "recursive = false; ", "sha256 = <val>; ", "sha256 = <hash>; ", "foo = 1; ", "filter = p: t: builtins.trace \"${baseNameOf p} ${t}\" true; ",
     "path = ./data/sub; ", "path = ./data/none; ")
rule("files", "builtins.path { path = ./data/a; <pathattr>}", "builtins.path { <pathattr><pathattr>}", "builtins.path <val>", "builtins.path { path = ./data; <pathattr><pathattr>}", "\"${builtins.path { path = ./data/sub; <pathattr>}}\"", "builtins.filterSource <fun> <path>", "builtins.filterSource <val> <val>", "builtins.readFile <val>",
     "builtins.readDir <val>", "builtins.readFile <path>", "builtins.readDir <path>", "builtins.readFileType <val>", "builtins.readFileType <path>", "builtins.pathExists <val>", "builtins.pathExists <path>", "builtins.hashFile <algo> <path>", "builtins.hashFile <val> <val>", "import <val>", "import <path>", "import ./data/<mod>",
     "builtins.scopedImport <set> ./data/<mod>", "builtins.scopedImport <val> <val>", "builtins.scopedImport { import = x: \"i\"; a = <val>; } ./data/g.nix", "import ./data/i.nix <arg>", "import ./data/f.nix <val>", "(import ./data/e.nix).<n>", "\"${<path>}\"", "toString <path>", "<path> + \"/<file>\"", "<path> + <str>", "builtins.toPath <val>",
     "builtins.storePath <path>", "/a/${<val>}", "./data/${<str>}", "./q${<str>}/x", "/nonexistent/.${<str>}", "./a${<val>}b", "/a/${<path>}", "./data/sub/${\"x\"}${<str>}", "~/${<str>}", "builtins.pathExists (<path> + \"/<file>\")", "builtins.readFile (./data + \"/<file>\")", "builtins.pathExists \"<dir>/<file>\"",
     "builtins.readDir (toString <path>)", "builtins.findFile builtins.nixPath <str>", "baseNameOf <path>", "builtins.readFile \"${<path>}\"", "builtins.isPath <path>", "<path> == <path>", "builtins.pathExists \"${toString ./data}/a/\"", "builtins.pathExists \"${toString ./data}/sub/\"",
     "builtins.pathExists \"${toString ./data}/<file>/.\"", "builtins.readFileType \"${toString ./data}/<file>/\"", "builtins.fetchurl { <pathattr>}", "builtins.fetchTarball { <pathattr>}", "builtins.fetchurl <list>", "builtins.fetchTarball <num>", "builtins.fetchurl { url = <list>; }", "builtins.fetchTarball { url = <fun>; }")
rule("mod", "e.nix", "f.nix", "g.nix", "h.nix", "i.nix", "j.nix", "sub", "a", "none.nix", "link")

# ---- operators, numbers, control ----
rule("numbers", "<num> + <num>", "<num> - <num>", "<num> * <num>", "<num> / <num>", "-<num>", "<val> - <val>", "<val> * <val>", "<val> / <val>", "-<val>", "!<val>", "<num> < <num>", "<val> && <val>", "<val> || <val>", "<val> -> <val>", "if <val> then 1 else 2", "builtins.ceil <num>", "builtins.floor <num>", "builtins.add <val> <val>",
     "builtins.sub <val> <val>", "builtins.mul <num> <num>", "builtins.div <num> <num>", "builtins.bitAnd <val> <val>", "builtins.bitOr <int> <int>", "builtins.bitXor <int> <int>", "builtins.lessThan <val> <val>", "[ (<num> / <num>) (<num> * <num>) ]", "toString (<num> * <num>)", "builtins.toJSON (<num> * <num>)", "99999999999999999999", "1.e5", "1.5e", ".e1",
     "1.5.a", "01", "0x1", "1_000", "1e5", "1.", "- 1", "--1", "!!true", "1 - -1", "-<num> - <num>", "builtins.ceil <val>", "builtins.floor (<float> * <float>)", "builtins.isFloat (<num> + <num>)", "1.7976931348623157e309", "builtins.mul 4611686018427387904 2", "builtins.sub (-9223372036854775807) 2", "9223372036854775807 + 1", "-(-9223372036854775807 - 1)",
     "(-9223372036854775807 - 1) / -1", "<cmp>", "assert <cmp>; 1", "assert <val> == <val>; 1", "assert <list> == <list>; 1", "assert <set> == <set>; 1", "assert <val>; 1", "assert { a = <val>; b = <val>; } == { a = <val>; b = <val>; }; 1", "assert [ <val> { a = <val>; } ] == [ <val> { a = <val>; } ]; 1", "assert <drv> == <drv>; 1", "assert <num> == <num>; 1",
     "assert !(<cmp>); 1", "assert (<cmp>) && <cmp>; 1", "assert (<cmp>) -> false; 1", "assert <set> ? <n>; 1")
rule("control", "builtins.trace <val> 1", "builtins.trace { a = <val>; b = [ <val> ]; } 1", "builtins.traceVerbose <val> 1", "builtins.warn <val> 1", "builtins.warn \"a\\nb\" 1", "builtins.break 1", "throw <val>", "abort <val>", "builtins.tryEval <val>", "builtins.tryEval (builtins.deepSeq <val> 1)", "builtins.tryEval (<cmp>)", "builtins.tryEval (assert <cmp>; 1)",
     "builtins.tryEval (<call>)", "builtins.tryEval (<scope>)", "builtins.addErrorContext <val> <val>", "builtins.addErrorContext \"c\" (throw <str>)", "builtins.tryEval (import ./data/j.nix)", "builtins.functionArgs <fun>", "builtins.isFunction <val>", "builtins.typeOf <val>", "builtins.isAttrs <val>", "builtins.seq <val> 1", "builtins.deepSeq [ <val> <val> ] 1",
     "let f = n: if n == 0 then <val> else f (n - 1); in f 5", "builtins.foldl' (a: b: a + b) <val> [ <val> <val> ]", "builtins.langVersion", "builtins.storeDir", "builtins.nixVersion", "builtins.getEnv <val>", "builtins.currentSystem", "builtins ? <n>", "builtins.<n>", "builtins.<n> or 3", "builtins.isNull <val>", "isNull <val>",
     "if <cmp> then <val> else <val>", "(x: x x) (x: 1)", "let f = x: f; in f 1 2 == f", "{ __toString = <val>; } + \"\"", "\"${{ __toString = <fun>; }}\"", "\"${{ outPath = <val>; }}\"", "toString { outPath = <val>; __toString = <fun>; }", "builtins.toJSON { outPath = <val>; __toString = <fun>; }",
     "builtins.concatStringsSep \",\" [ { outPath = <val>; } ]", "[ { __toString = s: s.<n>; a = <val>; } ] == <list>", "builtins.trace (<list>) <val>", "builtins.trace \"<esc><esc>\" 1", "throw \"<esc><esc>\"", "builtins.trace <num> 1", "builtins.functionArgs { __functor = s: { a, b ? 1 }: a; }")
rule("syntax", "a:b", "http://x.y/z?a=b", "x:x", "x : x", "{ }: 1", "{ ... }: 1", "{ a, a }: 1", "a@{ a }: 1", "{ a }@a: 1", "{ a, ... }@b: a.b.c or 1", "[ 1 2, 3 ]", "{ a = 1 }", "let in 1", "let a = 1 in a", "if 1 then 2", "(1", "1)", "{ a = ; }", "''a", "\"a", "/* a", "# c\n1", "1 # c", "/**/1", "/** d */ x: x", "a.b.", "{ a..b = 1; }", "1 2", "1 == 2 == 3", "1 < 2 < 3",
     "a ? b ? c", "!a ? b", "-1 ? a", "{ a = 1; }.a or 2 3", "[ x.a or 1 ]", "with 1", "assert true 1", "inherit a;", "{ inherit a b; inherit (c) d; }", "{ inherit; }", "{ inherit (a); }", "rec { inherit a; }", "let inherit; in 1", "a // b // c", "[ -1 ]", "[ (-1) ]", "[ 1.2.3 ]", "[ a.b c.d ]", "{ \"a\" = 1; ${\"a\"} = 2; }", "<@a>", "<@a/b>", "< a >", "1<2",
     "a<@b>c", "./", "/", "a/", "a/b", "./a", "/a/./b/../c", "~/a", "~", "a+b/c", "1/2", "1 /2", "1/ 2", "6/3/1", "$a", "${a}", "\"$\"", "\"$$\"", "''$''", "''''$''", "\\", "@", "a@b", "a:", ":", "x: y: z: x", "{ a ? 1, b ? a }: b", "{ a, }: a", "{ a ? 1, }: a", "{ , }: 1", "{ a b }: 1", "or", "or or or", "a or b", "{ or = 1; }.or", "{ a = 1; }.or or 3", "{ or }: or", "x.or",
     "let or = 1; in or", "|> 1", "1 |> (x: x)", "1 <| 2", "é", "\"é\"", "\xa0", "1\r\n+\r\n2", "\ufeff1", "1 ++ 2", "++", "=", "==", "1 =", "a -> b -> c", "true -> false -> true", "a && b || c", "1 + 2 * 3 - 4 / 5", "[ 1 ] ++ [ 2 ] ++ [ 3 ]", "{ a.b = 1; a.c = 2; a = { d = 3; }; }", "{ a = { b = 1; }; a.b = 2; }", "{ a.b = 1; a.b = 2; }", "{ a = 1; a.b = 2; }",
     "{ a.\"b\" = 1; a.b = 2; }", "{ a = rec { b = 1; }; a.c = b; }", "{ a = { inherit (x) y; }; a.z = 1; }", "rec { a.b = c; c = 1; a.d = c; }", "{ inherit ({ a = 1; }) a; a = 2; }", "{ a = 1; inherit a; }", "let a = 1; a = 2; in a", "let a.b = 1; a.c = 2; in a", "let { a = 1; }", "let { body = 1; a = body; }", "let ${\"a\"} = 1; in a", "let ${x} = 1; in 1", "{ __curPos }: 1", "__curPos",
     "[ __curPos.line\n__curPos.column ]", "{ x = 1; }.x.y", "(<n>)", "((<n>: <n>))", "<use>", "<n>.<n>", "<n> <n>", "{ <binding*>}", "let <binding*>in <n>", "<pattern>: <use>", "''\n  <ind>\n''", "\"${<n>\"", "\"${<n>}}\"", "''${<n>''", "{ ${<n>} = 1; }", "{ \"${<n>}\" = 1; }", "\"${\"${\"a\"}\"}\"", "''${''${''a''}''}''", "{ \"a\".\"b\" = 1; }.\"a\".b", "{ a = 1; }.${\"a\"}",
     "1.0e", "1.0e+", "1.0e+5", "1.0E5", "00", "0.5", "00.5", "1..2", "...", "x...", "a'b", "'a", "_", "a-b", "a- b", "a -b", "-a", "a.b-c", "1a", "a1", "\x00", "1;", "{ }.a", "{ a = 1; } . a", "x.y.z or w", "{ a = 1; } ? a.b", "builtins . add 1 2", "import", "throw", "null.a or 1", "(x: x).a or 2", "({ a, b }: a) { a = 1; }", "let x = 1; in x; 2")

rule("form", "<call>", "<call>", "<scope>", "<scope>", "<shadow>", "<search>", "<lists>", "<lists>", "<sets>", "<sets>", "<bigs>", "<strings>", "<strings>", "<strings>", "<contexts>", "<contexts>", "<derivations>", "<files>", "<files>", "<numbers>", "<numbers>", "<control>", "<control>", "<syntax>")
rule("forms", "<form>", "[ (<form>) (<form>) ]", "{ p = <form>; q = <form>; }", "builtins.tryEval (<form>)", "let q = <form>; in q", "builtins.toJSON (<form>)", "builtins.toXML (<form>)", "(<form>) == (<form>)", "toString (<form>)", "builtins.seq (<form>) (<form>)", "map (q: <form>) [ 1 2 ]", "(<form>).<n>", "(<form>) (<form>)", "builtins.addErrorContext \"e\" (<form>)",
     "builtins.trace (<form>) 1", "if <form> then 1 else 2", "(<form>) // (<form>)", "(<form>) + (<form>)", "\"${<form>}\"", "builtins.typeOf (<form>)", "with <form>; <n>", "assert <form>; 1", "builtins.deepSeq (<form>) 1", "rec { a = <form>; b = a; }")
