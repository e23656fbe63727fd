/* config.c: config.json into BertConfig: defaults, known and unknown fields, checks. */
#include "files/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names.h"
#include "files/json.h"
#include "files/known_keys.h"

#define MAX_CONFIG_BYTES ((size_t) 16 * 1024 * 1024)
#define MAX_LABEL_BYTES 1024

static const struct
{
	const char *name;
	const char *class;
} heads[HEAD_KIND_COUNT] = {
	[HEAD_NONE] = {"none", "BertModel"},
	[HEAD_PRETRAINING] = {"pretraining", "BertForPreTraining"},
	[HEAD_MASKED_LM] = {"masked_lm", "BertForMaskedLM"},
	[HEAD_CAUSAL_LM] = {"causal_lm", "BertLMHeadModel"},
	[HEAD_NEXT_SENTENCE] = {"next_sentence", "BertForNextSentencePrediction"},
	[HEAD_SEQUENCE_CLASSIFICATION] = {"sequence_classification", "BertForSequenceClassification"},
	[HEAD_MULTIPLE_CHOICE] = {"multiple_choice", "BertForMultipleChoice"},
	[HEAD_TOKEN_CLASSIFICATION] = {"token_classification", "BertForTokenClassification"},
	[HEAD_QUESTION_ANSWERING] = {"question_answering", "BertForQuestionAnswering"},
};

static const char *const position_names[] = {"absolute", "relative_key", "relative_key_query"};
static const char *const problem_names[] = {NULL, "regression", "single_label_classification",
											"multi_label_classification"};
static const char *const score_classes[] = {NULL, "torch.nn.modules.linear.Identity",
											"torch.nn.modules.activation.Sigmoid"};

bool
config_default(Arena *arena, BertConfig *config, Status *status)
{
	static const char *const two_labels[] = {"LABEL_0", "LABEL_1"};

	memset(config, 0, sizeof *config);
	config->vocab_size = 30522;
	config->hidden_size = 768;
	config->num_hidden_layers = 12;
	config->num_attention_heads = 12;
	config->intermediate_size = 3072;
	strcpy(config->hidden_act, "gelu");
	config->hidden_dropout_prob = 0.1f;
	config->attention_probs_dropout_prob = 0.1f;
	config->classifier_dropout = -1;
	config->max_position_embeddings = 512;
	config->type_vocab_size = 2;
	config->initializer_range = 0.02f;
	config->layer_norm_eps = 1e-12f;
	config->pad_token_id = 0;
	config->position_embedding_type = POSITION_ABSOLUTE;
	config->use_cache = true;
	config->tie_word_embeddings = true;
	config->use_pooler = true;
	config->problem_type = PROBLEM_UNSET;
	config->architecture = HEAD_NONE;
	return config_set_labels(arena, config, 2, two_labels, status);
}

bool
config_set_labels(Arena *arena, BertConfig *config, int num_labels, const char *const *labels,
				  Status *status)
{
	char **copy;

	if (num_labels < 1 || num_labels > CONFIG_MAX_LABELS)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the number of labels is %d; it must be between 1 and %d", num_labels,
						   CONFIG_MAX_LABELS);
	copy = arena_alloc_array(arena, (size_t) num_labels, sizeof *copy);
	if (copy == NULL)
		return arena_fail(arena, status, "labels", (size_t) num_labels * sizeof *copy);
	for (int i = 0; i < num_labels; i++)
		if ((copy[i] = arena_strdup(arena, labels[i])) == NULL)
			return arena_fail(arena, status, "labels", strlen(labels[i]));
	config->num_labels = num_labels;
	config->id2label = copy;
	return true;
}

static bool
set_numbered_labels(Arena *arena, BertConfig *config, int num_labels, Status *status)
{
	config->num_labels = num_labels;
	config->id2label = arena_alloc_array(arena, (size_t) num_labels, sizeof *config->id2label);
	if (config->id2label == NULL)
		return arena_fail(arena, status, "labels", (size_t) num_labels);
	for (int i = 0; i < num_labels; i++)
	{
		char name[32];

		snprintf(name, sizeof name, "LABEL_%d", i);
		if ((config->id2label[i] = arena_strdup(arena, name)) == NULL)
			return arena_fail(arena, status, "labels", sizeof name);
	}
	return true;
}

