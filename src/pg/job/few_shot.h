/*
 * few_shot.h: the option few_shot: before a classifier learns from few rows, its encoder learns to
 * tell their classes apart, from pairs of them, as SetFit does it (Tunstall et al., "Efficient
 * Few-Shot Learning Without Prompts"); then a logistic regression makes the head.
 */
#ifndef BERT_PG_JOB_FEW_SHOT_H
#define BERT_PG_JOB_FEW_SHOT_H

#include "pg/job/run.h"

/* More rows are not few: of each so many pairs are made. */
#define FEW_SHOT_MAX_ROWS 2000

/* How the head is made; kept: it goes on with classes of the base's. */
extern FewShotHead few_shot_head(const JobRun *run, bool kept);

/*
 * Both phases: changes weights of run->trainer, which has made no step yet. A function of the base,
 * the rows and the seed: a job that loses its worker meanwhile does it again.
 */
extern void few_shot_run(JobRun *run);

#endif
