/* known_keys.c: the table, and the look at a file's members. */
#include "files/known_keys.h"

#include <stdlib.h>
#include <string.h>

/* What a member's value may be besides null; bits. */
enum
{
	ANY = 0, /* what it is makes no difference */
	TEXT = 1,
	INTEGER = 2,
	NUMBER = 4, /* integers too */
	BOOLEAN = 8,
	LIST = 16,
	TEXTS = 32, /* a list of strings */
	OBJECT = 64
};

typedef struct KnownKey
{
	const char *name;
	KeyUse use;
	unsigned int types;
	const char *allowed; /* the value that says nothing new: a text, a number, or "true" */
} KnownKey;

#define USED(name, types)           \
	{                               \
		name, KEY_USED, types, NULL \
	}
#define HARMLESS(name)                \
	{                                 \
		name, KEY_HARMLESS, ANY, NULL \
	}
#define REPORTED(name, types)           \
	{                                   \
		name, KEY_REPORTED, types, NULL \
	}
#define REFUSED(name)                \
	{                                \
		name, KEY_REFUSED, ANY, NULL \
	}
#define ONLY(name, type, text)        \
	{                                 \
		name, KEY_REFUSED, type, text \
	}

/* The model: what the reference's configs read, but for the families' own fields (family.c). */
static const KnownKey config_keys[] = {
	USED("model_type", TEXT),
	USED("architectures", TEXTS),
	USED("problem_type", TEXT),
	USED("num_labels", INTEGER),
	HARMLESS("_num_labels"),
	USED("id2label", OBJECT),
	USED("label2id", OBJECT),
	USED("pruned_heads", OBJECT),
	USED("tokenizer_class", TEXT),
	USED("sentence_transformers", OBJECT), /* activation_fn */
	USED("sbert_ce_default_activation_function", TEXT),
	/* another model than BERT: custom code, quantized weights, other positions, norms, sharing */
	REFUSED("auto_map"),
	REFUSED("quantization_config"),
	REFUSED("compression_config"),
	REFUSED("rope_theta"),
	REFUSED("rope_scaling"),
	REFUSED("rope_parameters"),
	REFUSED("rotary_emb_base"),
	REFUSED("rotary_emb_fraction"),
	REFUSED("alibi_starting_size"),
	REFUSED("relative_attention"),
	REFUSED("position_biased_input"),
	REFUSED("pos_att_type"),
	REFUSED("max_relative_positions"),
	REFUSED("embedding_size"),
	REFUSED("num_hidden_groups"),
	REFUSED("norm_type"),
	REFUSED("normalization_type"),
	REFUSED("normalize_before"),
	REFUSED("use_rms_norm"),
	REFUSED("use_glu"),
	REFUSED("mlp_type"),
	REFUSED("sparse_config"),
	REFUSED("attention_type"),
	REFUSED("block_size"),
	REFUSED("num_random_blocks"),
	REFUSED("local_attention"),
	REFUSED("attention_window"),
	REFUSED("num_experts"),
	REFUSED("is_encoder_decoder"),
	/* of some families only */
	ONLY("position_embedding_type", TEXT, "absolute"),
	ONLY("summary_type", TEXT, "first"),
	ONLY("summary_use_proj", BOOLEAN, "true"),
	REFUSED("summary_proj_to_labels"),
	ONLY("inner_group_num", INTEGER, "1"),
	/* a tokenizer of its own */
	ONLY("word_tokenizer_type", TEXT, "basic"),
	ONLY("subword_tokenizer_type", TEXT, "wordpiece"),
	/* kept by every published configuration, read by no BERT */
	HARMLESS("_name_or_path"),
	HARMLESS("name_or_path"),
	HARMLESS("transformers_version"),
	HARMLESS("torch_dtype"),
	HARMLESS("dtype"),
	HARMLESS("torchscript"),
	HARMLESS("use_bfloat16"),
	HARMLESS("return_dict"),
	HARMLESS("output_hidden_states"),
	HARMLESS("output_attentions"),
	HARMLESS("output_past"),
	HARMLESS("output_scores"),
	HARMLESS("return_dict_in_generate"),
	HARMLESS("gradient_checkpointing"),
	HARMLESS("gradient_checkpointing_kwargs"),
	HARMLESS("chunk_size_feed_forward"),
	HARMLESS("tf_legacy_loss"),
	HARMLESS("directionality"),
	HARMLESS("tie_weights_"),
	HARMLESS("net_structure_type"),
	HARMLESS("gap_size"),
	HARMLESS("num_memory_blocks"),
	HARMLESS("down_scale_factor"),
	HARMLESS("layers_to_keep"),
	HARMLESS("pooler_fc_size"),
	HARMLESS("pooler_num_attention_heads"),
	HARMLESS("pooler_num_fc_layers"),
	HARMLESS("pooler_size_per_head"),
	HARMLESS("pooler_type"),
	HARMLESS("finetuning_task"),
	HARMLESS("task_specific_params"),
	HARMLESS("tokenizer_name"),
	HARMLESS("model_name"),
	HARMLESS("model_max_length"),
	HARMLESS("prefix"),
	HARMLESS("cross_attention_hidden_size"),
	HARMLESS("tie_encoder_decoder"),
	HARMLESS("decoder_start_token_id"),
	HARMLESS("bos_token_id"),
	HARMLESS("eos_token_id"),
	HARMLESS("eos_token_ids"),
	HARMLESS("sep_token_id"),
	HARMLESS("cls_token_id"),
	HARMLESS("mask_token_id"),
	HARMLESS("unk_token_id"),
	HARMLESS("attn_implementation"),
	HARMLESS("_attn_implementation"),
	HARMLESS("_attn_implementation_autoset"),
	HARMLESS("_commit_hash"),
	HARMLESS("export_model_type"),
	HARMLESS("cell"),
	HARMLESS("emb_size"),
	HARMLESS("structure"),
	HARMLESS("pre_trained"),
	HARMLESS("training"),
	HARMLESS("max_length"),
	HARMLESS("min_length"),
	HARMLESS("do_sample"),
	HARMLESS("early_stopping"),
	HARMLESS("num_beams"),
	HARMLESS("num_beam_groups"),
	HARMLESS("num_return_sequences"),
	HARMLESS("diversity_penalty"),
	HARMLESS("temperature"),
	HARMLESS("top_k"),
	HARMLESS("top_p"),
	HARMLESS("typical_p"),
	HARMLESS("repetition_penalty"),
	HARMLESS("length_penalty"),
	HARMLESS("no_repeat_ngram_size"),
	HARMLESS("encoder_no_repeat_ngram_size"),
	HARMLESS("bad_words_ids"),
	HARMLESS("suppress_tokens"),
	HARMLESS("begin_suppress_tokens"),
	HARMLESS("forced_bos_token_id"),
	HARMLESS("forced_eos_token_id"),
	HARMLESS("remove_invalid_values"),
	HARMLESS("exponential_decay_length_penalty"),
};

