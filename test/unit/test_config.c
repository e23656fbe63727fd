/* test_config.c: what config.json gives, and that what is written is read back the same. The
 * refusals: test_catalogue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "arena_fixture.h"
#include "files/family.h"
#include "files/json.h"
#include "files/known_keys.h"
#include "near.h"

static BertConfig
parse(Arena *arena, const char *json)
{
	BertConfig config;
	Status status;

	if (!config_parse(arena, json, strlen(json), &config, &status))
		fail_msg("%s: %s", json, status.message);
	return config;
}

static void
test_defaults(void **state)
{
	BertConfig config = parse(*state, "{}");

	assert_int_equal(config.vocab_size, 30522);
	assert_int_equal(config.hidden_size, 768);
	assert_int_equal(config.num_hidden_layers, 12);
	assert_int_equal(config.num_attention_heads, 12);
	assert_int_equal(config.intermediate_size, 3072);
	assert_string_equal(config.hidden_act, "gelu");
	assert_near(config.hidden_dropout_prob, 0.1, 1e-7);
	assert_near(config.layer_norm_eps, 1e-12, 1e-18);
	assert_true(config.classifier_dropout < 0);
	assert_int_equal(config.max_position_embeddings, 512);
	assert_int_equal(config.type_vocab_size, 2);
	assert_true(config.use_cache && config.tie_word_embeddings && !config.is_decoder &&
				!config.add_cross_attention);
	assert_int_equal(config.num_labels, 2);
	assert_string_equal(config.id2label[1], "LABEL_1");
	assert_int_equal(config.problem_type, PROBLEM_UNSET);
	assert_int_equal(config.architecture, HEAD_NONE);
}

static void
test_fields(void **state)
{
	BertConfig config;

	config = parse(*state, "{\"hidden_act\": \"gelu_new\"}");
	assert_string_equal(config.hidden_act, "gelu_new");
	for (size_t i = 0; family_at(i) != NULL; i++)
		for (int head = 0; head < HEAD_KIND_COUNT; head++)
		{
			const char *class = family_at(i)->heads[head].class;
			char json[160];

			if (class == NULL)
				continue;
			snprintf(json, sizeof json, "{\"model_type\": \"%s\", \"architectures\": [\"%s\"]}",
					 family_at(i)->model_type, class);
			config = parse(*state, json);
			assert_ptr_equal(config.family, family_at(i));
			assert_int_equal(config.architecture, head);
			/* without the type the class says it */
			snprintf(json, sizeof json, "{\"architectures\": [\"%s\"]}", class);
			assert_ptr_equal(parse(*state, json).family, family_at(i));
		}
	config = parse(*state, "{\"id2label\": {\"1\": \"b\", \"0\": \"a\", \"2\": \"\\u00e9\"}, "
						   "\"num_labels\": 3, \"problem_type\": \"multi_label_classification\"}");
	assert_int_equal(config.num_labels, 3);
	assert_string_equal(config.id2label[0], "a");
	assert_string_equal(config.id2label[2], "\xC3\xA9");
	assert_int_equal(config.problem_type, PROBLEM_MULTI_LABEL);
	config = parse(*state,
				   "{\"num_labels\": 5, \"pruned_heads\": {\"3\": [5, 1], \"0\": [2], \"1\": []}}");
	assert_string_equal(config.id2label[4], "LABEL_4");
	assert_int_equal(config.n_pruned, 2);
	assert_int_equal(config.pruned_heads[1].layer, 3);
	assert_int_equal(config.pruned_heads[1].heads[0], 1);
	config = parse(*state, "{\"position_embedding_type\": \"relative_key_query\", \"is_decoder\": "
						   "true, \"add_cross_attention\": true, \"tie_word_embeddings\": false}");
	assert_int_equal(config.position_embedding_type, POSITION_RELATIVE_KEY_QUERY);
	assert_true(config.is_decoder && config.add_cross_attention && !config.tie_word_embeddings);
}

