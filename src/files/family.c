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

static const ConfigField distilbert_fields[] = {
	VOCAB(30522),
	HIDDEN("dim", 768),
	LAYERS("n_layers", 6),
	HEADS("n_heads", 12),
	INTERMEDIATE("hidden_dim", 3072),
	ACTIVATION("activation", hidden_act, "gelu"),
	FRACTION("dropout", hidden_dropout_prob, 0.1),
	FRACTION("attention_dropout", attention_probs_dropout_prob, 0.1),
	FRACTION("seq_classif_dropout", classifier_dropout, 0.2),
	FRACTION("qa_dropout", answer_dropout, 0.1),
	POSITIONS(512),
	BOOL("sinusoidal_pos_embds", sinusoidal_positions, false),
	RANGE,
	PADDING(0),
	TIED,
};

static const ModuleName distilbert_modules[] = {
	{"attention.self.query", "attention.q_lin"},
	{"attention.self.key", "attention.k_lin"},
	{"attention.self.value", "attention.v_lin"},
	{"attention.output.dense", "attention.out_lin"},
	{"attention.output.LayerNorm", "sa_layer_norm"},
	{"intermediate.dense", "ffn.lin1"},
	{"output.dense", "ffn.lin2"},
	{"output.LayerNorm", "output_layer_norm"},
	{NULL, NULL},
};

static const ConfigField electra_fields[] = {
	VOCAB(30522),
	INT("embedding_size", embedding_size, 1, CONFIG_MAX_HIDDEN, 128),
	HIDDEN("hidden_size", 256),
	LAYERS("num_hidden_layers", 12),
	HEADS("num_attention_heads", 4),
	INTERMEDIATE("intermediate_size", 1024),
	ACTIVATION("hidden_act", hidden_act, "gelu"),
	FRACTION("hidden_dropout_prob", hidden_dropout_prob, 0.1),
	FRACTION("attention_probs_dropout_prob", attention_probs_dropout_prob, 0.1),
	FRACTION("classifier_dropout", classifier_dropout, UNSET),
	ACTIVATION("summary_activation", summary_activation, "gelu"),
	FRACTION("summary_last_dropout", summary_dropout, 0.1),
	POSITIONS(512),
	TYPES(2),
	RANGE,
	EPSILON,
	PADDING(0),
	DECODER,
	TIED,
};

/* RoBERTa, XLM-RoBERTa and CamemBERT read the same. */
static const ConfigField roberta_fields[] = {
	VOCAB(50265),
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
	PADDING(1),
	DECODER,
	TIED,
};

static const ConfigField mpnet_fields[] = {
	VOCAB(30527),
	HIDDEN("hidden_size", 768),
	LAYERS("num_hidden_layers", 12),
	HEADS("num_attention_heads", 12),
	INTERMEDIATE("intermediate_size", 3072),
	ACTIVATION("hidden_act", hidden_act, "gelu"),
	FRACTION("hidden_dropout_prob", hidden_dropout_prob, 0.1),
	FRACTION("attention_probs_dropout_prob", attention_probs_dropout_prob, 0.1),
	POSITIONS(512),
	RANGE,
	EPSILON,
	/* the reference sorts distances into 32 buckets, whatever this says */
	INT("relative_attention_num_buckets", relative_buckets, 32, 1024, 32),
	PADDING(1),
	TIED,
};

static const ModuleName mpnet_modules[] = {
	{"attention.self.query", "attention.attn.q"},
	{"attention.self.key", "attention.attn.k"},
	{"attention.self.value", "attention.attn.v"},
	{"attention.output.dense", "attention.attn.o"},
	{"attention.output.LayerNorm", "attention.LayerNorm"},
	{NULL, NULL},
};

static const ConfigField albert_fields[] = {
	VOCAB(30000),
	INT("embedding_size", embedding_size, 1, CONFIG_MAX_HIDDEN, 128),
	HIDDEN("hidden_size", 4096),
	LAYERS("num_hidden_layers", 12),
	INT("num_hidden_groups", num_hidden_groups, 1, CONFIG_MAX_LAYERS, 1),
	HEADS("num_attention_heads", 64),
	INTERMEDIATE("intermediate_size", 16384),
	ACTIVATION("hidden_act", hidden_act, "gelu_new"),
	FRACTION("hidden_dropout_prob", hidden_dropout_prob, 0),
	FRACTION("attention_probs_dropout_prob", attention_probs_dropout_prob, 0),
	FRACTION("classifier_dropout_prob", classifier_dropout, 0.1),
	POSITIONS(512),
	TYPES(2),
	RANGE,
	EPSILON,
	PADDING(0),
	TIED,
};