static const KnownKey tokenizer_config_keys[] = {
	USED("tokenizer_class", TEXT),
	USED("do_lower_case", BOOLEAN),
	USED("strip_accents", BOOLEAN),
	USED("tokenize_chinese_chars", BOOLEAN),
	USED("do_basic_tokenize", BOOLEAN),
	USED("model_max_length", NUMBER),
	USED("max_len", NUMBER),
	USED("model_input_names", TEXTS),
	USED("added_tokens_decoder", OBJECT),
	USED("additional_special_tokens", LIST),
	USED("extra_special_tokens", LIST | OBJECT),
	USED("unk_token", TEXT | OBJECT),
	USED("sep_token", TEXT | OBJECT),
	USED("pad_token", TEXT | OBJECT),
	USED("cls_token", TEXT | OBJECT),
	USED("mask_token", TEXT | OBJECT),
	USED("bos_token", TEXT | OBJECT),
	USED("eos_token", TEXT | OBJECT),
	/* the reference's classes have no such arguments; tokenizer_files.c says where they differ */
	REPORTED("clean_text", BOOLEAN),
	REPORTED("wordpieces_prefix", TEXT),
	REPORTED("max_input_chars_per_word", INTEGER),
	REFUSED("never_split"),
	REFUSED("auto_map"),
	REFUSED("fast_tokenizer_files"),
	REFUSED("split_special_tokens"),
	ONLY("truncation_side", TEXT, "right"),
	ONLY("word_tokenizer_type", TEXT, "basic"),
	ONLY("subword_tokenizer_type", TEXT, "wordpiece"),
	REFUSED("mecab_kwargs"),
	REFUSED("sudachi_kwargs"),
	REFUSED("jumanpp_kwargs"),
	HARMLESS("clean_up_tokenization_spaces"),
	HARMLESS("padding_side"),
	HARMLESS("padding"),
	HARMLESS("truncation"),
	HARMLESS("truncation_strategy"),
	HARMLESS("max_length"),
	HARMLESS("stride"),
	HARMLESS("pad_to_multiple_of"),
	HARMLESS("pad_token_type_id"),
	HARMLESS("name_or_path"),
	HARMLESS("special_tokens_map_file"),
	HARMLESS("full_tokenizer_file"),
	HARMLESS("tokenizer_file"),
	HARMLESS("vocab_file"),
	HARMLESS("model_type"),
	HARMLESS("processor_class"),
	HARMLESS("chat_template"),
	USED("add_prefix_space", BOOLEAN),
	USED("trim_offsets", BOOLEAN),
	USED("keep_accents", BOOLEAN),
	/* the vocabulary's file says the first; the others are those of the tokenizers in Python */
	HARMLESS("unk_id"),
	HARMLESS("errors"),
	HARMLESS("sp_model_kwargs"),
	HARMLESS("add_special_tokens"),
	HARMLESS("add_bos_token"),
	HARMLESS("add_eos_token"),
	HARMLESS("init_inputs"),
	HARMLESS("backend"),
	HARMLESS("is_local"),
	HARMLESS("local_files_only"),
	HARMLESS("use_fast"),
	HARMLESS("from_slow"),
	HARMLESS("legacy"),
	HARMLESS("verbose"),
	HARMLESS("return_token_type_ids"),
};

