/*
 * samples.h: from a row of text and labels to tokenized training samples, one function for every
 * task.
 *
 * The recipes are the reference library's fine-tuning examples (run_glue, run_swag, run_ner,
 * run_qa, run_mlm): pairs are truncated longest first, the first piece of a word carries its label
 * and the others -100, long contexts become overlapping windows whose answer is position 0 where
 * the window does not hold it, and language modelling reads long texts in consecutive windows so
 * that nothing is lost.
 */
#ifndef BERT_TRAIN_SAMPLES_H
#define BERT_TRAIN_SAMPLES_H

#include "files/config.h"
#include "tokenizer/tokenizer.h"
#include "train/options.h"
#include "train/spill.h"

typedef enum TrainTask
{
	TRAIN_SEQUENCE_CLASSIFICATION,
	TRAIN_REGRESSION,
	TRAIN_MULTIPLE_CHOICE,
	TRAIN_TOKEN_CLASSIFICATION,
	TRAIN_QUESTION_ANSWERING,
	TRAIN_MASKED_LM,
	TRAIN_CAUSAL_LM,
	TRAIN_NEXT_SENTENCE,
	TRAIN_PRETRAINING,
	TRAIN_EMBEDDING,
	TRAIN_TASK_COUNT
} TrainTask;

const char *train_task_name(TrainTask task); /* "sequence_classification" */
bool train_task_parse(const char *name, TrainTask *task, Status *status);
HeadKind train_task_head(TrainTask task);

typedef struct SampleText
{
	const char *bytes; /* UTF-8 */
	size_t length;
} SampleText;

/*
 * A sample of the task embedding is its texts, one after the other. Its labels: the class, if it
 * has one, then two for each text, from which sample_text_key makes the text's key: equal texts
 * have equal keys. Its values: the score, if it has one, or a teacher's embedding.
 */
EmbeddingShape sample_shape(const Sample *sample);
uint64_t sample_text_key(const Sample *sample, uint32_t sequence);

/* The byte at which a character begins (the end for an index past the last). */
size_t sample_text_byte(const SampleText *text, size_t character);

/* One row; which fields count depends on the task. Label ids are already looked up. */
typedef struct SampleRow
{
	uint64_t number;  /* 0-based */
	SampleText input; /* the prompt of a choice, the question of an answer */
	bool has_pair;
	SampleText pair; /* the context of an answer */
	size_t n_items;  /* choices, or words */
	const SampleText *items;
	const int32_t *item_labels; /* (n_items) label ids of the words, or LABEL_IGNORED */
	int32_t label;              /* class id, choice (0-based), or 0 "follows" / 1 "does not" */
	float value;                /* for regression */
	/* several labels: (n_label_values) 1 for those that the row has, 0 for the others; or NULL */
	const float *label_values;
	size_t n_label_values;
	/* label_values are a teacher's logits, beside the label; of texts, its embedding */
	bool taught;
	SampleText answer;   /* empty: no answer */
	size_t answer_start; /* in characters of pair */
	/*
	 * embedding: input is the anchor, a, or the labelled text; pair the positive or b; items the
	 * negatives; value the score
	 */
	EmbeddingShape shape;
} SampleRow;

/* Of a text that is shown among examples so many bytes are kept. */
#define SAMPLE_SHOWN_BYTES 400

typedef struct SampleEncoder
{
	const Tokenizer *tokenizer;
	TrainTask task;
	int max_length; /* tokens of one sequence */
	int stride;     /* tokens that neighbouring windows of a context share, at most */
	/*
	 * answers: keep what scoring them as texts needs; embedding: leave negatives out; unplaced:
	 * scored only, answer_start and the loss do not count
	 */
	bool scored;
	bool unplaced;
	/* embedding: the words that go before a text, "" for none */
	const char *prompts[EMBEDDING_PROMPT_COUNT];
	bool whole_words;   /* language models: keep where tokens lie, for masking whole words */
	uint64_t truncated; /* out: rows that lost tokens */
} SampleEncoder;

/*
 * Tokens of a prompt at the beginning of a text, special ones included; 0 for "". The prompt must
 * be one of the encoder's.
 */
bool samples_prompt_tokens(const SampleEncoder *encoder, EmbeddingPrompt prompt, Arena *arena,
						   const MayContinue *question, size_t *tokens, Status *status);

/*
 * What can be said of a row before it is encoded for training: an answer lies where answer_start
 * says, and its question leaves room for a context. As samples_encode otherwise.
 */
bool samples_check(const SampleEncoder *encoder, const SampleRow *row, Arena *arena,
				   const MayContinue *question, Status *status);

/*
 * Encodes one row and calls emit for each sample that it gives, in order. Memory comes from the
 * arena and lives until the caller rewinds it. STATUS_INVALID_ARGUMENT names the row (1-based) and
 * what is wrong with it.
 */
typedef bool (*SampleSink)(void *context, const Sample *sample, Status *status);

bool samples_encode(SampleEncoder *encoder, const SampleRow *row, Arena *arena, SampleSink emit,
					void *context, const MayContinue *question, Status *status);

#endif
