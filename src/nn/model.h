/*
 * model.h: a model ready to compute: config, kernels, and one prepared image per block.
 *
 * A prepared block is the position-independent image of one block for one precision and one kernel
 * layout: packed GEMM panels, biases, LayerNorm parameters, embedding rows (fp32, bf16, or int8
 * with a scale per row). It is written once per machine (src/pg/cache.c puts it in a file), mapped
 * read-only, and bound here without a copy. The model owns nothing; the images must outlive it.
 * Images carry no checksum of their own (the cache file does), but every offset is checked when
 * they are bound.
 */
#ifndef BERT_NN_MODEL_H
#define BERT_NN_MODEL_H

#include "kernels/kernels.h"
#include "nn/tensor_table.h"

/*
 * Version of the prepared layout made by src/nn; part of the cache file's name together with the
 * kernels' layout.
 */
#define PREPARED_VERSION 2

/* What prepared images are made for. */
typedef struct Preparation
{
	const TensorTable *table;
	const BertConfig *config;
	Precision precision;
	const Kernels *kernels;
} Preparation;

/*
 * Bytes of the prepared image of a block, and how to write it from the block's floats. image:
 * 64-byte aligned.
 */
bool prepared_size(const Preparation *preparation, int block, size_t *size, Status *status);
bool prepared_write(const Preparation *preparation, int block, const float *data, void *image,
					size_t size, const MayContinue *question, Status *status);

typedef struct PreparedImage
{
	const void *bytes; /* 64-byte aligned */
	size_t size;
} PreparedImage;

typedef struct BertModel BertModel;

/*
 * Binds the images, images[b] for table->blocks[b]. The MLM decoder of a tied head is packed inside
 * the head's own image from the word embeddings, which prepared_write of the head block needs: see
 * prepared_needs_embeddings.
 */
bool bert_model_bind(Arena *arena, const Preparation *preparation, const PreparedImage *images,
					 int n_images, BertModel **model, Status *status);

/*
 * True when the prepared image of this block also depends on the embeddings block (tied decoder).
 * Then `data` of prepared_write is the block's floats followed by the word embeddings' floats.
 */
bool prepared_needs_embeddings(const TensorTable *table, const BertConfig *config, int block);

const BertConfig *bert_model_config(const BertModel *model);
HeadKind bert_model_head(const BertModel *model);

/*
 * A packed batch: all sequences back to back, nothing padded. T = cu_seqlens[n_sequences].
 */
typedef struct Batch
{
	size_t n_sequences;            /* B */
	const int32_t *cu_seqlens;     /* (B + 1), cu_seqlens[0] = 0 */
	const int32_t *input_ids;      /* (T) */
	const int32_t *token_type_ids; /* (T) or NULL: 0 */
	/* (T) or NULL: 0 .. length-1 in each sequence, or as config_next_position counts */
	const int32_t *position_ids;
	/* (T) or NULL: 1. Keys with 0 are seen by nobody; their rows are computed all the same. */
	const uint8_t *attention_mask;
	/* decoder with cross-attention: encoder states, packed the same way; NULL otherwise */
	const float *encoder_hidden_states;    /* (T_enc, H) */
	const int32_t *encoder_cu_seqlens;     /* (B + 1) */
	const uint8_t *encoder_attention_mask; /* (T_enc) or NULL */
} Batch;

/* STATUS_INVALID_ARGUMENT for an id, type, length or position outside the model's range. */
bool batch_validate(const Batch *batch, const BertConfig *config, Status *status);

/*
 * The bucket of a key's position less the query's, of RELATIVE_BUCKETS: as T5 and MPNet have them,
 * half of them for each direction, one for each distance up to 7, then wider and wider ones up to
 * 128.
 */
#define RELATIVE_BUCKETS 32
size_t relative_bucket(int64_t distance);

typedef struct ForwardWants
{
	bool pooler_output;
	bool hidden_states;
	bool attentions;
	/*
	 * Of the last hidden states only those of each sequence's first token are read, by a pooler or
	 * a head: the others are undefined, which saves most of the last layer. Changes nothing where
	 * all hidden states are wanted, or with encoder states.
	 */
	bool first_tokens;
} ForwardWants;

typedef struct EncoderOutput
{
	float *last_hidden_state; /* (T, H) */
	float *pooler_output;     /* (B, H) or NULL */
	float *hidden_states;     /* (L + 1, T, H) or NULL */
	/* (L * B) matrices (heads, length_b, length_b), layer-major; or NULL */
	float **attentions;
} EncoderOutput;

/*
 * The bare model. All memory, scratch included, comes from the arena (rewind to free it). Asks the
 * question at least every 20 ms of compute.
 */
bool encoder_forward(const BertModel *model, const Batch *batch, const ForwardWants *wants,
					 Arena *arena, EncoderOutput *output, const MayContinue *question,
					 Status *status);

/*
 * Bytes that encoder_forward will take from the arena for this batch shape, cross-attention not
 * counted; checked arithmetic.
 */
