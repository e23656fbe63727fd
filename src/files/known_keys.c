/* known_keys.c: the table, and the look at a file's members. */
#include "files/known_keys.h"

#include <stdlib.h>
#include <string.h>

typedef struct KnownKey
{
	const char *name;
	KeyUse use;
	const char *allowed; /* the value that says nothing new: a text, a number, or "true" */
} KnownKey;

#define USED(name)           \
	{                        \
		name, KEY_USED, NULL \
	}
#define HARMLESS(name)           \
	{                            \
		name, KEY_HARMLESS, NULL \
	}
#define REFUSED(name)           \
	{                           \
		name, KEY_REFUSED, NULL \
	}
#define ONLY(name, text)        \
	{                           \
		name, KEY_REFUSED, text \
	}

/* The model: what the reference's BertConfig reads. */
static const KnownKey config_keys[] = {
	USED("model_type"),
	USED("architectures"),
	USED("vocab_size"),
	USED("hidden_size"),
	USED("num_hidden_layers"),
	USED("num_attention_heads"),
	USED("intermediate_size"),
	USED("hidden_act"),
	USED("hidden_dropout_prob"),
	USED("attention_probs_dropout_prob"),
	USED("classifier_dropout"),
	USED("max_position_embeddings"),
	USED("type_vocab_size"),
	USED("initializer_range"),
	USED("layer_norm_eps"),
	USED("pad_token_id"),
	USED("position_embedding_type"),
	USED("is_decoder"),
	USED("add_cross_attention"),
	USED("use_cache"),
	USED("tie_word_embeddings"),
	USED("problem_type"),
	USED("num_labels"),
	USED("_num_labels"),
	USED("id2label"),
	USED("label2id"),
	USED("pruned_heads"),
	USED("tokenizer_class"),
	USED("sentence_transformers"), /* activation_fn */
	USED("sbert_ce_default_activation_function"),
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
	REFUSED("inner_group_num"),
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
	/* a tokenizer of its own */
	ONLY("word_tokenizer_type", "basic"),
	ONLY("subword_tokenizer_type", "wordpiece"),
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
	USED("tokenizer_class"),
	USED("do_lower_case"),
	USED("strip_accents"),
	USED("tokenize_chinese_chars"),
	USED("do_basic_tokenize"),
	USED("model_max_length"),
	USED("max_len"),
	USED("model_input_names"),
	USED("added_tokens_decoder"),
	USED("additional_special_tokens"),
	USED("extra_special_tokens"),
	USED("unk_token"),
	USED("sep_token"),
	USED("pad_token"),
	USED("cls_token"),
	USED("mask_token"),
	USED("bos_token"),
	USED("eos_token"),
	/* the reference's Bert classes have no such arguments; tokenizer.json has the same ones */
	{"clean_text", KEY_REPORTED, "true"},
	{"wordpieces_prefix", KEY_REPORTED, "##"},
	{"max_input_chars_per_word", KEY_REPORTED, "100"},
	REFUSED("never_split"),
	REFUSED("auto_map"),
	REFUSED("fast_tokenizer_files"),
	REFUSED("split_special_tokens"),
	ONLY("truncation_side", "right"),
	ONLY("word_tokenizer_type", "basic"),
	ONLY("subword_tokenizer_type", "wordpiece"),
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
	HARMLESS("add_prefix_space"),
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
	USED("unk_token"),
	USED("sep_token"),
	USED("pad_token"),
	USED("cls_token"),
	USED("mask_token"),
	USED("bos_token"),
	USED("eos_token"),
	USED("additional_special_tokens"),
	USED("extra_special_tokens"),
};

static const KnownKey tokenizer_json_keys[] = {
	USED("model"),         USED("added_tokens"),   USED("normalizer"),
	USED("pre_tokenizer"), USED("post_processor"), USED("truncation"),
	HARMLESS("padding"),   HARMLESS("decoder"),    HARMLESS("version"),
};