static bool
parse_activation(const json_t *root, Arena *arena, BertConfig *config, Status *status)
{
	const char *name = NULL;

	if (!json_get_string(root, "hidden_act", arena, &name, status))
		return false;
	if (name == NULL)
		return true;
	if (strlen(name) >= sizeof config->hidden_act)
		return status_fail(status, STATUS_UNSUPPORTED, "hidden_act \"%.40s...\" is not supported",
						   name);
	strcpy(config->hidden_act, name);
	return true;
}

static bool
parse_enumerations(const json_t *root, Arena *arena, BertConfig *config, Status *status)
{
	const char *position = NULL;
	const char *problem = NULL;
	const char *model_type = NULL;
	int i;

	if (!json_get_string(root, "position_embedding_type", arena, &position, status) ||
		!json_get_string(root, "problem_type", arena, &problem, status) ||
		!json_get_string(root, "model_type", arena, &model_type, status))
		return false;
	if (model_type != NULL && strcmp(model_type, "bert") != 0)
	{
		status_fail(status, STATUS_UNSUPPORTED, "the model's type is \"%.60s\", not \"bert\"",
					model_type);
		return status_hint(status, "Only models of the BERT architecture can be imported.");
	}
	if (position != NULL)
	{
		if ((i = name_find(position, position_names, 3)) < 0)
			return status_fail(status, STATUS_UNSUPPORTED,
							   "position_embedding_type \"%.40s\" is not supported", position);
		config->position_embedding_type = (PositionKind) i;
	}
	if (problem != NULL)
	{
		if ((i = name_find(problem, problem_names, 4)) < 0)
			return status_fail(status, STATUS_UNSUPPORTED,
							   "problem_type \"%.40s\" is not supported", problem);
		config->problem_type = (ProblemType) i;
	}
	return true;
}

static bool
parse_architecture(const json_t *root, Arena *arena, BertConfig *config, Status *status)
{
	const json_t *list = json_object_get(root, "architectures");
	const char *class;

	if (list == NULL || json_is_null(list) || (json_is_array(list) && json_array_size(list) == 0))
		return true;
	if (!json_is_array(list) || !json_is_string(json_array_get(list, 0)))
		return status_fail(status, STATUS_INVALID_DATA, "\"architectures\" is not a list of names");
	class = json_string_value(json_array_get(list, 0));
	for (int i = 0; i < HEAD_KIND_COUNT; i++)
		if (strcmp(class, heads[i].class) == 0)
		{
			config->architecture = (HeadKind) i;
			return true;
		}
	config->unknown_architecture =
		arena_strndup(arena, class, json_string_length(json_array_get(list, 0)));
	return config->unknown_architecture != NULL ||
		   arena_fail(arena, status, "a name", strlen(class));
}

/* A key that is a whole number from 0 to limit - 1; -1 otherwise. */
static int
parse_index(const char *key, int limit)
{
	char *end;
	long value = strtol(key, &end, 10);

	return key[0] < '0' || key[0] > '9' || *end != '\0' || value >= limit ? -1 : (int) value;
}

/* A label is a text; a number stands for its digits, as it would in Python. NULL: neither. */
static const char *
label_text(const json_t *value, char digits[24])
{
	if (json_is_integer(value))
	{
		snprintf(digits, 24, "%lld", (long long) json_integer_value(value));
		return digits;
	}
	return json_is_string(value) && json_string_length(value) <= MAX_LABEL_BYTES
			   ? json_string_value(value)
			   : NULL;
}

/* The id of a label: a number, or its digits. -1: neither, or outside. */
static int
label_id(const json_t *value, int limit)
{
	if (json_is_string(value))
		return parse_index(json_string_value(value), limit);
	return json_is_integer(value) && json_integer_value(value) >= 0 &&
				   json_integer_value(value) < limit
			   ? (int) json_integer_value(value)
			   : -1;
}

