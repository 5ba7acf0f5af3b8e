// code.c: see code.h.
#include "eval/code.h"

const uint8_t code_op_words[] = {
#define OP(name, words, text) words,
#include "eval/op.def"
#undef OP
};

int code_op_delta(const uint32_t *ip) {
  int a = (int)(*ip >> 8);
  switch ((Op)(*ip & 0xff)) {
  case OP_STR:
  case OP_INT:
  case OP_OBJ:
  case OP_IMM:
  case OP_PATH:
  case OP_GLOBAL:
  case OP_LGLOBAL:
  case OP_VAR0:
  case OP_VAR1:
  case OP_VAR2:
  case OP_VARN:
  case OP_LVAR0:
  case OP_LVAR1:
  case OP_LVAR2:
  case OP_LVARN:
  case OP_WITHVAR:
  case OP_THUNK:
  case OP_CLOSURE:
  case OP_LAZY_ADDK:
  case OP_ARG:
  case OP_ATTRS:
  case OP_CUR_POS:
  case OP_DUP:
  case OP_NAME:
  case OP_SELECT_DYN:
  case OP_SELECT_OR_DYN: return 1;
  case OP_DROP: return -a;
  case OP_DUP2: return 2;
  case OP_LIST:
  case OP_INTERP:
  case OP_INTERP_PATH: return 1 - a;
  case OP_DYNATTRS: return -2 * a;
  case OP_CALL: return -a;
  case OP_WITH:
  case OP_HAS_DYN:
  case OP_HAS_NEXT_DYN:
  case OP_JF:
  case OP_AND:
  case OP_OR:
  case OP_IMPL:
  case OP_ADD:
  case OP_SUB:
  case OP_MUL:
  case OP_DIV:
  case OP_EQ:
  case OP_LT:
  case OP_UPDATE:
  case OP_CONCAT:
  case OP_ASSERT:
  case OP_RET:
  case OP_FORMALS:
  case OP_POKE: return -1;
  case OP_ASSERT_EQ: return -4;
  case OP_ENTER:
  case OP_LET:
  case OP_LEAVE:
  case OP_OVERRIDE:
  case OP_SWAP:
  case OP_UNASKED:
  case OP_DYN_NAME:
  case OP_SELECT:
  case OP_SELECT_OR:
  case OP_HAS:
  case OP_HAS_NEXT:
  case OP_JMP:
  case OP_CHECK_BOOL:
  case OP_NOT:
  case OP_NEG:
  case OP_PIECE:
  case OP_ADD_LEFT:
  case OP_UPDATE_LEFT:
  case OP_SPARK:
  case OP_SPARK_END:
  case OP_REST:
  case OP_FORCE_AT:
  case OP_COUNT_: return 0;
  }
  return 0;
}
