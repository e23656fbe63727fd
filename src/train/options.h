/*
 * options.h: what a training run can be told, and what each value may be: the one list of names and
 * bounds. Submission (src/pg/job) and the trainer ask the same questions of it.
 */
#ifndef BERT_TRAIN_OPTIONS_H
#define BERT_TRAIN_OPTIONS_H

#include "tokenizer/tokenizer.h"
#include "nn/loss.h"
#include "train/adamw.h"
#include "train/schedules.h"

/* Parts of a step: numbers the streams of masks and dropout. */
#define TRAIN_MAX_ACCUMULATION 4096

/* Which prompt a text has. */
typedef enum EmbeddingPrompt
{
	EMBEDDING_PROMPT_QUERY,    /* anchors */
	EMBEDDING_PROMPT_DOCUMENT, /* positives and negatives */
	EMBEDDING_PROMPT_DEFAULT,  /* all other texts */
	EMBEDDING_PROMPT_COUNT
} EmbeddingPrompt;

EmbeddingPrompt embedding_prompt(EmbeddingShape shape, size_t place);

/* What a model without a head learns. */
typedef struct EmbeddingOptions
{
	PoolingModes pooling; /* n = 0: no embeddings */
	bool normalize;
	size_t unpooled[EMBEDDING_PROMPT_COUNT]; /* tokens of the prompts that are not pooled */
	EmbeddingLoss loss;
} EmbeddingOptions;

typedef struct TrainOptions
{
	double learning_rate;
	Schedule schedule; /* with warm-up and total steps worked out by the caller */
	AdamwOptions adamw;
	double dropout; /* negative: the config's own probabilities */
	uint64_t seed;
	TrainPart part; /* TRAIN_HEAD, TRAIN_TOP or TRAIN_ALL */
	int top_layers; /* of TRAIN_TOP */
	bool freeze_embeddings;
	bool frozen_dropout; /* dropout in frozen layers too, whose outputs are not kept then */
	/*
	 * A step's samples are computed in parts of batch_size (0: all at once), at most
	 * gradient_accumulation of them. Loss and gradient are those of the whole step, whatever the
	 * parts.
	 */
	int batch_size;
	int gradient_accumulation;
	int threads;
	/* linear layers multiply in bf16; weights, gradients and all sums stay fp32 */
	bool bf16;
	/* above this a batch's activations are recomputed layer by layer; 0: no limit */
	size_t activation_bytes;
	size_t feature_bytes;    /* for outputs of the frozen layers, kept by sample; 0: none */
	double mask_probability; /* masked_lm, pretraining */
	bool whole_word_mask;
	LossSettings loss; /* its weights, one for each label, must outlive the trainer */
	EmbeddingOptions embedding;
} TrainOptions;

/*
 * The reference's fine-tuning defaults: 5e-5, linear without warm-up over total_steps, all layers,
 * one thread.
 */
TrainOptions train_options_default(int64_t total_steps);

/* "all", "head", "top:N". */
bool train_part_parse(const char *text, TrainPart *part, int *top_layers, Status *status);

/* What a number may be. */
typedef struct OptionBounds
{
	const char *name;
	double minimum;
	double maximum;
	bool above_minimum; /* greater than the minimum, not equal */
	bool below_maximum;
} OptionBounds;

/* NULL when no option that is a number has this name. */
const OptionBounds *option_bounds(const char *name);
bool option_in_bounds(const OptionBounds *bounds, double value);
/* STATUS_INVALID_ARGUMENT names the option, the value and, as a hint, the bounds. */
bool option_check(const char *name, double value, Status *status);

/*
 * Everything about the options that can be wrong for a model with this config, head and tokenizer
 * (NULL: none). trainer_create asks it, and whoever accepts options that are used later must.
 */
typedef struct TrainSubject
{
	const BertConfig *config;
	HeadKind head;
	const Tokenizer *tokenizer;
} TrainSubject;

bool train_options_validate(const TrainOptions *options, const TrainSubject *subject,
							Status *status);

#endif