static bool
parse_labels(const json_t *root, Arena *arena, BertConfig *config, Status *status)
{
	json_t *id2label = json_object_get(root, "id2label");
	const json_t *label2id = json_object_get(root, "label2id");
	int num_labels = 0;
	char digits[24];
	const char *key;
	json_t *value;

	if (!json_get_int(root, "num_labels", 1, CONFIG_MAX_LABELS, &num_labels, status))
		return false;
	if (id2label == NULL || json_is_null(id2label))
		return set_numbered_labels(arena, config, num_labels == 0 ? 2 : num_labels, status);
	if (!json_is_object(id2label) || json_object_size(id2label) == 0 ||
		json_object_size(id2label) > CONFIG_MAX_LABELS)
		return status_fail(status, STATUS_INVALID_DATA,
						   "\"id2label\" is not an object with 1 to %d labels", CONFIG_MAX_LABELS);
	config->num_labels = (int) json_object_size(id2label);
	if (num_labels != 0 && num_labels != config->num_labels)
		return status_fail(status, STATUS_INVALID_DATA,
						   "\"num_labels\" is %d, but \"id2label\" has %d labels", num_labels,
						   config->num_labels);
	config->id2label =
		arena_alloc_array_zero(arena, (size_t) config->num_labels, sizeof *config->id2label);
	if (config->id2label == NULL)
		return arena_fail(arena, status, "labels", (size_t) config->num_labels);
	json_object_foreach(id2label, key, value)
	{
		int i = parse_index(key, config->num_labels);
		const char *text = label_text(value, digits);

		if (i < 0 || text == NULL || config->id2label[i] != NULL)
			return status_fail(status, STATUS_INVALID_DATA,
							   "\"id2label\" entry \"%.20s\" is not a label for an id from 0 to %d",
							   key, config->num_labels - 1);
		if ((config->id2label[i] = arena_strdup(arena, text)) == NULL)
			return arena_fail(arena, status, "labels", strlen(text));
	}
	if (label2id == NULL || json_is_null(label2id))
		return true;
	if (!json_is_object(label2id))
		return status_fail(status, STATUS_INVALID_DATA, "\"label2id\" is not an object");
	for (int i = 0; i < config->num_labels; i++)
	{
		const json_t *id = json_object_get(label2id, config->id2label[i]);
		int named = label_id(id, config->num_labels);

		/* repeated labels share one entry */
		if (id != NULL && (named < 0 || strcmp(config->id2label[named], config->id2label[i]) != 0))
			return status_fail(status, STATUS_INVALID_DATA,
							   "\"label2id\" and \"id2label\" disagree about \"%.60s\"",
							   config->id2label[i]);
	}
	return true;
}

static int
compare_ints(const void *a, const void *b)
{
	return (*(const int *) a > *(const int *) b) - (*(const int *) a < *(const int *) b);
}

static int
compare_pruned(const void *a, const void *b)
{
	return compare_ints(&((const PrunedHeads *) a)->layer, &((const PrunedHeads *) b)->layer);
}

static bool
parse_pruned_heads(const json_t *root, Arena *arena, BertConfig *config, Status *status)
{
	json_t *layers = json_object_get(root, "pruned_heads");
	const char *key;
	json_t *list;

	if (layers == NULL || json_is_null(layers))
		return true;
	if (!json_is_object(layers))
		return status_fail(status, STATUS_INVALID_DATA, "\"pruned_heads\" is not an object");
	config->pruned_heads =
		arena_alloc_array(arena, json_object_size(layers), sizeof *config->pruned_heads);
	if (config->pruned_heads == NULL)
		return arena_fail(arena, status, "pruned heads", json_object_size(layers));
	json_object_foreach(layers, key, list)
	{
		PrunedHeads *pruned = &config->pruned_heads[config->n_pruned];
		int layer = parse_index(key, config->num_hidden_layers);

		if (layer < 0 || !json_is_array(list) || json_array_size(list) > CONFIG_MAX_HEADS)
			return status_fail(status, STATUS_INVALID_DATA,
							   "\"pruned_heads\" entry \"%.20s\" is not a list of heads of a layer",
							   key);
		if (json_array_size(list) == 0)
			continue;
		pruned->layer = layer;
		pruned->n_heads = (int) json_array_size(list);
		pruned->heads = arena_alloc_array(arena, json_array_size(list), sizeof *pruned->heads);
		if (pruned->heads == NULL)
			return arena_fail(arena, status, "pruned heads", json_array_size(list));
		for (int i = 0; i < pruned->n_heads; i++)
		{
			const json_t *head = json_array_get(list, (size_t) i);

			if (!json_is_integer(head) || json_integer_value(head) < 0 ||
				json_integer_value(head) >= config->num_attention_heads)
				return status_fail(status, STATUS_INVALID_DATA,
								   "\"pruned_heads\" of layer %d names a head that does not exist",
								   layer);
			pruned->heads[i] = (int) json_integer_value(head);
		}
		qsort(pruned->heads, (size_t) pruned->n_heads, sizeof *pruned->heads, compare_ints);
		config->n_pruned++;
	}
	qsort(config->pruned_heads, (size_t) config->n_pruned, sizeof *config->pruned_heads,
		  compare_pruned);
	return true;
}