static const KnownKey special_map_keys[] = {
	USED("unk_token", TEXT | OBJECT),
	USED("sep_token", TEXT | OBJECT),
	USED("pad_token", TEXT | OBJECT),
	USED("cls_token", TEXT | OBJECT),
	USED("mask_token", TEXT | OBJECT),
	USED("bos_token", TEXT | OBJECT),
	USED("eos_token", TEXT | OBJECT),
	USED("additional_special_tokens", LIST),
	USED("extra_special_tokens", LIST | OBJECT),
};

static const KnownKey tokenizer_json_keys[] = {
	USED("model", OBJECT),         USED("added_tokens", LIST),     USED("normalizer", OBJECT),
	USED("pre_tokenizer", OBJECT), USED("post_processor", OBJECT), USED("truncation", OBJECT),
	HARMLESS("padding"),           USED("decoder", OBJECT),        HARMLESS("version"),
};

static const KnownKey tokenizer_model_keys[] = {
	USED("type", TEXT),
	USED("vocab", OBJECT),
	USED("unk_token", TEXT),
	USED("continuing_subword_prefix", TEXT),
	USED("max_input_chars_per_word", INTEGER),
};

static const KnownKey unigram_model_keys[] = {
	USED("type", TEXT),
	USED("vocab", LIST),
	USED("unk_id", INTEGER),
	USED("byte_fallback", BOOLEAN),
};

static const KnownKey bpe_model_keys[] = {
	USED("type", TEXT),
	USED("vocab", OBJECT),
	USED("merges", LIST),
	USED("dropout", NUMBER),
	USED("continuing_subword_prefix", TEXT),
	USED("end_of_word_suffix", TEXT),
	USED("ignore_merges", BOOLEAN),
	/* each byte has a token, so none is unknown */
	HARMLESS("unk_token"),
	HARMLESS("fuse_unk"),
	HARMLESS("byte_fallback"),
};

