/*
 * config.h: config.json, parsed and checked.
 *
 * BertConfig holds every field of the published config.json that changes a result. A field that
 * changes the result and that we do not support is refused (STATUS_UNSUPPORTED); known_keys.h lists
 * them, and those that change nothing. Defaults are those of the reference's BertConfig. Bounds are
 * checked here, so that later sizes cannot overflow.
 */
#ifndef BERT_FILES_CONFIG_H
#define BERT_FILES_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/status.h"
#include "files/notes.h"
#include "files/pooling.h"
#include "files/source.h"

typedef enum PositionKind
{
	POSITION_ABSOLUTE,
	POSITION_RELATIVE_KEY,
	POSITION_RELATIVE_KEY_QUERY
} PositionKind;

/*
 * The heads of the reference library's BERT and of its family; the order is the order of
 * bert.forward's documentation.
 */
typedef enum HeadKind
{
	HEAD_NONE,          /* BertModel */
	HEAD_PRETRAINING,   /* BertForPreTraining */
	HEAD_MASKED_LM,     /* BertForMaskedLM */
	HEAD_CAUSAL_LM,     /* BertLMHeadModel */
	HEAD_NEXT_SENTENCE, /* BertForNextSentencePrediction */
	HEAD_SEQUENCE_CLASSIFICATION,
	HEAD_MULTIPLE_CHOICE,
	HEAD_TOKEN_CLASSIFICATION,
	HEAD_QUESTION_ANSWERING,
	/* heads that BERT itself has not */
	HEAD_REPLACED_TOKEN, /* ElectraForPreTraining: was the token replaced? */
	HEAD_KIND_COUNT
} HeadKind;

typedef enum ProblemType
{
	PROBLEM_UNSET, /* as the reference: regression for one label, else single-label */
	PROBLEM_REGRESSION,
	PROBLEM_SINGLE_LABEL,
	PROBLEM_MULTI_LABEL
} ProblemType;

/* What a cross-encoder's score is made of its logit by: sentence-transformers' activation_fn. */
typedef enum ScoreActivation
{
	SCORE_UNSET, /* sigmoid */
	SCORE_IDENTITY,
	SCORE_SIGMOID
} ScoreActivation;

#define CONFIG_MAX_LAYERS 256
#define CONFIG_MAX_HEADS 256
#define CONFIG_MAX_HIDDEN 16384
#define CONFIG_MAX_INTERMEDIATE 65536
#define CONFIG_MAX_VOCAB 2000000
#define CONFIG_MAX_POSITIONS 65536
#define CONFIG_MAX_TYPES 1024
#define CONFIG_MAX_LABELS 100000
#define CONFIG_ACTIVATION_NAME_LENGTH 64

typedef struct PrunedHeads
{
	int layer;
	int n_heads;
	int *heads; /* ascending indices of the unpruned layer's heads */
} PrunedHeads;

typedef struct Family Family; /* files/family.h */

typedef struct BertConfig
{
	const Family *family;
	int vocab_size;
	int embedding_size; /* E; 0: hidden_size */
	int hidden_size;    /* H */
	int num_hidden_layers;
	int num_attention_heads;
	int intermediate_size;                          /* I */
	char hidden_act[CONFIG_ACTIVATION_NAME_LENGTH]; /* as written; src/kernels knows the names */
	float hidden_dropout_prob;
	float attention_probs_dropout_prob;
	float classifier_dropout; /* negative: unset, hidden_dropout_prob is used */
	float answer_dropout;     /* of DistilBERT's question answering */
	float summary_dropout;    /* of ELECTRA's multiple choice, */
	/* and the activation before it */
	char summary_activation[CONFIG_ACTIVATION_NAME_LENGTH];
	int max_position_embeddings;
	int type_vocab_size;       /* 0: the family has no token types */
	int num_hidden_groups;     /* of layers with the same weights */
	int relative_buckets;      /* of distances that share a bias */
	bool sinusoidal_positions; /* how position embeddings begin */
	float initializer_range;
	float layer_norm_eps;
	int pad_token_id;
	PositionKind position_embedding_type;
	bool is_decoder;
	bool add_cross_attention;
	bool use_cache;
	bool tie_word_embeddings;
	bool use_pooler; /* not in config.json: the checkpoint has a pooler */
	int n_dense;     /* not in config.json either: the modules that follow the pooling */
	DenseModule dense[DENSE_MAX];
	/* nor these: SetFit's classifier reads the embedding that these poolings and modules make */
	bool classifies_embedding;
	bool embedding_normalized;
	PoolingModes embedding_pooling;
	ProblemType problem_type;
	ScoreActivation score_activation;
	int num_labels;  /* 2 when neither id2label nor num_labels is given */
	char **id2label; /* num_labels strings, "LABEL_0" ... when absent */
	int n_pruned;
	PrunedHeads *pruned_heads;        /* one per layer that has any, ascending */
	HeadKind architecture;            /* from "architectures"; HEAD_NONE when absent or not known */
	const char *unknown_architecture; /* a class that is not known; NULL otherwise */
} BertConfig;

