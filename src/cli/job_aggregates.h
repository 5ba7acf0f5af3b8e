// job_aggregates.h: jobs that name other jobs as their constituents, as Hydra has them (`firn eval-jobs --constituents`). When all jobs are known, the
// derivations of those that are named become inputs of the aggregate, whose derivation changes by that.
//
// Names may be patterns of fnmatch(3) where the aggregate says so. A name that leads to nothing, or to a job that failed, is an error of the
// aggregate; aggregates that name each other in a circle are errors all together, and so are then all the others, as in nix-eval-jobs.
#pragma once

#include "cli/session.h"

typedef struct JobAggregates JobAggregates;

// What is known of an aggregate before the others are. Everything is copied.
typedef struct JobAggregate {
  Span attr, drv_path;
  const Span *constituents; // derivations
  size_t constituent_count;
  const Span *named; // jobs
  size_t named_count;
  bool globs;              // the names are patterns
  const Span *outputs;     // name, path, name, path, ...
  size_t output_count;     // of the pairs
  Span head, middle, tail; // of its line of JSON: before `constituents`, behind `drvPath`, behind `outputs`
} JobAggregate;

JobAggregates *job_aggregates_new(Session *session);
void job_aggregates_free(JobAggregates *aggregates);
// A job that is no aggregate, or names no jobs; with an empty `drv_path` one that failed.
void job_aggregates_add(JobAggregates *aggregates, Span attr, Span drv_path, Span error);
void job_aggregates_add_aggregate(JobAggregates *aggregates, const JobAggregate *aggregate);
// Appends the lines of all aggregates: those that others name first. Derivations are known (known_paths.h), not written.
MUST_CHECK bool job_aggregates_finish(JobAggregates *aggregates, Buf *ret_lines, Err *err);
// The derivation of each line afterwards that has a new one.
size_t job_aggregates_count(const JobAggregates *aggregates);
Span job_aggregates_drv_path(const JobAggregates *aggregates, size_t i);
