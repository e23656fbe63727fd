/*
 * sentence.h: the extra files of a sentence-transformers folder (modules.json and the files of the
 * modules that it names: 1_Pooling/config.json, 2_Dense/config.json, 3_Normalize,
 * sentence_bert_config.json), and what a model keeps of them. A module that we do not know (LSTM,
 * WordWeights ...) changes the result and is refused.
 */
#ifndef BERT_FILES_SENTENCE_H
#define BERT_FILES_SENTENCE_H

#include "files/config.h"
#include "files/source.h"

typedef enum Similarity
{
	SIMILARITY_COSINE,
	SIMILARITY_DOT,
	SIMILARITY_EUCLIDEAN, /* minus the distance */
	SIMILARITY_MANHATTAN, /* minus the sum of absolute differences */
	SIMILARITY_COUNT
} Similarity;

/* How a SPLADE model makes one row of weights of words from a row for each token. */
typedef enum SpladePooling
{
	SPLADE_NONE, /* it is none */
	SPLADE_MAX,
	SPLADE_SUM,
	SPLADE_COUNT
} SpladePooling;

typedef struct SpladeSettings
{
	SpladePooling pooling;
	bool twice; /* log(1 + log(1 + relu x)); else log(1 + relu x) */
} SpladeSettings;

typedef struct SentenceSettings
{
	bool present;         /* a sentence-transformers folder whose modules make embeddings */
	PoolingModes pooling; /* mean when not present */
	bool exclude_prompt;  /* the prompt's tokens are computed, but not pooled */
	bool normalize;       /* a Normalize module is there */
	int max_seq_length;   /* tokens; 0: not stated */
	Similarity similarity;
	int n_dense; /* after the pooling, before normalising */
	DenseModule dense[DENSE_MAX];
	SpladeSettings splade; /* of a sparse encoder, which is not present */
	/* SetFit's classifier reads embeddings of so many values; 0: there is none */
	int classified_features;
	bool classified_normalized; /* whatever normalize says of embeddings that are wanted */
	/*
	 * What a column of the store keeps, JSON: {"prompts", "default_prompt_name",
	 * "similarity_fn_name", "include_prompt", "dense", "splade", "classifier"}, those that are not
	 * defaults.
	 * NULL: nothing but defaults.
	 */
	const char *saved;
} SentenceSettings;

typedef enum PromptUse
{
	PROMPT_DEFAULT, /* default_prompt_name's */
	PROMPT_QUERY,   /* of sentence-transformers' encode_query and encode_document */
	PROMPT_DOCUMENT
} PromptUse;

/* Reads "saved" again: sets similarity, exclude_prompt, dense and splade. */
bool sentence_settings_restore(Arena *arena, SentenceSettings *settings, Status *status);

/* Takes the classifier out: what is made of the model has a head of its own, or none. */
bool sentence_settings_drop_classifier(Arena *arena, SentenceSettings *settings, Status *status);

/* The classifier's part of "saved" is set anew; the rest stays. */
bool sentence_settings_save_again(Arena *arena, SentenceSettings *settings, Status *status);

/*
 * The model's Dense modules into its config, for the tensor table. STATUS_INVALID_DATA when they do
 * not take what the pooling, or the module before, gives.
 */
bool sentence_settings_put_dense(const SentenceSettings *settings, BertConfig *config,
								 Status *status);

/*
 * Values of an embedding, for a config that has its Dense modules; 0 when the first of them does
 * not take what these poolings give.
 */
int sentence_dimensions(const BertConfig *config, const PoolingModes *pooling);

/*
 * The words that go before a text, in the arena; "" for none. name: one of the model's prompts
 * (22023 when it has none of that name), or NULL for the one of the use.
 */
bool sentence_prompt(Arena *arena, const SentenceSettings *settings, const char *name,
					 PromptUse use, const char **prompt, Status *status);

/* What the folder's other files need to know, and what nobody needs. */
typedef struct SentenceFolder
{
	const char *transformer; /* the folder with config.json, weights and tokenizer: "" for this */
	const char *dense[DENSE_MAX]; /* the folders of the Dense modules; NULL: none of their own */
	bool lowercase_first;         /* sentence_bert_config.json's do_lower_case */
	ScoreActivation score_activation; /* of a cross-encoder that sentence-transformers 6 saved */
	bool has_modules;                 /* there is a modules.json */
	FileNotes *notes;                 /* set before the call; or NULL */
} SentenceFolder;

bool sentence_settings_read(Arena *arena, ModelSource *source, SentenceFolder *folder,
							SentenceSettings *settings, Status *status);

/*
 * The longest input in tokens: max_seq_length takes the place of the tokenizer's model_max_length
 * (0: not stated), and the number of positions bounds either.
 */
int sentence_max_length(const SentenceSettings *settings, int model_max_length,
						const BertConfig *config);

#endif
