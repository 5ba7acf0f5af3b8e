[
 (let f = x: x; in [f] == [f]) (let f = x: x; in f == f) (let s = { f = x: x; }; in s == s) (let s = { f = x: x; }; t = s // { a = 1; }; u = s // { a = 1; }; in t == u) (let m = { f = x: x; }; a = { p = m; }; b = { p = m; }; in a == b) (let m = { f = x: x; }; in { p = m.f; } == { p = m.f; }) (let m = { f = x: x; }; in { inherit (m) f; } == { inherit (m) f; }) ]
