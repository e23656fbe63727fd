/* score.h: an evaluation's scores in a memory context of their own, and as jsonb. */
#ifndef BERT_PG_JOB_SCORE_H
#define BERT_PG_JOB_SCORE_H

#include "train/scores.h"
#include "utils/jsonb.h"

typedef struct JobScore
{
	MemoryContext context;
	Scores *scores;
	const BertConfig *config;
	TrainTask task;
} JobScore;

extern JobScore *job_score_create(MemoryContext parent, TrainTask task, const BertConfig *config,
								  const Tokenizer *tokenizer);
/* From which probability on one of several labels counts as predicted. */
extern void job_score_threshold(JobScore *score, double threshold);
extern void job_score_add(JobScore *score, const TrainSample *samples, size_t n,
						  const Evaluation *evaluation);
/* what of embeddings counts, before anything is added; no matter to other tasks */
extern void job_score_compare_by(JobScore *score, const EmbeddingCompare *compare);
extern void job_score_finish(JobScore *score, const MayContinue *question);
extern Jsonb *job_score_json(const JobScore *score); /* {"accuracy": 0.9, ...} */
/*
 * {"confusion": {"labels", "counts"}, "worst": ...}; with too many classes for a page "confusion"
 * is
 * {"left_out": classes, "most": classes that are shown}.
 */
/* {"labels": [{"label", "count", "precision", "recall", "f1"}]} where rows have several */
extern Jsonb *job_score_details(const JobScore *score);
extern void job_score_free(JobScore *score);

#endif
