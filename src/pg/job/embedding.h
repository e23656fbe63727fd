/*
 * embedding.h: what the task embedding takes from a model's sentence settings and from a job's
 * options.
 */
#ifndef BERT_PG_JOB_EMBEDDING_H
#define BERT_PG_JOB_EMBEDDING_H

#include "files/sentence.h"
#include "pg/job/data.h"

/* The prompts of the model that go before a row's texts; memory comes from the arena. */
extern void job_encoder_prompts(SampleEncoder *encoder, const SentenceSettings *sentence,
								Arena *arena);

/* How the model makes embeddings, and how many tokens of its prompts it does not pool. */
extern void job_embedding_settings(const SentenceSettings *sentence, const Tokenizer *tokenizer,
								   int max_length, EmbeddingOptions *out);

/*
 * The loss that the options name, or the one for these rows, with all its settings; 22023 for one
 * that does not fit them, and for a setting that it does not use. data: of the job's query.
 */
extern void job_embedding_resolve(JobOptions *options, const DataSummary *data);

/* The loss of resolved options; of others its defaults. */
extern EmbeddingLoss job_embedding_loss(const JobOptions *options);

/* 42703 where rows are texts alone, which nothing can be compared with. */
extern void job_refuse_bare_texts(EmbeddingShape shape, const char *name);

#endif
