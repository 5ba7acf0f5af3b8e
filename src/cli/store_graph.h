// store_graph.h: closures drawn as a tree, in the language of Graphviz, and as GraphML, as nix-store prints them.
#pragma once

#include "store/store.h"

MUST_CHECK bool store_graph_tree(Store *store, const StorePath *roots, size_t count, Buf *out, Err *err);
MUST_CHECK bool store_graph_dot(Store *store, const StorePath *roots, size_t count, Buf *out, Err *err);
MUST_CHECK bool store_graph_xml(Store *store, const StorePath *roots, size_t count, Buf *out, Err *err);