static const KnownKey sentence_config_keys[] = {
	USED("max_seq_length", INTEGER), USED("do_lower_case", BOOLEAN),
	HARMLESS("model_args"), /* the weights' type and the attention's implementation */
	HARMLESS("model_kwargs"),        REFUSED("tokenizer_args"),
	REFUSED("processor_kwargs"),     REFUSED("config_args"),
	REFUSED("config_kwargs"),        REFUSED("tokenizer_name_or_path"),
	USED("transformer_task", TEXT),  USED("module_output_name", TEXT),
	HARMLESS("modality_config"), /* text; other kinds of input need another class of model */
	REFUSED("processing_kwargs"),    REFUSED("query_length"),
	REFUSED("document_length"),      REFUSED("query_expansion"),
	HARMLESS("unpad_inputs"),
};

static const KnownKey module_keys[] = {
	USED("path", TEXT), USED("type", TEXT), HARMLESS("idx"), HARMLESS("name"), REFUSED("kwargs"),
};

static const KnownKey pooling_keys[] = {
	USED("pooling_mode", TEXT | TEXTS),
	USED("pooling_mode_mean_tokens", BOOLEAN),
	USED("pooling_mode_cls_token", BOOLEAN),
	USED("pooling_mode_max_tokens", BOOLEAN),
	USED("pooling_mode_mean_sqrt_len_tokens", BOOLEAN),
	USED("pooling_mode_weightedmean_tokens", BOOLEAN),
	USED("pooling_mode_lasttoken", BOOLEAN),
	USED("word_embedding_dimension", INTEGER),
	USED("embedding_dimension", INTEGER),
	USED("include_prompt", BOOLEAN),
};

static const KnownKey splade_keys[] = {
	USED("pooling_strategy", TEXT),
	USED("activation_function", TEXT),
	HARMLESS("embedding_dimension"),      /* the vocabulary's size */
	HARMLESS("word_embedding_dimension"), /* the same, before version 6 */
	HARMLESS("chunk_size"),               /* tokens computed at once */
};

static const KnownKey static_keys[] = {
	HARMLESS("frozen"), /* of training */
	REFUSED("path"),    /* weights by words elsewhere; a folder that was saved has them itself */
};

static const KnownKey router_keys[] = {
	USED("types", OBJECT),
	USED("structure", OBJECT),
	USED("parameters", OBJECT),
};

static const KnownKey router_parameters_keys[] = {
	USED("default_route", TEXT),
	HARMLESS("allow_empty_key"), /* the default route where none is said */
	USED("route_mappings", OBJECT),
};

static const KnownKey normalize_keys[] = {
	ONLY("module_input_name", TEXT, "sentence_embedding"),
	ONLY("module_output_name", TEXT, "sentence_embedding"),
};

static const KnownKey dense_keys[] = {
	USED("in_features", INTEGER),
	USED("out_features", INTEGER),
	USED("bias", BOOLEAN),
	USED("activation_function", TEXT),
	ONLY("module_input_name", TEXT, "sentence_embedding"),
	ONLY("module_output_name", TEXT, "sentence_embedding"),
	ONLY("use_residual", BOOLEAN, "false"),
};

static const KnownKey sentence_transformers_keys[] = {
	USED("prompts", OBJECT),          USED("default_prompt_name", TEXT),
	USED("similarity_fn_name", TEXT), USED("activation_fn", TEXT),
	USED("model_type", TEXT),         HARMLESS("__version__"),
};

#define TABLE(keys)                        \
	{                                      \
		keys, sizeof keys / sizeof keys[0] \
	}