bool encoder_forward_memory(const BertModel *model, const Batch *batch, const ForwardWants *wants,
							size_t *bytes, Status *status);

/*
 * The same for a decoder that reads on: the batch holds the next tokens of one sequence, whose keys
 * and values so far the cache holds; positions continue. With cross-attention, pass the same
 * encoder states each time: only the first call reads them. After an error the cache is as it was.
 */
typedef struct KvCache KvCache;

KvCache *kv_cache_create(const BertModel *model, size_t capacity, size_t n_encoder_tokens,
						 Arena *arena, Status *status);
bool encoder_forward_cached(const BertModel *model, const Batch *batch, KvCache *cache,
							Arena *arena, EncoderOutput *output, const MayContinue *question,
							Status *status);

/* What of the token states makes an embedding. */
typedef struct PoolCall
{
	const PoolingModes *modes; /* n: one after the other */
	/* (B) or NULL: tokens at the beginning of each sequence, fewer than it has, that do not count
	 */
	const size_t *skip;
} PoolCall;

/*
 * Pools hidden (T, H) into out (B, n H); POOLING_POOLER needs a pooler. Masked tokens do not count.
 */
bool pool_forward(const BertModel *model, const Batch *batch, const float *hidden,
				  const PoolCall *call, Arena *arena, float *out, Status *status);

/* Token states that are pooled. */
typedef struct PoolTokens
{
	size_t n;                  /* H */
	size_t n_sequences;        /* B */
	const int32_t *cu_seqlens; /* (B + 1) */
	const uint8_t *mask;       /* (T) or NULL */
	const size_t *skip;        /* (B) or NULL, as in PoolCall */
	const float *hidden;       /* (T, H) */
} PoolTokens;

/* One pooling, to the first H of each row of out (B, stride); false for POOLING_POOLER. */
bool pool_tokens(const PoolTokens *call, Pooling pooling, size_t stride, float *out);

/*
 * The Dense modules on what the pooling gave: x (m, in of the first) to out (m, out of the last);
 * there must be one. Scratch memory comes from the arena.
 */
bool dense_forward(const BertModel *model, size_t m, const float *x, float *out, Arena *arena,
				   const MayContinue *question, Status *status);

/* What a Dense module does to each of its sums. */
float dense_activate(DenseActivation activation, float x);

/* x (m,n): each row divided by its L2 norm, in place; a row of zeros stays */
void normalize_rows(size_t m, size_t n, float *x);

/*
 * The head on top of an EncoderOutput. What there is depends on the head:
 *   logits (T, vocab) for pretraining, masked_lm, causal_lm; (B, labels); (B, 2) next_sentence; (B,
 * 1) multiple choice, one sequence per choice; (T, labels) token classification; (T, 2) start and
 * end for question answering; (T, 1) replaced token. seq_relationship_logits (B, 2) for
 * pretraining.
 */
typedef struct HeadOutput
{
	size_t n_rows; /* of logits */
	size_t n_columns;
	float *logits;
	float *seq_relationship_logits;
} HeadOutput;

typedef struct HeadInput
{
	const Batch *batch;
	const EncoderOutput *encoded;
	/*
	 * for the heads with a vocabulary: the token rows wanted (n_rows), so that fill_mask pays for
	 * its masks only. NULL: all T
	 */
	const size_t *rows;
	size_t n_rows;
} HeadInput;

bool head_forward(const BertModel *model, const HeadInput *input, Arena *arena, HeadOutput *output,
				  const MayContinue *question, Status *status);

/* What the model's head needs of the encoder: the pooler's output if it uses that. */
ForwardWants head_wants(const BertModel *model);

/* Bytes that head_forward will take from the arena for n_rows rows of logits. */
bool head_forward_memory(const BertModel *model, size_t n_rows, size_t *bytes, Status *status);

/*
 * The reference's loss of the head for all tokens of the batch (head_forward with rows NULL).
 * labels, as many as the head says (STATUS_INVALID_ARGUMENT otherwise, also for a class that is no
 * whole number or out of range): masked_lm, causal_lm, token_classification (T); pretraining (T +
 * B): each sequence's tokens, then its next-sentence label; next_sentence (B); multiple_choice (B /
 * n_choices); question_answering (B, 2); replaced_token (T), zeros and ones, of the tokens that
 * the mask shows; sequence_classification by problem type: (B) classes, (B,
 * labels) values, (B, labels) zeros and ones. Where the config leaves the type open: one label is
 * regression, else the number of labels given tells single from multiple. Labels of -100 are
 * ignored.
 */
typedef struct ForwardLabels
{
	const double *values;
	size_t n;
	size_t n_choices; /* sequences per question of multiple choice, 1 otherwise */
} ForwardLabels;

bool head_loss(const BertModel *model, const Batch *batch, const HeadOutput *output,
			   const ForwardLabels *labels, Arena *arena, double *loss, Status *status);

#endif
