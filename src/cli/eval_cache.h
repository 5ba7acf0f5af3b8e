// eval_cache.h: answers of earlier evaluations for a command: the question that an invocation asks, looking it up, recording a new answer.
//
// A command calls eval_cache_find before it starts the evaluator. When that finds nothing, everything that the session prints from then
// on (session.c, progress.c) and everything that evaluation observes is recorded until eval_cache_end.
#pragma once

#include "cli/target.h"

// `detail` distinguishes what a command does with the roots (form of output, attribute paths). True: the answer of an earlier evaluation has been
// printed, and *ret_code is its exit code; its derivations are in *ret_drvs (NULL: the command wants none). False: evaluate.
bool eval_cache_find(Session *session, const TargetRoot *roots, size_t root_count, Span detail, TargetDrvList *ret_drvs,
                     int *ret_code);
// The same for several attributes of one root, which have answers of their own: what changes for one leaves the others known, and a later invocation may ask
// for another selection of them. Where it is false, evaluate those that are not known. (Attributes of an evaluation that prints messages, or fails, share one
// answer: who would repeat a message is not known.)
bool eval_cache_find_attrs(Session *session, const TargetRoot *roots, size_t root_count, Span detail,
                           const char *const *attr_paths, size_t attr_path_count, TargetDrvList *ret_drvs,
                           int *ret_code);
bool eval_cache_attr_known(const Session *session, size_t number);
// Prints what is known of an attribute.
void eval_cache_attr_replay(Session *session, size_t number);
// What was printed since the last attribute ended, or was replayed, is the answer for this one.
void eval_cache_attr_end(Session *session, size_t number);
// All derivations that the attribute paths of the options name, known or evaluated (target_query_drvs). `unwritten` (NULL: none) says why those that are
// evaluated may not be remembered; `activity` (or NULL) is shown meanwhile.
MUST_CHECK bool eval_cache_drvs(Session *session, const TargetRoot *roots, size_t root_count, Span detail,
                                const char *activity, const char *unwritten, TargetDrvList *ret, int *ret_code);
// The same for a command that evaluates independent jobs, each of which prints at most one text. Where it is false, some of them may be known all
// the same; those print what they printed then. Jobs that are suspect are best evaluated last.
bool eval_cache_find_jobs(Session *session, const TargetRoot *roots, size_t root_count, Span detail,
                          TargetDrvList *ret_drvs, int *ret_code);
bool eval_cache_job_known(Session *session, Span name, Span *ret_output, uint32_t *ret_row_count);
uint32_t eval_cache_job_rank(Session *session, Span name); // 0: not suspect; else their order
// How much has been observed: all that a job depends on that has just ended.
uint32_t eval_cache_row_count(Session *session);
// What is printed from here on belongs to this job.
void eval_cache_put_job(Session *session, Span name, uint32_t row_count);
// The evaluation that eval_cache_find asked for has ended; `drvs` may be NULL.
void eval_cache_end(Session *session, const TargetDrvList *drvs, int code);
// An evaluation error is part of the answer, if asking again would give it again.
void eval_cache_failed(Session *session, const EvalError *error);
// For what may not be remembered.
void eval_cache_spoil(Session *session, const char *why);
// What the session prints.
void eval_cache_print(Session *session, TraceCacheKind kind, Span text);
// Where the answers are; appends.
void eval_cache_dir(Buf *ret);