static const struct
{
	const KnownKey *keys;
	size_t n;
} tables[KNOWN_FILE_COUNT] = {
	[KNOWN_CONFIG] = TABLE(config_keys),
	[KNOWN_TOKENIZER_CONFIG] = TABLE(tokenizer_config_keys),
	[KNOWN_SPECIAL_TOKENS_MAP] = TABLE(special_map_keys),
	[KNOWN_TOKENIZER_JSON] = TABLE(tokenizer_json_keys),
	[KNOWN_TOKENIZER_MODEL] = TABLE(tokenizer_model_keys),
	[KNOWN_UNIGRAM_MODEL] = TABLE(unigram_model_keys),
	[KNOWN_BPE_MODEL] = TABLE(bpe_model_keys),
	[KNOWN_SENTENCE_CONFIG] = TABLE(sentence_config_keys),
	[KNOWN_MODULE] = TABLE(module_keys),
	[KNOWN_POOLING] = TABLE(pooling_keys),
	[KNOWN_NORMALIZE] = TABLE(normalize_keys),
	[KNOWN_DENSE] = TABLE(dense_keys),
	[KNOWN_SPLADE] = TABLE(splade_keys),
	[KNOWN_STATIC] = TABLE(static_keys),
	[KNOWN_ROUTER] = TABLE(router_keys),
	[KNOWN_ROUTER_PARAMETERS] = TABLE(router_parameters_keys),
	[KNOWN_SENTENCE_TRANSFORMERS] = TABLE(sentence_transformers_keys),
};

static const KnownKey *
find_key(KnownFile file, const char *name)
{
	for (size_t i = 0; i < tables[file].n; i++)
		if (strcmp(tables[file].keys[i].name, name) == 0)
			return &tables[file].keys[i];
	return NULL;
}

/* A member that the family's config reads; NULL if it reads none of this name. */
static const ConfigField *
find_field(const Family *family, const char *key)
{
	for (size_t i = 0; i < family->n_fields; i++)
		if (strcmp(family->fields[i].key, key) == 0)
			return &family->fields[i];
	return NULL;
}

/* The names of further special tokens are the author's own: "image_token". */
static bool
names_token(KnownFile file, const char *key)
{
	size_t length = strlen(key);

	return (file == KNOWN_TOKENIZER_CONFIG || file == KNOWN_SPECIAL_TOKENS_MAP) && length > 6 &&
		   strcmp(key + length - 6, "_token") == 0;
}

bool
known_key_use(KnownFile file, const char *key, KeyUse *use)
{
	const KnownKey *known = find_key(file, key);
	bool field = file == KNOWN_CONFIG && find_field(family_bert(), key) != NULL;

	if (known == NULL && !field && !names_token(file, key))
		return false;
	*use = known == NULL || field ? KEY_USED : known->use;
	return true;
}

size_t
known_key_count(KnownFile file)
{
	return tables[file].n + (file == KNOWN_CONFIG ? family_bert()->n_fields : 0);
}

const char *
known_key_name(KnownFile file, size_t i)
{
	return i < tables[file].n ? tables[file].keys[i].name
							  : family_bert()->fields[i - tables[file].n].key;
}

/* --- Types --- */

static const struct
{
	unsigned int type;
	const char *name;
} type_names[] = {
	{TEXT, "a string"},         {INTEGER, "an integer"},      {NUMBER, "a number"},
	{BOOLEAN, "true or false"}, {TEXTS, "a list of strings"}, {LIST, "a list"},
	{OBJECT, "an object"},
};

#define N_TYPES (sizeof type_names / sizeof type_names[0])

static bool
has_type(const json_t *value, unsigned int types)
{
	if ((types & TEXTS) != 0 && json_is_array(value))
	{
		for (size_t i = 0; i < json_array_size(value); i++)
			if (!json_is_string(json_array_get(value, i)))
				return false;
		return true;
	}
	return ((types & TEXT) != 0 && json_is_string(value)) ||
		   ((types & INTEGER) != 0 && json_is_integer(value)) ||
		   ((types & NUMBER) != 0 && json_is_number(value)) ||
		   ((types & BOOLEAN) != 0 && json_is_boolean(value)) ||
		   ((types & LIST) != 0 && json_is_array(value)) ||
		   ((types & OBJECT) != 0 && json_is_object(value));
}

/* What a value is, in words. */
static const char *
found_type(const json_t *value, unsigned int wanted)
{
	switch (json_typeof(value))
	{
		case JSON_STRING:
			return "a string";
		case JSON_INTEGER:
			return "an integer";
		case JSON_REAL:
			return "a number with a fraction or an exponent";
		case JSON_TRUE:
			return "true";
		case JSON_FALSE:
			return "false";
		case JSON_ARRAY:
			return (wanted & TEXTS) != 0 ? "a list with something else than strings" : "a list";
		case JSON_OBJECT:
			return "an object";
		case JSON_NULL:
			break;
	}
	return "null";
}

