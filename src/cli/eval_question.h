// eval_question.h: the question that an invocation asks of the evaluator: all that its answer depends on besides what the evaluation observes.
//
//   question = section*, in the order of the table in the .c        section = len u32 text
#pragma once

#include "cli/target.h"

// `detail` distinguishes what the command does with the values (form of output).
void eval_question_put(Session *session, const TargetRoot *roots, size_t root_count, Span detail,
                       const char *const *attr_paths, size_t attr_path_count, Buf *ret);
// In how many ways `other` is another question, and in which ("the settings and the search path"), appended. SIZE_MAX when it is about something else altogether.
size_t eval_question_compare(Span question, Span other, Buf *ret_ways);