static const ModuleName albert_modules[] = {
	{"embeddings_project", "encoder.embedding_hidden_mapping_in"},
	{"attention.self.query", "attention.query"},
	{"attention.self.key", "attention.key"},
	{"attention.self.value", "attention.value"},
	{"attention.output.dense", "attention.dense"},
	{"attention.output.LayerNorm", "attention.LayerNorm"},
	{"intermediate.dense", "ffn"},
	{"output.dense", "ffn_output"},
	{"output.LayerNorm", "full_layer_layer_norm"},
	{"pooler.dense", "pooler"},
	{NULL, NULL},
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

/* A classifier over the first token's state with a dense layer of its own. */
#define OWN_HEAD(name, module, dense, act, probability, twice)                          \
	{                                                                                   \
		.class = name, .reads = READS_FIRST, .classifier = module, .projection = dense, \
		.activation = act, .dropout = probability, .dropout_first = twice               \
	}

#define ROBERTA_PREDICTIONS                                                                   \
	{                                                                                         \
		.dense = "lm_head.dense", .norm = "lm_head.layer_norm", .decoder = "lm_head.decoder", \
		.bias = "lm_head.bias", .bias_alias = "lm_head.decoder.bias", .activation = "gelu"    \
	}

/* Three families with one architecture, whose classes begin with different words. */
#define ROBERTA(type, name, word)                                                              \
	{                                                                                          \
		.model_type = type, .title = name, .base = "roberta.", .layer = "encoder.layer.%d.",   \
		.modules = no_modules, FIELDS(roberta_fields), .predictions = ROBERTA_PREDICTIONS,     \
		.heads = {[HEAD_NONE] = BARE(word "Model"),                                            \
				  [HEAD_MASKED_LM] = LANGUAGE_HEAD(word "ForMaskedLM"),                        \
				  [HEAD_CAUSAL_LM] = LANGUAGE_HEAD(word "ForCausalLM"),                        \
				  [HEAD_SEQUENCE_CLASSIFICATION] =                                             \
					  OWN_HEAD(word "ForSequenceClassification", "classifier.out_proj",        \
							   "classifier.dense", "tanh", OF(classifier_dropout), true),      \
				  [HEAD_MULTIPLE_CHOICE] = POOLED_HEAD(word "ForMultipleChoice", "classifier", \
													   OF(hidden_dropout_prob)),               \
				  [HEAD_TOKEN_CLASSIFICATION] =                                                \
					  TOKEN_HEAD(word "ForTokenClassification", OF(classifier_dropout)),       \
				  [HEAD_QUESTION_ANSWERING] = ANSWER_HEAD(word "ForQuestionAnswering", 0)},    \
		.has_pooler = true, .positions_follow_padding = true                                   \
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
	{
		.model_type = "distilbert",
		.title = "DistilBERT",
		.base = "distilbert.",
		.layer = "transformer.layer.%d.",
		.modules = distilbert_modules,
		FIELDS(distilbert_fields),
		.predictions = {.dense = "vocab_transform",
						.norm = "vocab_layer_norm",
						.decoder = "vocab_projector",
						.bias = "vocab_projector.bias"},
		.heads = {[HEAD_NONE] = BARE("DistilBertModel"),
				  [HEAD_MASKED_LM] = LANGUAGE_HEAD("DistilBertForMaskedLM"),
				  [HEAD_SEQUENCE_CLASSIFICATION] =
					  OWN_HEAD("DistilBertForSequenceClassification", "classifier",
							   "pre_classifier", "relu", OF(classifier_dropout), false),
				  [HEAD_MULTIPLE_CHOICE] =
					  OWN_HEAD("DistilBertForMultipleChoice", "classifier", "pre_classifier",
							   "relu", OF(classifier_dropout), false),
				  [HEAD_TOKEN_CLASSIFICATION] =
					  TOKEN_HEAD("DistilBertForTokenClassification", OF(hidden_dropout_prob)),
				  [HEAD_QUESTION_ANSWERING] =
					  ANSWER_HEAD("DistilBertForQuestionAnswering", OF(answer_dropout))},
		.dense_without_dropout = true,
	},
	{
		.model_type = "electra",
		.title = "ELECTRA",
		.base = "electra.",
		.layer = "encoder.layer.%d.",
		.modules = no_modules,
		FIELDS(electra_fields),
		.predictions = {.dense = "generator_predictions.dense",
						.norm = "generator_predictions.LayerNorm",
						.decoder = "generator_lm_head",
						.bias = "generator_lm_head.bias",
						.activation = "gelu"},
		.heads = {[HEAD_NONE] = BARE("ElectraModel"),
				  [HEAD_MASKED_LM] = LANGUAGE_HEAD("ElectraForMaskedLM"),
				  [HEAD_CAUSAL_LM] = LANGUAGE_HEAD("ElectraForCausalLM"),
				  [HEAD_SEQUENCE_CLASSIFICATION] =
					  OWN_HEAD("ElectraForSequenceClassification", "classifier.out_proj",
							   "classifier.dense", "gelu", OF(classifier_dropout), true),
				  [HEAD_MULTIPLE_CHOICE] =
					  OWN_HEAD("ElectraForMultipleChoice", "classifier", "sequence_summary.summary",
							   NULL, OF(summary_dropout), false),
				  [HEAD_TOKEN_CLASSIFICATION] =
					  TOKEN_HEAD("ElectraForTokenClassification", OF(classifier_dropout)),
				  [HEAD_QUESTION_ANSWERING] = ANSWER_HEAD("ElectraForQuestionAnswering", 0),
				  [HEAD_REPLACED_TOKEN] = {.class = "ElectraForPreTraining",
										   .reads = READS_TOKENS,
										   .classifier =
											   "discriminator_predictions.dense_prediction",
										   .projection = "discriminator_predictions.dense"}},
	},
	ROBERTA("roberta", "RoBERTa", "Roberta"),
	ROBERTA("xlm-roberta", "XLM-RoBERTa", "XLMRoberta"),
	ROBERTA("camembert", "CamemBERT", "Camembert"),
	{
		.model_type = "mpnet",
		.title = "MPNet",
		.base = "mpnet.",
		.layer = "encoder.layer.%d.",
		.modules = mpnet_modules,
		FIELDS(mpnet_fields),
		.predictions = ROBERTA_PREDICTIONS,
		.heads = {[HEAD_NONE] = BARE("MPNetModel"),
				  [HEAD_MASKED_LM] = LANGUAGE_HEAD("MPNetForMaskedLM"),
				  [HEAD_SEQUENCE_CLASSIFICATION] =
					  OWN_HEAD("MPNetForSequenceClassification", "classifier.out_proj",
							   "classifier.dense", "tanh", OF(hidden_dropout_prob), true),
				  [HEAD_MULTIPLE_CHOICE] =
					  POOLED_HEAD("MPNetForMultipleChoice", "classifier", OF(hidden_dropout_prob)),
				  [HEAD_TOKEN_CLASSIFICATION] =
					  TOKEN_HEAD("MPNetForTokenClassification", OF(hidden_dropout_prob)),
				  [HEAD_QUESTION_ANSWERING] = ANSWER_HEAD("MPNetForQuestionAnswering", 0)},
		.has_pooler = true,
		.positions_follow_padding = true,
		.padding_token = 1,
		.attention_biased = true,
	},
	{
		.model_type = "albert",
		.title = "ALBERT",
		.base = "albert.",
		.layer = "encoder.albert_layer_groups.%d.albert_layers.0.",
		.modules = albert_modules,
		FIELDS(albert_fields),
		.predictions = {.dense = "predictions.dense",
						.norm = "predictions.LayerNorm",
						.decoder = "predictions.decoder",
						.bias = "predictions.bias",
						.bias_alias = "predictions.decoder.bias"},
		.heads = {[HEAD_NONE] = BARE("AlbertModel"),
				  [HEAD_PRETRAINING] = POOLED_HEAD(
					  "AlbertForPreTraining", "sop_classifier.classifier", OF(classifier_dropout)),
				  [HEAD_MASKED_LM] = LANGUAGE_HEAD("AlbertForMaskedLM"),
				  [HEAD_SEQUENCE_CLASSIFICATION] = POOLED_HEAD(
					  "AlbertForSequenceClassification", "classifier", OF(classifier_dropout)),
				  [HEAD_MULTIPLE_CHOICE] =
					  POOLED_HEAD("AlbertForMultipleChoice", "classifier", OF(classifier_dropout)),
				  [HEAD_TOKEN_CLASSIFICATION] =
					  TOKEN_HEAD("AlbertForTokenClassification", OF(classifier_dropout)),
				  [HEAD_QUESTION_ANSWERING] = ANSWER_HEAD("AlbertForQuestionAnswering", 0)},
		.has_pooler = true,
		.always_projected = true,
		.shared_layers = true,
		.output_without_dropout = true,
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