/* sentence-transformers' setting of a cross-encoder, in its newer and its older place. */
static bool
parse_score_activation(const json_t *root, Arena *arena, BertConfig *config, Status *status)
{
	const json_t *settings = json_object_get(root, "sentence_transformers");
	const char *class = NULL;

	if (!json_get_string(root, "sbert_ce_default_activation_function", arena, &class, status) ||
		(json_is_object(settings) &&
		 !json_get_string(settings, "activation_fn", arena, &class, status)))
		return false;
	return class == NULL || score_activation_parse(class, &config->score_activation, status);
}

static bool
parse_fields(const json_t *root, Arena *arena, BertConfig *config, Status *status)
{
	return json_get_int(root, "vocab_size", 1, CONFIG_MAX_VOCAB, &config->vocab_size, status) &&
		   json_get_int(root, "hidden_size", 1, CONFIG_MAX_HIDDEN, &config->hidden_size, status) &&
		   json_get_int(root, "num_hidden_layers", 0, CONFIG_MAX_LAYERS, &config->num_hidden_layers,
						status) &&
		   json_get_int(root, "num_attention_heads", 1, CONFIG_MAX_HEADS,
						&config->num_attention_heads, status) &&
		   json_get_int(root, "intermediate_size", 1, CONFIG_MAX_INTERMEDIATE,
						&config->intermediate_size, status) &&
		   json_get_float(root, "hidden_dropout_prob", 0, 1, &config->hidden_dropout_prob,
						  status) &&
		   json_get_float(root, "attention_probs_dropout_prob", 0, 1,
						  &config->attention_probs_dropout_prob, status) &&
		   json_get_float(root, "classifier_dropout", 0, 1, &config->classifier_dropout, status) &&
		   json_get_int(root, "max_position_embeddings", 1, CONFIG_MAX_POSITIONS,
						&config->max_position_embeddings, status) &&
		   json_get_int(root, "type_vocab_size", 1, CONFIG_MAX_TYPES, &config->type_vocab_size,
						status) &&
		   json_get_float(root, "initializer_range", 0, 100, &config->initializer_range, status) &&
		   json_get_float(root, "layer_norm_eps", 0, 1, &config->layer_norm_eps, status) &&
		   json_get_int(root, "pad_token_id", -1, CONFIG_MAX_VOCAB - 1, &config->pad_token_id,
						status) &&
		   json_get_bool(root, "is_decoder", &config->is_decoder, status) &&
		   json_get_bool(root, "add_cross_attention", &config->add_cross_attention, status) &&
		   json_get_bool(root, "use_cache", &config->use_cache, status) &&
		   json_get_bool(root, "tie_word_embeddings", &config->tie_word_embeddings, status) &&
		   parse_enumerations(root, arena, config, status) &&
		   parse_activation(root, arena, config, status) &&
		   parse_score_activation(root, arena, config, status) &&
		   parse_architecture(root, arena, config, status) &&
		   parse_labels(root, arena, config, status) &&
		   parse_pruned_heads(root, arena, config, status) && config_validate(config, status);
}

static bool
parse_root(const json_t *root, Arena *arena, FileNotes *notes, BertConfig *config, Status *status)
{
	return config_default(arena, config, status) &&
		   known_keys_check(KNOWN_CONFIG, "config.json", root, notes, status) &&
		   (parse_fields(root, arena, config, status) || status_prefix(status, "config.json"));
}

bool
config_read(Arena *arena, ModelSource *source, FileNotes *notes, BertConfig *config, Status *status)
{
	json_t *root;
	bool ok;

	if (!json_read_object(arena, source, "config.json", MAX_CONFIG_BYTES, &root, status))
		return false;
	if (root == NULL)
		return status_fail(status, STATUS_NOT_FOUND, "\"%.200s\" has no config.json", source->name);
	ok = parse_root(root, arena, notes, config, status);
	json_close(root);
	return ok;
}

bool
config_parse(Arena *arena, const char *json, size_t length, BertConfig *config, Status *status)
{
	json_t *root = json_open_object("config.json", json, length, MAX_CONFIG_BYTES, status);
	bool ok;

	if (root == NULL)
		return false;
	ok = parse_root(root, arena, NULL, config, status);
	json_close(root);
	return ok;
}