/* config.json as published, a file of each family: nothing in it is told. */
static const char *const published[] = {
	"{\"activation\": \"gelu\", \"architectures\": [\"DistilBertForSequenceClassification\"], "
	"\"attention_dropout\": 0.1, \"dim\": 768, \"dropout\": 0.1, \"finetuning_task\": \"sst-2\", "
	"\"hidden_dim\": 3072, \"initializer_range\": 0.02, \"max_position_embeddings\": 512, "
	"\"model_type\": \"distilbert\", \"n_heads\": 12, \"n_layers\": 6, \"output_past\": true, "
	"\"pad_token_id\": 0, \"qa_dropout\": 0.1, \"seq_classif_dropout\": 0.2, "
	"\"sinusoidal_pos_embds\": false, \"tie_weights_\": true, \"vocab_size\": 30522}",
	"{\"architectures\": [\"ElectraForPreTraining\"], \"attention_probs_dropout_prob\": 0.1, "
	"\"embedding_size\": 128, \"hidden_act\": \"gelu\", \"hidden_dropout_prob\": 0.1, "
	"\"hidden_size\": 256, \"initializer_range\": 0.02, \"intermediate_size\": 1024, "
	"\"layer_norm_eps\": 1e-12, \"max_position_embeddings\": 512, \"model_type\": \"electra\", "
	"\"num_attention_heads\": 4, \"num_hidden_layers\": 12, \"pad_token_id\": 0, "
	"\"position_embedding_type\": \"absolute\", \"summary_activation\": \"gelu\", "
	"\"summary_last_dropout\": 0.1, \"summary_type\": \"first\", \"summary_use_proj\": true, "
	"\"type_vocab_size\": 2, \"use_cache\": true, \"vocab_size\": 30522}",
	"{\"architectures\": [\"XLMRobertaForSequenceClassification\"], "
	"\"attention_probs_dropout_prob\": 0.1, \"bos_token_id\": 0, \"classifier_dropout\": null, "
	"\"eos_token_id\": 2, \"hidden_act\": \"gelu\", \"hidden_dropout_prob\": 0.1, "
	"\"hidden_size\": 768, \"initializer_range\": 0.02, \"intermediate_size\": 3072, "
	"\"layer_norm_eps\": 1e-05, \"max_position_embeddings\": 514, "
	"\"model_type\": \"xlm-roberta\", \"num_attention_heads\": 12, \"num_hidden_layers\": 12, "
	"\"output_past\": true, \"pad_token_id\": 1, \"position_embedding_type\": \"absolute\", "
	"\"type_vocab_size\": 1, \"use_cache\": true, \"vocab_size\": 250002}",
	"{\"architectures\": [\"MPNetForMaskedLM\"], \"attention_probs_dropout_prob\": 0.1, "
	"\"bos_token_id\": 0, \"eos_token_id\": 2, \"hidden_act\": \"gelu\", "
	"\"hidden_dropout_prob\": 0.1, \"hidden_size\": 768, \"initializer_range\": 0.02, "
	"\"intermediate_size\": 3072, \"layer_norm_eps\": 1e-05, \"max_position_embeddings\": 514, "
	"\"model_type\": \"mpnet\", \"num_attention_heads\": 12, \"num_hidden_layers\": 12, "
	"\"pad_token_id\": 1, \"relative_attention_num_buckets\": 32, \"vocab_size\": 30527}",
	"{\"architectures\": [\"AlbertForMaskedLM\"], \"attention_probs_dropout_prob\": 0, "
	"\"bos_token_id\": 2, \"classifier_dropout_prob\": 0.1, \"down_scale_factor\": 1, "
	"\"embedding_size\": 128, \"eos_token_id\": 3, \"gap_size\": 0, \"hidden_act\": \"gelu_new\", "
	"\"hidden_dropout_prob\": 0, \"hidden_size\": 768, \"initializer_range\": 0.02, "
	"\"inner_group_num\": 1, \"intermediate_size\": 3072, \"layer_norm_eps\": 1e-12, "
	"\"layers_to_keep\": [], \"max_position_embeddings\": 512, \"model_type\": \"albert\", "
	"\"net_structure_type\": 0, \"num_attention_heads\": 12, \"num_hidden_groups\": 1, "
	"\"num_hidden_layers\": 12, \"num_memory_blocks\": 0, \"pad_token_id\": 0, "
	"\"type_vocab_size\": 2, \"vocab_size\": 30000}",
};

static size_t
notes_of(Arena *arena, const char *json)
{
	FileNotes notes = {.arena = arena};
	BertConfig config = parse(arena, json);
	json_t *object;
	Status status;

	object = json_open_object(arena, "config.json", json, strlen(json), strlen(json), &status);
	assert_non_null(object);
	assert_true(known_keys_check_config(config.family, object, &notes, &status));
	return notes.n;
}

static void
test_published(void **state)
{
	BertConfig config;
	Status status;
	char *text;

	for (size_t i = 0; i < sizeof published / sizeof published[0]; i++)
	{
		config = parse(*state, published[i]);
		assert_int_equal(notes_of(*state, published[i]), 0);
		text = config_write(*state, &config, config.architecture, &status);
		assert_non_null(text);
		assert_int_equal(notes_of(*state, text), 0);
		assert_ptr_equal(parse(*state, text).family, config.family);
	}
	config = parse(*state, published[0]);
	assert_true(config.hidden_size == 768 && config.num_hidden_layers == 6);
	assert_float_equal(config_head_dropout(&config, HEAD_SEQUENCE_CLASSIFICATION), 0.2, 1e-7);
	assert_float_equal(config_head_dropout(&config, HEAD_TOKEN_CLASSIFICATION), 0.1, 1e-7);
	assert_int_equal(config.type_vocab_size, 0);
	config = parse(*state, published[1]);
	assert_true(config_projects_embeddings(&config) && config_embedding_size(&config) == 128);
	config = parse(*state, published[2]);
	assert_int_equal(config_max_tokens(&config), 512);
	/* DistilBERT reads none of BERT's words */
	assert_int_equal(notes_of(*state, "{\"model_type\": \"distilbert\", \"type_vocab_size\": 2}"),
					 1);
	assert_false(config_parse(*state, "{\"model_type\": \"distilbert\", \"dim\": \"768\"}", 42,
							  &config, &status));
	assert_non_null(strstr(status.message, "\"dim\" is a string, not an integer"));
}

