// snippet.c: see snippet.h.
#include "eval/snippet.h"

#define APPLY_CODE(k)                                                                          \
  {                                                                                            \
    {sizeof(CodeHead) / 4, 64, CODE_THUNK, 0}, {                                               \
      OP_WORD(OP_FORCE_AT, k), OP_WORD(OP_POKE, k), OP_WORD(OP_CALL, k), OP_WORD(OP_RET, 0), 0 \
    }                                                                                          \
  }
#define REST_CODE(k)                                                     \
  {                                                                      \
    {sizeof(CodeHead) / 4, 64, CODE_THUNK, 0}, {                         \
      OP_WORD(OP_REST, k), OP_WORD(OP_CALL, k), OP_WORD(OP_RET, 0), 0, 0 \
    }                                                                    \
  }
#define CODES(X)                                                                                                 \
  {                                                                                                              \
    X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10), X(11), X(12), X(13), X(14), X(15), X(16), \
        X(17), X(18), X(19), X(20), X(21), X(22), X(23), X(24), X(25), X(26), X(27), X(28), X(29), X(30), X(31)  \
  }
const Snippet snippet_apply[SNIPPET_MAX_ARGS] = CODES(APPLY_CODE);
const Snippet snippet_rest[SNIPPET_MAX_ARGS] = CODES(REST_CODE);
const Snippet snippet_functor[SNIPPET_MAX_ARGS] = CODES(APPLY_CODE);
