/*
 * forward.h: what the files of the forward pass share: scratch memory taken once per call, and one
 * function per class of the reference. Inside src/nn only; everybody else uses model.h.
 *
 * A layer takes the batch span by span, a few sequences at a time, so that scratch memory is small
 * and stays in cache. Rows are processed in blocks (workspace->block_rows), for the wide
 * intermediate of the feed-forward layer, and the question "may I go on?" is asked between GEMM
 * calls that are kept short enough.
 */
#ifndef BERT_NN_FORWARD_H
#define BERT_NN_FORWARD_H

#include "nn/params.h"

/*
 * Work that a kernel may be given between two questions: under 20 ms on any CPU that the kernel is
 * meant for. Portable C is some ten times slower than the rest.
 */
#define STEP_FLOPS ((size_t) 500 * 1000 * 1000)
#define STEP_FLOPS_PORTABLE ((size_t) 50 * 1000 * 1000)

typedef struct Workspace
{
	const BertModel *model;
	const Kernels *kernels;
	const MayContinue *question;
	size_t block_rows;   /* R */
	bool allow_strassen; /* of GEMMs: all rows belong to one text; see GemmEpilogue */
	size_t step_flops;   /* work between two questions, in floating-point operations */
	size_t bytes_from;   /* tokens of a sequence whose attention is in bytes; SIZE_MAX: none */
	/* (S, 3H), S: tokens of the longest span; floats, or bf16 for attention in bf16 */
	void *query_key_value;
	float *context;         /* (S, H) */
	float *attended;        /* (R, H or E), with encoder states (S, H) */
	void *intermediate;     /* R rows of I in the precision's form */
	float *scores;          /* (keys of the longest sequence) */
	float *cross_query;     /* (S, H), with encoder states only */
	float *cross_key_value; /* (T_enc, 2H), with encoder states only */
	void *rows;             /* R rows in the precision's form, of the widest input */
	void *gemm_scratch;
	void *attention_scratch;
	void *general_scratch; /* of attention_general, where the shape says so */
} Workspace;

/* Sequences of a batch that pass through a layer together. */
typedef struct Span
{
	size_t first_sequence;
	size_t end_sequence;
	size_t first; /* token */
	size_t end;
} Span;

/*
 * The span that begins at a sequence: up to SPAN_TOKENS tokens, one sequence at least; all with
 * encoder states. A sequence of alone_from tokens or more has a span of its own; those of
 * workspace->bytes_from or more lie apart from others.
 */
Span span_next(const Workspace *workspace, const Batch *batch, size_t first_sequence,
			   size_t alone_from);
/* Tokens of a batch's longest span, or a bound: longest is the longest sequence's */
size_t span_longest(size_t n_tokens, size_t longest);

typedef struct WorkspaceShape
{
	size_t n_tokens;         /* S */
	size_t longest;          /* keys of the longest sequence, cached ones included */
	size_t n_encoder_tokens; /* T_enc, 0 for none */
	/* of the longest sequence, where attention_general may be needed; else 0 */
	size_t general_queries;
} WorkspaceShape;

/* Adds the workspace's bytes to *bytes: what workspace_create takes from the arena at most. */
bool workspace_size(const BertModel *model, const WorkspaceShape *shape, size_t *bytes,
					Status *status);
bool workspace_create(const BertModel *model, const WorkspaceShape *shape, Arena *arena,
					  const MayContinue *question, Workspace *workspace, Status *status);

/* Keys and values of the tokens a decoder has seen, for one sequence. */
struct KvCache
{
	size_t capacity; /* tokens */
	size_t n_tokens; /* seen so far */
	size_t n_encoder_tokens;
	float **keys;            /* per layer (capacity, A) */
	float **values;          /* per layer (capacity, A) */
	bool has_cross;          /* cross_key_value is filled */
	float **cross_key_value; /* per layer (T_enc, 2H) */
};