/* Members of published configs that change nothing. */
static void
test_harmless(void **state)
{
	static const char *const members[] = {
		"\"_name_or_path\": \"bert-base-uncased\"",
		"\"transformers_version\": \"4.6.0\"",
		"\"torch_dtype\": \"float16\"",
		"\"dtype\": \"float32\"",
		"\"gradient_checkpointing\": true",
		"\"directionality\": \"bidi\"",
		"\"pooler_fc_size\": 768",
		"\"pooler_num_attention_heads\": 12",
		"\"pooler_type\": \"first_token_transform\"",
		"\"output_past\": true",
		"\"output_hidden_states\": true",
		"\"finetuning_task\": \"mnli\"",
		"\"torchscript\": false",
		"\"do_sample\": false",
		"\"num_beams\": 1",
		"\"return_dict\": true",
		"\"task_specific_params\": null",
		"\"cell\": {}",
		"\"emb_size\": 312",
		"\"structure\": []",
		"\"pre_trained\": \"\"",
		"\"training\": \"\"",
		"\"model_name\": \"x\"",
		"\"max_length\": 20",
		"\"eos_token_ids\": 0",
		"\"bos_token_id\": null",
		"\"is_encoder_decoder\": false",
		"\"length_penalty\": 1.0",
		"\"gradient_checkpointing_kwargs\": null",
		"\"quantization_config\": null",
		"\"auto_map\": null",
		"\"prefix\": null",
		"\"export_model_type\": \"transformer\"",
		"\"classifier_dropout\": null",
		"\"problem_type\": null",
		"\"num_labels\": null",
		"\"vocab_size\": 30522",
	};
	size_t n = sizeof members / sizeof members[0];

	for (size_t i = 0; i < n; i++)
	{
		char json[128];

		snprintf(json, sizeof json, "{%s}", members[i]);
		assert_int_equal(parse(*state, json).hidden_size, 768);
	}
	print_message("%zu/%zu harmless members accepted\n", n, n);
}

static void
test_written(void **state)
{
	BertConfig config =
		parse(*state, "{\"hidden_size\": 24, \"num_attention_heads\": 3, \"num_hidden_layers\": 5, "
					  "\"vocab_size\": 97, \"hidden_act\": \"swish\", "
					  "\"layer_norm_eps\": 1e-7, \"initializer_range\": 0.033, "
					  "\"classifier_dropout\": 0.25, \"pad_token_id\": null, "
					  "\"id2label\": {\"0\": \"a\\\"b\", \"1\": \"\\u4e2d\", \"2\": \"a\"}, "
					  "\"pruned_heads\": {\"4\": [0, 2]}, "
					  "\"problem_type\": \"regression\", \"is_decoder\": true, "
					  "\"position_embedding_type\": \"relative_key\"}");
	BertConfig again;
	Status status;
	char *text = config_write(*state, &config, HEAD_TOKEN_CLASSIFICATION, &status);

	assert_non_null(text);
	again = parse(*state, text);
	assert_int_equal(again.architecture, HEAD_TOKEN_CLASSIFICATION);
	assert_string_equal(again.hidden_act, "swish");
	assert_true(again.layer_norm_eps == config.layer_norm_eps &&
				again.initializer_range == config.initializer_range);
	assert_true(again.classifier_dropout == 0.25f);
	assert_int_equal(again.pad_token_id, config.pad_token_id);
	assert_int_equal(again.num_labels, 3);
	for (int i = 0; i < 3; i++)
		assert_string_equal(again.id2label[i], config.id2label[i]);
	assert_int_equal(again.n_pruned, 1);
	assert_int_equal(again.pruned_heads[0].heads[1], 2);
	assert_int_equal(again.problem_type, PROBLEM_REGRESSION);
	assert_int_equal(again.position_embedding_type, POSITION_RELATIVE_KEY);
	assert_string_equal(config_write(*state, &again, HEAD_TOKEN_CLASSIFICATION, &status), text);
	config.id2label[0] = "\xFF";
	assert_null(config_write(*state, &config, HEAD_NONE, &status));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),  cmocka_unit_test(test_fields),
		cmocka_unit_test(test_published), cmocka_unit_test(test_harmless),
		cmocka_unit_test(test_written),
	};

	return cmocka_run_group_tests(tests, open_arena, close_arena);
}
