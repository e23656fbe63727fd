/*
 * batches.h: from samples to a packed batch with the head's targets: the one place that knows how
 * labels, masks and choices reach the network.
 */
#ifndef BERT_TRAIN_BATCHES_H
#define BERT_TRAIN_BATCHES_H

#include "train/trainer.h"

typedef struct AssembledBatch
{
	Batch batch;
	HeadTargets targets;
	size_t *sequence_offsets; /* (n + 1): sample i's sequences */
	EmbeddingShape shape;     /* of the samples of a model without a head */
	size_t n_values;          /* of each sample, in targets.values */
} AssembledBatch;

/* Where masks come from; used by the heads that predict masked tokens. */
typedef struct BatchMasks
{
	MaskingOptions options;
	uint64_t seed;
	uint64_t stream; /* of training: one for the micro-batch */
	bool by_sample;  /* of evaluation: the stream is made from each sample's id */
} BatchMasks;

typedef struct BatchRequest
{
	const BertConfig *config;
	HeadKind head;
	BatchMasks masks;
} BatchRequest;

/* Checks the samples against config and head; memory comes from the arena. */
bool batch_assemble(const BatchRequest *request, const TrainSample *samples, size_t n, Arena *arena,
					AssembledBatch *assembled, Status *status);

/* The examples of a batch of embeddings; they point into it. */
EmbeddingExamples batch_examples(const AssembledBatch *assembled);

/*
 * skip (B): the tokens of each sequence's prompt that are not pooled, but never all it has; NULL
 * where no prompt has any. unpooled: by EmbeddingPrompt.
 */
bool batch_unpooled(const AssembledBatch *assembled, const size_t unpooled[EMBEDDING_PROMPT_COUNT],
					Arena *arena, size_t **skip, Status *status);

/* tokenizer: NULL for heads that mask nothing. */
MaskingOptions batch_masking_options(const BertConfig *config, const Tokenizer *tokenizer,
									 double probability, bool whole_words);

/* offsets (n + 1): sample i's rows of the head's logits are offsets[i] .. offsets[i+1]-1. */
bool batch_row_offsets(const AssembledBatch *assembled, HeadKind head, Arena *arena,
					   size_t **offsets, Status *status);

#endif
