// attr_order.c: see attr_order.h.
#include "eval/attr_order.h"

#include <stdlib.h>

#include "base/mem.h"

#define ATTR_ORDER_FEW 16 // sets up to this size are sorted by insertion

typedef struct SortedAttr {
  uint64_t prefix; // the first bytes of the name, as a number: decides nearly all comparisons
  Span text;
  uint32_t index;
} SortedAttr;

static int compare_attrs(const void *a, const void *b) {
  const SortedAttr *x = a, *y = b;
  if (x->prefix != y->prefix) return x->prefix < y->prefix ? -1 : 1;
  return span_cmp(x->text, y->text);
}

static void sort_attrs(SortedAttr *attrs, uint32_t count) {
  if (count > ATTR_ORDER_FEW) {
    qsort(attrs, count, sizeof *attrs, compare_attrs);
    return;
  }
  for (uint32_t i = 1; i < count; i++) {
    SortedAttr attr = attrs[i];
    uint32_t k = i;
    for (; k && compare_attrs(&attrs[k - 1], &attr) > 0; k--) attrs[k] = attrs[k - 1];
    attrs[k] = attr;
  }
}

void attr_order_sort(const Ast *ast, const ExprAttrs *set, uint32_t *ret) {
  SortedAttr *sorted = mem_alloc_array(set->attr_count, sizeof *sorted);
  for (uint32_t i = 0; i < set->attr_count; i++) {
    Span text = ast->names[set->attrs[i].name].text;
    sorted[i] = (SortedAttr){span_head_number(text), text, i};
  }
  sort_attrs(sorted, set->attr_count);
  for (uint32_t i = 0; i < set->attr_count; i++) ret[i] = sorted[i].index;
  mem_free(sorted);
}