bool
config_validate(const BertConfig *config, Status *status)
{
	static const struct
	{
		const char *name;
		size_t offset;
		int minimum;
		int maximum;
	} bounds[] = {
		{"vocab_size", offsetof(BertConfig, vocab_size), 1, CONFIG_MAX_VOCAB},
		{"hidden_size", offsetof(BertConfig, hidden_size), 1, CONFIG_MAX_HIDDEN},
		{"num_hidden_layers", offsetof(BertConfig, num_hidden_layers), 0, CONFIG_MAX_LAYERS},
		{"num_attention_heads", offsetof(BertConfig, num_attention_heads), 1, CONFIG_MAX_HEADS},
		{"intermediate_size", offsetof(BertConfig, intermediate_size), 1, CONFIG_MAX_INTERMEDIATE},
		{"max_position_embeddings", offsetof(BertConfig, max_position_embeddings), 1,
		 CONFIG_MAX_POSITIONS},
		{"type_vocab_size", offsetof(BertConfig, type_vocab_size), 1, CONFIG_MAX_TYPES},
		{"num_labels", offsetof(BertConfig, num_labels), 1, CONFIG_MAX_LABELS},
	};

	for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
	{
		int value = *(const int *) ((const char *) config + bounds[i].offset);

		if (value < bounds[i].minimum || value > bounds[i].maximum)
			return status_fail(status, STATUS_INVALID_DATA, "\"%s\" is %d, not between %d and %d",
							   bounds[i].name, value, bounds[i].minimum, bounds[i].maximum);
	}
	if (config->hidden_size % config->num_attention_heads != 0)
		return status_fail(status, STATUS_INVALID_DATA,
						   "hidden_size %d is not a multiple of num_attention_heads %d",
						   config->hidden_size, config->num_attention_heads);
	if (config->pad_token_id >= config->vocab_size)
		return status_fail(status, STATUS_INVALID_DATA,
						   "pad_token_id %d is outside the vocabulary of %d", config->pad_token_id,
						   config->vocab_size);
	if (config->add_cross_attention && !config->is_decoder)
		return status_fail(status, STATUS_INVALID_DATA, "add_cross_attention needs is_decoder");
	for (int i = 0; i < config->n_pruned; i++)
	{
		const PrunedHeads *pruned = &config->pruned_heads[i];

		if (pruned->layer < 0 || pruned->layer >= config->num_hidden_layers ||
			(i > 0 && pruned->layer <= config->pruned_heads[i - 1].layer))
			return status_fail(status, STATUS_INVALID_DATA,
							   "pruned_heads names layer %d twice or one that does not exist",
							   pruned->layer);
		if (pruned->n_heads >= config->num_attention_heads)
			return status_fail(status, STATUS_INVALID_DATA,
							   "pruned_heads leaves no head in layer %d", pruned->layer);
		for (int j = 0; j < pruned->n_heads; j++)
			if (pruned->heads[j] < 0 || pruned->heads[j] >= config->num_attention_heads ||
				(j > 0 && pruned->heads[j] <= pruned->heads[j - 1]))
				return status_fail(
					status, STATUS_INVALID_DATA,
					"pruned_heads of layer %d names a head twice or one that does not exist",
					pruned->layer);
	}
	return true;
}

/* The shortest decimal that reads back as the same float: "0.02", not "0.0199999996". */
static json_t *
float_value(float value)
{
	char text[40];

	for (int digits = 1; digits <= 9; digits++)
	{
		snprintf(text, sizeof text, "%.*g", digits, (double) value);
		if (strtof(text, NULL) == value)
			break;
	}
	return json_real(strtod(text, NULL));
}

static json_t *
labels_value(const BertConfig *config, bool by_id, bool *complete)
{
	json_t *object = json_object();

	for (int i = 0; i < config->num_labels; i++)
	{
		char id[16];

		snprintf(id, sizeof id, "%d", i);
		if (by_id)
			json_put(object, id, json_string(config->id2label[i]), complete);
		else
			json_put(object, config->id2label[i], json_integer(i), complete);
	}
	return object;
}

static json_t *
pruned_value(const BertConfig *config, bool *complete)
{
	json_t *object = json_object();

	for (int i = 0; i < config->n_pruned; i++)
	{
		json_t *list = json_array();
		char layer[16];

		for (int j = 0; j < config->pruned_heads[i].n_heads; j++)
			if (json_array_append_new(list, json_integer(config->pruned_heads[i].heads[j])) != 0)
				*complete = false;
		snprintf(layer, sizeof layer, "%d", config->pruned_heads[i].layer);
		json_put(object, layer, list, complete);
	}
	return object;
}

