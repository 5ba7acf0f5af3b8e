"""Random Nix expressions, for tools/fuzz-diff.

`Generator(seed, number).expression()` is a tree of `Node`s. It is made after the types of the language, so that most expressions have a
value; a few of its parts are of a wrong type, throw, or name something that is not there. The same seed and number give the same expression.
"""
import random

import expression_forms

NAMES = ["a", "b", "c", "d", "x", "y", "z", "f", "s"]
ATTRS = ["a", "b", "c", "d", "x", "y", "z", "name", "value", "foo", "bar", "a-b", "a'", "_", "or", "key", "type", "left"]
FORM_NAMES = ["p", "q", "r", "k", "i", "v", "e", "g", "h", "n", "m", "fooo", "baz", "body", "fa", "Q", "k1", "k2", "k3", "k7", "zz"]
QUOTED_ATTRS = ["", "a b", "1", "é", "a.b", "if", "${x}", "\n", "with", "\"", "a\\b", "rec"]
SCALARS = ["int", "int", "float", "bool", "str", "str", "str", "null", "path"]
# How tightly the operators bind; what is looser than asked for is put in brackets.
EXPR, IMPL, OR, AND, EQ, LESS, UPDATE, NOT, PLUS, TIMES, CONCAT, HAS, NEG, APPLY, SELECT = range(15)

ESCAPES = ["\\n", "\\t", "\\r", "\\\\", "\\\"", "\\${", "$$", "$", "\\a", "''", "'", "\n", "  ", "\t", "$${", "é", "€", "𝄞", "%", "<&>", "\\$",
           "#", "/*", "//", "\\'", "\r\n", "\x7f", "\x01", "."]
INDENTED = ["\n", "\n  ", "\n    ", "\n\t", "\n \n", "  ", "''$", "'''", "''\\n", "''\\t", "''\\r", "''\\x", "$", "$$", "\\n", "\"", "'", "''${",
            "$${", "é", "\\", "#", "\r\n", "\n\n", "''\\\\", "' ", "''\\$", "''\\'"]
WORDS = ["a", "b", "ab", "abc", "foo", "bar", "x", "1", "12", "-", "_", ".", "/", " ", "A", "Z", "0", "nix", "hello-1.2.3", "1.0pre", "a/b/c", "/"]
VERSIONS = ["1", "1.2", "1.2.3", "1.2pre", "1.2pre1", "2.3a", "", "1..2", "1-2", "-1", "a", "pre", "1.02", "01", "0.0", "1.2.", "20200101", "1a2b",
            "99999999999999999999", "+", "1.2+3", "1_2"]
PACKAGES = ["hello", "hello-1.2", "a-b-c-1", "x-", "-1", "a--1", "a-1b", "firefox-bin-78.0.1", "", "-", "a-é", "foo-1-2", "0-0", "a-.1"]
PATHS = ["./data/a", "./data", "/a", "/a/b", "/", "./x", "../y", "/a/../b", "/a//b", "/.", "./.", "../.", "/a/b.nix", "a/b", "/é", "./-", "/a-b_c+d"]
# Files that tools/fuzz-diff makes beside the expressions: name -> text, None for a folder, "-> x" for a link.
FILES = {"data": None, "data/a": "hello\n", "data/empty": "", "data/b.json": "{\"a\":[1,2.5,null,\"x\"]}", "data/c.toml": "a = 1\n[b]\nc = \"d\"\n",
         "data/sub": None, "data/sub/default.nix": "{ a = 1; b = ./x; }\n", "data/sub/x": "x", "data/sub/y": "y", "data/link": "-> a", "data/broken": "-> nowhere",
         "data/e.nix": "{ a = 1; b = \"s\"; x = throw \"e\"; }\n", "data/f.nix": "x: x + 1\n", "data/g.nix": "a + 1\n", "data/h.nix": "{ a = ; }\n",
         "data/i.nix": "{ a ? 1, ... }@b: [ a b ]\n", "data/j.nix": "builtins.trace \"j\" (throw \"j\")\n"}
FILE_PATHS = ["./data/a", "./data", "./data/sub", "./data/link", "./data/b.json", "./data/empty", "./data/none", "./data/e.nix", "./data/sub/x", "./data/broken",
              "(./data + \"/a\")", "(./. + \"/data/sub\")", "\"${toString ./data}/a\"", "(toString ./data/sub)", "./data/../data/a", "./data/a/x"]
MODULES = ["./data/e.nix", "./data/f.nix", "./data/g.nix", "./data/h.nix", "./data/i.nix", "./data/j.nix", "./data/sub", "./data/a", "./data/none.nix", "./data"]
# What any builtin is called with, right or wrong: name -> number of arguments.
ARITIES = {}
for _count, _names in (
        (1, "abort attrNames attrValues baseNameOf bitAnd ceil concatLists dirOf floor fromJSON fromTOML functionArgs genericClosure getContext getEnv hasContext head "
            "import isAttrs isBool isFloat isFunction isInt isList isNull isPath isString length listToAttrs parseDrvName pathExists placeholder readDir readFile "
            "readFileType splitVersion stringLength tail throw toJSON toPath toString toXML tryEval typeOf unsafeDiscardOutputDependency "
            "unsafeDiscardStringContext addDrvOutputDependencies convertHash path derivation warn"),
        (2, "add addErrorContext all any appendContext bitAnd bitOr bitXor catAttrs compareVersions concatMap concatStringsSep deepSeq div elem elemAt filter "
            "filterSource genList getAttr groupBy hasAttr hashFile hashString intersectAttrs lessThan map mapAttrs match mul partition removeAttrs "
            "scopedImport seq sort split sub toFile trace traceVerbose unsafeGetAttrPos zipAttrsWith warn"),
        (3, "foldl' replaceStrings substring")):
    for _name in _names.split():
        ARITIES.setdefault(_name, _count)
NUMBERS = ["0", "1", "-1", "1.5", "1e3", "1E-2", "1.0", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551616",
           "0.1", "1e400", "-0", "-0.0", "123456789.125", "1e-7", "100000", "1e6", "3.14159265358979", "0.30000000000000004", "1e22", "5e-324"]
ALGORITHMS = ["md5", "sha1", "sha256", "sha512"]
TYPED_LITERALS = ["{ }", "[ ]", "null", "1", "\"\"", "(x: x)", "/a", "1.5", "true", "{ a = 1; }", "[ 1 ]", "{ outPath = \"/x\"; }",
                  "{ __toString = s: \"t\"; }", "{ __functor = s: x: x; }", "builtins.add", "(builtins.add 1)", "({ a, b ? 1 }: a)"]


class Node:
    """Text and nodes in their order. `level` says what the outermost operator is."""
    __slots__ = ("parts", "level")

    def __init__(self, level, *parts):
        self.level = level
        self.parts = list(parts)

    def text(self):
        out, todo = [], [self]
        while todo:
            item = todo.pop()
            if isinstance(item, str):
                out.append(item)
            else:
                todo.extend(reversed(item.parts))
        return "".join(out)

    def children(self):
        return [part for part in self.parts if isinstance(part, Node)]

    def copy(self):
        return Node(self.level, *[part.copy() if isinstance(part, Node) else part for part in self.parts])


