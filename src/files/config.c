/* config.c: config.json into BertConfig: defaults, known and unknown fields, checks. */
#include "files/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names.h"
#include "files/family.h"
#include "files/json.h"
#include "files/known_keys.h"

#define MAX_CONFIG_BYTES ((size_t) 16 * 1024 * 1024)
#define MAX_LABEL_BYTES 1024

static const char *const head_names[HEAD_KIND_COUNT] = {
	[HEAD_NONE] = "none",
	[HEAD_PRETRAINING] = "pretraining",
	[HEAD_MASKED_LM] = "masked_lm",
	[HEAD_CAUSAL_LM] = "causal_lm",
	[HEAD_NEXT_SENTENCE] = "next_sentence",
	[HEAD_SEQUENCE_CLASSIFICATION] = "sequence_classification",
	[HEAD_MULTIPLE_CHOICE] = "multiple_choice",
	[HEAD_TOKEN_CLASSIFICATION] = "token_classification",
	[HEAD_QUESTION_ANSWERING] = "question_answering",
	[HEAD_REPLACED_TOKEN] = "replaced_token",
};

static const char *const position_names[] = {"absolute", "relative_key", "relative_key_query"};
static const char *const problem_names[] = {NULL, "regression", "single_label_classification",
											"multi_label_classification"};
static const char *const score_classes[] = {NULL, "torch.nn.modules.linear.Identity",
											"torch.nn.modules.activation.Sigmoid"};

/* Where a field's value is. */
static void *
field_of(BertConfig *config, const ConfigField *field)
{
	return (char *) config + field->offset;
}

static void
set_fallback(const ConfigField *field, void *out)
{
	switch (field->kind)
	{
		case FIELD_INT:
			*(int *) out = (int) field->fallback;
			break;
		case FIELD_FLOAT:
			*(float *) out = (float) field->fallback;
			break;
		case FIELD_BOOL:
			*(bool *) out = field->fallback != 0;
			break;
		case FIELD_ACTIVATION:
			strcpy(out, field->text);
			break;
		case FIELD_POSITIONS:
			*(PositionKind *) out = POSITION_ABSOLUTE;
			break;
	}
}

bool
config_default_of(Arena *arena, const Family *family, BertConfig *config, Status *status)
{
	static const char *const two_labels[] = {"LABEL_0", "LABEL_1"};

	memset(config, 0, sizeof *config);
	config->family = family;
	/* what a family's config.json may say nothing about */
	config->classifier_dropout = -1;
	config->layer_norm_eps = 1e-12f;
	config->num_hidden_groups = 1;
	for (size_t i = 0; i < family->n_fields; i++)
		set_fallback(&family->fields[i], field_of(config, &family->fields[i]));
	config->use_pooler = family->has_pooler;
	config->problem_type = PROBLEM_UNSET;
	config->architecture = HEAD_NONE;
	return config_set_labels(arena, config, 2, two_labels, status);
}