char *
config_write(Arena *arena, const BertConfig *config, HeadKind head, Status *status)
{
	json_t *root = json_object();
	json_t *architectures = json_array();
	bool complete = json_array_append_new(architectures, json_string(heads[head].class)) == 0;

	json_put(root, "architectures", architectures, &complete);
	json_put(root, "model_type", json_string("bert"), &complete);
	json_put(root, "vocab_size", json_integer(config->vocab_size), &complete);
	json_put(root, "hidden_size", json_integer(config->hidden_size), &complete);
	json_put(root, "num_hidden_layers", json_integer(config->num_hidden_layers), &complete);
	json_put(root, "num_attention_heads", json_integer(config->num_attention_heads), &complete);
	json_put(root, "intermediate_size", json_integer(config->intermediate_size), &complete);
	json_put(root, "hidden_act", json_string(config->hidden_act), &complete);
	json_put(root, "hidden_dropout_prob", float_value(config->hidden_dropout_prob), &complete);
	json_put(root, "attention_probs_dropout_prob",
			 float_value(config->attention_probs_dropout_prob), &complete);
	json_put(root, "classifier_dropout",
			 config->classifier_dropout < 0 ? json_null() : float_value(config->classifier_dropout),
			 &complete);
	json_put(root, "max_position_embeddings", json_integer(config->max_position_embeddings),
			 &complete);
	json_put(root, "type_vocab_size", json_integer(config->type_vocab_size), &complete);
	json_put(root, "initializer_range", float_value(config->initializer_range), &complete);
	json_put(root, "layer_norm_eps", float_value(config->layer_norm_eps), &complete);
	json_put(root, "pad_token_id",
			 config->pad_token_id < 0 ? json_null() : json_integer(config->pad_token_id),
			 &complete);
	json_put(root, "position_embedding_type",
			 json_string(position_names[config->position_embedding_type]), &complete);
	json_put(root, "is_decoder", json_boolean(config->is_decoder), &complete);
	json_put(root, "add_cross_attention", json_boolean(config->add_cross_attention), &complete);
	json_put(root, "use_cache", json_boolean(config->use_cache), &complete);
	json_put(root, "tie_word_embeddings", json_boolean(config->tie_word_embeddings), &complete);
	if (config->problem_type != PROBLEM_UNSET)
		json_put(root, "problem_type", json_string(problem_names[config->problem_type]), &complete);
	if (config->score_activation != SCORE_UNSET)
		json_put(root, "sentence_transformers",
				 json_pack("{s:s}", "activation_fn", score_classes[config->score_activation]),
				 &complete);
	json_put(root, "id2label", labels_value(config, true, &complete), &complete);
	json_put(root, "label2id", labels_value(config, false, &complete), &complete);
	if (config->n_pruned > 0)
		json_put(root, "pruned_heads", pruned_value(config, &complete), &complete);
	return json_write(arena, root, JSON_INDENT(2) | JSON_REAL_PRECISION(9), complete, "config.json",
					  status);
}

const char *
head_kind_name(HeadKind head)
{
	return heads[head].name;
}

const char *
head_kind_class(HeadKind head)
{
	return heads[head].class;
}

bool
config_is_regression(const BertConfig *config)
{
	return config->problem_type == PROBLEM_REGRESSION ||
		   (config->problem_type == PROBLEM_UNSET && config->num_labels == 1);
}

bool
head_kind_parse(const char *name, HeadKind *head, Status *status)
{
	const char *names[HEAD_KIND_COUNT];
	int i;

	for (i = 0; i < HEAD_KIND_COUNT; i++)
		names[i] = heads[i].name;
	i = name_parse(name, "head", names, HEAD_KIND_COUNT, status);
	if (i < 0)
		return false;
	*head = (HeadKind) i;
	return true;
}

bool
score_activation_parse(const char *class, ScoreActivation *activation, Status *status)
{
	const char *name = strrchr(class, '.');

	name = name == NULL ? class : name + 1;
	if (strcmp(name, "Identity") == 0)
		*activation = SCORE_IDENTITY;
	else if (strcmp(name, "Sigmoid") == 0)
		*activation = SCORE_SIGMOID;
	else
	{
		status_fail(status, STATUS_UNSUPPORTED, "activation_fn \"%.80s\" is not supported", class);
		return status_hint(status, "A cross-encoder's score is its logit (Identity) or the "
								   "logit's sigmoid (Sigmoid).");
	}
	return true;
}
