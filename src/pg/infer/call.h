/*
 * call.h: what all text and inference functions share: a call's arena and counters, texts between
 * the database's encoding and UTF-8, inputs longer than the model, batches, arrays and rows.
 *
 * One arena per backend serves every call and is emptied when the next one begins; nothing in it
 * outlives a call, and no function here calls another's SQL in between. What is returned is
 * palloc'd.
 */
#ifndef BERT_PG_INFER_CALL_H
#define BERT_PG_INFER_CALL_H

#include "funcapi.h"
#include "portability/instr_time.h"
#include "utils/array.h"

#include "pg/model/handle.h"
#include "pg/server/values.h"

typedef struct Call
{
	ModelHandle *handle;
	Arena *arena;
	int64 texts; /* for bert.stats: inputs, tokens computed, inputs cut */
	int64 tokens;
	int64 truncations;
	instr_time started;
	/* UTF-8 that goes before each text to embed; "" for none */
	const char *prompt;
	/* the value that texts_in_groups is converting to UTF-8, which may fail; else -1 */
	int reading;
} Call;

/* model_argument: its index; NULL means the task's default. */
extern void call_begin(Call *call, FunctionCallInfo fcinfo, int model_argument, ModelTask task);
/* The same; for a *_pinned function the model must be given, by a pinned name. */
extern void call_begin_as(Call *call, FunctionCallInfo fcinfo, int model_argument, ModelTask task,
						  bool pinned);
/* The same with a model that the caller keeps pinned. */
extern void call_begin_with(Call *call, ModelHandle *handle);
/* Counts the call in bert.stats. */
extern void call_end(Call *call);

/*
 * A text argument. Positions in the core are in code points; users see characters of the database's
 * encoding.
 */
typedef struct InputText
{
	const char *utf8;
	size_t length;     /* bytes of utf8 */
	const char *bytes; /* as the database stores it */
	size_t n_bytes;
	/* (code points + 1) character where each begins; NULL: the same, or not yet made */
	const uint32_t *characters;
	bool same;              /* code points are characters */
	size_t seen_characters; /* where the last slice ended */
	size_t seen_bytes;
} InputText;

/* SQLSTATE 22021 for invalid bytes, 22P05 for characters without a place in Unicode. */
extern void input_text(const text *value, InputText *input);
/* Code point to character. */
extern int32 input_position(Call *call, InputText *input, uint32_t code_point);
/* The characters from start to end (code points), as they are in the input. */
extern text *input_slice(Call *call, InputText *input, uint32_t start, uint32_t end);

/* UTF-8 to a text of the database's encoding. */
extern text *output_text(const char *utf8, size_t length);

typedef enum Overflow
{
	OVERFLOW_TRUNCATE,
	OVERFLOW_WINDOW,
	OVERFLOW_ERROR,
	OVERFLOW_REFUSE /* as error, in functions without the argument */
} Overflow;

extern Overflow overflow_argument(FunctionCallInfo fcinfo, int argument);

/*
 * Encodes an input (pair: NULL for none) with its special tokens, as the overflow argument says;
 * counts it.
 */
extern void encode_input(Call *call, const InputText *input, const InputText *pair,
						 Overflow overflow, EncodeResult *encoded);

/* The overlap of windows or chunks of a single text: `wanted`, or less where the model is small. */
extern int window_stride(const ModelHandle *handle, int wanted);
/* Encodes a single text in overlapping windows. */
extern void encode_windows(Call *call, const InputText *input, int stride, EncodeResult *encoded);

/*
 * Inputs of one group that is computed together; text i has the windows first_window[i] ..
 * first_window[i + 1] - 1, none if it is NULL.
 */
typedef struct TextGroup
{
	size_t n_texts;
	const size_t *first_window;
	EncodeResult encoded;
} TextGroup;

typedef void (*GroupTake)(void *context, Call *call, const TextGroup *group);

/* Many inputs; at most one of prefix and pairs is given. */
typedef struct TextInputs
{
	int n;
	const Datum *values; /* (n) text */
	const bool *nulls;   /* (n) */
	const InputText
		*prefix;            /* the first text of every pair, the values being the second; or NULL */
	const Datum *pairs;     /* (n) the second texts, the values being the first; or NULL */
	const bool *pair_nulls; /* (n) inputs without a second text */
} TextInputs;

/* The elements of a text[], without pairs. */
extern void inputs_of_array(ArrayType *array, TextInputs *inputs);
/* Adds second texts; 2202E when there are not as many as first ones. */
extern void pairs_of_array(ArrayType *array, TextInputs *inputs);

/*
 * Encodes many texts and hands them over in groups of a few thousand tokens, in order. The arena is
 * rewound after each group.
 */
extern void texts_in_groups(Call *call, const TextInputs *inputs, Overflow overflow, GroupTake take,
							void *context);

/* Embeddings (texts, H) of a group, in the arena. */
extern float *group_embeddings(Call *call, const BertModel *model, const TextGroup *group,
							   Pooling pooling, bool normalize);
/*
 * Logits (texts, columns) of a head that gives one row per sequence; averaged over windows.
 * Pretraining: its next-sentence head.
 */
extern float *group_logits(Call *call, const BertModel *model, const TextGroup *group,
						   size_t *columns);
/* A group of one text. */
extern TextGroup single_group(const EncodeResult *encoded, size_t first_window[2]);

/* Raises 53200 with a hint when a forward pass would take more than bert.max_memory. */
extern void check_memory(Call *call, const BertModel *model, const Batch *batch,
						 const ForwardWants *wants, size_t n_rows);

/*
 * How alike two embeddings (n) are, as sentence-transformers' similarity functions say it; greater
 * is more alike. The cosine of embeddings without a direction is 0.
 */
extern double embedding_similarity(Similarity similarity, size_t n, const float *a, const float *b);

/*
 * Sets the call's prompt: the words, or one of the model's prompts by name, or (both NULL) the one
 * of the use; 22023 for a name that the model has not.
 */
extern void use_prompt(Call *call, const char *words, const char *name, PromptUse use);

/* The pooling argument, or what the model was made for. */
extern Pooling pooling_argument(FunctionCallInfo fcinfo, int argument, const ModelHandle *handle);
/* Whether embeddings get length 1 when nothing else is asked for: as the model's own files say. */
extern bool embeds_normalized(const ModelHandle *handle);
extern bool normalize_argument(FunctionCallInfo fcinfo, int argument, const ModelHandle *handle);

#endif
