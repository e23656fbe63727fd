/*
 * trainer.h: a model in training, a step at a time.
 *
 * How to use it:
 *   1. trainer_create with config, table (of the task's head) and options;
 *   2. fill the weights: for each block b, load_block or the store's bytes into
 * trainer_block(trainer, b) (table->blocks[b].elements floats), or trainer_initialize_block for
 * what the base model does not have;
 *   3. trainer_step with the samples of one optimizer step, as often as wanted. When to stop,
 * epochs, shuffling and reading samples are the caller's (see spill_shuffle);
 *   4. trainer_evaluate with held-back samples at any time; it changes nothing;
 *   5. checkpoint: trainer_state gives the byte ranges (weights that are trained, moments,
 * counters) that together with config, options and the untrained weights are the whole state. Write
 * them out in order; to resume, create the trainer the same way, fill the weights, read the same
 * bytes back into the ranges of trainer_state and call trainer_state_restored. What follows is the
 * same, bit for bit, with the same number of threads;
 *   6. the finished weights are what trainer_block gives; blocks below trainer_first_trained_block
 * are unchanged.
 *
 * The trainer starts its own threads (core/threads.h) and joins them in trainer_destroy, which must
 * be called before the arena goes; it is safe on NULL and after a failed step. A failed or
 * cancelled step leaves gradients half made but weights, moments and counters as before the step. A
 * loss or gradient that is not a number fails the step (STATUS_INVALID_DATA) before anything is
 * updated.
 *
 * Randomness: dropout and masks are a function of (seed, step, part, place). No state but the step
 * count.
 */
#ifndef BERT_TRAIN_TRAINER_H
#define BERT_TRAIN_TRAINER_H

#include "train/masking.h"
#include "train/options.h"
#include "train/samples.h"

typedef struct Trainer Trainer;

/*
 * What the trainer allocates from. state: weights, gradients and moments, trainer_memory bytes,
 * kept till the end. batch: rewound in every step. workspace and features: the trainer's alone;
 * their limits bound activations and kept features (activations that fit only when recomputed are
 * recomputed; features that do not fit are not kept).
 */
typedef struct TrainerArenas
{
	Arena *state;
	Arena *batch;
	Arena *workspace;
	Arena *features;
} TrainerArenas;

/*
 * tokenizer: for masking; may be NULL for the other heads. kernels: "auto", or a name of
 * train_kernels_choose. config, table and tokenizer must outlive the trainer. NULL and *status on
 * failure.
 */
Trainer *trainer_create(const TrainerArenas *arenas, const BertConfig *config,
						const TensorTable *table, const Tokenizer *tokenizer,
						const TrainOptions *options, const char *kernels, Status *status);
void trainer_destroy(Trainer *trainer);

float *trainer_block(Trainer *trainer, int block); /* (table->blocks[block].elements) */
void trainer_initialize_block(Trainer *trainer, int block, uint64_t seed);
int trainer_first_trained_block(const Trainer *trainer);
int64_t trainer_steps(const Trainer *trainer);   /* steps done, skipped ones too */
int64_t trainer_updates(const Trainer *trainer); /* steps that changed the weights */

typedef struct TrainSample
{
	const Sample *sample;
	uint64_t id; /* unique in the data set: names kept features, and evaluation's masks */
	/* embeddings: samples of a step with the same number, which rises from 0, are a batch */
	uint32_t batch;
} TrainSample;

typedef struct StepResult
{
	double loss;      /* mean over the labels of the whole step; NaN: it had none */
	double grad_norm; /* before clipping; NaN likewise */
	double learning_rate;
	size_t tokens;
	bool recomputed; /* activations did not fit and were made twice */
	bool skipped;    /* nothing to learn in it: it counts as a step, the weights stay */
} StepResult;

/*
 * One optimizer step on n samples, as many as batch_size and gradient_accumulation allow. A step
 * without a label that counts (nothing was masked, say) is skipped, as torch's optimizer would be.
 */
bool trainer_step(Trainer *trainer, const TrainSample *samples, size_t n, StepResult *result,
				  const MayContinue *question, Status *status);

/*
 * Predictions of one batch without dropout. Arrays live in the arena.
 *   classes, choices, values: logits row i is sample i's (choices: as many values as the sample has
 * sequences, see rows); tokens, spans: rows row_offsets[i] .. row_offsets[i+1]-1 are sample i's
 * tokens; embeddings: row_offsets[i] .. row_offsets[i+1]-1 are those of sample i's texts, without
 * a loss. Language models give loss_sum, labels and correct only.
 */
typedef struct Evaluation
{
	double loss;    /* mean of the batch, as in training */
	size_t labels;  /* it is a mean over */
	size_t correct; /* language models: right tokens */
	size_t n_columns;
	size_t *row_offsets;         /* (n + 1) */
	float *logits;               /* (row_offsets[n], n_columns); NULL for language models */
	float *next_sentence_logits; /* (n, 2) or NULL */
} Evaluation;

bool trainer_evaluate(Trainer *trainer, const TrainSample *samples, size_t n, Arena *arena,
					  Evaluation *evaluation, const MayContinue *question, Status *status);

/* The state's byte ranges, in the order in which they are to be written. */
typedef struct StateRange
{
	const char *name;
	void *bytes;
	size_t size;
} StateRange;

#define TRAINER_MAX_RANGES 5

int trainer_state(Trainer *trainer, StateRange ranges[TRAINER_MAX_RANGES]);
/* Checks what was read back into the ranges; STATUS_INVALID_DATA when it is not this trainer's. */
bool trainer_state_restored(Trainer *trainer, Status *status);

/* About the bytes that trainer_create takes from arenas->state; checked. */
bool trainer_memory(const BertConfig *config, const TensorTable *table, const TrainOptions *options,
					size_t *bytes, Status *status);

#endif
