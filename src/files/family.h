/*
 * family.h: what the models of BERT's family differ in, one description for each.
 *
 * A description says how a family's classes, settings and tensors are called and which of the few
 * variants its parts have. The config reader and writer, the tensor table, the forward pass and
 * training walk it; nobody asks which family a model is of. All families share BERT's layer:
 * attention, residual, LayerNorm, feed-forward, residual, LayerNorm.
 */
#ifndef BERT_FILES_FAMILY_H
#define BERT_FILES_FAMILY_H

#include "files/config.h"

/* What a head's first layer reads. */
typedef enum HeadReads
{
	READS_NOTHING,  /* the bare model, and heads that the family has not */
	READS_TOKENS,   /* every token's state */
	READS_POOLER,   /* the pooler's output */
	READS_FIRST,    /* the first token's state */
	READS_EMBEDDING /* a row for each text: SetFit's classifier, in every family */
} HeadReads;

/*
 * One head: what it reads, then, where it has them, a dense layer of its own with an activation,
 * dropout, and the last layer. Heads with a vocabulary have the family's PredictionShape; what is
 * said here is their second part, the next-sentence classifier of pretraining.
 */
typedef struct HeadShape
{
	const char *class; /* the reference's; NULL: the family has no such head */
	HeadReads reads;
	const char *classifier; /* the last layer's module: "classifier" */
	const char *projection; /* the dense layer's before it, or NULL */
	const char *activation; /* of the projection; NULL: config->summary_activation */
	size_t dropout;         /* offset of its probability in BertConfig; 0: none */
	bool dropout_first;     /* also before the projection */
} HeadShape;

/* The language-model head: dense, activation, LayerNorm, decoder. Modules but for the biases. */
typedef struct PredictionShape
{
	const char *dense;
	const char *norm;
	const char *decoder;
	const char *bias;       /* the decoder's bias as the class's parameter */
	const char *bias_alias; /* its other name, which counts when the decoder is not tied; or NULL */
	const char *activation; /* NULL: config->hidden_act */
} PredictionShape;

/* A module by BERT's name and by the family's. */
typedef struct ModuleName
{
	const char *bert;
	const char *own;
} ModuleName;

typedef enum FieldKind
{
	FIELD_INT,
	FIELD_FLOAT,
	FIELD_BOOL,
	FIELD_ACTIVATION, /* char[CONFIG_ACTIVATION_NAME_LENGTH] */
	FIELD_POSITIONS   /* PositionKind */
} FieldKind;

/* A member of config.json and where it goes. A negative value stands for null. */
typedef struct ConfigField
{
	const char *key;
	FieldKind kind;
	size_t offset; /* in BertConfig */
	double minimum;
	double maximum;
	double fallback;  /* the value when the member is absent: the reference's */
	const char *text; /* the same for an activation */
} ConfigField;

struct Family
{
	const char *model_type;    /* "bert" */
	const char *title;         /* as people write it: "BERT" */
	const char *base;          /* prefix of the encoder's tensors: "bert." */
	const char *layer;         /* prefix of a layer, after base: "encoder.layer.%d." */
	const ModuleName *modules; /* that are called otherwise than BERT's; ends with NULLs */
	const ConfigField *fields; /* in the order in which they are written */
	size_t n_fields;
	PredictionShape predictions;
	HeadShape heads[HEAD_KIND_COUNT];
	bool has_pooler; /* the bare model may have one */
	/* positions count the tokens that are not padding, from the padding token's id + 1 on */
	bool positions_follow_padding;
	int padding_token;           /* what pad_token_id is to the encoder whatever it says; 0: it */
	bool always_projected;       /* embeddings pass a dense layer also where the sizes are equal */
	bool shared_layers;          /* layers of a group have the same weights */
	bool attention_biased;       /* a bias by distance on the scores, shared by all layers */
	bool dense_without_dropout;  /* no dropout after the attention's output layer */
	bool output_without_dropout; /* none after the feed-forward's second layer */
};

/* NULL when the type is not known. */
const Family *family_find(const char *model_type);
/* The family that has this class, or NULL; *head is its head. */
const Family *family_of_class(const char *class, HeadKind *head);
/* The family that a config without a type is of. */
const Family *family_bert(void);
/* The i-th family, NULL after the last. */
const Family *family_at(size_t i);
/* STATUS_UNSUPPORTED for a type that is not known: why, where it is known to be another kind. */
bool family_refuse(const char *model_type, Status *status);

/* What the family calls BERT's module. */
const char *family_module(const Family *family, const char *module);

#endif
