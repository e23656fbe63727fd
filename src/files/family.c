/* family.c: the families' descriptions. */
#include "files/family.h"

#include <stdio.h>
#include <string.h>

#define OF(field) offsetof(BertConfig, field)
#define INT(key, field, minimum, maximum, fallback)                 \
	{                                                               \
		key, FIELD_INT, OF(field), minimum, maximum, fallback, NULL \
	}
#define FRACTION(key, field, fallback)                    \
	{                                                     \
		key, FIELD_FLOAT, OF(field), 0, 1, fallback, NULL \
	}
#define BOOL(key, field, fallback)                       \
	{                                                    \
		key, FIELD_BOOL, OF(field), 0, 1, fallback, NULL \
	}
#define ACTIVATION(key, field, text)                    \
	{                                                   \
		key, FIELD_ACTIVATION, OF(field), 0, 0, 0, text \
	}
#define UNSET (-1)

#define VOCAB(n) INT("vocab_size", vocab_size, 1, CONFIG_MAX_VOCAB, n)
#define HIDDEN(key, n) INT(key, hidden_size, 1, CONFIG_MAX_HIDDEN, n)
#define LAYERS(key, n) INT(key, num_hidden_layers, 0, CONFIG_MAX_LAYERS, n)
#define HEADS(key, n) INT(key, num_attention_heads, 1, CONFIG_MAX_HEADS, n)
#define INTERMEDIATE(key, n) INT(key, intermediate_size, 1, CONFIG_MAX_INTERMEDIATE, n)
#define POSITIONS(n) \
	INT("max_position_embeddings", max_position_embeddings, 1, CONFIG_MAX_POSITIONS, n)
#define TYPES(n) INT("type_vocab_size", type_vocab_size, 1, CONFIG_MAX_TYPES, n)
#define PADDING(n) INT("pad_token_id", pad_token_id, -1, CONFIG_MAX_VOCAB - 1, n)
#define RANGE                                                                       \
	{                                                                               \
		"initializer_range", FIELD_FLOAT, OF(initializer_range), 0, 100, 0.02, NULL \
	}
#define EPSILON FRACTION("layer_norm_eps", layer_norm_eps, 1e-12)
#define DECODER                                                  \
	BOOL("is_decoder", is_decoder, false),                       \
		BOOL("add_cross_attention", add_cross_attention, false), \
		BOOL("use_cache", use_cache, true)
#define TIED BOOL("tie_word_embeddings", tie_word_embeddings, true)

static const ConfigField bert_fields[] = {
	VOCAB(30522),
	HIDDEN("hidden_size", 768),
	LAYERS("num_hidden_layers", 12),
	HEADS("num_attention_heads", 12),
	INTERMEDIATE("intermediate_size", 3072),
	ACTIVATION("hidden_act", hidden_act, "gelu"),
	FRACTION("hidden_dropout_prob", hidden_dropout_prob, 0.1),
	FRACTION("attention_probs_dropout_prob", attention_probs_dropout_prob, 0.1),
	FRACTION("classifier_dropout", classifier_dropout, UNSET),
	POSITIONS(512),
	TYPES(2),
	RANGE,
	EPSILON,
	PADDING(0),
	{"position_embedding_type", FIELD_POSITIONS, OF(position_embedding_type), 0, 0, 0, NULL},
	DECODER,
	TIED,
};

#define FIELDS(array) .fields = array, .n_fields = sizeof array / sizeof array[0]

static const ModuleName no_modules[] = {{NULL, NULL}};

/* Heads whose last layer is alone; dropout: of which of the config's probabilities. */
#define TOKEN_HEAD(name, probability)                                                            \
	{                                                                                            \
		.class = name, .reads = READS_TOKENS, .classifier = "classifier", .dropout = probability \
	}
#define ANSWER_HEAD(name, probability)                                                           \
	{                                                                                            \
		.class = name, .reads = READS_TOKENS, .classifier = "qa_outputs", .dropout = probability \
	}
#define POOLED_HEAD(name, module, probability)                                             \
	{                                                                                      \
		.class = name, .reads = READS_POOLER, .classifier = module, .dropout = probability \
	}