def form_node(parts):
    return Node(EXPR, *[part if isinstance(part, str) else form_node(part) for part in parts])


def quoted(text):
    """A string literal that has this text as its value."""
    out = text.replace("\\", "\\\\").replace("\"", "\\\"").replace("${", "\\${")
    return "\"" + out + "\""


def list_of(item):
    return ("list", item)


def set_of(**attrs):
    return ("set", attrs)


def function(argument, result):
    return ("fun", argument, result)


class Generator:
    def __init__(self, seed, number, forms=0.3):
        """`forms`: what part of the expressions comes from expression_forms.py."""
        self.forms = forms
        self.random = random.Random("%s/%s" % (seed, number))
        self.left = self.random.choice([6, 12, 25, 40, 60])
        self.errors = self.random.choice([0.0, 0.0, 0.01, 0.03])
        self.scope = {}
        self.in_with = set()

    # Choices

    def chance(self, part):
        return self.random.random() < part

    def pick(self, items):
        return items[int(self.random.random() * len(items))]

    def number(self, low, high):
        return self.random.randint(low, high)

    def a_type(self, depth=2):
        if depth == 0 or self.chance(0.6):
            return self.pick(SCALARS)
        kind = self.number(0, 4)
        if kind <= 1:
            return list_of(self.a_type(depth - 1))
        if kind <= 3:
            return ("set", {self.pick(ATTRS): self.a_type(depth - 1) for _ in range(self.number(0, 3))})
        return function(self.a_type(0), self.a_type(depth - 1))

    # Entry

    def expression(self):
        if self.chance(self.forms):
            return form_node(expression_forms.expand(self.random, "forms"))
        kind = self.a_type(3)
        return self.of(kind, self.number(2, 7))

    def at(self, level, kind, depth):
        """Of this type, in brackets where its operators bind less than `level`."""
        return self.bracketed(level, self.of(kind, depth))

    def bracketed(self, level, node):
        if node.level < level and not self.chance(0.01) or self.chance(0.02):
            return Node(SELECT, "(", node, ")")
        return node

    def of(self, kind, depth):
        self.left -= 1
        if self.left <= 0:
            depth = 0
        if self.chance(self.errors):
            return self.wrong(depth)
        if kind == "any":
            kind = self.a_type()
        if kind == "num":
            kind = self.pick(["int", "int", "float"])
        if self.chance(0.25) and self.scope:
            found = self.variable(kind)
            if found is not None:
                return found
        if depth > 0 and self.chance(0.35):
            return self.general(kind, depth - 1)
        name = kind if isinstance(kind, str) else kind[0]
        return getattr(self, "make_" + name)(kind, depth - 1)

    def variable(self, kind):
        fitting = [name for name, known in self.scope.items() if known == kind]
        return Node(SELECT, self.pick(fitting)) if fitting else None

    def wrong(self, depth):
        kind = self.number(0, 9)
        if kind == 0:
            return Node(APPLY, "throw ", self.at(SELECT, "str", depth - 1))
        if kind == 1:
            return Node(APPLY, "builtins.abort ", self.at(SELECT, "str", depth - 1))
        if kind == 2:
            return Node(EXPR, "assert ", self.of("bool", depth - 1), "; ", self.of("any", depth - 1))
        if kind == 3:
            return Node(SELECT, self.at(SELECT, "any", depth - 1), ".", self.pick(ATTRS))
        if kind == 4:
            return Node(SELECT, self.pick(TYPED_LITERALS))
        if kind == 5:
            return Node(APPLY, self.at(APPLY, "any", depth - 1), " ", self.at(SELECT, "any", depth - 1))
        return self.of(self.a_type(), depth - 1) if depth > 0 else Node(SELECT, self.pick(TYPED_LITERALS))

    # What can have any type

    def bind(self, names):
        """Lexical variables are added to the scope; gives back the scope as it was."""
        before = dict(self.scope), set(self.in_with)
        for name, kind in names.items():
            self.scope[name] = kind
            self.in_with.discard(name)
        return before

    def restore(self, before):
        self.scope, self.in_with = before

    def general(self, kind, depth):
        return getattr(self, self.pick(GENERAL))(kind, depth)

    def any_if(self, kind, depth):
        return Node(EXPR, "if ", self.of("bool", depth), " then ", self.of(kind, depth), " else ", self.of(kind, depth))

    def any_let(self, kind, depth):
        names = self.random.sample(NAMES, self.number(1, 3))
        kinds = {name: self.a_type() for name in names}
        parts = ["let "]
        before = self.bind({})
        for name in names:
            if self.chance(0.12) and name in self.scope:
                kinds[name] = self.scope[name]
                parts.append("inherit %s; " % name)
                continue
            if self.chance(0.3):
                self.bind({name: kinds[name]})  # used before it is defined, or by itself
            parts += [name, " = ", self.of(kinds[name], depth), "; "]
        self.restore(before)
        before = self.bind(kinds)
        if self.chance(0.06):
            node = Node(SELECT, *parts[0:0], "let { ", *parts[1:], "body = ", self.of(kind, depth), "; }")
        else:
            node = Node(EXPR, *parts, "in ", self.of(kind, depth))
        self.restore(before)
        return node

    def any_with(self, kind, depth):
        attrs = {name: self.a_type() for name in self.random.sample(NAMES, self.number(1, 2))}
        opened = self.at(EXPR, ("set", attrs), depth)
        before = dict(self.scope), set(self.in_with)
        for name, known in attrs.items():
            if name not in self.scope or name in self.in_with:
                self.scope[name] = known
                self.in_with.add(name)
        node = Node(EXPR, "with ", opened, "; ", self.of(kind, depth))
        self.restore(before)
        return node

    def any_assert(self, kind, depth):
        condition = Node(SELECT, "true") if self.chance(0.7) else self.of("bool", depth)
        return Node(EXPR, "assert ", condition, "; ", self.of(kind, depth))

    def any_apply(self, kind, depth):
        argument = self.a_type()
        return Node(APPLY, self.at(SELECT, function(argument, kind), depth), " ", self.at(SELECT, argument, depth))

    def any_select(self, kind, depth):
        name = self.pick(ATTRS[:-2])
        attrs = {name: kind}
        if self.chance(0.4):
            attrs[self.pick(ATTRS)] = self.a_type()
            attrs[name] = kind
        node = self.at(SELECT, ("set", attrs), depth)
        how = self.number(0, 5)
        if how == 0:
            return Node(SELECT, node, ".${", self.string_of(name), "}")
        if how == 1:
            return Node(SELECT, node, ".", self.attr_text(name), " or ", self.at(SELECT, kind, depth))
        if how == 2:
            other = self.at(SELECT, "any", depth)
            return Node(SELECT, other, ".", self.attr_text(self.pick(ATTRS)), ".", self.attr_text(name), " or ", self.at(SELECT, kind, depth))
        if how == 3:
            return Node(APPLY, "builtins.getAttr ", self.string_of(name), " ", node)
        return Node(SELECT, node, ".", self.attr_text(name))

    def any_list(self, kind, depth):
        how = self.number(0, 3)
        items = self.items(kind, depth, 1, 3)
        if how == 0:
            return Node(APPLY, "builtins.head ", items)
        count = len(items.children())
        if how == 1:
            index = self.number(0, count - 1) if not self.chance(0.03) else self.number(-2, 5)
            index_text = str(index) if index >= 0 else "(%d)" % index
            return Node(APPLY, "builtins.elemAt ", items, " ", index_text)
        if how == 2:
            return Node(APPLY, "builtins.foldl' (", self.lambda_of([kind, kind], kind, depth), ") ", self.at(SELECT, kind, depth), " ", items)
        return Node(APPLY, "builtins.head (builtins.sort (", self.comparator(kind, depth), ") ", items, ")")

    def any_seq(self, kind, depth):
        return Node(APPLY, self.pick(["builtins.seq ", "builtins.deepSeq "]), self.at(SELECT, "any", depth), " ", self.at(SELECT, kind, depth))

    def any_trace(self, kind, depth):
        if self.chance(0.5):
            return Node(APPLY, "builtins.trace ", self.at(SELECT, self.pick(["str", "int"]), 0), " ", self.at(SELECT, kind, depth))
        return Node(APPLY, "builtins.addErrorContext ", self.at(SELECT, "str", 0), " ", self.at(SELECT, kind, depth))

    def any_try(self, kind, depth):
        if self.chance(0.3):
            return Node(EXPR, "let r = builtins.tryEval ", self.at(SELECT, kind, depth), "; in if r.success then r.value else ",
                        self.of(kind, depth))
        return Node(SELECT, "(builtins.tryEval ", self.at(SELECT, kind, depth), ").value")

    def any_builtin(self, kind, depth):
        """A builtin with arguments of any types: mostly an error. Its value is not of `kind`, so it is looked at by something that takes all."""
        name = self.pick(list(ARITIES))
        parts = ["builtins.", name]
        for _ in range(ARITIES[name] - (1 if ARITIES[name] > 1 and self.chance(0.05) else 0)):
            parts += [" ", Node(SELECT, self.pick(TYPED_LITERALS)) if self.chance(0.3) else self.at(SELECT, "any", min(depth, 1))]
        call = Node(APPLY, *parts)
        how = self.number(0, 3)
        if how == 0:
            return Node(EXPR, "let r = builtins.tryEval (", call, "); in if r.success then ", self.of(kind, depth - 1), " else ", self.of(kind, depth - 1))
        if how == 1:
            return Node(APPLY, "builtins.seq (", call, ") ", self.at(SELECT, kind, depth - 1))
        if how == 2:
            return Node(APPLY, "(x: y: y) (", call, ") ", self.at(SELECT, kind, depth - 1))
        return Node(SELECT, "(builtins.head [ ", self.at(SELECT, kind, depth - 1), " (", call, ") ])")

    def any_deep(self, kind, depth):
        """The value at the end of a chain of sets, lists or functions."""
        count = self.number(2, 12)
        how = self.number(0, 2)
        inner = self.at(SELECT, kind, depth)
        if how == 0:
            return Node(SELECT, "({ a = " * count, inner, "; })" * count, ".a" * count)
        if how == 1:
            return Node(APPLY, "(builtins.head [ " * count, inner, " ])" * count)
        return Node(APPLY, "(x: x) (" * count, inner, ")" * count)

    def any_dynamic(self, kind, depth):
        """A path of attributes of which some have computed names."""
        names = [self.pick(ATTRS[:-2]) for _ in range(self.number(2, 4))]
        parts = ["{ "]
        for index, name in enumerate(names):
            parts.append(("." if index else "") + (self.attr_text(name) if self.chance(0.7) else "${" + quoted(name) + "}"))
        parts += [" = ", self.of(kind, depth), "; }"]
        path = []
        for name in names if not self.chance(0.05) else names[:-1] + [self.pick(ATTRS)]:
            path += ["."] + ([self.attr_text(name)] if self.chance(0.5) else ["${", self.string_of(name), "}"])
        if self.chance(0.2):
            path += [" or ", self.at(SELECT, kind, depth - 1)]
        return Node(SELECT, "(", *parts, ")", *path)

    def any_file(self, kind, depth):
        """What a file gives is of any type."""
        how = self.number(0, 4)
        if how <= 1:
            value = Node(APPLY, "import ", self.pick(MODULES))
        elif how == 2:
            value = Node(APPLY, "builtins.scopedImport ", self.at(SELECT, ("set", {"a": "int"}), min(depth, 1)), " ", self.pick(MODULES))
        else:
            value = Node(APPLY, self.pick(["builtins.readFile ", "builtins.readDir ", "builtins.readFileType ", "builtins.hashFile \"sha256\" ", "builtins.pathExists ",
                                           "builtins.filterSource (p: t: true) ", "builtins.fromJSON (builtins.readFile ./data/b.json) == ", "toString "]),
                         self.pick(FILE_PATHS))
        return Node(APPLY, "builtins.seq (", value, ") ", self.at(SELECT, kind, depth))

    def any_functor(self, kind, depth):
        argument = self.a_type(0)
        return Node(APPLY, "{ __functor = self: ", self.of(function(argument, kind), depth), "; } ", self.at(SELECT, argument, depth))

    def any_rec(self, kind, depth):
        names = self.random.sample(NAMES, 2)
        kinds = {names[0]: self.a_type(), names[1]: kind}
        first = self.of(kinds[names[0]], depth)
        before = self.bind(kinds if self.chance(0.1) else {names[0]: kinds[names[0]]})
        parts = ["rec { ", names[0], " = ", first, "; ", names[1], " = ", self.of(kind, depth), "; "]
        if self.chance(0.1):
            parts += ["__overrides = { ", names[0], " = ", self.of(kinds[names[0]], 0), "; }; "]
        self.restore(before)
        return Node(SELECT, *parts, "}.", names[1])

    def any_import(self, kind, depth):
        """scopedImport of what is not a file, and builtins that fail on purpose, are left to `wrong`."""
        return self.any_let(kind, depth)

    # Functions

    def lambda_of(self, arguments, result, depth):
        """`x: y: ...` for arguments of these types."""
        if not arguments:
            return self.of(result, depth)
        first = arguments[0]
        if isinstance(first, tuple) and first[0] == "set" and self.chance(0.6):
            return self.pattern(first, arguments[1:], result, depth)
        name = self.pick(NAMES + ["_"])
        before = self.bind({name: first} if name != "_" else {})
        node = Node(EXPR, name, ": ", self.lambda_of(arguments[1:], result, depth))
        self.restore(before)
        return node

    def pattern(self, kind, rest, result, depth):
        names = {name: known for name, known in kind[1].items() if name in NAMES}
        fields, bound = [], {}
        for name, known in names.items():
            if fields:
                fields.append(", ")
            fields.append(name)
            if self.chance(0.3):
                fields += [" ? ", self.of(known, 0)]
            bound[name] = known
        if self.chance(0.4):
            extra = self.pick([name for name in NAMES if name not in names])
            known = self.a_type(0)
            if fields:
                fields.append(", ")
            fields += [extra, " ? ", self.of(known, min(depth, 1))]
            bound[extra] = known
        if len(names) < len(kind[1]) or self.chance(0.3):
            if not self.chance(self.errors):
                fields += [", " if fields else "", "..."]
        text = ["{ ", *fields, " }"]
        if self.chance(0.25):
            alias = self.pick([name for name in NAMES if name not in bound])
            bound[alias] = kind
            text = [alias, "@", *text] if self.chance(0.5) else [*text, "@", alias]
        before = self.bind(bound)
        node = Node(EXPR, *text, ": ", self.lambda_of(rest, result, depth))
        self.restore(before)
        return node

    def make_fun(self, kind, depth):
        return self.lambda_of([kind[1]], kind[2], depth)

    def comparator(self, kind, depth):
        if self.chance(0.7) and kind in ("int", "float", "str", "path"):
            return self.pick([Node(SELECT, "builtins.lessThan"), Node(EXPR, "a: b: a > b"), Node(EXPR, "a: b: a < b"), Node(EXPR, "a: b: !(a < b)")])
        return self.lambda_of([kind, kind], "bool", min(depth, 1))

    # Scalars

    def make_int(self, kind, depth):
        if depth < 0 or self.chance(0.2):
            value = self.pick([0, 1, 2, 3, 5, 7, 10, 42, 64, 100, 255, 1000, 4294967296, 9223372036854775807]) if self.chance(0.7) else self.number(0, 20)
            if self.chance(0.1):
                return Node(NEG, "-", str(value))
            return Node(SELECT, str(value))
        return self.call(INTS, depth)

    def make_float(self, kind, depth):
        if depth < 0 or self.chance(0.3):
            return Node(SELECT, self.pick(["0.0", "1.0", "1.5", ".5", "3.", "1.0e3", "1.0e-5", "2.5e10", "0.1", "123456.789", "1.0e100", "1.e2", "0.3333333333"]))
        return self.call(FLOATS, depth)

    def make_bool(self, kind, depth):
        if depth < 0 or self.chance(0.1):
            return Node(SELECT, self.pick(["true", "false"]))
        return self.call(BOOLS, depth)

    def make_null(self, kind, depth):
        return Node(SELECT, "null")

    def make_path(self, kind, depth):
        if depth < 0 or self.chance(0.6):
            return Node(SELECT, self.pick(PATHS))
        how = self.number(0, 3)
        if how == 0:
            return Node(PLUS, self.at(PLUS, "path", depth), " + ", quoted(self.pick(["/a", "b", "/../c", ".nix", "", "/", "//x/."])))
        if how == 1:
            return Node(SELECT, "/a/${", self.of("str", 0), "}", self.pick(["", "/x", "b", ".nix"]))
        if how == 2:
            return Node(APPLY, "builtins.dirOf ", self.at(SELECT, "path", depth))
        return Node(PLUS, self.at(PLUS, "path", depth), " + ", self.at(TIMES, "str", 0))

    def make_str(self, kind, depth):
        if depth < 0 or self.chance(0.2):
            return self.string(depth)
        return self.call(STRINGS, depth)

    def string(self, depth):
        if self.chance(0.15):
            return self.indented(depth)
        if self.chance(0.03):
            return Node(SELECT, self.pick(["http://a/b", "x:y", "mailto:a@b", "a+b://c?d=e&f"]))
        parts = ["\""]
        for _ in range(self.number(0, 3)):
            if self.chance(0.25) and depth > -3:
                parts += ["${", self.of(self.pick(["str", "str", "str", "path", "drv"]) if self.chance(0.3) else "str", min(depth, 2) - 1), "}"]
            else:
                parts.append(self.pick(ESCAPES) if self.chance(0.3) else self.pick(WORDS))
        return Node(SELECT, *parts, "\"")

    def indented(self, depth):
        parts = ["''"]
        for _ in range(self.number(0, 7)):
            how = self.number(0, 9)
            if how == 0:
                parts += ["${", self.of("str", min(depth, 1) - 1), "}"]
            elif how < 6:
                parts.append(self.pick(INDENTED))
            else:
                parts.append(self.pick(WORDS))
        text = parts[-1]
        if isinstance(text, str) and (text.endswith("'") or text.endswith("$")) or text == "''":
            parts.append(" ")
        return Node(SELECT, *parts, "''")

    def string_of(self, text):
        """An expression for this very string."""
        if self.chance(0.2) and len(text) > 1:
            cut = self.number(0, len(text))
            return Node(SELECT, "(", quoted(text[:cut]), " + ", quoted(text[cut:]), ")")
        return Node(SELECT, quoted(text))

    def attr_text(self, name):
        plain = all(c.isalnum() and c.isascii() or c in "_-'" for c in name) and name and not name[0].isdigit() and name not in (
            "if", "then", "else", "with", "let", "in", "rec", "inherit", "assert", "or")
        if not plain or self.chance(0.15):
            return quoted(name)
        if self.chance(0.05):
            return "${" + quoted(name) + "}"
        return name

    # Lists and sets

    def items(self, kind, depth, low, high):
        parts = ["[ "]
        for _ in range(self.number(low, high)):
            parts += [self.at(SELECT, kind, depth), " "]
        return Node(SELECT, *parts, "]")

    def make_list(self, kind, depth):
        if depth < 0:
            return self.items(kind[1], 0, 0, 1)
        if self.chance(0.4):
            return self.items(kind[1], depth, 0, 4)
        return self.call(LISTS, depth, kind[1])

    def make_set(self, kind, depth):
        if depth > 0 and self.chance(0.3):
            return self.call(SETS, depth, kind)
        return self.set_literal(kind[1], depth)

    def set_literal(self, attrs, depth):
        recursive = self.chance(0.15)
        parts = ["rec { " if recursive else "{ "]
        before = self.bind({})
        names = list(attrs)
        if self.chance(0.15):
            names.append(self.pick(ATTRS + QUOTED_ATTRS))
        names = list(dict.fromkeys(names))
        self.random.shuffle(names)
        for name in names:
            known = attrs.get(name) or self.a_type(0)
            if recursive and name in NAMES and self.chance(0.5):
                self.bind({name: known})
            if name in self.scope and self.scope[name] == known and not recursive and self.chance(0.3):
                parts.append("inherit %s; " % name)
            elif isinstance(known, tuple) and known[0] == "set" and known[1] and self.chance(0.25):
                for inner, inner_kind in known[1].items():
                    parts += [self.attr_text(name), ".", self.attr_text(inner), " = ", self.of(inner_kind, depth - 1), "; "]
            elif self.chance(0.05):
                parts += ["inherit (", self.at(EXPR, ("set", {name: known}), depth - 1), ") ", self.attr_text(name), "; "]
            elif self.chance(0.05):
                parts += ["${", self.string_of(name), "} = ", self.of(known, depth - 1), "; "]
            else:
                parts += [self.attr_text(name), " = ", self.of(known, depth - 1), "; "]
        if self.chance(0.02):
            parts += ["${", self.pick(["null", "\"\"", "(null)", "\"q\""]), "} = ", self.of("any", 0), "; "]
        self.restore(before)
        return Node(SELECT, *parts, "}")

    def make_drv(self, kind, depth):
        """A string with context: an output of a derivation, its name or a file of the store."""
        name = self.pick(["p", "q", "r", "hello-1.0"])
        extra = self.pick(["", "", " x = \"1\";", " outputs = [ \"out\" \"dev\" ];", " args = [ \"a\" ];", " n = null; l = [ 1 \"b\" ]; t = true;",
                           " __structuredAttrs = true; v = { a = 1; };", " outputHash = \"0000000000000000000000000000000000000000000000000000\"; "
                           "outputHashAlgo = \"sha256\";"])
        drv = "(derivation { name = \"%s\"; system = \"s\"; builder = \"b\";%s })" % (name, extra)
        how = self.number(0, 7)
        if how == 0:
            return Node(SELECT, drv, ".drvPath")
        if how == 1:
            return Node(SELECT, drv, ".outPath")
        if how == 2:
            return Node(SELECT, "\"${", drv, "}/x\"")
        if how == 3:
            return Node(APPLY, "builtins.toFile \"t\" ", self.string_of(self.pick(WORDS)))
        if how == 4:
            return Node(APPLY, "builtins.unsafeDiscardOutputDependency ", drv, ".drvPath")
        if how == 5:
            return Node(APPLY, "builtins.addDrvOutputDependencies (builtins.unsafeDiscardOutputDependency ", drv, ".drvPath)")
        if how == 6 and depth > 0:
            return Node(PLUS, self.at(PLUS, "drv", depth - 1), " + ", self.at(TIMES, "drv", depth - 1))
        return Node(SELECT, "(", drv, " // ", self.of("set" and ("set", {"a": "int"}), 0), ").outPath")

    # Calls from tables: a template in which {type} is an argument, {@name} text from a method, {?type} a part of an operator

    def call(self, table, depth, item=None):
        template = self.pick(table)
        level, parts = template
        out = []
        for part in parts:
            if isinstance(part, str):
                out.append(part)
            elif part[0] == "text":
                out.append(getattr(self, "text_" + part[1])())
            else:
                kind = part[1]
                if kind == "item":
                    kind = item
                elif kind == "items":
                    kind = list_of(item)
                elif kind == "listsofsets":
                    kind = list_of(("set", {self.pick(ATTRS): item}))
                elif kind == "listsoflists":
                    kind = list_of(list_of(item))
                elif isinstance(kind, tuple) and "item" in kind:
                    kind = tuple(item if k == "item" else k for k in kind)
                if kind == "item2":
                    kind = self.random.choice(["num", list_of("num"), ("set", {"a": "num", "type": "str"})])
                elif kind == "listsofints":
                    kind = list_of(list_of("num"))
                if kind == "compare":
                    out.append(Node(SELECT, "(", self.comparator(item, depth), ")"))
                    continue
                if isinstance(kind, tuple) and kind[0] == "lambda":
                    kinds = [item if k == "item" else list_of(item) if k == "items" else k for k in kind[1:]]
                    out.append(Node(SELECT, "(", self.lambda_of(kinds[:-1], kinds[-1], depth), ")"))
                    continue
                out.append(self.at(part[0], kind, depth))
        return Node(level, *out)

    def text_longints(self):
        return "[ " + " ".join(str(self.number(0, 30)) for _ in range(self.number(5, 40))) + " ]"

    def text_file(self):
        return self.pick(FILE_PATHS)

    def text_word(self):
        return quoted(self.pick(WORDS))

    def text_attr(self):
        return quoted(self.pick(ATTRS))

    def text_attrname(self):
        return self.attr_text(self.pick(ATTRS))

    def text_version(self):
        if self.chance(0.3):
            return quoted("".join(self.pick(["1", "2", ".", "-", "a", "pre", "0", "rc"]) for _ in range(self.number(1, 6))))
        return quoted(self.pick(VERSIONS))

    def text_package(self):
        return quoted(self.pick(PACKAGES))

    def text_algorithm(self):
        return quoted(self.pick(ALGORITHMS) if not self.chance(0.02) else self.pick(["md4", "", "SHA256", "blake3"]))

    def text_path(self):
        return self.pick(PATHS)

    def text_json(self):
        return quoted(self.json(3))

    def json(self, depth):
        if self.chance(0.03):
            return self.pick(["", "{", "[1,]", "tru", "\"\\u12\"", "01", "+1", "nan", "{\"a\":}", "[1 2]", "\"\t\"", "1.", ".5", "'a'", "\"\\ud800\"",
                              "[1]x", "/**/1", "\"\\x\"", "-", "1e", "{a:1}", "{\"a\" 1}"])
        if depth == 0 or self.chance(0.4):
            return self.pick([lambda: self.pick(NUMBERS), lambda: self.pick(["true", "false", "null"]), lambda: self.json_string()])()
        space = self.pick(["", " ", "\n", "\t"])
        if self.chance(0.5):
            return "[" + (space + ",").join(self.json(depth - 1) for _ in range(self.number(0, 3))) + space + "]"
        return "{" + ("," + space).join(self.json_string() + ":" + space + self.json(depth - 1) for _ in range(self.number(0, 3))) + "}"

    def json_string(self):
        return "\"" + "".join(self.pick(["a", "b", "é", "\\n", "\\\"", "\\\\", "\\u0041", "\\u00e9", "\\ud834\\udd1e", "/", "\\/", "${", "", "\\t", "\\b", "\x7f"])
                              for _ in range(self.number(0, 3))) + "\""

    def text_toml(self):
        lines = []
        for _ in range(self.number(0, 4)):
            how = self.number(0, 7)
            if how == 0:
                lines.append("[%s]" % self.toml_key())
            elif how == 1:
                lines.append("[[%s]]" % self.toml_key())
            elif how == 2:
                lines.append("# comment")
            else:
                lines.append("%s = %s" % (self.toml_key(), self.toml_value(2)))
        return quoted("\n".join(lines))

    def toml_key(self):
        key = self.pick(["a", "b", "c", "a-b", "1", "\"x y\"", "'q'", "a.b", "a . c", "b.\"c\"", "\"\""])
        return key

    def toml_value(self, depth):
        if self.chance(0.03):
            return self.pick(["", "01", "1__0", "[1", "{a=1,}", "\"a", "nope", "1.", ".1", "+", "{a=1\n}", "''", "\"\\q\"", "2020-13-01"])
        if depth > 0 and self.chance(0.3):
            if self.chance(0.5):
                return "[ " + ", ".join(self.toml_value(depth - 1) for _ in range(self.number(0, 3))) + self.pick(["", ",", "\n"]) + " ]"
            return "{ " + ", ".join("%s = %s" % (self.toml_key(), self.toml_value(depth - 1)) for _ in range(self.number(0, 2))) + " }"
        return self.pick(["1", "-1", "+1", "1_000", "0x1F", "0o17", "0b101", "1.5", "-1e3", "1.0", "6.02e+23", "true", "false", "\"a\"", "'a\\b'", "\"\\n\\u00e9\"",
                          "\"\"\"\na\nb\"\"\"", "'''\nx'''", "\"\"\"a \\\n  b\"\"\"", "9223372036854775807", "\"\"", "'é'", "0", "1e2", "\"\\t\\\"\""])

    def text_regex(self):
        return quoted(self.regex(2))

    def regex(self, depth):
        parts = []
        for _ in range(self.number(0, 3)):
            how = self.number(0, 9) if depth > 0 else self.number(0, 5)
            if how <= 2:
                atom = self.pick(["a", "b", "1", "-", "\\.", "/", "x", " ", "\\\\", "\\(", "\\*"])
            elif how == 3:
                atom = "."
            elif how <= 5:
                atom = self.pick(["[a-z]", "[^a]", "[0-9]", "[[:alpha:]]", "[[:digit:]_]", "[]a]", "[^/]", "[a-]", "[.]", "[[:space:]]", "[A-Z0-9]"])
            elif how <= 8:
                atom = "(" + self.regex(depth - 1) + ")"
            else:
                atom = "(" + self.regex(depth - 1) + "|" + self.regex(depth - 1) + ")"
            parts.append(atom + self.pick(["", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,1}"]))
        if self.chance(0.02):
            parts.append(self.pick(["(", ")", "[", "*", "{", "{2", "\\", "a**", "[z-a]", "[[:foo:]]", "\\d", "()", "|", "^", "$", "a|*", "{1", "a{2,1}", "\\1"]))
        if self.chance(0.1):
            parts.insert(0, "^")
        if self.chance(0.1):
            parts.append("$")
        return "".join(parts)

    def text_subject(self):
        return quoted("".join(self.pick(["a", "b", "ab", "1", "12", "-", ".", "/", "x", " ", "\n", "A", "_", "foo", "é"]) for _ in range(self.number(0, 7))))

    def text_hash(self):
        return quoted(self.pick([
            "sha256:0000000000000000000000000000000000000000000000000000", "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "d41d8cd98f00b204e9800998ecf8427e", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "md5:d41d8cd98f00b204e9800998ecf8427e",
            "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "",
            "sha256:", "x"]))

    def text_format(self):
        return quoted(self.pick(["base16", "nix32", "base32", "base64", "sri", "base16", "sri", "hex"]))

    def text_source(self):
        """A literal that `unsafeGetAttrPos` can look at."""
        return self.pick(["{ a = 1; }", "{ b = 1;\n  a = 2; }", "rec { a.x = 1; a.y = 2; }", "(let x = 1; in { inherit x; a = x; })", "({ a = 1; } // { a = 2; })",
                          "{ ${\"a\"} = 1; }", "{ inherit ({ a = 1; }) a; }", "(builtins.listToAttrs [ { name = \"a\"; value = 1; } ])",
                          "(builtins.mapAttrs (n: v: v) { a = 1; })", "(removeAttrs { a = 1; b = 2; } [ \"b\" ])", "(builtins.intersectAttrs { a = 1; } { a = 2; })",
                          "(builtins.functionArgs ({ a, b ? 1 }: a))"])


def table(*rows):
    """Each row is "level template": {x} is an argument of type x that stands alone, {3:x} one in brackets where it binds less than level 3."""
    out = []
    for row in rows:
        weight = 1
        if isinstance(row, tuple):
            weight, row = row
        level, template = row.split(" ", 1)
        parts = []
        while template:
            start = template.find("<")
            while start >= 0 and not (template[start + 1:start + 2].isalpha() or template[start + 1:start + 2] == "@") or start >= 0 and ">" not in template[start:]:
                start = template.find("<", start + 1)
            if start < 0:
                parts.append(template)
                break
            end = template.index(">", start)
            parts.append(template[:start])
            inside = template[start + 1:end]
            if inside.startswith("@"):
                parts.append(("text", inside[1:]))
            else:
                name, _, need = inside.partition(":")
                parts.append((LEVELS.get(need, SELECT), parse_type(name)))
            template = template[end + 1:]
        out += [(LEVELS[level], parts)] * weight
    return out


def parse_type(name):
    if name.startswith("list."):
        return list_of(parse_type(name[5:]))
    if name.startswith("fn."):
        return tuple(["lambda"] + [parse_type(part) for part in name[3:].split(".")])
    if name == "attrs":
        return ("set", {"a": "int", "b": "str"})
    if name == "ints":
        return list_of("int")
    if name == "strs":
        return list_of("str")
    if name == "pairs":
        return list_of(("set", {"name": "str", "value": "int"}))
    return name


LEVELS = {"expr": EXPR, "impl": IMPL, "or": OR, "and": AND, "eq": EQ, "less": LESS, "update": UPDATE, "not": NOT, "plus": PLUS, "times": TIMES,
          "concat": CONCAT, "has": HAS, "neg": NEG, "apply": APPLY, "select": SELECT, "": SELECT}

GENERAL = ["any_if", "any_let", "any_let", "any_with", "any_assert", "any_apply", "any_apply", "any_select", "any_select", "any_list", "any_seq", "any_trace",
           "any_try", "any_functor", "any_rec", "any_builtin", "any_deep", "any_dynamic", "any_file"]

INTS = table(
    "plus <int:plus> + <int:times>", "plus <int:plus> - <int:times>", "times <int:times> * <int:concat>", "times <int:times> / <int:concat>", "neg -<int:neg>",
    "apply builtins.add <int> <int>", "apply builtins.sub <int> <int>", "apply builtins.mul <int> <int>", "apply builtins.div <int> <int>",
    "apply builtins.bitAnd <int> <int>", "apply builtins.bitOr <int> <int>", "apply builtins.bitXor <int> <int>", "apply builtins.length <list.any>",
    "apply builtins.stringLength <str>", "apply builtins.ceil <num>", "apply builtins.floor <num>", "apply builtins.compareVersions <@version> <@version>",
    "apply builtins.compareVersions <str> <@version>", "apply builtins.foldl' builtins.add 0 <ints>", "apply builtins.foldl' (a: b: a - b) <int> <ints>",
    "apply builtins.fromJSON <@json>", "apply builtins.length (builtins.attrNames <attrs>)", "apply builtins.fromJSON (builtins.toJSON <int>)",
    "apply builtins.stringLength (builtins.toJSON <any>)", "select (builtins.functionArgs ({ a, b ? 1 }: a)) == <attrs>", "apply builtins.langVersion or <int>",
    "select (builtins.unsafeGetAttrPos \"a\" <@source>).column", "select (builtins.unsafeGetAttrPos \"a\" <@source>).line or 0", "select __curPos.column",
    "apply <fn.int.int> <int>", "apply builtins.foldl' <fn.int.int.int> <int> <ints>")

FLOATS = table(
    "plus <num:plus> + <float:times>", "plus <float:plus> - <num:times>", "times <float:times> * <num:concat>", "times <float:times> / <num:concat>", "neg -<float:neg>",
    "apply builtins.add <float> <num>", "apply builtins.div <float> <num>", "apply builtins.fromJSON <@json>", "apply builtins.mul <num> <float>")

BOOLS = table(
    (2, "eq <any:less> == <any:less>"), "eq <any:less> != <any:less>", (2, "less <num:update> < <num:update>"), "less <str:update> <= <str:update>",
    "less <num:update> >= <num:update>", "less <str:update> > <str:update>", "less <ints:update> < <ints:update>", "less <path:update> < <path:update>",
    "and <bool:and> && <bool:eq>", "or <bool:or> || <bool:and>", "impl <bool:or> -> <bool:impl>", "not !<bool:not>", "has <attrs:has> ? <@attrname>",
    "has <any:has> ? <@attrname>.<@attrname>", "apply builtins.hasAttr <@attr> <attrs>", "apply builtins.isInt <any>", "apply builtins.isString <any>",
    "apply builtins.isAttrs <any>", "apply builtins.isList <any>", "apply builtins.isFunction <any>", "apply builtins.isFloat <any>", "apply builtins.isBool <any>",
    "apply builtins.isPath <any>", "apply isNull <any>", "apply builtins.elem <any> <list.any>", "apply builtins.elem <int> <ints>",
    "apply builtins.all <fn.int.bool> <ints>", "apply builtins.any <fn.str.bool> <strs>", "apply builtins.lessThan <num> <num>", "apply builtins.lessThan <any> <any>",
    "apply builtins.hasContext <drv>", "apply builtins.hasContext <str>", "select (builtins.tryEval <any>).success", "eq <int:less> == <float:less>",
    "eq <attrs:less> == <attrs:less>", "eq <list.any:less> == <list.any:less>", "less <list.any:update> < <list.any:update>",
    "eq builtins.functionArgs <any> == { }", "eq <drv:less> == <str:less>", "expr let f = <any>; in [ f ] == [ f ]", "expr let f = <any>; in f == f",
    "expr let f = <any>; in { a = f; } == { a = f; }", "apply builtins.pathExists <@file>", "eq <item2:less> == <item2:less>", "less <listsofints:update> < <listsofints:update>",
    "eq { a = <any>; b = <any>; } == { b = <any>; a = <any>; }", "apply builtins.all <fn.any.bool> <list.any>", "has <any:has> ? <@attrname>.${<@attr>}.<@attrname>",
    "apply builtins.elem <str> <strs>", "less <any:update> < <any:update>", "eq builtins.match <@regex> <@subject> == null")

STRINGS = table(
    (3, "plus <str:plus> + <str:times>"), (2, "apply toString <any>"), "apply toString <num>", "apply toString <list.any>", "apply builtins.concatStringsSep <@word> <strs>",
    "apply builtins.concatStringsSep <str> <list.any>", "apply builtins.substring <int> <int> <str>", "apply builtins.substring 0 2 <str>",
    "apply builtins.replaceStrings <strs> <strs> <str>", "apply builtins.replaceStrings [ <@word> <@word> ] [ <str> <str> ] <str>",
    "apply builtins.replaceStrings [ \"\" <@word> ] [ <@word> <@word> ] <str>", (2, "apply builtins.toJSON <any>"), "apply builtins.toJSON <num>", (2, "apply builtins.toXML <any>"),
    "apply builtins.hashString <@algorithm> <str>", "apply builtins.typeOf <any>", "apply baseNameOf <str>", "apply baseNameOf <path>", "apply dirOf <str>",
    "apply builtins.convertHash { hash = <@hash>; toHashFormat = <@format>; hashAlgo = <@algorithm>; }", "apply builtins.convertHash { hash = <@hash>; toHashFormat = <@format>; }",
    "apply builtins.placeholder <@word>", "apply builtins.unsafeDiscardStringContext <drv>", "apply builtins.unsafeDiscardStringContext <str>", "select \"<@attrname>\"",
    "apply toString <path>", "apply builtins.elemAt (builtins.match \"(.*)\" <str>) 0", "select (builtins.parseDrvName <@package>).version",
    "apply builtins.concatStringsSep \"\" (builtins.filter builtins.isString (builtins.split <@regex> <@subject>))", "select (builtins.toFile \"a\" <str>)",
    "apply toString { __toString = self: <str>; }", "plus <str:plus> + { outPath = <str>; }", "apply builtins.appendContext <str> (builtins.getContext <drv>)",
    "select <drv>", "apply builtins.toJSON (builtins.getContext <drv>)", "apply builtins.readFile <@file>", "apply builtins.hashFile <@algorithm> <@file>",
    "apply builtins.readFileType <@file>", "select \"${<@file>}\"", "select \"${builtins.path { path = <@file>; name = <@word>; }}\"", "apply baseNameOf <@file>", "apply dirOf <@file>",
    "apply toString (builtins.filterSource (p: t: t != \"symlink\") <@file>)", "apply builtins.toJSON (builtins.readDir <@file>)",
    "select \"${builtins.path { path = <@file>; filter = p: t: builtins.trace (baseNameOf p) (t == \"directory\"); recursive = <bool>; }}\"",
    "apply builtins.replaceStrings [ <str> <@word> <str> ] [ <str> <drv> <@word> ] \"${<str>}${<@word>}${<str>}\"", "apply builtins.substring <int> (-1) <drv>",
    "apply builtins.concatStringsSep <str> [ <drv> <str> <drv> ]", "apply builtins.toJSON { a = <any>; b = [ <any> <path> ]; c.d = <num>; }", "apply builtins.toXML { a = <any>; b = [ <any> <path> ]; c = x: x; }",
    "apply builtins.toXML ({ a, b ? 1, ... }@c: a)", "apply toString [ <any> [ <any> ] <null> <bool> ]", "apply builtins.unsafeDiscardStringContext (toString <any>)",
    "apply builtins.toJSON (builtins.tryEval <any>)", "apply builtins.toJSON (builtins.genericClosure { startSet = [ { key = <any>; } { key = <any>; } ]; operator = e: [ ]; })",
    "apply (builtins.derivation { name = <str>; system = <any>; builder = <any>; a = <any>; args = <list.any>; }).drvPath",
    "apply (builtins.derivation { name = <@word>; system = \"s\"; builder = <str>; outputs = <strs>; b = <any>; }).outPath",
    "apply (builtins.derivation { name = \"n\"; system = \"s\"; builder = \"b\"; outputHash = <@hash>; outputHashAlgo = <@algorithm>; outputHashMode = \"recursive\"; }).outPath",
    "apply (builtins.derivation { name = \"n\"; system = \"s\"; builder = \"b\"; __structuredAttrs = true; j = <any>; k = <num>; __ignoreNulls = <bool>; n = null; }).drvPath", "apply builtins.toJSON (builtins.fromJSON <@json>)", "apply builtins.toJSON (builtins.fromTOML <@toml>)",
    "apply builtins.toXML (builtins.fromTOML <@toml>)", "apply builtins.getEnv \"FIRN_FUZZ_ABSENT\"", "apply builtins.concatMap <fn.int.str> <ints>",
    "apply builtins.toJSON (builtins.match <@regex> <@subject>)", "apply builtins.toJSON (builtins.split <@regex> <@subject>)", "apply builtins.toJSON (builtins.splitVersion <@version>)",
    "apply builtins.toJSON { __toString = self: <str>; a = 1; }", "apply builtins.toJSON { outPath = <any>; a = 1; }", "apply toString { outPath = <any>; }")

LISTS = table(
    (3, "concat <items:has> ++ <items:concat>"), "apply map <fn.item.item> <items>", "apply builtins.filter <fn.item.bool> <items>", "apply builtins.genList <fn.int.item> 3",
    "apply builtins.genList (i: <item>) <int>", "apply builtins.attrValues { a = <item>; b = <item>; }", "apply builtins.concatLists <listsoflists>",
    "apply builtins.concatMap <fn.item.items> <items>", "apply builtins.tail ([ <item> ] ++ <items>)", "select (builtins.partition <fn.item.bool> <items>).right",
    "select (builtins.partition <fn.item.bool> <items>).wrong", (2, "apply builtins.sort <compare> <items>"), "apply builtins.catAttrs \"a\" [ { a = <item>; } { } { a = <item>; } ]",
    "apply builtins.attrValues (builtins.mapAttrs (n: v: v) { a = <item>; })", "apply builtins.foldl' (a: b: a ++ [ b ]) [ ] <items>",
    "apply map (e: e.key) (builtins.genericClosure { startSet = [ { key = <item>; } ]; operator = e: [ ]; })", "apply builtins.tail <items>",
    "apply map (e: e.v) (builtins.genericClosure { startSet = [ { key = <int>; v = <item>; } { key = <int>; v = <item>; } ]; operator = e: if e.key < 3 then [ { key = e.key + 1; v = e.v; } ] else [ ]; })",
    "apply map (e: e.value) [ { value = <item>; } ]", "apply builtins.sort (a: b: builtins.trace \"${toString a}-${toString b}\" (a < b)) <@longints>",
    "apply builtins.sort <fn.int.int.bool> <@longints>", "apply builtins.sort (a: b: a.k < b.k) (builtins.genList (i: { k = (i * 7) / (1 + (i - i / 3 * 3)); n = i; }) 23)",
    "apply map (e: e.key) (builtins.genericClosure { startSet = [ { key = 1; } ]; operator = e: if e.key > 20 then [ ] else [ { key = e.key * 2; } { key = e.key + 3; } ]; })",
    "apply map (e: e.key) (builtins.genericClosure { startSet = [ { key = <int>; } ]; operator = <fn.any.items>; })",
    "apply builtins.genericClosure { startSet = [ { key = [ 1 <int> ]; v = <item>; } { key = [ 1 2 ]; } ]; operator = e: [ ]; }",
    "apply builtins.concatMap <fn.item.any> <items>", "apply builtins.filter <fn.item.any> <items>", "apply builtins.attrValues <attrs>", "apply builtins.catAttrs <@attr> <listsofsets>",
    "apply builtins.genList <fn.int.item> (<int> - <int>)", "apply builtins.elemAt <listsoflists> <int>", "apply map (x: <item>) (builtins.split <@regex> <str>)", "apply builtins.concatLists [ <items> [ ] <items> ]", "apply builtins.attrValues (builtins.listToAttrs (map (x: { name = toString 1; value = x; }) <items>))",
    "apply builtins.concatLists (builtins.attrValues (builtins.groupBy <fn.item.str> <items>))")

SETS = table(
    "update <attrs:not> // <item:update>", (3, "update <item:not> // <item:update>"), "apply builtins.mapAttrs (n: v: v) <item>", "apply removeAttrs (<item:not> // { q = 1; }) [ \"q\" ]",
    "apply builtins.intersectAttrs <item> <item>", "apply builtins.removeAttrs <item> <strs>", "apply builtins.listToAttrs (map (n: { name = n; value = <item>.${n}; }) (builtins.attrNames <item>))",
    "update builtins.fromJSON <@json> // <item:update>", "update builtins.fromTOML <@toml> // <item:update>", "update builtins.tryEval <any> // <item:update>",
    "update builtins.parseDrvName <@package> // <item:update>", "update builtins.groupBy <fn.int.str> <ints> // <item:update>",
    "update builtins.zipAttrsWith (n: vs: vs) [ <attrs> <attrs> ] // <item:update>", "update builtins.functionArgs <any> // <item:update>",
    "update builtins.getContext <drv> // <item:update>", "update builtins.partition <fn.int.bool> <ints> // <item:update>", "update builtins.listToAttrs <pairs> // <item:update>",
    "apply builtins.zipAttrsWith (n: vs: builtins.head vs) [ <item> <item> ]", "update builtins.mapAttrs <fn.str.int.int> <attrs> // <item:update>",
    "update { pos = builtins.unsafeGetAttrPos \"a\" <@source>; } // <item:update>", "update { m = builtins.match <@regex> <@subject>; } // <item:update>",
    "update { s = builtins.split <@regex> <@subject>; } // <item:update>", "update { j = builtins.fromJSON <@json>; } // <item:update>",
    "update { l = builtins.genericClosure { startSet = [ { key = <any>; } ]; operator = e: [ { key = <any>; } ]; }; } // <item:update>",
    "update { v = builtins.splitVersion <@version>; d = builtins.parseDrvName <str>; } // <item:update>",
    "apply builtins.foldl' (a: b: a // b) { } [ <item> <item> ]", "update { p = __curPos; } // <item:update>")


def mutated(text, seed, number):
    """The text with some of its bytes or words deleted, doubled or replaced: mostly not an expression any more."""
    chooser = random.Random("mutate %s/%s" % (seed, number))
    tokens = ["{", "}", "(", ")", "[", "]", "\"", "''", "${", ";", ":", "@", ",", "=", ".", "...", "?", "or", "if", "then", "else", "let", "in", "with", "inherit",
              "rec", "assert", "1", "a", "x", "+", "-", "->", "//", "++", "<", "==", "!", "/a", "<a>", "1.", "a:b", "#", "/*", "*/", "\\", "\n", "\t", "|>", "~/a", "é"]
    for _ in range(chooser.randint(1, 3)):
        at = chooser.randint(0, len(text))
        how = chooser.randint(0, 3)
        if how == 0:
            text = text[:at] + text[at + chooser.randint(1, 6):]
        elif how == 1:
            text = text[:at] + chooser.choice(tokens) + text[at:]
        elif how == 2:
            text = text[:at] + " " + chooser.choice(tokens) + " " + text[at + chooser.randint(0, 3):]
        else:
            text = text[:at]
    return text