/* y (m, out) = activation(x W^T + b) + residual. Any m. */
typedef struct LinearCall
{
	size_t m;
	const float *x; /* (m, ldx) */
	size_t ldx;
	float *y; /* (m, ldy) */
	size_t ldy;
	Activation activation; /* ACTIVATION_NONE */
	const float *residual; /* (m, residual_ld) or NULL; may be y */
	size_t residual_ld;
} LinearCall;

/* x (m, in) to y (m, out), whatever the widths, with scratch memory of its own: the arena's. */
typedef struct DenseCall
{
	size_t m;
	const float *x;
	float *y;
} DenseCall;

bool dense_linear(const BertModel *model, const LinearParams *linear, const DenseCall *call,
				  Arena *arena, const MayContinue *question, Status *status);

bool linear_forward(Workspace *workspace, const LinearParams *linear, const LinearCall *call,
					Status *status);
/* The same in one go for m <= linear_step rows, with bf16 results. */
void linear_forward_bf16(Workspace *workspace, const LinearParams *linear, size_t m, const float *x,
						 size_t ldx, uint16_t *y, size_t ldy);
/*
 * Rows to give to a GEMM next, of those left: at most block_rows, few enough for the time between
 * two questions, and about as many each time.
 */
size_t linear_step(const Workspace *workspace, const LinearParams *linear, size_t left);
/* x (m, norm->n) in place */
void norm_forward(const Workspace *workspace, const NormParams *norm, size_t m, float *x);

/* out (T, H): BertEmbeddings */
bool embeddings_forward(Workspace *workspace, const Batch *batch, size_t past, float *out,
						Status *status);

/*
 * Attention in full generality, one sequence, all heads:
 * context = softmax((q k^T + relative position terms) * scale + bias + mask) v
 */
typedef struct GeneralAttention
{
	size_t n_queries;
	size_t n_keys;
	size_t n_heads;
	size_t head_size;
	const float *q; /* (n_queries, q_ld), head h at h * head_size */
	size_t q_ld;
	const float *k; /* (n_keys, k_ld) */
	size_t k_ld;
	const float *v; /* (n_keys, v_ld) */
	size_t v_ld;
	float scale;
	const uint8_t *key_mask; /* (n_keys) or NULL: 0 hides the key */
	bool causal;             /* query i sees keys 0 .. past + i */
	size_t past;             /* keys before the first query's own */
	PositionKind positions;
	const float *distance; /* (2P - 1, head_size) */
	size_t max_positions;  /* P */
	const float *bias;     /* (buckets, n_heads) added to the scaled scores by distance, or NULL */
	float *context;        /* (n_queries, context_ld) */
	size_t context_ld;
	float *probs; /* (n_heads, n_queries, n_keys) or NULL */
} GeneralAttention;

/* Whether sequences of this length may go through attention_general even if nothing is masked. */
bool attention_may_be_general(const BertModel *model, size_t n_tokens);
/* Bytes of workspace->general_scratch for up to so many queries and keys; false on overflow. */
bool attention_general_size(const BertModel *model, size_t n_queries, size_t n_keys, size_t *bytes);
bool attention_general(Workspace *workspace, const GeneralAttention *call, Status *status);

/* One layer of a forward pass. */
typedef struct LayerCall
{
	Workspace *workspace;
	const Batch *batch;
	int layer;
	KvCache *cache;  /* NULL, or the sequence's keys and values so far: the batch's own are added */
	float **probs;   /* per sequence of the batch (heads, length, length), or NULL */
	bool first_only; /* what follows the attention is computed for first tokens only */
} LayerCall;

/* BertSelfAttention of a span: x (S, H) to workspace->context (S, A) */
bool self_attention_forward(const LayerCall *call, const Span *span, const float *x,
							Status *status);
/* BertCrossAttention: workspace->attended (T, H) to workspace->context (T, H) */
bool cross_attention_forward(const LayerCall *call, Status *status);

/* BertLayer: x (T, H) in place */
bool layer_forward(const LayerCall *call, float *x, Status *status);

/* BertPooler: states of the first token of each sequence, x (T, H), to out (B, H) */
bool pooler_forward(Workspace *workspace, const Batch *batch, const float *x, float *out,
					Status *status);

#endif