#define LANGUAGE_HEAD(name)                  \
	{                                        \
		.class = name, .reads = READS_TOKENS \
	}
#define BARE(name)    \
	{                 \
		.class = name \
	}

static const Family families[] = {
	{
		.model_type = "bert",
		.title = "BERT",
		.base = "bert.",
		.layer = "encoder.layer.%d.",
		.modules = no_modules,
		FIELDS(bert_fields),
		.predictions = {.dense = "cls.predictions.transform.dense",
						.norm = "cls.predictions.transform.LayerNorm",
						.decoder = "cls.predictions.decoder",
						.bias = "cls.predictions.bias",
						.bias_alias = "cls.predictions.decoder.bias"},
		.heads = {[HEAD_NONE] = BARE("BertModel"),
				  [HEAD_PRETRAINING] = POOLED_HEAD("BertForPreTraining", "cls.seq_relationship", 0),
				  [HEAD_MASKED_LM] = LANGUAGE_HEAD("BertForMaskedLM"),
				  [HEAD_CAUSAL_LM] = LANGUAGE_HEAD("BertLMHeadModel"),
				  [HEAD_NEXT_SENTENCE] =
					  POOLED_HEAD("BertForNextSentencePrediction", "cls.seq_relationship", 0),
				  [HEAD_SEQUENCE_CLASSIFICATION] = POOLED_HEAD(
					  "BertForSequenceClassification", "classifier", OF(classifier_dropout)),
				  [HEAD_MULTIPLE_CHOICE] =
					  POOLED_HEAD("BertForMultipleChoice", "classifier", OF(classifier_dropout)),
				  [HEAD_TOKEN_CLASSIFICATION] =
					  TOKEN_HEAD("BertForTokenClassification", OF(classifier_dropout)),
				  [HEAD_QUESTION_ANSWERING] = ANSWER_HEAD("BertForQuestionAnswering", 0)},
		.has_pooler = true,
	},
};

#define N_FAMILIES (sizeof families / sizeof families[0])

const Family *
family_at(size_t i)
{
	return i < N_FAMILIES ? &families[i] : NULL;
}

const Family *
family_bert(void)
{
	return &families[0];
}

const Family *
family_find(const char *model_type)
{
	for (size_t i = 0; i < N_FAMILIES; i++)
		if (strcmp(families[i].model_type, model_type) == 0)
			return &families[i];
	return NULL;
}

const Family *
family_of_class(const char *class, HeadKind *head)
{
	for (size_t i = 0; i < N_FAMILIES; i++)
		for (int kind = 0; kind < HEAD_KIND_COUNT; kind++)
			if (families[i].heads[kind].class != NULL &&
				strcmp(families[i].heads[kind].class, class) == 0)
			{
				*head = (HeadKind) kind;
				return &families[i];
			}
	return NULL;
}

const char *
family_module(const Family *family, const char *module)
{
	for (const ModuleName *name = family->modules; name->bert != NULL; name++)
		if (strcmp(name->bert, module) == 0)
			return name->own;
	return module;
}

/* Published models of other kinds, and what makes them so. */
static const struct
{
	const char *model_type;
	const char *reason;
} others[] = {
	{"modernbert", "it has rotary positions, local attention and gated feed-forward layers"},
	{"nomic_bert", "it has rotary positions and gated feed-forward layers"},
	{"deberta", "its attention scores contents and positions apart"},
	{"deberta-v2", "its attention scores contents and positions apart"},
};

bool
family_refuse(const char *model_type, Status *status)
{
	const char *reason = NULL;
	char known[160] = "";

	for (size_t i = 0; i < N_FAMILIES; i++)
		snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i == 0 ? "" : ", ",
				 families[i].title);
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		if (strcmp(others[i].model_type, model_type) == 0)
			reason = others[i].reason;
	status_fail(status, STATUS_UNSUPPORTED,
				"the model's type is \"%.60s\", which is not supported%s%s", model_type,
				reason == NULL ? "" : ": ", reason == NULL ? "" : reason);
	return status_hint(status, "Use a model of one of these families: %s.", known);
}