static bool
check_type(const KnownKey *known, const char *file, const json_t *value, Status *status)
{
	char wanted[64] = "";

	if (known->types == ANY || has_type(value, known->types))
		return true;
	for (size_t i = 0; i < N_TYPES; i++)
		if ((known->types & type_names[i].type) != 0)
		{
			if (wanted[0] != '\0')
				strcat(wanted, " or ");
			strcat(wanted, type_names[i].name);
		}
	return status_fail(status, STATUS_INVALID_DATA, "%s: \"%s\" is %s, not %s", file, known->name,
					   found_type(value, known->types), wanted);
}

/* --- Members --- */

/* Nothing is said: false, empty, or what is done in any case. */
static bool
says_nothing(const json_t *value, const char *allowed)
{
	if (json_is_string(value))
		return json_string_length(value) == 0 ||
			   (allowed != NULL && strcmp(json_string_value(value), allowed) == 0);
	if (json_is_integer(value))
		return allowed != NULL && json_integer_value(value) == strtoll(allowed, NULL, 10);
	if (json_is_true(value))
		return allowed != NULL && strcmp(allowed, "true") == 0;
	if (json_is_false(value))
		return allowed == NULL || strcmp(allowed, "true") != 0;
	return (json_is_array(value) && json_array_size(value) == 0) ||
		   (json_is_object(value) && json_object_size(value) == 0);
}

static bool
check_member(const KnownKey *known, const char *file, const json_t *value, Status *status)
{
	if (!check_type(known, file, value, status))
		return false;
	if (known->use != KEY_REFUSED || says_nothing(value, known->allowed))
		return true;
	if (json_is_string(value))
		return status_fail(status, STATUS_UNSUPPORTED,
						   "%s: \"%s\" is \"%.60s\", which is not supported", file, known->name,
						   json_string_value(value));
	status_fail(status, STATUS_UNSUPPORTED,
				"%s: \"%s\" changes what the model computes and is not supported", file,
				known->name);
	return strcmp(known->name, "auto_map") == 0 &&
		   status_hint(status,
					   "The model brings code of its own, which is never run. Use a model of "
					   "one of the families that docs/models.md lists.");
}

static bool
check_field(const ConfigField *field, const char *file, const json_t *value, Status *status)
{
	static const unsigned int types[] = {[FIELD_INT] = INTEGER,
										 [FIELD_FLOAT] = NUMBER,
										 [FIELD_BOOL] = BOOLEAN,
										 [FIELD_ACTIVATION] = TEXT,
										 [FIELD_POSITIONS] = TEXT};
	const KnownKey known = {field->key, KEY_USED, types[field->kind], NULL};

	return check_type(&known, file, value, status);
}

/* family: of config.json; NULL for other files */
static bool
check_object(KnownFile file, const char *name, const Family *family, const json_t *object,
			 FileNotes *notes, Status *status)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) object, key, value)
	{
		const ConfigField *field = family == NULL ? NULL : find_field(family, key);
		const KnownKey *known = field != NULL ? NULL : find_key(file, key);

		if (json_is_null(value))
			continue;
		if (field != NULL || known != NULL)
		{
			if (field != NULL ? !check_field(field, name, value, status)
							  : !check_member(known, name, value, status))
				return false;
		}
		else if (!(names_token(file, key) && (json_is_string(value) || json_is_object(value))) &&
				 !notes_add(notes, NOTE_UNEXPECTED, name, key, status))
			return false;
	}
	return true;
}

bool
known_keys_check(KnownFile file, const char *name, const json_t *object, FileNotes *notes,
				 Status *status)
{
	return check_object(file, name, file == KNOWN_CONFIG ? family_bert() : NULL, object, notes,
						status);
}

bool
known_keys_check_config(const Family *family, const json_t *object, FileNotes *notes,
						Status *status)
{
	return check_object(KNOWN_CONFIG, "config.json", family, object, notes, status);
}