bool
config_default(Arena *arena, BertConfig *config, Status *status)
{
	return config_default_of(arena, family_bert(), config, status);
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
parse_activation(const json_t *root, const char *key, Arena *arena, char *out, Status *status)
{
	const char *name = NULL;

	if (!json_get_string(root, key, arena, &name, status))
		return false;
	if (name == NULL)
		return true;
	if (strlen(name) >= CONFIG_ACTIVATION_NAME_LENGTH)
		return status_fail(status, STATUS_UNSUPPORTED, "%s \"%.40s...\" is not supported", key,
						   name);
	strcpy(out, name);
	return true;
}

static bool
parse_positions(const json_t *root, const char *key, Arena *arena, PositionKind *out,
				Status *status)
{
	const char *name = NULL;
	int i;

	if (!json_get_string(root, key, arena, &name, status))
		return false;
	if (name == NULL)
		return true;
	if ((i = name_find(name, position_names, 3)) < 0)
	{
		status_fail(status, STATUS_UNSUPPORTED, "%s \"%.40s\" is not supported", key, name);
		return status_hint(status,
						   "Positions are absolute, relative_key or relative_key_query. Use a "
						   "model of one of the families that docs/models.md lists.");
	}
	*out = (PositionKind) i;
	return true;
}

static bool
parse_field(const json_t *root, const ConfigField *field, Arena *arena, void *out, Status *status)
{
	switch (field->kind)
	{
		case FIELD_INT:
			return json_get_int(root, field->key, (long long) field->minimum,
								(long long) field->maximum, out, status);
		case FIELD_FLOAT:
			return json_get_float(root, field->key, field->minimum, field->maximum, out, status);
		case FIELD_BOOL:
			return json_get_bool(root, field->key, out, status);
		case FIELD_ACTIVATION:
			return parse_activation(root, field->key, arena, out, status);
		case FIELD_POSITIONS:
			return parse_positions(root, field->key, arena, out, status);
	}
	return false;
}

static bool
parse_problem_type(const json_t *root, Arena *arena, BertConfig *config, Status *status)
{
	const char *problem = NULL;
	int i;

	if (!json_get_string(root, "problem_type", arena, &problem, status))
		return false;
	if (problem == NULL)
		return true;
	if ((i = name_find(problem, problem_names, 4)) < 0)
		return status_fail(status, STATUS_UNSUPPORTED, "problem_type \"%.40s\" is not supported",
						   problem);
	config->problem_type = (ProblemType) i;
	return true;
}

/* The first of the architectures; NULL when there is none. */
static const char *
first_architecture(const json_t *root)
{
	const json_t *list = json_object_get(root, "architectures");

	return json_is_array(list) ? json_string_value(json_array_get(list, 0)) : NULL;
}

/*
 * By the type; a config without one is of the family that has its class, or of BERT. Members of the
 * wrong type are known_keys_check_config's to refuse.
 */
static bool
parse_family(const json_t *root, const Family **family, Status *status)
{
	const char *model_type = json_string_value(json_object_get(root, "model_type"));
	const char *class = first_architecture(root);
	HeadKind head;

	*family = model_type != NULL ? family_find(model_type)
			  : class != NULL    ? family_of_class(class, &head)
								 : NULL;
	if (*family == NULL && model_type != NULL)
		return family_refuse(model_type, status);
	if (*family == NULL)
		*family = family_bert();
	return true;
}

static bool
parse_architecture(const json_t *root, Arena *arena, BertConfig *config, Status *status)
{
	const char *class = first_architecture(root);
	HeadKind head;

	if (class == NULL)
		return true;
	if (family_of_class(class, &head) == config->family)
	{
		config->architecture = head;
		return true;
	}
	config->unknown_architecture = arena_strdup(arena, class);
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
	for (size_t i = 0; i < config->family->n_fields; i++)
		if (!parse_field(root, &config->family->fields[i], arena,
						 field_of(config, &config->family->fields[i]), status))
			return false;
	return parse_problem_type(root, arena, config, status) &&
		   parse_score_activation(root, arena, config, status) &&
		   parse_architecture(root, arena, config, status) &&
		   parse_labels(root, arena, config, status) &&
		   parse_pruned_heads(root, arena, config, status) && config_validate(config, status);
}

static bool
parse_root(const json_t *root, Arena *arena, FileNotes *notes, BertConfig *config, Status *status)
{
	const Family *family;

	return (parse_family(root, &family, status) || status_prefix(status, "config.json")) &&
		   config_default_of(arena, family, config, status) &&
		   known_keys_check_config(family, root, notes, status) &&
		   (parse_fields(root, arena, config, status) || status_prefix(status, "config.json"));
}

bool
config_read(Arena *arena, ModelSource *source, FileNotes *notes, BertConfig *config, Status *status)
{
	json_t *root;

	if (!json_read_object(arena, source, "config.json", MAX_CONFIG_BYTES, &root, status))
		return false;
	if (root == NULL)
		return status_fail(status, STATUS_NOT_FOUND, "\"%.200s\" has no config.json", source->name);
	return parse_root(root, arena, notes, config, status);
}

bool
config_parse(Arena *arena, const char *json, size_t length, BertConfig *config, Status *status)
{
	json_t *root = json_open_object(arena, "config.json", json, length, MAX_CONFIG_BYTES, status);

	return root != NULL && parse_root(root, arena, NULL, config, status);
}

static bool
check_bounds(const char *name, int value, int minimum, int maximum, Status *status)
{
	return (value >= minimum && value <= maximum) ||
		   status_fail(status, STATUS_INVALID_DATA, "\"%s\" is %d, not between %d and %d", name,
					   value, minimum, maximum);
}

static bool
validate_pruned(const BertConfig *config, Status *status)
{
	if (config->n_pruned > 0 && (config->family->shared_layers || config->family->attention_biased))
		return status_fail(
			status, STATUS_UNSUPPORTED,
			"the attention heads of %s cannot be pruned: %s are shared by its layers",
			config->family->title,
			config->family->shared_layers ? "weights" : "biases of the heads");
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

/* Positions begin after the padding token's, which must exist. */
static bool
validate_positions(const BertConfig *config, Status *status)
{
	int padding = config_padding_token(config);

	if (padding >= config->vocab_size)
		return status_fail(status, STATUS_INVALID_DATA,
						   "pad_token_id %d is outside the vocabulary of %d", padding,
						   config->vocab_size);
	if (config->family->positions_follow_padding && padding < 0)
		return status_fail(status, STATUS_INVALID_DATA,
						   "%s needs a pad_token_id: its positions begin after it",
						   config->family->title);
	if (config_max_tokens(config) < 1)
		return status_fail(status, STATUS_INVALID_DATA,
						   "max_position_embeddings %d leaves no position after the first %d",
						   config->max_position_embeddings, config_first_position(config));
	return true;
}

bool
config_validate(const BertConfig *config, Status *status)
{
	for (size_t i = 0; i < config->family->n_fields; i++)
	{
		const ConfigField *field = &config->family->fields[i];

		if (field->kind == FIELD_INT &&
			!check_bounds(field->key, *(const int *) ((const char *) config + field->offset),
						  (int) field->minimum, (int) field->maximum, status))
			return false;
	}
	if (!check_bounds("num_labels", config->num_labels, 1, CONFIG_MAX_LABELS, status))
		return false;
	if (config->hidden_size % config->num_attention_heads != 0)
		return status_fail(status, STATUS_INVALID_DATA,
						   "hidden_size %d is not a multiple of num_attention_heads %d",
						   config->hidden_size, config->num_attention_heads);
	if (config->add_cross_attention && !config->is_decoder)
		return status_fail(status, STATUS_INVALID_DATA, "add_cross_attention needs is_decoder");
	if (config->family->shared_layers && config->num_hidden_groups > config->num_hidden_layers)
		return status_fail(status, STATUS_INVALID_DATA,
						   "num_hidden_groups %d is more than num_hidden_layers %d",
						   config->num_hidden_groups, config->num_hidden_layers);
	return validate_positions(config, status) && validate_pruned(config, status);
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

static json_t *
field_value(const BertConfig *config, const ConfigField *field)
{
	const void *value = (const char *) config + field->offset;

	switch (field->kind)
	{
		case FIELD_INT:
			return *(const int *) value < 0 ? json_null() : json_integer(*(const int *) value);
		case FIELD_FLOAT:
			return *(const float *) value < 0 ? json_null() : float_value(*(const float *) value);
		case FIELD_BOOL:
			return json_boolean(*(const bool *) value);
		case FIELD_ACTIVATION:
			return json_string(value);
		case FIELD_POSITIONS:
			return json_string(position_names[*(const PositionKind *) value]);
	}
	return NULL;
}

char *
config_write(Arena *arena, const BertConfig *config, HeadKind head, Status *status)
{
	json_t *root = json_object();
	json_t *architectures = json_array();
	const Family *family = config->family;
	/* a classifier of embeddings stands beside the bare model */
	bool bare = config_head_shape(config, head)->reads == READS_EMBEDDING;
	const char *class = family->heads[bare ? HEAD_NONE : head].class;
	bool complete = json_array_append_new(architectures, json_string(class)) == 0;

	json_put(root, "architectures", architectures, &complete);
	json_put(root, "model_type", json_string(family->model_type), &complete);
	for (size_t i = 0; i < family->n_fields; i++)
		json_put(root, family->fields[i].key, field_value(config, &family->fields[i]), &complete);
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
	return head_names[head];
}

bool
head_kind_parse(const char *name, HeadKind *head, Status *status)
{
	int i = name_parse(name, "head", head_names, HEAD_KIND_COUNT, status);

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