/* The reference's BertConfig() defaults (bert-base); strings are allocated in the arena. */
bool config_default(Arena *arena, BertConfig *config, Status *status);
/* The same of another family. */
bool config_default_of(Arena *arena, const Family *family, BertConfig *config, Status *status);

/* A model's config.json. notes: what it says beside; or NULL. */
bool config_read(Arena *arena, ModelSource *source, FileNotes *notes, BertConfig *config,
				 Status *status);

/*
 * Parses and validates; the JSON may have at most 16 MB, 64 levels. All strings are allocated in
 * the arena.
 */
bool config_parse(Arena *arena, const char *json, size_t length, BertConfig *config,
				  Status *status);

/* The checks of config_parse on a struct made otherwise (divisibility, bounds, pruned heads). */
bool config_validate(const BertConfig *config, Status *status);

/*
 * JSON that the reference library's BertConfig reads back to the same model; NUL-terminated, in the
 * arena.
 */
char *config_write(Arena *arena, const BertConfig *config, HeadKind head, Status *status);

/* Sets the label names (copied into the arena) and num_labels. */
bool config_set_labels(Arena *arena, BertConfig *config, int num_labels, const char *const *labels,
					   Status *status);

const char *head_kind_name(HeadKind head); /* "sequence_classification" */
/* from head_kind_name's names */
bool head_kind_parse(const char *name, HeadKind *head, Status *status);
/*
 * A Python class of torch: "torch.nn.modules.linear.Identity"; STATUS_UNSUPPORTED for others than
 * Identity and Sigmoid.
 */
bool score_activation_parse(const char *class, ScoreActivation *activation, Status *status);

/* The width of the embeddings, E. */
int config_embedding_size(const BertConfig *config);
/* True when a dense layer (H, E) follows the embeddings. */
bool config_projects_embeddings(const BertConfig *config);
/* The padding token's id, whose rows of embeddings are zero and stay so; -1: none. */
int config_padding_token(const BertConfig *config);
/* The position of a sequence's first token. */
int config_first_position(const BertConfig *config);
/* The most tokens of a sequence. */
int config_max_tokens(const BertConfig *config);
/*
 * The position of a sequence's next token; *count: the tokens before it that have one of their own,
 * 0 at the beginning.
 */
int config_next_position(const BertConfig *config, int32_t token, size_t *count);
/* Layers with weights of their own, and whose weights a layer has. */
int config_layer_blocks(const BertConfig *config);
int config_layer_block(const BertConfig *config, int layer);
/* What the head reads and has: the family's, unless its classifier reads the embedding. */
const struct HeadShape *config_head_shape(const BertConfig *config, HeadKind head);
/* True when the head reads the pooler's output; false also for the bare model. */
bool config_head_uses_pooler(const BertConfig *config, HeadKind head);
/* The probability of the dropout in the head; 0: it has none. */
float config_head_dropout(const BertConfig *config, HeadKind head);

/* Whether a sequence classification head gives values, not classes. */
bool config_is_regression(const BertConfig *config);

/* The first label that begins so, whatever its case; -1: none does. */
int config_find_label(const BertConfig *config, const char *beginning);
/* Whether it is a classifier one of whose labels says that a premise entails a hypothesis. */
bool config_tells_entailment(const BertConfig *config);

#endif