static const KnownKey tokenizer_model_keys[] = {
	USED("type"),
	USED("vocab"),
	USED("unk_token"),
	USED("continuing_subword_prefix"),
	USED("max_input_chars_per_word"),
};

static const KnownKey sentence_config_keys[] = {
	USED("max_seq_length"),       USED("do_lower_case"),
	HARMLESS("model_args"), /* the weights' type and the attention's implementation */
	HARMLESS("model_kwargs"),     REFUSED("tokenizer_args"),
	REFUSED("processor_kwargs"),  REFUSED("config_args"),
	REFUSED("config_kwargs"),     REFUSED("tokenizer_name_or_path"),
	USED("transformer_task"),     USED("module_output_name"),
	HARMLESS("modality_config"), /* text; other kinds of input need another class of model */
	REFUSED("processing_kwargs"), REFUSED("query_length"),
	REFUSED("document_length"),   REFUSED("query_expansion"),
	HARMLESS("unpad_inputs"),
};

static const KnownKey module_keys[] = {
	USED("path"), USED("type"), HARMLESS("idx"), HARMLESS("name"), REFUSED("kwargs"),
};

static const KnownKey pooling_keys[] = {
	USED("pooling_mode"),
	USED("pooling_mode_mean_tokens"),
	USED("pooling_mode_cls_token"),
	USED("pooling_mode_max_tokens"),
	USED("pooling_mode_mean_sqrt_len_tokens"),
	USED("pooling_mode_weightedmean_tokens"),
	USED("pooling_mode_lasttoken"),
	USED("word_embedding_dimension"),
	USED("embedding_dimension"),
	ONLY("include_prompt", "true"),
};

static const KnownKey normalize_keys[] = {
	ONLY("module_input_name", "sentence_embedding"),
	ONLY("module_output_name", "sentence_embedding"),
};

static const KnownKey dense_keys[] = {
	USED("in_features"),
	USED("out_features"),
	USED("bias"),
	USED("activation_function"),
	ONLY("module_input_name", "sentence_embedding"),
	ONLY("module_output_name", "sentence_embedding"),
	REFUSED("use_residual"),
};

static const KnownKey sentence_transformers_keys[] = {
	USED("prompts"),       USED("default_prompt_name"), USED("similarity_fn_name"),
	USED("activation_fn"), USED("model_type"),          HARMLESS("__version__"),
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
	[KNOWN_SENTENCE_CONFIG] = TABLE(sentence_config_keys),
	[KNOWN_MODULE] = TABLE(module_keys),
	[KNOWN_POOLING] = TABLE(pooling_keys),
	[KNOWN_NORMALIZE] = TABLE(normalize_keys),
	[KNOWN_DENSE] = TABLE(dense_keys),
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

	if (known == NULL && !names_token(file, key))
		return false;
	*use = known == NULL ? KEY_USED : known->use;
	return true;
}

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

bool
known_keys_check(KnownFile file, const char *name, const json_t *object, FileNotes *notes,
				 Status *status)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) object, key, value)
	{
		const KnownKey *known = find_key(file, key);

		if (json_is_null(value) || (known == NULL && names_token(file, key)))
			continue;
		if (known == NULL || (known->use == KEY_REPORTED && !says_nothing(value, known->allowed)))
		{
			if (!notes_add(notes, known == NULL ? NOTE_UNEXPECTED : NOTE_IGNORED, name, key,
						   status))
				return false;
		}
		else if (known->use == KEY_REFUSED && !says_nothing(value, known->allowed))
		{
			if (json_is_string(value))
				return status_fail(status, STATUS_UNSUPPORTED,
								   "%s: \"%s\" is \"%.60s\", which is not supported", name, key,
								   json_string_value(value));
			return status_fail(status, STATUS_UNSUPPORTED,
							   "%s: \"%s\" changes what the model computes and is not supported",
							   name, key);
		}
	}
	return true;
}
